/* The queue before the database, and group commit: whatever is queued when the last
 * commit has ended is the next batch. No timer: a lone delivery waits for nothing, and
 * a flood shares its commits. */
#ifndef BAGELHOOK_COMMITTER_H
#define BAGELHOOK_COMMITTER_H

#include <stddef.h>

#include "delivery.h"
#include "store.h"

struct committer_limits {
	size_t queue;   /* deliveries waiting; one more is answered at once */
	size_t batch;   /* deliveries in one transaction */
	int timeout_ms; /* from submission to an answer */
};

struct committer;

/* Starts the committer's thread on a store, which need not be connected; both are owned
 * by the committer from now on, also on failure. NULL without memory or thread. */
struct committer *committer_open(struct store *, const struct committer_limits *);

/* Commits what is queued, ends the thread and frees everything. No delivery may be
 * submitted meanwhile. NULL is allowed. */
void committer_close(struct committer *);

/* Submits a delivery and waits for its outcome, at most timeout_ms. Returns the outcome;
 * *delivery is NULL afterwards where the committer still works on it (it then frees it),
 * and otherwise the caller's again. Any thread. */
enum delivery_outcome committer_commit(struct committer *, struct delivery **delivery);

#endif
