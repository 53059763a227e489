/* Deliveries on their way to the committer, and their receipts on the way back: those of
 * requests, bounded in number and bytes, each answered by its deadline whatever the database
 * does; and behind them those from the spool, which wait. */
#ifndef BAGELHOOK_QUEUE_H
#define BAGELHOOK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery.h"

struct queue_limits {
	size_t count;   /* deliveries waiting; one more is answered at once */
	size_t bytes;   /* of deliveries waiting, before a further one is answered at once */
	int timeout_ms; /* from submission to the receipt */
};

struct queue;

/* Takes the receipts of deliveries that have their outcome, in the order of submission: a
 * list that ends with NULL, the receiver's to take apart. Called in the thread of
 * queue_submit(), queue_finish() or queue_expire(), with no lock held; it must not block. */
typedef void queue_finished(void *context, struct receipt *receipts);

/* An empty queue. NULL without memory. */
struct queue *queue_new(const struct queue_limits *);

/* Frees it, with what is in it from the spool; otherwise it must be empty. NULL is allowed. */
void queue_free(struct queue *);

/* Names who takes the receipts of deliveries of requests, and of those from the spool. Each to be
 * called once, before the first submission of such a delivery. */
void queue_on_finish(struct queue *, queue_finished *, void *context);
void queue_on_finish_spooled(struct queue *, queue_finished *, void *context);

/* Submits a delivery, which is the queue's until its receipt comes, at the latest about
 * timeout_ms later, or, while the database is away, before this returns. False where the
 * queue is full, and the delivery the caller's still. Does not block; any thread. */
bool queue_submit(struct queue *, struct delivery *, struct receipt *);

/* The same for a delivery from the spool: it has neither bound nor deadline. If it has a slow_limit_ms, it
 * goes to the slow lane. */
void queue_submit_spooled(struct queue *, struct delivery *, struct receipt *);

/* Returns true while the database is away, as the committer has said. Any thread. */
bool queue_is_away(struct queue *);

/* Gives up on deliveries that are past their deadline, and on those that wait for a database that
 * is away by now: of those in a transaction that has not ended the outcome is UNKNOWN, others are
 * UNAVAILABLE. Returns when it has to be called next, or INT64_MAX. Does not block; to be called
 * often enough for deadlines to be kept. */
int64_t queue_expire(struct queue *, int64_t now_ms);

/* The following are the committer's threads'. */

/* Waits for deliveries, at the latest until wake_ms (INT64_MAX: for ever), and takes up to
 * size of them into batch: those of requests first, but every other batch begins with one of the
 * spool's.
 * False once queue_stop() was called, no request's is left and the committer has nothing
 * pending either. */
bool queue_take(
	struct queue *, struct delivery *batch[], size_t size, int64_t wake_ms, bool pending, size_t *count);

/* Passes a delivery that was taken, and took too long, to the slow lane. */
void queue_pass_to_slow(struct queue *, struct delivery *);

/* The slow lane: waits for a delivery, at the latest until wake_ms, and takes it; NULL if none came. Returns
 * false once queue_stop() was called, whatever waits. */
bool queue_take_slow(struct queue *, int64_t wake_ms, struct delivery **);

/* Hands deliveries back that were taken and have their outcome. */
void queue_finish(struct queue *, struct delivery *const batch[], size_t count);

/* Says whether deliveries that were taken are in a transaction whose outcome is open. */
void queue_set_committing(struct queue *, struct delivery *const batch[], size_t count, bool committing);

/* Returns true if a delivery that was taken was given up meanwhile; the committer's hold of it has ended
 * then. */
bool queue_is_given_up(struct queue *, struct delivery *);

/* Says from when on the database counts as away, by clock_ms(): 0 for at once, INT64_MAX while it
 * is there. From then on, whatever waits and whatever comes is UNAVAILABLE at once. */
void queue_set_away(struct queue *, int64_t from_ms);

/* Lets queue_take() and queue_take_slow() end. Any thread. */
void queue_stop(struct queue *);

#endif
