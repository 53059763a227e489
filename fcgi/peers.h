/* The connections that are open: gathered from until their request is there as a whole, then
 * waiting for a worker, in a worker's hands, waiting for the outcome of their request, once more
 * for a worker, to be answered, and, where more comes than was wanted, read from until the peer
 * closes. One thread adds, watches and reads; workers, of any number, never wait for a peer. */
#ifndef BAGELHOOK_PEERS_H
#define BAGELHOOK_PEERS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

/* Connections that are open at once. */
#define PEERS_MAX 1024

struct peers_limits {
	size_t places;       /* connections, up to PEERS_MAX */
	size_t bytes;        /* of requests that are being gathered, all together */
	int read_timeout_ms; /* from accepting a connection to having all of its request */
	struct records_limits records;
};

struct peers;

enum peer_state {
	PEER_FREE,
	PEER_GATHERING, /* its request is on its way */
	PEER_READY,     /* waits for a worker */
	PEER_SERVED,    /* in a worker's hands, or waiting for an outcome */
	PEER_LINGERING  /* answered; what still comes is dropped */
};

struct peer {
	int fd;
	int64_t accepted_ms;
	struct records records; /* the request; the worker's from peers_take() on */
	bool partial;           /* more of the request may come than was gathered */
	bool no_memory;         /* there was none to gather it: it is to be answered so */
	void *exchange;         /* the server's: a request that waits for its outcome; else NULL */

	/* Covered by the lock of struct peers. */
	enum peer_state state;
	int64_t deadline_ms; /* of gathering, or of lingering */
	struct peer *next;   /* among the ready, or those to be answered */
};

/* The limits are copied. NULL without memory. */
struct peers *peers_new(const struct peers_limits *);

/* Frees it; no connection may be open. NULL is allowed. */
void peers_free(struct peers *);

/* Whether there is a place for another connection, or one that would go for it: the one that was
 * accepted first of those that have not sent a whole request, though they had the time for it. The
 * watching thread. */
bool peers_room(struct peers *);

/* Takes a connection over, and the descriptor with it. Where all places are taken, another one
 * goes, as peers_room() says; where there is none such, this one is closed, and false returned.
 * The watching thread. */
bool peers_add(struct peers *, int fd);

/* Waits for a connection that is to be answered, or else one whose request is there. NULL once
 * peers_end() was called and none is left. Any thread. */
struct peer *peers_take(struct peers *);

/* Hands connections over to be answered, linked by next. Any thread; does not block. */
void peers_answer(struct peers *, struct peer *first);

/* Ends a connection that was answered, or cannot be. Returns whether the watching thread may wait
 * for it. The thread that took it. */
bool peers_drop(struct peers *, struct peer *);

/* Ends what is past its deadline, and appends what is to be read from to polled, which has room
 * for PEERS_MAX more than *count. Returns when the next deadline is, at the latest one second from
 * now. The watching thread. */
int64_t peers_watch(struct peers *, struct pollfd *polled, struct peer **polled_peers, nfds_t *count);

/* Reads from those of the polled connections on which poll(2) saw something. The watching
 * thread. */
void peers_heard(struct peers *, const struct pollfd *polled, struct peer *const *polled_peers, nfds_t count);

/* Connections that are open. Any thread. */
size_t peers_count(struct peers *);

/* Lets peers_take() return NULL. */
void peers_end(struct peers *);

#endif
