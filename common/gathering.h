/* Reading from the open connections until their requests are there: what of `peers` the watching
 * thread does, but for accepting and deadlines. For peers.c alone. */
#ifndef BAGELHOOK_GATHERING_H
#define BAGELHOOK_GATHERING_H

#include <pthread.h>

#include "peers.h"

/* Bytes read from one connection before the others have their turn, and the most that one keeps of a
 * next request that came too early. */
#define GATHERING_READ_SIZE 16384

struct peers {
	struct peers_limits limits;
	struct peers_owner owner;
	/* The watching thread's, for what it answers itself; with room for it from the beginning. */
	struct buffer text;
	struct buffer out;
	unsigned char read[GATHERING_READ_SIZE]; /* the watching thread's */
	size_t gathered;                         /* bytes of what is being gathered; the watching thread's */
	struct peer *due[PEERS_MAX];             /* the watching thread's */
	int epoll;

	pthread_mutex_t lock; /* covers the rest; never held across I/O that can block */
	pthread_cond_t ready;
	struct peer peer[PEERS_MAX];
	size_t open; /* peers that are not free */
	size_t top;  /* behind the last of them */
	struct peer *ready_first;
	struct peer *ready_last;
	size_t ready_bytes;        /* of their requests */
	struct peer *answer_first; /* to be answered */
	struct peer *answer_last;
	size_t idle;               /* workers that wait */
	bool waking;               /* one of them was woken, and has not come yet */
	bool stopping;             /* idle connections are closed */
	bool ending;
};

/* The result of reading from a peer. From GATHER_ENDED on it may be a worker's. */
enum gathered { GATHER_NOTHING, GATHER_SOME, GATHER_ENDED };

/* Reads once from a peer that is gathered from or idle, without waiting. Hands it to a worker, or drops it,
 * if that ends its request. The watching thread, without the lock. */
enum gathered gathering_read(struct peers *, struct peer *);

/* The same until the kernel holds no more of it, or as much as one request can be was read. */
enum gathered gathering_read_all(struct peers *, struct peer *);

/* The stream has ended, or its time has come: of a body that is cut short the sender is told, if
 * it still listens. The watching thread, without the lock. */
void gathering_end_early(struct peers *, struct peer *);

/* Answers a request that is not served, if as much of it has come as is needed for that, and counts it. The peer
 * is to be closed then. The watching thread, with or without the lock. */
void gathering_apologise(struct peers *, struct peer *, enum refusal);

/* Lets an answered connection wait for its next request, until the idle timeout. The watching thread or the peer's
 * worker, with the lock. */
void gathering_keep(struct peers *, struct peer *);

/* Closes an answered connection when the peer does, and drops what still comes until then. The watching thread or
 * the peer's worker, with the lock. */
void gathering_begin_linger(struct peers *, struct peer *);

/* Has epoll tell when the peer is readable. Returns false without memory. Any thread, with the lock. */
bool gathering_watch(struct peers *, struct peer *);

/* Undoes that, for a peer that says more while it is a worker's. Any thread, with the lock. */
void gathering_unwatch(struct peers *, struct peer *);

/* Drops what still comes of an answered peer: closing with bytes unread would make the kernel throw
 * the answer away. The watching thread, without the lock. */
void gathering_linger(struct peers *, struct peer *);

/* Closes a connection, and frees its place. Any thread, with the lock: close(2) on a socket without
 * linger does not wait. */
void gathering_drop(struct peers *, struct peer *);

/* Returns true if the caller is to signal ready for what there is to do now. False if a worker is on its way
 * already: that one wakes the next if there is more than it takes. Waking costs more than most of what a
 * worker then does. Any thread, with the lock. It should signal without the lock, for which the worker would
 * at once wait. */
bool gathering_wakes(struct peers *);

#endif
