/* A bar on a terminal that shows how far something is. One thread. */
#ifndef BAGELHOOK_PROGRESS_H
#define BAGELHOOK_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;
	bool shown; /* standard error is a terminal */
	int64_t began_ms;
	int64_t drawn_ms;
};

/* Begins; nothing is shown where standard error is no terminal. */
void progress_begin(struct progress *, const char *what);

/* Draws, some times a second at most: done of total (0: unknown) of anything, count items. */
void progress_show(struct progress *, int64_t done, int64_t total, uint64_t count);

/* Removes the bar: to be called before anything else is written, too. */
void progress_clear(struct progress *);

#endif
