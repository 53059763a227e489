/* Group commit: whatever is queued when the last commit has ended is the next batch. No
 * timer: a lone delivery waits for nothing, and a flood shares its commits. */
#ifndef BAGELHOOK_COMMITTER_H
#define BAGELHOOK_COMMITTER_H

#include <stdbool.h>
#include <stddef.h>

#include "queue.h"
#include "store.h"

struct committer_limits {
	struct queue_limits queue;
	size_t batch;   /* deliveries in one transaction */
	bool on_demand; /* connects when the first delivery is there, not before */
};

struct committer;

/* Starts the committer's thread on a store, which need not be connected; both are owned
 * by the committer from now on, also on failure. NULL without memory or thread. */
struct committer *committer_open(struct store *, const struct committer_limits *);

/* Commits what is queued, ends the thread and frees everything. No delivery may be
 * submitted meanwhile. NULL is allowed. */
void committer_close(struct committer *);

/* Where to submit deliveries; the committer owns it. */
struct queue *committer_queue(struct committer *);

#endif
