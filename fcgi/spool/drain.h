/* Emptying the spool: its files to the queue, oldest first, a few at a time. One thread, the
 * spooler's; what blocks, blocks on the disk. */
#ifndef BAGELHOOK_DRAIN_H
#define BAGELHOOK_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/commit/queue.h"
#include "spool.h"

struct drain;

/* Both must outlive it. NULL without memory. */
struct drain *drain_new(struct queue *, struct spool *);

/* Frees it; nothing of its may be at the queue any more. NULL is allowed. */
void drain_free(struct drain *);

/* Returns true if there is something to do at this moment. */
bool drain_is_due(struct drain *, int64_t now_ms);

/* When there may be, if no receipt comes before. */
int64_t drain_next_ms(struct drain *, int64_t now_ms);

/* Does some of it, so that one comes to other things in between. */
void drain_step(struct drain *);

/* Takes the queue's receipts of what was handed to it: files whose delivery is committed are
 * removed. */
void drain_settle(struct drain *, struct receipt *receipts);

#endif
