/* A batch of deliveries as the parameters of ingest(). No I/O. */
#ifndef BAGELHOOK_ENCODING_H
#define BAGELHOOK_ENCODING_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "delivery.h"

/* The three of struct encoding, and the time limit of locks. */
#define ENCODING_PARAMETERS 4

extern const Oid encoding_types[ENCODING_PARAMETERS];

/* Begins as zeros. */
struct encoding {
	struct buffer deliveries; /* text: a JSON array */
	struct buffer bodies;     /* binary: bytea[] */
	struct buffer signatures; /* binary: text[] */
};

/* Makes the parameters of a batch, in place of those before. Returns false without memory, or if they are longer than
 * libpq takes. */
bool encoding_make(struct encoding *, struct delivery *const batch[], size_t count);

/* Gives memory of a large batch back. Returns true if the batch was one. */
bool encoding_recycle(struct encoding *);

/* Frees what it owns. */
void encoding_done(struct encoding *);

#endif
