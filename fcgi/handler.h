/* One request through its steps, in the order of their cost: method, length, read,
 * signature, parse, validate, commit. No I/O of its own. */
#ifndef BAGELHOOK_HANDLER_H
#define BAGELHOOK_HANDLER_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stdint.h>

#include "committer.h"
#include "response.h"
#include "secrets.h"

struct handler_limits {
	size_t max_body; /* bytes */
	int64_t max_age; /* seconds that a signed timestamp may be old; 0: any */
	bool without_signature;
};

struct handler;

/* A handler that commits through the committer, which must outlive it. The secrets are
 * copied. NULL without memory or when libcrypto fails. */
struct handler *handler_open(struct committer *, const struct secrets *, const struct handler_limits *);

/* Frees it; NULL is allowed. */
void handler_close(struct handler *);

/* Replaces the secrets; requests that are being checked keep the old ones. Returns 0, or
 * -1 without memory, and then keeps the old ones. Any thread. */
int handler_set_secrets(struct handler *, const struct secrets *);

/* The steps up to reading the body. Returns true where handler_decide() is to go on;
 * otherwise *answer is complete. *request is to be freed with request_done() in both
 * cases. Blocks as request_read() does. Any thread. */
bool handler_receive(struct handler *, FCGX_Request *, struct request *, struct answer *);

/* The steps from the signature on; takes the body out of *request. Blocks as
 * committer_commit() does. Any thread. */
void handler_decide(struct handler *, struct request *, struct answer *);

#endif
