/* The queue before the database, and group commit: whatever is queued when the last
 * commit has ended is the next batch. No timer: a lone delivery waits for nothing, and
 * a flood shares its commits. */
#ifndef BAGELHOOK_COMMITTER_H
#define BAGELHOOK_COMMITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery.h"
#include "store.h"

struct committer_limits {
	size_t queue;   /* deliveries waiting; one more is answered at once */
	size_t batch;   /* deliveries in one transaction */
	size_t bytes;   /* of bodies waiting, before a further delivery is answered at once */
	int timeout_ms; /* from submission to an answer */
};

/* Takes the receipts of deliveries that have their outcome, in the order of submission: a
 * list that ends with NULL, the receiver's to take apart. Called in the committer's thread,
 * or in that of committer_expire(), with no lock held; it must not block. */
typedef void committer_finished(void *context, struct receipt *receipts);

struct committer;

/* Starts the committer's thread on a store, which need not be connected; both are owned
 * by the committer from now on, also on failure. NULL without memory or thread. */
struct committer *committer_open(struct store *, const struct committer_limits *);

/* Commits what is queued, ends the thread and frees everything. No delivery may be
 * submitted meanwhile. NULL is allowed. */
void committer_close(struct committer *);

/* Names who takes the receipts. To be called once, before the first submission. */
void committer_on_finish(struct committer *, committer_finished *, void *context);

/* Submits a delivery, which is the committer's until its receipt comes, at the latest about
 * timeout_ms later. False where the queue is full, and the delivery the caller's still. Does
 * not block; any thread. */
bool committer_submit(struct committer *, struct delivery *, struct receipt *);

/* Gives up on deliveries that are past their deadline: those that still wait are
 * UNAVAILABLE, of those under way the outcome is UNKNOWN. Returns the next deadline, or
 * INT64_MAX. Does not block; to be called often enough for deadlines to be kept. */
int64_t committer_expire(struct committer *, int64_t now_ms);

#endif
