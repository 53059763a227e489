/* Between the queue and whoever answers: what the database could not take goes to the spool
 * before it is answered, and what is in the spool goes to the queue again. */
#ifndef BAGELHOOK_SPOOLER_H
#define BAGELHOOK_SPOOLER_H

#include <stdbool.h>

#include "fcgi/commit/queue.h"
#include "spool.h"

struct spooler;

/* Starts a thread that writes to the spool and, while it holds the spool's lock, drains it into
 * the queue: from the beginning (drains), or once spooler_drain() was called. Owns the spool from now on,
 * also on failure; without one (NULL) all receipts are passed on as they come. NULL without memory or thread.
 */
struct spooler *spooler_open(struct queue *, struct spool *, bool drains);

/* Begins to drain. Any thread. */
void spooler_drain(struct spooler *);

/* Names who takes the receipts of requests: those that are committed at once, in the queue's
 * thread; others when it is known whether the spool has them. To be called once, before the first
 * submission. */
void spooler_on_finish(struct spooler *, queue_finished *, void *context);

/* Gives up on writing what has waited too long for the disk. Returns when the next one will have,
 * or INT64_MAX. Does not block; any thread; to be called often enough for that. */
int64_t spooler_expire(struct spooler *, int64_t now_ms);

/* Ends the thread. No request's delivery may be submitted any more; what is under way from the
 * spool comes to its end. NULL is allowed. */
void spooler_stop(struct spooler *);

/* Removes what was committed meanwhile from the spool, and frees everything. The committer must
 * have ended. NULL is allowed. */
void spooler_close(struct spooler *);

#endif
