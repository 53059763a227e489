/* A FastCGI server: one thread accepts connections and gathers requests, workers serve them. What they mean is
 * the service's. */
#ifndef BAGELHOOK_SERVER_H
#define BAGELHOOK_SERVER_H

#include <fcgiapp.h>
#include <stddef.h>
#include <stdint.h>

#include "listener.h"
#include "peers.h"

#define SERVER_ERROR_SIZE 256

struct server_limits {
	size_t threads; /* requests that are served at once */
	size_t max_body;
	int read_timeout_ms; /* from accepting a connection, or a later request's first byte, to having all of
				it; a request that then waits twice as long for a worker is refused */
	int send_timeout_ms; /* for all of an answer that does not fit into the socket's buffer; 0: nobody waits
				for a peer that does not read */
	size_t other_descriptors; /* that are opened beside the server's own */
};

/* A program's functions for its requests. Those that it does not need are NULL. */
struct server_service {
	/* Its context is all the functions'. */
	struct peers_owner peers;
	/* Make and free the data of one worker, such as its database connection. */
	void *(*open_worker)(void *context);
	void (*close_worker)(void *worker);
	/* Serves a request, which can be read with libfcgi's functions until this returns. Returns true with the
	 * answer appended to out, as a CGI response; or false: then the answer will come, and server_answer() be
	 * called for the peer, whose exchange has to be set before that can be. A worker. */
	bool (*serve)(void *context, void *worker, FCGX_Request *, struct peer *, struct buffer *out);
	/* Appends the answer that has come to peer->exchange. A worker. */
	void (*answer)(void *context, struct peer *, struct buffer *out);
	/* The answer was sent, if the peer took it; frees the exchange. A worker. */
	void (*finish)(void *exchange);
	/* Called at least once a second. Returns when it wants to be called again at the latest, by clock_ms().
	 * The thread that called server_run(); must not block. */
	int64_t (*turn)(void *context);
};

struct server;

/* Sees to it that as many files may be open as usual. Returns 0, or -1 with the reason, one line that says how many
 * are needed, in error, where a server could serve next to nobody. */
int server_check_descriptors(const struct server_limits *, char error[SERVER_ERROR_SIZE]);

/* A server for a listener, which has to outlive it. NULL without memory or descriptors. */
struct server *server_new(struct listener *, const struct server_limits *, const struct server_service *);

/* Frees it; NULL is allowed. */
void server_free(struct server *);

/* Serves until SIGTERM or SIGINT (see signals.h), then finishes what was accepted and returns 0; -1 when
 * threads could not be had. Removes and closes the listener on the way. */
int server_run(struct server *);

/* The answers of these peers, linked by next, have come. Any thread; does not block. */
void server_answer(struct server *, struct peer *first);

#endif
