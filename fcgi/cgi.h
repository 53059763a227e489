/* One request as a CGI program gets it (RFC 3875): its parameters in the environment, its body on
 * standard input, the answer on standard output. It goes through the same handler as all others. */
#ifndef BAGELHOOK_CGI_H
#define BAGELHOOK_CGI_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/spool/spooler.h"
#include "handler.h"

struct cgi_limits {
	size_t max_body;
	int read_timeout_ms; /* for all of the body */
};

/* Returns true if a web server has started this process for one request. Its arguments are then the
 * client's: RFC 3875, section 4.4, makes them of a query string without "=". */
bool cgi_is_request(void);

/* Serves that request: blocks until it is read, at most read_timeout_ms, and until the handler has
 * its outcome. If it was correctly signed, the spool is drained meanwhile. SIGTERM does not
 * break it off: what is under way has deadlines, and leaves its event in the database or in the
 * spool. */
void cgi_serve(struct handler *, struct spooler *, const struct cgi_limits *);

/* Answers 503 to a request that cannot be looked at. */
void cgi_apologise(void);

#endif
