/* One request through its steps, in the order of their cost: method, length, read,
 * signature, parse, validate, commit. No I/O of its own. */
#ifndef BAGELHOOK_HANDLER_H
#define BAGELHOOK_HANDLER_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stdint.h>

#include "fcgi/auth/signature.h"
#include "fcgi/commit/queue.h"
#include "fcgi/spool/spooler.h"
#include "response.h"

struct handler_limits {
	size_t max_body; /* bytes */
	int64_t max_age; /* seconds that a signed timestamp may be old; 0: any */
	bool without_signature;
};

struct handler;

/* A handler that checks signatures with a verifier and commits through a queue, whose receipts come through a
 * spooler; all three must outlive it. NULL without memory. */
struct handler *handler_open(
	struct queue *, struct spooler *, struct signature_verifier *, const struct handler_limits *);

/* Frees it; NULL is allowed. */
void handler_close(struct handler *);

/* Names who takes receipts, and gives up on what is past its deadline: see queue.h. */
void handler_on_finish(struct handler *, queue_finished *, void *context);
int64_t handler_expire(struct handler *, int64_t now_ms);

/* The steps up to reading the body. Returns true where handler_submit() is to go on;
 * otherwise *answer is complete. *request is to be freed with request_done() in both
 * cases. Blocks as request_read() does. Any thread. */
bool handler_receive(struct handler *, FCGX_Request *, struct request *, struct answer *);

/* The steps from the signature to the queue; takes the body out of *request. Returns true
 * where the receipt will come, with which handler_complete() is to go on; otherwise *answer
 * is complete. Does not block. Any thread. */
bool handler_submit(struct handler *, struct request *, struct answer *, struct receipt *);

/* Makes the answer of a receipt that came, and counts it. Any thread. */
void handler_complete(struct receipt *, struct answer *);

/* Logs an answer that handler_complete() has made, and frees the receipt's delivery. To be called when the
 * answer was given, which is not to wait for it. Any thread. */
void handler_finish(struct receipt *, const struct answer *);

#endif
