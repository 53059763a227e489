/* The bodies to be delivered, with their labels. */
#ifndef BAGELHOOK_PARCELS_H
#define BAGELHOOK_PARCELS_H

#include <stdbool.h>
#include <stddef.h>

struct parcel {
	char *label;
	char *order_id;      /* of an event made up; NULL of others */
	unsigned char *body; /* NULL: in the file that the label names */
	size_t len;
};

/* Begins as all zeros. */
struct parcels {
	struct parcel *parcel;
	size_t count;
};

/* Adds a body, and takes it over in any case; NULL for one that is read when its turn comes. Label
 * and order id, which may be NULL, are copied. False without memory. */
bool parcels_add(struct parcels *, const char *label, const char *order_id, unsigned char *body, size_t len);

/* Frees what one parcel owns. */
void parcel_free(struct parcel *);

void parcels_free(struct parcels *);

#endif
