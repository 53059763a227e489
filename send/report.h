/* Results of the deliveries: a line for each on standard output, a progress bar on a terminal,
 * and a summary on standard error. */
#ifndef BAGELHOOK_REPORT_H
#define BAGELHOOK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "options.h"
#include "parcels.h"
#include "post.h"

#define REPORT_KINDS 64

struct report {
	const struct options *options; /* borrowed */
	size_t expected;               /* deliveries, without retries */
	size_t settled;                /* of these, such as are not tried again */
	size_t waiting;                /* of these, such as wait for their next try */
	size_t tries;
	int64_t began_ms;
	time_t next_try; /* when the first of the waiting is tried again */
	bool bar;
	struct {
		char text[80];
		size_t count;
	} kind[REPORT_KINDS]; /* of answers */
};

/* One delivery is worth a bar if it may be tried again. */
void report_begin(struct report *, size_t expected, const struct options *);

/* Prints a delivery's line, and counts it. */
void report_answer(struct report *, const struct parcel *, enum post_result, const struct post_answer *);

/* Draws the bar anew, where there is one. */
void report_progress(const struct report *);

/* Prints the summary, where there was more than one delivery, or try. */
void report_end(struct report *);

#endif
