/* Group commit: whatever is queued when the last commit has ended is the next batch. No
 * timer: a lone delivery waits for nothing, and a flood shares its commits.
 *
 * A delivery that takes long goes to the slow lane: a second thread with a connection of its own, made when
 * there is such a delivery. Those of requests have what is left of their deadline there, those of the spool
 * their slow_limit_ms. */
#ifndef BAGELHOOK_COMMITTER_H
#define BAGELHOOK_COMMITTER_H

#include <stdbool.h>
#include <stddef.h>

#include "queue.h"
#include "store.h"

struct committer_limits {
	struct queue_limits queue;
	size_t batch;   /* deliveries in one transaction */
	bool on_demand; /* connects when the first delivery is there, not before; no slow lane: one request
			   waits */
};

struct committer;

/* Starts the committer's thread, which connects the store; both are owned by the committer from
 * now on, also on failure. NULL without memory or thread. */
struct committer *committer_open(struct store *, const struct committer_limits *);

/* Returns the result of the first attempt to connect, and the reason where it failed, or, if there is
 * none within timeout_ms, PG_AWAY. Not for one that connects on demand. Blocks so long. */
enum pg_state committer_await(struct committer *, int timeout_ms, char reason[STORE_ERROR_SIZE]);

/* Commits what is queued, gives up what is in the slow lane, ends the threads and frees everything. No
 * delivery may be submitted meanwhile. NULL is allowed. */
void committer_close(struct committer *);

/* Where to submit deliveries; the committer owns it. */
struct queue *committer_queue(struct committer *);

#endif
