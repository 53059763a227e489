/* A thread's way to the database: deliveries that are committed over a connection of its own. For committer.c alone. */
#ifndef BAGELHOOK_LANE_H
#define BAGELHOOK_LANE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/thread.h"
#include "queue.h"
#include "store.h"

#define LANE_CONNECT_MS 5000
/* How long connecting may take before the thread counts as stuck: name service has timeouts of its own. */
#define LANE_CONNECT_STUCK_MS 60000

struct lane {
	struct queue *queue;
	struct store *store; /* of the slow lane, NULL until it is begun */
	struct thread thread;
	int timeout_ms; /* --commit-timeout */
	bool on_demand; /* a CGI program's: has no slow lane */
	struct lane *slow; /* where what is too slow here goes; begun by this lane's thread; NULL: this is the slow lane */
	struct delivery_list set_aside; /* by a lock that someone else holds, oldest first; the slow lane's stays empty */
};

/* Commits deliveries in one transaction, up to three times if it conflicts with others, and counts and logs the result.
 * Blocks on the database up to the lane's limits. */
enum store_result lane_try(struct lane *, struct delivery *const batch[], size_t count);

/* Commits one delivery alone, and gives it back with its outcome, sets it aside or passes it to the slow lane. The same. */
void lane_commit_one(struct lane *, struct delivery *);

/* Gives deliveries back with an outcome; or with that of a transaction that was not committed, or is not known to be. */
void lane_finish(struct lane *, struct delivery *const batch[], size_t count, enum delivery_outcome);
void lane_finish_uncommitted(struct lane *, struct delivery *const batch[], size_t count, enum store_result);

#endif
