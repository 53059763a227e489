/* The connections that are open: gathered from until their request is there as a whole, then
 * waiting for a worker, in a worker's hands, waiting for the outcome of their request, once more
 * for a worker, to be answered. If the web server wants to keep the connection, it then waits for the
 * next request, which is gathered like the first. If more comes than was wanted, it is read from until
 * the peer closes. One thread adds, watches and reads; workers, of any number, never wait for a peer. */
#ifndef BAGELHOOK_PEERS_H
#define BAGELHOOK_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

/* Connections that are open at once. */
#define PEERS_MAX 1024

/* Why a request is not served. */
enum refusal {
	REFUSAL_PLACES, /* another connection needed its place */
	REFUSAL_BYTES,  /* the requests on their way are too large together, and it was the largest */
	REFUSAL_PARAMS, /* its parameters are longer than the limit */
	REFUSAL_MEMORY, /* there was none for it */
	REFUSAL_BUSY    /* it waited too long for a worker */
};

/* Functions of the program that serves the peers. Called by any thread; they must not block. */
struct peers_owner {
	void *context;
	/* Returns true if the body is to be waited for, once the parameters are there: "NAME=value" each, NULL
	 * behind the last. NULL instead of a function: it always is. */
	bool (*wants_body)(void *context, char **envp);
	/* Appends the answer to a request that is not served. */
	void (*refuse)(void *context, enum refusal, struct buffer *out);
};

/* Appends the answer to a request that is not served, and logs the reason, at most once a second. Any thread; does
 * not block. */
void peers_refuse(const struct peers_owner *, enum refusal, struct buffer *out);

struct peers_limits {
	size_t places;       /* connections, up to PEERS_MAX */
	size_t bytes;        /* of requests that are being gathered, all together */
	int read_timeout_ms; /* from accepting a connection, or a later request's first byte, to having all
				of the request */
	int idle_timeout_ms; /* from an answer to the first byte of the next request */
	struct records_limits records;
};

struct peers;

enum peer_state {
	PEER_FREE,
	PEER_GATHERING, /* its request is on its way */
	PEER_READY,     /* waits for a worker */
	PEER_SERVED,    /* in a worker's hands, or waiting for an outcome */
	PEER_KEPT,      /* answered; idle until its next request comes */
	PEER_LINGERING  /* answered; what still comes is dropped */
};

struct peer {
	int fd;
	int64_t since_ms;       /* when it was accepted, or its present request began, or it became idle */
	struct records records; /* the request; the worker's from peers_take() on */
	struct buffer early;    /* of the next request, which came behind this one */
	bool keep;              /* another request may follow; the worker's from peers_take() on */
	bool partial;           /* more of the request may come than was gathered */
	void *exchange;         /* the server's: a request that waits for its outcome; else NULL */

	/* Covered by the lock of struct peers. */
	enum peer_state state;
	bool watched;        /* epoll tells when it is readable */
	int64_t deadline_ms; /* of gathering, of being idle, or of lingering */
	struct peer *next;   /* among the ready, or those to be answered */
};

/* The limits and the owner are copied. NULL without memory or descriptors. */
struct peers *peers_new(const struct peers_limits *, const struct peers_owner *);

/* Frees it; no connection may be open. NULL is allowed. */
void peers_free(struct peers *);

/* Returns true if there is a place for another connection, or a connection that can be closed for it: the
 * one that has been idle longest; or else, of those that have not sent a whole request though they had
 * the time for it, the oldest, whose request is refused. The watching thread. */
bool peers_room(struct peers *);

/* Takes a connection over, and the descriptor with it. If all places are taken, another one is closed, as
 * peers_room() says. If there is none such, or no memory, this one is closed, and false returned. The
 * watching thread. */
bool peers_add(struct peers *, int fd);

/* Waits for a connection that is to be answered, or else one whose request is there. NULL once
 * peers_end() was called and none is left. Any thread. */
struct peer *peers_take(struct peers *);

/* Hands connections over to be answered, linked by next. Any thread; does not block. */
void peers_answer(struct peers *, struct peer *first);

/* Gives back a connection whose request was answered. It waits for the next request if it is to be kept,
 * otherwise it is closed. Returns true if the watching thread has to be woken for it. The thread that took
 * it; does not block. */
bool peers_release(struct peers *, struct peer *);

/* Closes connections that are past their deadline. *fd becomes the descriptor that is readable when
 * peers_heard() is to be called, or -1 while workers cannot keep up. Returns when the next deadline is,
 * in milliseconds as clock_ms(), at the latest one second from now. The watching thread. */
int64_t peers_watch(struct peers *, int *fd);

/* Reads from the connections on which something has come. Does not block. The watching thread. */
void peers_heard(struct peers *);

/* From now on idle connections are closed, unless a request has come, by the next peers_watch(). The
 * watching thread. */
void peers_stop(struct peers *);

/* Connections that are open. Any thread. */
size_t peers_count(struct peers *);

/* Lets peers_take() return NULL. */
void peers_end(struct peers *);

#endif
