/* The provider's signature: hex(HMAC-SHA256(secret, timestamp "." body)), by
 * "Verify Webhook Requests" of its documentation. */
#ifndef BAGELHOOK_SIGNATURE_H
#define BAGELHOOK_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secrets.h"

/* Hex digits of a signature. */
#define SIGNATURE_LEN 64

enum signature_result {
	SIGNATURE_OK,
	SIGNATURE_MISSING,   /* one of the two headers is absent or empty */
	SIGNATURE_MALFORMED, /* not 64 hex digits, or a timestamp that is not 1 to 12 digits */
	SIGNATURE_WRONG,     /* matches none of the secrets */
	SIGNATURE_FAILED     /* libcrypto could not compute it: out of memory */
};

struct signature_verifier;

/* Prepares the secrets for verification. Returns NULL when libcrypto or memory fails.
 * The secrets may be wiped afterwards. */
struct signature_verifier *signature_open(const struct secrets *);

/* Frees it, and the keys in it; NULL is allowed. */
void signature_close(struct signature_verifier *);

/* Checks the header texts (NULL: absent) over the body against every secret, in a time
 * that depends neither on which secret matches nor on how much of it does. On
 * SIGNATURE_OK, *timestamp is the signed Unix time in seconds, and *which the position of
 * the secret that matched, from 0, and one more is counted for it. Does not block; any number of
 * threads at once. */
enum signature_result signature_verify(struct signature_verifier *, const char *signature,
	const char *timestamp_text, const unsigned char *body, size_t len, int64_t *timestamp, size_t *which);

/* How many signatures each secret has matched, by its position. Returns how many secrets there
 * are. Any number of threads at once. */
size_t signature_matches(const struct signature_verifier *, uint64_t matches[SECRETS_MAX]);

/* Has a new verifier go on counting from where another one is, for the secrets that are in both,
 * wherever they stand. *same says whether all are the same, in the same order. False where libcrypto
 * finds no memory. No thread may verify by either meanwhile. */
bool signature_succeed(struct signature_verifier *, const struct signature_verifier *old, bool *same);

#endif
