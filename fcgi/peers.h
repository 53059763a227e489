/* The connections that are open: silent until their peer sends something, then waiting for
 * a worker, in a worker's hands, waiting for the outcome of their request, and once more
 * for a worker, to be answered. One thread adds and watches, any number take. */
#ifndef BAGELHOOK_PEERS_H
#define BAGELHOOK_PEERS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections that are open at once. */
#define PEERS_MAX 1024

struct peers;

enum peer_state {
	PEER_FREE,
	PEER_SILENT,  /* accepted, watched for its first byte */
	PEER_READY,   /* waits for a worker */
	PEER_READING, /* in a worker's hands, which reads from it */
	PEER_SERVED   /* past reading: in a worker's hands, or waiting for an outcome */
};

struct peer {
	int fd;
	int64_t accepted_ms;
	int64_t taken_ms; /* when a worker took it */
	void *exchange;   /* the server's: a request that waits for its outcome; else NULL */

	/* Covered by the lock of struct peers. */
	enum peer_state state;
	bool cut;            /* the reading side has been shut down */
	int64_t deadline_ms; /* of the first byte; in a worker's hands, of all of the request */
	struct peer *next;   /* among the ready, or those to be answered */
};

/* places: how many connections, up to PEERS_MAX; readers: how many workers may read at the same
 * time: with fewer than there are, slow peers cannot keep answers from others. NULL without
 * memory. */
struct peers *peers_new(size_t places, size_t readers, int read_timeout_ms);

/* Frees it; no connection may be open. NULL is allowed. */
void peers_free(struct peers *);

/* Takes a connection over, and the descriptor with it. Where all places are taken, the
 * connection that has been silent longest goes; where none is silent, this one is closed,
 * and false returned. The watching thread. */
bool peers_add(struct peers *, int fd);

/* Waits for a connection that is to be answered, or else whose peer has sent something. NULL
 * once peers_end() was called and none is left. Any thread. */
struct peer *peers_take(struct peers *);

/* Says whether the worker reads from the connection, with a deadline (a new one only from
 * peers_take()), or is past that. The thread that took it. */
void peers_set_reading(struct peers *, struct peer *, bool reading);

/* Hands connections over to be answered, linked by next. Any thread; does not block. */
void peers_answer(struct peers *, struct peer *first);

/* Closes a connection. Returns whether the watching thread may wait for it. The thread
 * that took it. */
bool peers_drop(struct peers *, struct peer *);

/* Ends what is past its deadline: silent connections are closed, of others the reading side
 * is shut down, so that their worker's read ends. Appends the silent ones to polled, which
 * has room for PEERS_MAX more than *count. Returns when the next deadline is, at the latest
 * one second from now. The watching thread. */
int64_t peers_watch(struct peers *, struct pollfd *polled, struct peer **polled_peers, nfds_t *count);

/* Hands those of the polled connections to workers on which poll(2) saw something. The
 * watching thread. */
void peers_heard(struct peers *, const struct pollfd *polled, struct peer *const *polled_peers, nfds_t count);

/* Connections that are open, and whether all places are taken by others than silent ones. */
size_t peers_count(struct peers *, bool *full);

/* Lets peers_take() return NULL. */
void peers_end(struct peers *);

#endif
