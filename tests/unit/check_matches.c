/* How many signatures each secret has matched, and what of it stays when secrets are replaced. */
#include "config.h"

#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/thread.h"
#include "fcgi/auth/secrets.h"
#include "fcgi/auth/signature.h"
#include "signed.h"

static struct secrets three(const char *first, const char *second, const char *third)
{
	const char *const keys[] = {first, second, third};
	struct secrets secrets = {.count = 0};

	for (size_t i = 0; i < COUNT(keys) && keys[i] != NULL; i++)
		add_secret(&secrets, keys[i], strlen(keys[i]));
	return secrets;
}

static struct signature_verifier *open_three(const char *first, const char *second, const char *third)
{
	const struct secrets secrets = three(first, second, third);
	struct signature_verifier *verifier = signature_open(&secrets);

	ck_assert_ptr_nonnull(verifier);
	return verifier;
}

static void verify_times(struct signature_verifier *verifier, int times)
{
	struct signature_match match;

	while (times-- > 0)
		signature_verify(verifier, GOOD, TIMESTAMP, good_body, sizeof good_body, &match);
}

static void expect_matches(struct signature_verifier *verifier, const uint64_t expected[], size_t count)
{
	uint64_t matches[SECRETS_MAX];

	ck_assert_uint_eq(signature_matches(verifier, matches), count);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(matches[i], expected[i]);
}

/* Each match counts, and nothing else; of one secret that is there twice, the first. */
START_TEST(matches_are_counted)
{
	struct signature_verifier *verifier = open_three("other", "whsec_test", "whsec_test");
	struct signature_match match;

	expect_matches(verifier, (const uint64_t[]){0, 0, 0}, 3);
	verify_times(verifier, 3);
	signature_verify(verifier, GOOD, TIMESTAMP, good_body, 6, &match);
	signature_verify(verifier, GOOD, "", good_body, sizeof good_body, &match);
	signature_verify(verifier, "", TIMESTAMP, good_body, sizeof good_body, &match);
	expect_matches(verifier, (const uint64_t[]){0, 3, 0}, 3);
	signature_close(verifier);
}
END_TEST

struct succession {
	const char *secrets[3];
	uint64_t matches[3];
	size_t count;
	bool same;
};

/* What follows on other, whsec_test, last, of which the second has matched twice. */
static const struct succession successions[] = {
	{{"other", "whsec_test", "last"}, {0, 2, 0}, 3, true},
	{{"whsec_test", "other", "last"}, {2, 0, 0}, 3, false},
	{{"other", "whsec_test"}, {0, 2}, 2, false},
	{{"last", "new", "whsec_test"}, {0, 0, 2}, 3, false},
	{{"whsec_tes", "Whsec_test", "last"}, {0, 0, 0}, 3, false},
	{{NULL}, {0}, 0, false},
};

START_TEST(counts_go_with_their_secrets)
{
	const struct succession *row = &successions[_i];
	struct signature_verifier *verifier = open_three("other", "whsec_test", "last");
	const struct secrets secrets = three(row->secrets[0], row->secrets[1], row->secrets[2]);
	bool same = !row->same;

	verify_times(verifier, 2);
	ck_assert_int_eq(signature_replace(verifier, &secrets, &same), 0);
	ck_assert_int_eq(same, row->same);
	expect_matches(verifier, row->matches, row->count);
	signature_close(verifier);
}
END_TEST

/* A secret that now vouches for another mode is a change. */
START_TEST(another_mode)
{
	struct signature_verifier *verifier = open_three("other", "whsec_test", NULL);
	struct secrets secrets = three("other", "whsec_test", NULL);
	bool same = true;

	secrets.secret[1].modes = SECRET_LIVE;
	verify_times(verifier, 2);
	ck_assert_int_eq(signature_replace(verifier, &secrets, &same), 0);
	ck_assert(!same);
	expect_matches(verifier, (const uint64_t[]){0, 2}, 2);
	signature_close(verifier);
}
END_TEST

#define FLOOD_THREADS 8

struct flood {
	struct signature_verifier *verifier;
	atomic_bool ended;
	_Atomic uint64_t verified;
};

/* Long enough for one of the threads to be verifying at each moment. */
static void verify_on(void *argument)
{
	static const unsigned char body[64 * 1024];
	struct flood *flood = argument;
	struct signature_match match;

	while (!atomic_load(&flood->ended)) {
		signature_verify(flood->verifier, GOOD, TIMESTAMP, body, sizeof body, &match);
		atomic_fetch_add(&flood->verified, 1);
	}
}

/* New secrets are taken over during a flood, however many verifications come. Otherwise the alarm ends this. */
START_TEST(replaced_in_a_flood)
{
	struct flood flood = {.verifier = open_three("other", "whsec_test", "last")};
	const struct secrets secrets = three("new", NULL, NULL);
	struct thread threads[FLOOD_THREADS] = {{0}};
	bool same;

	for (size_t i = 0; i < FLOOD_THREADS; i++)
		ck_assert_int_eq(thread_start(&threads[i], "flood", verify_on, &flood), 0);
	while (atomic_load(&flood.verified) < 2 * FLOOD_THREADS)
		;
	const uint64_t before = atomic_load(&flood.verified);
	alarm(60);
	ck_assert_int_eq(signature_replace(flood.verifier, &secrets, &same), 0);
	alarm(0);
	/* Those that had begun, and of each thread a few more: it had to wait for its time on a processor. */
	ck_assert_uint_lt(atomic_load(&flood.verified) - before, 1000);
	atomic_store(&flood.ended, true);
	for (size_t i = 0; i < FLOOD_THREADS; i++)
		thread_join(&threads[i]);
	signature_close(flood.verifier);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("matches");
	TCase *tcase = tcase_create("matches");
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	tcase_add_test(tcase, matches_are_counted);
	tcase_add_loop_test(tcase, counts_go_with_their_secrets, 0, (int)COUNT(successions));
	tcase_add_test(tcase, another_mode);
	tcase_add_test(tcase, replaced_in_a_flood);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
