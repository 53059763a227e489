/* One request through its steps, in the order of their cost: method, length, read,
 * signature, parse, validate, commit. No I/O of its own. */
#ifndef BAGELHOOK_HANDLER_H
#define BAGELHOOK_HANDLER_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stdint.h>

#include "fcgi/auth/secrets.h"
#include "fcgi/commit/queue.h"
#include "fcgi/spool/spooler.h"
#include "response.h"

struct handler_limits {
	size_t max_body; /* bytes */
	int64_t max_age; /* seconds that a signed timestamp may be old; 0: any */
	bool without_signature;
};

struct handler;

/* A handler that commits through a queue, whose receipts come through a spooler; both must
 * outlive it. The secrets are copied. NULL without memory or when libcrypto fails. */
struct handler *handler_open(
	struct queue *, struct spooler *, const struct secrets *, const struct handler_limits *);

/* Frees it; NULL is allowed. */
void handler_close(struct handler *);

/* Replaces the secrets; requests that are being checked keep the old ones. A secret that is still
 * there keeps its count of matches, wherever it stands now. *same says whether nothing has changed.
 * Returns 0, or -1 without memory, and then keeps the old ones. Any thread. */
int handler_set_secrets(struct handler *, const struct secrets *, bool *same);

/* How many signatures each secret has matched, by its position in the file. Returns how many secrets
 * there are. Does not block; any thread. */
size_t handler_matches(struct handler *, uint64_t matches[SECRETS_MAX]);

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
