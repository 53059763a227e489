/* What a comparison found, for people and programs. */
#ifndef BAGELHOOK_VERIFY_REPORT_H
#define BAGELHOOK_VERIFY_REPORT_H

#include <jansson.h>
#include <stdbool.h>

/* A document of bagelpay_internal.verify(), parsed. */
struct report {
	json_t *document; /* owned */
	int granted;      /* grants that this run made, with --apply */
	int cleared;      /* and cleared */
};

/* Parses a document. Returns 0, or -1 without memory or if it is none. */
int report_open(struct report *, const char *document);

void report_close(struct report *);

/* Returns the number of differences of a kind. */
json_int_t report_kind(const struct report *, const char *kind);

/* Returns the number of payments here, if BagelPay lists none of them: its lists are another account's, or of
 * the other mode. 0 if it lists some, or if there are too few to tell. */
json_int_t report_strange(const struct report *);

/* Returns true if there is a difference that nobody dismissed. */
bool report_differs(const struct report *);

/* Prints the report in words on standard output. */
void report_print(const struct report *);

/* Prints it as one JSON document on a line. Returns 0, or -1. */
int report_print_json(const struct report *);

#endif
