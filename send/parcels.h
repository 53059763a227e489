/* What is to be delivered: bodies with their labels, and how often and in which order. */
#ifndef BAGELHOOK_PARCELS_H
#define BAGELHOOK_PARCELS_H

#include <stdbool.h>
#include <stddef.h>

struct parcel {
	char *label;
	unsigned char *body; /* NULL: in the file that the label names */
	size_t len;
};

/* Begins as all zeros. */
struct parcels {
	struct parcel *parcel;
	size_t count;
};

/* Adds a body, and takes it over in any case; NULL for one that is read when its turn comes. The
 * label is copied. False without memory. */
bool parcels_add(struct parcels *, const char *label, unsigned char *body, size_t len);

void parcels_free(struct parcels *);

/* The deliveries: each parcel's number as often as it is delivered, its duplicates behind it, or all
 * in an order that depends on the seed alone. The caller's to free. NULL without memory. */
size_t *parcels_order(const struct parcels *, size_t duplicates, const unsigned int *seed, size_t *count);

#endif
