/* Connections and threads: accepts, waits until a peer has something to say, has worker
 * threads serve requests through the handler, and stops when told to. */
#ifndef BAGELHOOK_SERVER_H
#define BAGELHOOK_SERVER_H

#include <stddef.h>

#include "handler.h"
#include "listener.h"

struct server_limits {
	size_t threads; /* requests that are being read at once */
	/* From accepting a connection to its first byte, and from then, in a worker's hands,
	 * to having all of its request. */
	int read_timeout_ms;
};

/* Serves until SIGTERM or SIGINT (see signals.h), then finishes what was accepted and returns 0; -1 when
 * threads or memory could not be had. reload(context) is called on SIGHUP, in this
 * thread. Removes and closes the listener on the way. */
int server_run(struct listener *, struct handler *, const struct server_limits *,
	void (*reload)(void *context), void *context);

#endif
