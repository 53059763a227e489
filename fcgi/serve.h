/* The responder from its parts: opens what they need, in an order in which each finds what it
 * stands on, serves, and unwinds. */
#ifndef BAGELHOOK_SERVE_H
#define BAGELHOOK_SERVE_H

#include <stdbool.h>

#include "fcgi/auth/secrets.h"
#include "fcgi/commit/store.h"
#include "fcgi/spool/spool.h"
#include "options.h"

#define EXIT_CANNOT_RUN 1

/* Prints why it cannot go on, as one line on standard error, and returns the status. */
int complain(int status, const char *text);

/* Serves until SIGTERM or, as a CGI program (by_cgi), one request, and listens to nothing. Owns
 * store and spool, of which the latter may be NULL; wipes the secrets once it has taken them over.
 * Blocks. Returns the exit status. The main thread, before any other runs. */
int serve(const struct options *, bool by_cgi, struct secrets *, struct store *, struct spool *);

/* The options' limits of the spool. */
struct spool_limits serve_spool_limits(const struct options *);

#endif
