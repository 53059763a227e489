/* Connections and threads: accepts, waits until a peer has something to say, has worker
 * threads serve requests through the handler, and stops when told to. */
#ifndef BAGELHOOK_SERVER_H
#define BAGELHOOK_SERVER_H

#include <stddef.h>

#include "common/listener.h"
#include "fcgi/auth/rotation.h"
#include "handler.h"

struct server_limits {
	size_t threads; /* requests that are checked at once */
	size_t max_body;
	int read_timeout_ms; /* from accepting a connection, or a later request's first byte, to having all of
				it */
	size_t other_descriptors; /* that others may open beside the server and the database: the admin
				     listener */
};

/* Serves until SIGTERM or SIGINT (see signals.h), then finishes what was accepted and returns 0; -1 when
 * threads or memory could not be had. SIGHUP asks the rotation to read the
 * secrets. Removes and closes the listener on the way. */
int server_run(struct listener *, struct handler *, const struct server_limits *, struct rotation *);

#endif
