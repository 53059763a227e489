/* Signatures.
 *
 * The signed message is always timestamp "." body, so no vector of RFC 4231 can be handed
 * over as it is. The vectors prove libcrypto's one-shot HMAC() first; that in turn judges
 * what signature_verify() makes of the RFC's keys and messages. The table of values from
 * another implementation (Python's hmac) does without that detour. */
#include "config.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/auth/secrets.h"
#include "fcgi/auth/signature.h"
#include "signed.h"

#define DIGEST_LEN 32

/* One round of signature_verify(). */
struct outcome {
	enum signature_result result;
	struct signature_match match;
};

/* The body is handed over as a copy of exactly its size, and the secrets are gone by then. */
static struct outcome verify(
	struct secrets secrets, const char *signature, const char *timestamp, const void *body, size_t len)
{
	struct outcome outcome = {.match = {.timestamp = -1, .which = SIZE_MAX}};
	unsigned char *copy = malloc(len > 0 ? len : 1);
	struct signature_verifier *verifier = signature_open(&secrets);

	ck_assert_ptr_nonnull(copy);
	ck_assert_ptr_nonnull(verifier);
	secrets_wipe(&secrets);
	if (len > 0)
		memcpy(copy, body, len);
	outcome.result = signature_verify(verifier, signature, timestamp, copy, len, &outcome.match);
	signature_close(verifier);
	free(copy);
	return outcome;
}

static struct outcome verify_with(
	const char *secret, const char *signature, const char *timestamp, const void *body, size_t len)
{
	struct secrets secrets = {.count = 0};

	add_secret(&secrets, secret, strlen(secret));
	return verify(secrets, signature, timestamp, body, len);
}

static struct outcome verify_good(const char *signature, const char *timestamp)
{
	return verify_with("whsec_test", signature, timestamp, good_body, sizeof good_body);
}

/* The seven test cases of RFC 4231, in hexadecimal. */
struct rfc_case {
	const char *key;
	const char *data;
	const char *digest; /* of the fifth, truncated, the RFC gives 128 bits */
};

#define TIMES_10(text) text text text text text text text text text text
#define KEY_131 TIMES_10(TIMES_10("aa")) TIMES_10("aaaaaa") "aa"

