/* The database as the committer sees it: batches of deliveries, one transaction each. One
 * thread at a time. */
#ifndef BAGELHOOK_STORE_H
#define BAGELHOOK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery.h"
#include "pg.h"

#define STORE_ERROR_SIZE PG_ERROR_SIZE

enum store_result {
	STORE_OK,          /* committed; each delivery has its outcome and event_id */
	STORE_REFUSED,     /* SQLSTATE class 22 or 54 of ingest(): as it is, this batch never can be */
	STORE_FAILED,      /* the server reports an error that may be one delivery's; nothing is committed */
	STORE_LOCKED,      /* a lock did not come free in time; nothing is committed */
	STORE_RETRY,       /* serialization failure or deadlock: again, at once */
	STORE_UNAVAILABLE, /* not now; nothing is committed */
	STORE_UNKNOWN,     /* the connection was lost or misbehaved: perhaps it is committed */
	STORE_TOO_SLOW     /* ingest() took longer than it may: one delivery's fault; nothing is committed */
};

/* How long a transaction may take. */
struct store_limits {
	int lock_ms;         /* for each lock that it waits for */
	int ingest_ms;       /* for ingest(), which the server ends then */
	int64_t deadline_ms; /* for all of it, with the COMMIT; after that the connection is given up */
	bool interruptible;  /* store_interrupt() is like the deadline */
};

struct store;

/* A store that is not connected yet. conninfo as libpq takes it, or NULL; it must outlive
 * the store. NULL without memory. */
struct store *store_new(const char *conninfo);

/* Another store for the same database, not connected either. NULL without memory. */
struct store *store_clone(const struct store *);

/* Lets store_commit() call readmit() instead of ingest(): for bodies of stored events that were ignored. Before the
 * first store_commit(). */
void store_readmits(struct store *);

/* Disconnects and frees; NULL is allowed. */
void store_free(struct store *);

/* Connects, and checks that the schema serves this responder and that its settings can be used.
 * Blocks, at most timeout_ms for each address that does not answer and once more for the check. If
 * it does not succeed, store_error() says why and what to do. */
enum pg_state store_connect(struct store *, int timeout_ms);

/* Ends the connection, if there is one. */
void store_disconnect(struct store *);

/* Ends store_connect() soon, whoever is in it, and each later one; and store_commit(), if its limits allow
 * that. Any thread. */
void store_interrupt(struct store *);

/* Returns true if there is a connection, as far as is known without asking the server: one that
 * the server has ended is noticed, and given up. */
bool store_connected(struct store *);

/* Commits 1 or more deliveries in one transaction. At the deadline the connection is given up, what
 * runs there is cancelled, and the next one is made to another host, if there are several. */
enum store_result store_commit(
	struct store *, struct delivery *const batch[], size_t count, const struct store_limits *);

/* Frees the memory of a large batch, and ends its connection, because libpq keeps memory as long as the connection
 * lives. Call it when nobody waits for an answer. */
void store_shrink(struct store *);

/* Why the last call did not succeed, one line; valid until the next call. It may hold what
 * the server says, which may quote values of an event. */
const char *store_error(const struct store *);

/* The SQLSTATE of the last call's error, "" without one. */
const char *store_sqlstate(const struct store *);

#endif
