#ifndef BAGELHOOK_POST_H
#define BAGELHOOK_POST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * One signed delivery, as the provider makes it: bagelhook-send's own half of the protocol, kept apart from
 * the responder's signature check, so that the two can disagree and a test can see it.
 */

struct post_target {
	const char *url;             /* http or https; borrowed */
	const unsigned char *secret; /* the signing key's bytes; borrowed */
	size_t secret_len;           /* above 0 */
	long timeout_ms;             /* for the whole exchange, connecting included */
	const char *ca_file; /* PEM, the authorities that may vouch for the server; NULL: the system's;
				borrowed */
	bool corrupt; /* one bit of each body is changed after it was signed; an empty one becomes a byte */
	const volatile sig_atomic_t *interrupted; /* set to a signal's number: give up; borrowed */
};

enum post_result {
	POST_ANSWERED,    /* an HTTP answer came; see struct post_answer */
	POST_IMPOSSIBLE,  /* the URL or ca_file is of no use: nor would it be later */
	POST_UNREACHABLE, /* no connection: the next body would fare no better */
	POST_BROKEN       /* connected, but no complete answer within the limits */
};

/* Texts are from outside and not yet escaped. NULL where the answer did not say. */
struct post_answer {
	long status;      /* HTTP status, 0 unless POST_ANSWERED */
	char *outcome;    /* of a JSON answer: `outcome` */
	char *error;      /* of a JSON answer: `error` */
	char *detail;     /* of a JSON answer: `detail` */
	char *event_id;   /* of a JSON answer: `event_id` */
	int spooled;      /* of a JSON answer: `spooled`; -1 where it did not say */
	char reason[320]; /* what went wrong, unless POST_ANSWERED */
};

/*
 * Signs `timestamp` "." `body` with the target's secret, POSTs the body and reads the answer (at most 1 MiB
 * of it). Blocks up to the target's timeout, or for a second at most after an interruption. Fills *answer in
 * every case; release it with post_answer_done().
 */
enum post_result post_body(const struct post_target *target, const char *timestamp, const unsigned char *body,
	size_t body_len, struct post_answer *answer);

/* Frees what the answer owns. */
void post_answer_done(struct post_answer *answer);

#endif
