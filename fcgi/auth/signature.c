/* Each secret is keyed into a context once; a request duplicates the context, which saves it the key
 * schedule. */
#include "config.h"

#include "signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define DIGEST_LEN 32
#define TIMESTAMP_MAX_DIGITS 12

/* The secrets of one version of the file. */
struct keys {
	EVP_MAC_CTX *keyed[SECRETS_MAX];
	unsigned modes[SECRETS_MAX];
	_Atomic uint64_t matches[SECRETS_MAX];
	size_t count;
};

struct signature_verifier {
	EVP_MAC *mac;
	pthread_rwlock_t lock; /* covers keys; never held across I/O */
	struct keys *keys;
};

static void keys_free(struct keys *keys)
{
	if (keys == NULL)
		return;
	for (size_t i = 0; i < keys->count; i++)
		EVP_MAC_CTX_free(keys->keyed[i]);
	free(keys);
}

static struct keys *keys_new(EVP_MAC *mac, const struct secrets *secrets)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		OSSL_PARAM_construct_end(),
	};
	struct keys *keys = calloc(1, sizeof *keys);

	if (keys == NULL)
		return NULL;
	for (size_t i = 0; i < secrets->count; i++) {
		EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);

		if (context == NULL)
			goto err;
		keys->modes[i] = secrets->secret[i].modes;
		keys->keyed[keys->count++] = context;
		if (!EVP_MAC_init(context, secrets->secret[i].key, secrets->secret[i].len, params))
			goto err;
	}
	return keys;
err:
	keys_free(keys);
	return NULL;
}

struct signature_verifier *signature_open(const struct secrets *secrets)
{
	struct signature_verifier *verifier = calloc(1, sizeof *verifier);
	pthread_rwlockattr_t attributes;

	if (verifier == NULL)
		return NULL;
	pthread_rwlockattr_init(&attributes);
#ifdef PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
	/* A flood of verifications must not keep new secrets waiting. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
	verifier->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	verifier->keys = verifier->mac == NULL ? NULL : keys_new(verifier->mac, secrets);
	const bool has_lock = verifier->keys != NULL && pthread_rwlock_init(&verifier->lock, &attributes) == 0;
	pthread_rwlockattr_destroy(&attributes);
	if (has_lock)
		return verifier;
	keys_free(verifier->keys);
	EVP_MAC_free(verifier->mac);
	free(verifier);
	return NULL;
}

void signature_close(struct signature_verifier *verifier)
{
	if (verifier == NULL)
		return;
	keys_free(verifier->keys);
	pthread_rwlock_destroy(&verifier->lock);
	EVP_MAC_free(verifier->mac);
	free(verifier);
}

/* Decodes the sender's signature. It is not secret, so the time that this takes may depend on it. */
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

/* Compares what was claimed with what each secret makes of the request. Whole MACs are compared by
 * CRYPTO_memcmp(), whose time does not depend on what is in them, so that nobody can guess a signature digit
 * by digit. All secrets are tried, so that the time does not show which one matched. Branching on whether one
 * does gives away no more than the answer. */
static enum signature_result compare(struct keys *keys, const unsigned char claimed[DIGEST_LEN],
	const char *timestamp, const unsigned char *body, size_t len, struct signature_match *match)
{
	unsigned char expected[DIGEST_LEN];
	enum signature_result result = SIGNATURE_WRONG;

	match->modes = 0;
	for (size_t i = 0; i < keys->count; i++) {
		if (!compute(keys->keyed[i], timestamp, body, len, expected)) {
			result = SIGNATURE_FAILED;
			break;
		}
		if (CRYPTO_memcmp(claimed, expected, DIGEST_LEN) != 0)
			continue;
		/* If two lines have one secret, the first counts, and both say which modes it covers. */
		match->modes |= keys->modes[i];
		if (result != SIGNATURE_OK)
			match->which = i;
		result = SIGNATURE_OK;
	}
	OPENSSL_cleanse(expected, sizeof expected);
	if (result == SIGNATURE_OK)
		atomic_fetch_add_explicit(&keys->matches[match->which], 1, memory_order_relaxed);
	return result;
}

enum signature_result signature_verify(struct signature_verifier *verifier, const char *signature,
	const char *timestamp, const unsigned char *body, size_t len, struct signature_match *match)
{
	unsigned char claimed[DIGEST_LEN];

	if (signature == NULL || timestamp == NULL || signature[0] == '\0' || timestamp[0] == '\0')
		return SIGNATURE_MISSING;
	if (!decode_signature(signature, claimed) || !decode_timestamp(timestamp, &match->timestamp))
		return SIGNATURE_MALFORMED;
	pthread_rwlock_rdlock(&verifier->lock);
	enum signature_result result = compare(verifier->keys, claimed, timestamp, body, len, match);
	pthread_rwlock_unlock(&verifier->lock);
	return result;
}

size_t signature_matches(struct signature_verifier *verifier, uint64_t matches[SECRETS_MAX])
{
	pthread_rwlock_rdlock(&verifier->lock);
	const size_t count = verifier->keys->count;
	for (size_t i = 0; i < count; i++)
		matches[i] = atomic_load_explicit(&verifier->keys->matches[i], memory_order_relaxed);
	pthread_rwlock_unlock(&verifier->lock);
	return count;
}

/* Fills in what tells secrets apart without keeping them: what each makes of nothing. */
static bool probe(const struct keys *keys, unsigned char probes[SECRETS_MAX][DIGEST_LEN])
{
	static const unsigned char nothing[1];

	for (size_t i = 0; i < keys->count; i++)
		if (!compute(keys->keyed[i], "", nothing, 0, probes[i]))
			return false;
	return true;
}

/* Copies the counts of secrets that are in both. */
static bool inherit(struct keys *keys, struct keys *old, bool *same)
{
	unsigned char probes[SECRETS_MAX][DIGEST_LEN];
	unsigned char old_probes[SECRETS_MAX][DIGEST_LEN];
	bool done = probe(keys, probes) && probe(old, old_probes);

	*same = done && keys->count == old->count;
	for (size_t i = 0; done && i < keys->count; i++) {
		*same = *same && keys->modes[i] == old->modes[i];
		for (size_t j = old->count; j-- > 0;)
			if (CRYPTO_memcmp(probes[i], old_probes[j], DIGEST_LEN) == 0)
				atomic_store(&keys->matches[i], atomic_load(&old->matches[j]));
			else if (i == j)
				*same = false;
	}
	OPENSSL_cleanse(probes, sizeof probes);
	OPENSSL_cleanse(old_probes, sizeof old_probes);
	return done;
}

int signature_replace(struct signature_verifier *verifier, const struct secrets *secrets, bool *same)
{
	struct keys *unused = keys_new(verifier->mac, secrets);
	int status = -1;

	if (unused == NULL)
		return -1;
	pthread_rwlock_wrlock(&verifier->lock);
	if (inherit(unused, verifier->keys, same)) {
		struct keys *old = verifier->keys;

		verifier->keys = unused;
		unused = old;
		status = 0;
	}
	pthread_rwlock_unlock(&verifier->lock);
	keys_free(unused);
	return status;
}
