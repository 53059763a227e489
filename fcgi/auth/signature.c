/* The only user of libcrypto in the responder. Each secret is keyed into a context once;
 * a request duplicates the context, which saves it the key schedule. */
#include "config.h"

#include "signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define DIGEST_LEN 32
#define TIMESTAMP_MAX_DIGITS 12

struct signature_verifier {
	EVP_MAC *mac;
	EVP_MAC_CTX *keyed[SECRETS_MAX];
	_Atomic uint64_t matches[SECRETS_MAX];
	size_t count;
};

struct signature_verifier *signature_open(const struct secrets *secrets)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		OSSL_PARAM_construct_end(),
	};
	struct signature_verifier *verifier = calloc(1, sizeof *verifier);

	if (verifier == NULL)
		return NULL;
	verifier->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (verifier->mac == NULL)
		goto err;
	for (size_t i = 0; i < secrets->count; i++) {
		EVP_MAC_CTX *context = EVP_MAC_CTX_new(verifier->mac);

		if (context == NULL)
			goto err;
		verifier->keyed[verifier->count++] = context;
		if (!EVP_MAC_init(context, secrets->secret[i].key, secrets->secret[i].len, params))
			goto err;
	}
	return verifier;
err:
	signature_close(verifier);
	return NULL;
}

void signature_close(struct signature_verifier *verifier)
{
	if (verifier == NULL)
		return;
	for (size_t i = 0; i < verifier->count; i++)
		EVP_MAC_CTX_free(verifier->keyed[i]);
	EVP_MAC_free(verifier->mac);
	free(verifier);
}

/* What the sender claims; it is not secret, so this may take its time. */
static bool decode_signature(const char *text, unsigned char digest[DIGEST_LEN])
{
	if (strlen(text) != SIGNATURE_LEN)
		return false;
	for (size_t i = 0; i < DIGEST_LEN; i++) {
		int high = text_hex_value(text[2 * i]);
		int low = text_hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (unsigned char)(high * 16 + low);
	}
	return true;
}

static bool decode_timestamp(const char *text, int64_t *timestamp)
{
	size_t digits = 0;
	int64_t value = 0;

	for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
		if (digits == TIMESTAMP_MAX_DIGITS)
			return false;
		value = value * 10 + (text[digits] - '0');
	}
	if (digits == 0 || text[digits] != '\0')
		return false;
	*timestamp = value;
	return true;
}

/* The signature that the holder of one secret would have made. */
static bool compute(const EVP_MAC_CTX *keyed, const char *timestamp, const unsigned char *body, size_t len,
	unsigned char digest[DIGEST_LEN])
{
	EVP_MAC_CTX *context = EVP_MAC_CTX_dup(keyed);
	size_t digest_len = 0;
	bool done = context != NULL
		&& EVP_MAC_update(context, (const unsigned char *)timestamp, strlen(timestamp))
		&& EVP_MAC_update(context, (const unsigned char *)".", 1)
		&& EVP_MAC_update(context, body, len)
		&& EVP_MAC_final(context, digest, &digest_len, DIGEST_LEN) && digest_len == DIGEST_LEN;

	EVP_MAC_CTX_free(context);
	return done;
}

enum signature_result signature_verify(struct signature_verifier *verifier, const char *signature,
	const char *timestamp_text, const unsigned char *body, size_t len, int64_t *timestamp, size_t *which)
{
	unsigned char claimed[DIGEST_LEN];
	unsigned char expected[DIGEST_LEN];
	bool matched = false;

	if (signature == NULL || timestamp_text == NULL || signature[0] == '\0' || timestamp_text[0] == '\0')
		return SIGNATURE_MISSING;
	if (!decode_signature(signature, claimed) || !decode_timestamp(timestamp_text, timestamp))
		return SIGNATURE_MALFORMED;
	/* Whole MACs are compared by CRYPTO_memcmp(), whose time does not depend on what is in
	 * them, so that nobody can grope for a signature digit by digit. That all secrets are
	 * tried, whichever matches, keeps it from showing which one it was. Branching on whether
	 * one does gives away no more than the answer. */
	for (size_t i = 0; i < verifier->count; i++) {
		if (!compute(verifier->keyed[i], timestamp_text, body, len, expected)) {
			OPENSSL_cleanse(expected, sizeof expected);
			return SIGNATURE_FAILED;
		}
		/* Of two lines with one secret the first counts. */
		if (CRYPTO_memcmp(claimed, expected, DIGEST_LEN) == 0 && !matched) {
			matched = true;
			*which = i;
		}
	}
	OPENSSL_cleanse(expected, sizeof expected);
	if (matched)
		atomic_fetch_add_explicit(&verifier->matches[*which], 1, memory_order_relaxed);
	return matched ? SIGNATURE_OK : SIGNATURE_WRONG;
}

size_t signature_matches(const struct signature_verifier *verifier, uint64_t matches[SECRETS_MAX])
{
	for (size_t i = 0; i < verifier->count; i++)
		matches[i] = atomic_load_explicit(&verifier->matches[i], memory_order_relaxed);
	return verifier->count;
}

/* What tells secrets apart without keeping them: what each makes of nothing. */
static bool probe(const struct signature_verifier *verifier, unsigned char probes[SECRETS_MAX][DIGEST_LEN])
{
	static const unsigned char nothing[1];

	for (size_t i = 0; i < verifier->count; i++)
		if (!compute(verifier->keyed[i], "", nothing, 0, probes[i]))
			return false;
	return true;
}

bool signature_succeed(struct signature_verifier *verifier, const struct signature_verifier *old, bool *same)
{
	unsigned char probes[SECRETS_MAX][DIGEST_LEN];
	unsigned char old_probes[SECRETS_MAX][DIGEST_LEN];
	bool done = probe(verifier, probes) && probe(old, old_probes);

	*same = done && verifier->count == old->count;
	for (size_t i = 0; done && i < verifier->count; i++)
		for (size_t j = old->count; j-- > 0;)
			if (CRYPTO_memcmp(probes[i], old_probes[j], DIGEST_LEN) == 0)
				atomic_store(&verifier->matches[i], atomic_load(&old->matches[j]));
			else if (i == j)
				*same = false;
	OPENSSL_cleanse(probes, sizeof probes);
	OPENSSL_cleanse(old_probes, sizeof old_probes);
	return done;
}