static const struct rfc_case rfc_cases[] = {
	{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{TIMES_10("aaaa"), TIMES_10("dddddddddd"),
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"0102030405060708090a0b0c0d0e0f10111213141516171819", TIMES_10("cdcdcdcdcd"),
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{TIMES_10("0c0c"), "546573742057697468205472756e636174696f6e", "a3b6167473100ee06e0c796c2955552b"},
	{KEY_131,
		"54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b"
		"6579204669727374",
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{KEY_131,
		"5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a"
		"65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865"
		"206b6579206e6565647320746f20626520686173686564206265666f7265206265696e672075736564206279"
		"2074686520484d414320616c676f726974686d2e",
		"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

/* Decodes hexadecimal text; returns the number of bytes. */
static size_t decode(const char *hex, unsigned char *bytes, size_t size)
{
	size_t len = strlen(hex) / 2;

	ck_assert_uint_le(len, size);
	for (size_t i = 0; i < len; i++) {
		unsigned int byte = 0;

		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (unsigned char)byte;
	}
	return len;
}

static void hmac(const unsigned char *key, size_t key_len, const unsigned char *data, size_t len,
	unsigned char digest[DIGEST_LEN])
{
	unsigned int digest_len = 0;

	ck_assert_ptr_nonnull(HMAC(EVP_sha256(), key, (int)key_len, data, len, digest, &digest_len));
	ck_assert_uint_eq(digest_len, DIGEST_LEN);
}

static void encode(const unsigned char digest[DIGEST_LEN], char hex[SIGNATURE_LEN + 1])
{
	for (size_t i = 0; i < DIGEST_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

START_TEST(rfc_4231)
{
	const struct rfc_case *rfc = &rfc_cases[_i];
	unsigned char key[256], wanted[DIGEST_LEN], digest[DIGEST_LEN];
	unsigned char message[512] = TIMESTAMP ".";
	size_t prefix_len = strlen((const char *)message);
	unsigned char *data = message + prefix_len;
	char hex[SIGNATURE_LEN + 1];
	size_t key_len = decode(rfc->key, key, sizeof key);
	size_t len = decode(rfc->data, data, sizeof message - prefix_len);
	size_t wanted_len = decode(rfc->digest, wanted, sizeof wanted);
	struct secrets secrets = {.count = 0};

	hmac(key, key_len, data, len, digest);
	ck_assert_mem_eq(digest, wanted, wanted_len);

	hmac(key, key_len, message, prefix_len + len, digest);
	encode(digest, hex);
	add_secret(&secrets, key, key_len);
	ck_assert_int_eq(verify(secrets, hex, TIMESTAMP, data, len).result, SIGNATURE_OK);

	/* The RFC's own digest, without the timestamp, is none of ours. */
	hmac(key, key_len, data, len, digest);
	encode(digest, hex);
	ck_assert_int_eq(verify(secrets, hex, TIMESTAMP, data, len).result, SIGNATURE_WRONG);
}
END_TEST

struct known {
	const char *secret;
	const char *timestamp;
	int64_t timestamp_value;
	const char *body;
	size_t len;
	const char *signature;
};

/* Computed with Python's hmac; the first also with openssl dgst. */
static const struct known knowns[] = {
	{"whsec_test", TIMESTAMP, 1756301826, "{\"a\":1}", 7, GOOD},
	{"whsec_test", TIMESTAMP, 1756301826, "", 0,
		"c2dceeb207a3a3a470cf53966ad2709ee678351e45a182e176831a56bde9a210"},
	{"whsec_test", TIMESTAMP, 1756301826, "a\0b\0", 4,
		"c5f0639497be0b67b9d1d0efe7cdc7223ac8889c81548e73cad395ba1cedeff1"},
	{"whsec_test", "0", 0, "x", 1, "7f6e7f4769073df169b164fc80739e9faa452ebce2cdb6061ed1ca5d729abf78"},
	{"whsec_test", "999999999999", 999999999999, "x", 1,
		"2926bedce972c93b64f8fb0b597583acc1cfe913bd97d8fea7d1f6d04d92c879"},
	/* The header's text is signed, not its value. */
	{"whsec_test", "000000000001", 1, "x", 1,
		"ed04e8f3ca38d5899bef017d7b3dcd245ae495b2069ebb5f358fa15e50d2e3fd"},
	{"k", TIMESTAMP, 1756301826, "x", 1,
		"a9b9d2180d232d5c27b7772e06fe153212d095d6a227d20e2abc290c545ff327"},
	{"schl\xc3\xbcssel", TIMESTAMP, 1756301826, "\xc3\xa9", 2,
		"cec2d6ea1da0fa7df409fb4e9757debb6c060d578a1fee476638bdaf35310b98"},
};

START_TEST(known_values)
{
	const struct known *known = &knowns[_i];
	struct outcome outcome =
		verify_with(known->secret, known->signature, known->timestamp, known->body, known->len);

	ck_assert_int_eq(outcome.result, SIGNATURE_OK);
	ck_assert_int_eq(outcome.match.timestamp, known->timestamp_value);
	ck_assert_uint_eq(outcome.match.which, 0);
}
END_TEST

START_TEST(the_longest_secret)
{
	char secret[SECRETS_MAX_LEN + 1];

	memset(secret, 'k', SECRETS_MAX_LEN);
	secret[SECRETS_MAX_LEN] = '\0';
	ck_assert_int_eq(
		verify_with(secret, "255ce6d12275e2960e3a0f0c2f2cd6c8dccb81e1b989de8f2d78baf5c38cf132",
			TIMESTAMP, "x", 1)
			.result,
		SIGNATURE_OK);
}
END_TEST

/* All byte values, a mebibyte of them. */
START_TEST(a_large_body)
{
	size_t len = 1024 * 1024;
	unsigned char *body = malloc(len);

	ck_assert_ptr_nonnull(body);
	for (size_t i = 0; i < len; i++)
		body[i] = (unsigned char)(i & 0xff);
	ck_assert_int_eq(
		verify_with("whsec_test", "85fd5a1db5bfdcb3ffd24b213c65ef2c2790928e07c6116b8cfb39cf2c06c250",
			TIMESTAMP, body, len)
			.result,
		SIGNATURE_OK);
	body[len - 1] ^= 1;
	ck_assert_int_eq(
		verify_with("whsec_test", "85fd5a1db5bfdcb3ffd24b213c65ef2c2790928e07c6116b8cfb39cf2c06c250",
			TIMESTAMP, body, len)
			.result,
		SIGNATURE_WRONG);
	free(body);
}
END_TEST

/* Header texts over the good body. */
struct header_row {
	const char *signature;
	const char *timestamp;
	enum signature_result result;
};

#define HALF "d1409f109ce191c52411f6c6ce7f662d"

static const struct header_row header_rows[] = {
	{GOOD, TIMESTAMP, SIGNATURE_OK},
	{"D1409F109CE191C52411F6C6CE7F662DF5B06944672F40BF06D40D0E339A0BAA", TIMESTAMP, SIGNATURE_OK},
	{"D1409f109Ce191c52411F6c6cE7f662df5B06944672f40bF06d40D0e339a0bAa", TIMESTAMP, SIGNATURE_OK},

	{NULL, NULL, SIGNATURE_MISSING},
	{NULL, TIMESTAMP, SIGNATURE_MISSING},
	{GOOD, NULL, SIGNATURE_MISSING},
	{"", TIMESTAMP, SIGNATURE_MISSING},
	{GOOD, "", SIGNATURE_MISSING},
	{"", "", SIGNATURE_MISSING},

	{HALF "f5b06944672f40bf06d40d0e339a0ba", TIMESTAMP, SIGNATURE_MALFORMED}, /* 63 digits */
	{GOOD "0", TIMESTAMP, SIGNATURE_MALFORMED},                               /* 65 */
	{GOOD "00", TIMESTAMP, SIGNATURE_MALFORMED},
	{GOOD GOOD, TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF, TIMESTAMP, SIGNATURE_MALFORMED},
	{"d", TIMESTAMP, SIGNATURE_MALFORMED},
	{GOOD " ", TIMESTAMP, SIGNATURE_MALFORMED},
	{" " GOOD, TIMESTAMP, SIGNATURE_MALFORMED},
	{GOOD "\n", TIMESTAMP, SIGNATURE_MALFORMED},
	{"sha256=" GOOD, TIMESTAMP, SIGNATURE_MALFORMED},
	{"0x" HALF "f5b06944672f40bf06d40d0e339a0b", TIMESTAMP, SIGNATURE_MALFORMED},
	/* 64 bytes, one of them no hexadecimal digit: those next to the digits and letters. */
	{HALF "f5b06944672f40bf06d40d0e339a0bag", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0baG", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba:", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba/", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba@", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba`", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba ", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0ba\x80", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf06d40d0e339a0b\xc3\xa1", TIMESTAMP, SIGNATURE_MALFORMED},
	{HALF "f5b06944672f40bf-6d40d0e339a0baa", TIMESTAMP, SIGNATURE_MALFORMED},
	{"g"
	 "1409f109ce191c52411f6c6ce7f662df5b06944672f40bf06d40d0e339a0baa",
		TIMESTAMP, SIGNATURE_MALFORMED},

	{GOOD, "1", SIGNATURE_WRONG},
	{GOOD, "123456789012", SIGNATURE_WRONG},
	{GOOD, "000000000000", SIGNATURE_WRONG},
	{GOOD, "1234567890123", SIGNATURE_MALFORMED},
	{GOOD, "0001756301826", SIGNATURE_MALFORMED},
	{GOOD, "99999999999999999999999999", SIGNATURE_MALFORMED},
	{GOOD, "-1756301826", SIGNATURE_MALFORMED},
	{GOOD, "+1756301826", SIGNATURE_MALFORMED},
	{GOOD, " 1756301826", SIGNATURE_MALFORMED},
	{GOOD, "1756301826 ", SIGNATURE_MALFORMED},
	{GOOD, "1756301826\n", SIGNATURE_MALFORMED},
	{GOOD, "1756301826.", SIGNATURE_MALFORMED},
	{GOOD, "1756301826.5", SIGNATURE_MALFORMED},
	{GOOD, "1.7e9", SIGNATURE_MALFORMED},
	{GOOD, "0x68AF0102", SIGNATURE_MALFORMED},
	{GOOD, "175630182x", SIGNATURE_MALFORMED},
	{GOOD, "/", SIGNATURE_MALFORMED},
	{GOOD, ":", SIGNATURE_MALFORMED},
	{GOOD, " ", SIGNATURE_MALFORMED},
	{GOOD, "-", SIGNATURE_MALFORMED},
	{GOOD, "now", SIGNATURE_MALFORMED},
	{GOOD, "\xd9\xa1", SIGNATURE_MALFORMED}, /* ARABIC-INDIC DIGIT ONE */

	{"0000000000000000000000000000000000000000000000000000000000000000", TIMESTAMP, SIGNATURE_WRONG},
	{"d0409f109ce191c52411f6c6ce7f662df5b06944672f40bf06d40d0e339a0baa", TIMESTAMP, SIGNATURE_WRONG},
	{"d1409f109ce191c52411f6c6ce7f662df5b06944672f40bf06d40d0e339a0bab", TIMESTAMP, SIGNATURE_WRONG},
	{GOOD, "1756301827", SIGNATURE_WRONG},
	{GOOD, "01756301826", SIGNATURE_WRONG},
	/* The provider's published pair, whose body and key are not. */
	{"dd7bdd2cdd7bdd2cdd7bdd2cdd7bdd2cdd7bdd2cdd7bdd2cdd7bdd2cddd9b87b", TIMESTAMP, SIGNATURE_WRONG},
};

START_TEST(header_row)
{
	const struct header_row *row = &header_rows[_i];
	struct outcome outcome = verify_good(row->signature, row->timestamp);

	ck_assert_msg(outcome.result == row->result, "\"%s\", \"%s\": %d, not %d",
		row->signature == NULL ? "(none)" : row->signature,
		row->timestamp == NULL ? "(none)" : row->timestamp, (int)row->result, (int)outcome.result);
}
END_TEST

/* The point between timestamp and body is not where the two could be cut otherwise. */
START_TEST(the_parts_do_not_move)
{
	static const char good[] =
		"7f6e7f4769073df169b164fc80739e9faa452ebce2cdb6061ed1ca5d729abf78"; /* 0, x */

	ck_assert_int_eq(verify_with("whsec_test", good, "0", "x", 1).result, SIGNATURE_OK);
	ck_assert_int_eq(verify_with("whsec_test", good, "0", "", 0).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, "0", "xx", 2).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, "0", "x\0", 2).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, "0", ".x", 2).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, "00", "x", 1).result, SIGNATURE_WRONG);
}
END_TEST

/* In a body that a NUL would cut short, what stands behind it counts. */
START_TEST(nul_hides_nothing)
{
	static const char good[] = "c5f0639497be0b67b9d1d0efe7cdc7223ac8889c81548e73cad395ba1cedeff1";

	ck_assert_int_eq(verify_with("whsec_test", good, TIMESTAMP, "a\0b\0", 4).result, SIGNATURE_OK);
	ck_assert_int_eq(verify_with("whsec_test", good, TIMESTAMP, "a\0c\0", 4).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, TIMESTAMP, "a\0b", 3).result, SIGNATURE_WRONG);
	ck_assert_int_eq(verify_with("whsec_test", good, TIMESTAMP, "a", 1).result, SIGNATURE_WRONG);
}
END_TEST

/* Each position is found, among as many as can be. */
START_TEST(every_secret_counts)
{
	struct secrets secrets = {.count = 0};

	for (int i = 0; i < SECRETS_MAX; i++) {
		char other[32];

		snprintf(other, sizeof other, "other_%d", i);
		add_secret(&secrets, i == _i ? "whsec_test" : other, strlen(i == _i ? "whsec_test" : other));
	}
	struct outcome outcome = verify(secrets, GOOD, TIMESTAMP, good_body, sizeof good_body);
	ck_assert_int_eq(outcome.result, SIGNATURE_OK);
	ck_assert_int_eq(outcome.match.timestamp, 1756301826);
	ck_assert_uint_eq(outcome.match.which, (size_t)_i);

	memcpy(secrets.secret[_i].key, "WHSEC_TEST", 10);
	ck_assert_int_eq(
		verify(secrets, GOOD, TIMESTAMP, good_body, sizeof good_body).result, SIGNATURE_WRONG);
}
END_TEST

START_TEST(wrong_secrets)
{
	static const char *const wrong[] = {
		"whsec_tes", "whsec_testt", "whsec_test ", " whsec_test", "Whsec_test", "x"};
	struct secrets none = {.count = 0};

	for (size_t i = 0; i < COUNT(wrong); i++)
		ck_assert_int_eq(verify_with(wrong[i], GOOD, TIMESTAMP, good_body, sizeof good_body).result,
			SIGNATURE_WRONG);
	ck_assert_int_eq(verify(none, GOOD, TIMESTAMP, good_body, sizeof good_body).result, SIGNATURE_WRONG);
}
END_TEST

/* One verifier serves many requests, and one of them leaves nothing to the next. */
START_TEST(verifiers_are_reusable)
{
	struct secrets secrets = {.count = 0};
	struct signature_match match;

	add_secret(&secrets, "other", 5);
	add_secret(&secrets, "whsec_test", 10);
	struct signature_verifier *verifier = signature_open(&secrets);
	ck_assert_ptr_nonnull(verifier);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
			signature_verify(verifier, GOOD, TIMESTAMP, good_body, sizeof good_body, &match),
			SIGNATURE_OK);
		ck_assert_uint_eq(match.which, 1);
		ck_assert_int_eq(
			signature_verify(verifier, GOOD, TIMESTAMP, good_body, 6, &match), SIGNATURE_WRONG);
	}
	signature_close(verifier);
	signature_close(NULL);
}
END_TEST

struct covered {
	unsigned modes[3]; /* of three secrets, of which the second and the third are the one that signed */
	unsigned expected;
};

static const struct covered covered[] = {
	{{SECRET_LIVE, SECRET_BOTH, SECRET_BOTH}, SECRET_BOTH},
	{{SECRET_BOTH, SECRET_LIVE, SECRET_LIVE}, SECRET_LIVE},
	{{SECRET_BOTH, SECRET_TEST, SECRET_TEST}, SECRET_TEST},
	{{SECRET_TEST, SECRET_LIVE, SECRET_TEST}, SECRET_BOTH},
};

/* A secret that stands on two lines vouches for the modes of both; other secrets' modes do not count. */
START_TEST(modes_of_what_matched)
{
	struct secrets secrets = {.count = 0};

	add_secret(&secrets, "other", 5);
	add_secret(&secrets, "whsec_test", 10);
	add_secret(&secrets, "whsec_test", 10);
	for (size_t i = 0; i < 3; i++)
		secrets.secret[i].modes = covered[_i].modes[i];
	struct outcome outcome = verify(secrets, GOOD, TIMESTAMP, good_body, sizeof good_body);
	ck_assert_int_eq(outcome.result, SIGNATURE_OK);
	ck_assert_uint_eq(outcome.match.modes, covered[_i].expected);
	ck_assert_uint_eq(outcome.match.which, 1);
}
END_TEST

static Suite *signature_suite(void)
{
	Suite *suite = suite_create("signature");
	TCase *tcase = tcase_create("verify");

	tcase_add_loop_test(tcase, rfc_4231, 0, (int)COUNT(rfc_cases));
	tcase_add_loop_test(tcase, known_values, 0, (int)COUNT(knowns));
	tcase_add_test(tcase, the_longest_secret);
	tcase_add_test(tcase, a_large_body);
	tcase_add_loop_test(tcase, header_row, 0, (int)COUNT(header_rows));
	tcase_add_test(tcase, the_parts_do_not_move);
	tcase_add_test(tcase, nul_hides_nothing);
	tcase_add_loop_test(tcase, every_secret_counts, 0, SECRETS_MAX);
	tcase_add_test(tcase, wrong_secrets);
	tcase_add_test(tcase, verifiers_are_reusable);
	tcase_add_loop_test(tcase, modes_of_what_matched, 0, (int)COUNT(covered));
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(signature_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
