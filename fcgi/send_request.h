#ifndef BAGELHOOK_SEND_REQUEST_H
#define BAGELHOOK_SEND_REQUEST_H

#include <stddef.h>

/*
 * One signed delivery, as the provider makes it: bagelhook-send's own half of the protocol, kept apart from
 * the responder's signature check, so that the two can disagree and a test can see it.
 */

struct send_target {
	const char *url;             /* http or https; borrowed */
	const unsigned char *secret; /* the signing key's bytes; borrowed */
	size_t secret_len;           /* above 0 */
	long timeout_ms;             /* for the whole exchange, connecting included */
};

enum send_result {
	SEND_ANSWERED,    /* an HTTP answer came; see struct send_answer */
	SEND_UNREACHABLE, /* no connection: the next body would fare no better */
	SEND_BROKEN       /* connected, but no complete answer within the limits */
};

/* Texts are from outside and not yet escaped. NULL where the answer did not say. */
struct send_answer {
	long status;      /* HTTP status, 0 unless SEND_ANSWERED */
	char *outcome;    /* of a JSON answer: `outcome` */
	char *error;      /* of a JSON answer: `error` */
	char *detail;     /* of a JSON answer: `detail` */
	char *event_id;   /* of a JSON answer: `event_id` */
	int spooled;      /* of a JSON answer: `spooled`; -1 where it did not say */
	char reason[256]; /* what went wrong, unless SEND_ANSWERED */
};

/*
 * Signs `timestamp` "." `body` with the target's secret, POSTs the body and reads the answer (at most 1 MiB
 * of it). Blocks up to the target's timeout. Fills *answer in every case; release it with send_answer_done().
 */
enum send_result send_request(const struct send_target *target, const char *timestamp,
	const unsigned char *body, size_t body_len, struct send_answer *answer);

/* Frees what the answer owns. */
void send_answer_done(struct send_answer *answer);

#endif
