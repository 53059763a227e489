/* The responder's service: requests go through the handler, and are answered when their receipts come. */
#ifndef BAGELHOOK_RESPONDER_H
#define BAGELHOOK_RESPONDER_H

#include "common/server.h"
#include "fcgi/auth/rotation.h"
#include "handler.h"
#include "options.h"

/* The limits of a server with these options. */
struct server_limits responder_limits(const struct options *);

/* Serves as server_run() does. SIGHUP asks the rotation to read the secrets. */
int responder_run(struct listener *, struct handler *, const struct server_limits *, struct rotation *);

#endif
