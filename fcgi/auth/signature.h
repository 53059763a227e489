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

/* A signature that matched. */
struct signature_match {
	int64_t timestamp; /* the signed Unix time in seconds */
	size_t which;      /* the position in the file, from 0, of the first secret that matched */
	unsigned modes;    /* enum secret_modes: those that the secret vouches for */
};

struct signature_verifier;

/* Prepares the secrets for verification, and returns a verifier to be closed with signature_close(), or NULL
 * if libcrypto or memory fails. The secrets may be wiped afterwards. Does not block. */
struct signature_verifier *signature_open(const struct secrets *);

/* Frees it, and the keys in it. No thread may use it any more. NULL is allowed. */
void signature_close(struct signature_verifier *);

/* Checks the header texts (NULL: absent) over the body against every secret, in a time that depends neither
 * on which secret matches nor on how much of it does. On SIGNATURE_OK, fills in *match and counts it. Does
 * not block; any thread. */
enum signature_result signature_verify(struct signature_verifier *, const char *signature,
	const char *timestamp, const unsigned char *body, size_t len, struct signature_match *match);

/* Fills in how many signatures each secret has matched, by its position. Returns the number of secrets. Any
 * thread. */
size_t signature_matches(struct signature_verifier *, uint64_t matches[SECRETS_MAX]);

/* Replaces the secrets. A secret that is in both versions keeps its count of matches, wherever it stands.
 * *same is set to true if nothing has changed. Returns 0, or -1 without memory, and then keeps the old ones.
 * Waits for verifications that are under way; any thread. */
int signature_replace(struct signature_verifier *, const struct secrets *, bool *same);

#endif
