/* Deliveries on their way to the committer, and their receipts on the way back: bounded in
 * number and bytes, each answered by its deadline whatever the database does. */
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
 * queue_finish() or queue_expire(), with no lock held; it must not block. */
typedef void queue_finished(void *context, struct receipt *receipts);

/* An empty queue. NULL without memory. */
struct queue *queue_new(const struct queue_limits *);

/* Frees it; it must be empty. NULL is allowed. */
void queue_free(struct queue *);

/* Names who takes the receipts. To be called once, before the first submission. */
void queue_on_finish(struct queue *, queue_finished *, void *context);

/* Submits a delivery, which is the queue's until its receipt comes, at the latest about
 * timeout_ms later. False where the queue is full, and the delivery the caller's still. Does
 * not block; any thread. */
bool queue_submit(struct queue *, struct delivery *, struct receipt *);

/* Gives up on deliveries that are past their deadline: of those in a transaction that has not
 * ended the outcome is UNKNOWN, others are UNAVAILABLE. Returns the next deadline, or
 * INT64_MAX. Does not block; to be called often enough for deadlines to be kept. */
int64_t queue_expire(struct queue *, int64_t now_ms);

/* The following are the committer's thread's. */

/* Waits for deliveries, at the latest until wake_ms (INT64_MAX: for ever), and takes up to
 * size of them into batch. False once queue_stop() was called, nothing is left and the
 * committer has nothing pending either. */
bool queue_take(
	struct queue *, struct delivery *batch[], size_t size, int64_t wake_ms, bool pending, size_t *count);

/* Hands deliveries back that were taken and have their outcome. */
void queue_finish(struct queue *, struct delivery *const batch[], size_t count);

/* Says whether deliveries that were taken are in a transaction whose outcome is open. */
void queue_set_committing(struct queue *, struct delivery *const batch[], size_t count, bool committing);

/* Whether a delivery that was taken was given up meanwhile; it is freed then. */
bool queue_is_given_up(struct queue *, struct delivery *);

/* Lets queue_take() end. Any thread. */
void queue_stop(struct queue *);

#endif
