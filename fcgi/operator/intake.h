/* Bodies that come from an operator instead of the provider, into the database in batches: what
 * redrive and import share. One thread. */
#ifndef BAGELHOOK_INTAKE_H
#define BAGELHOOK_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/commit/delivery.h"
#include "fcgi/commit/store.h"

/* Deliveries in one transaction. */
#define INTAKE_BATCH 64

/* What became of one: its delivery has outcome and event_id where it was committed, and otherwise
 * detail says why not. */
typedef void intake_settled(void *context, struct delivery *, void *item);

/* A body, and what is known of how it was signed. */
struct intake_body {
	const char *bytes;
	size_t len;
	int64_t timestamp;     /* -1: not known */
	const char *signature; /* 64 hex digits in lower case; NULL or "": not known */
	int64_t received_us;   /* as of a delivery; 0: now */
};

/* A batch that gathers. */
struct intake {
	struct store *store;
	intake_settled *settled;
	void *context;
	struct delivery *batch[INTAKE_BATCH];
	void *items[INTAKE_BATCH];
	size_t count;
	size_t bytes;      /* of the bodies in the batch */
	const char *error; /* why it could not go on */
};

/* Begins, on a store that is connected; settled(context, …) is called for each delivery. */
void intake_begin(struct intake *, struct store *, intake_settled *settled, void *context);

/* Makes a delivery of a body (copied) and adds it; item is the caller's. A body that is no valid
 * event is settled at once. Commits when the batch is full. Blocks on the database. Returns false
 * where it cannot go on, because the database or memory is gone: error says which. What was in the
 * batch is then not settled. */
bool intake_add(struct intake *, const struct intake_body *, void *item);

/* Commits what has gathered. The same. */
bool intake_end(struct intake *);

#endif
