/* What registers_clear() leaves in the registers that memcpy() uses, and that it is called after each use of
 * a secret. */
#include "config.h"

#include <check.h>
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "fcgi/auth/registers.h"
#include "fcgi/auth/secrets.h"
#include "fcgi/auth/signature.h"
#include "signed.h"

#ifdef __has_attribute
#if __has_attribute(zero_call_used_regs)
#define COMPILER_CLEARS 1
#endif
#endif
#ifndef COMPILER_CLEARS
#define COMPILER_CLEARS 0
#endif

#define WIDEST 64

static const unsigned char zeros[WIDEST];

struct held {
	const char *name;
	size_t width;
	/* Fills a register with pattern, lets registers_clear() run if so asked, stores the register to kept.
	 */
	void (*hold)(const unsigned char pattern[WIDEST], unsigned char kept[WIDEST], int clear);
};

/* One function a register, between whose two instructions nothing else of the test's can come. */
#define HOLD(name, load, store, ...)                                                                         \
	static void hold_##name(const unsigned char pattern[WIDEST], unsigned char kept[WIDEST], int clear)  \
	{                                                                                                    \
		__asm__ volatile(load                                                                        \
				 :                                                                           \
				 : "r"(pattern), "m"(*(const unsigned char(*)[WIDEST])pattern)               \
				 : __VA_ARGS__);                                                             \
		if (clear)                                                                                   \
			registers_clear();                                                                   \
		__asm__ volatile(store : "=m"(*(unsigned char(*)[WIDEST])kept) : "r"(kept) : "memory");      \
	}

#ifdef __x86_64__

HOLD(xmm0, "movdqu (%0), %%xmm0", "movdqu %%xmm0, (%1)", "xmm0")
HOLD(xmm15, "movdqu (%0), %%xmm15", "movdqu %%xmm15, (%1)", "xmm15")
HOLD(ymm7, "vmovdqu (%0), %%ymm7", "vmovdqu %%ymm7, (%1)", "xmm7")
/* No compiler uses these that was told of no wider processor. */
HOLD(zmm9, "vmovdqu64 (%0), %%zmm9", "vmovdqu64 %%zmm9, (%1)", "xmm9")
HOLD(zmm16, "vmovdqu64 (%0), %%zmm16", "vmovdqu64 %%zmm16, (%1)", "memory")
HOLD(zmm31, "vmovdqu64 (%0), %%zmm31", "vmovdqu64 %%zmm31, (%1)", "memory")

HOLD(k1, "kmovq (%0), %%k1", "kmovq %%k1, (%1)", "memory")

static const struct held registers[] = {
	{"k1", 8, hold_k1},
	{"xmm0", 16, hold_xmm0},
	{"xmm15", 16, hold_xmm15},
	{"ymm7", 32, hold_ymm7},
	{"zmm9", 64, hold_zmm9},
	{"zmm16", 64, hold_zmm16},
	{"zmm31", 64, hold_zmm31},
};

static int has(const struct held *held)
{
	if (held->width == 8)
		return __builtin_cpu_supports("avx512bw");
	if (held->width == 64)
		return __builtin_cpu_supports("avx512f");
	return __builtin_cpu_supports("avx") || (held->width == 16 && COMPILER_CLEARS);
}

#elif defined __aarch64__

HOLD(v0, "ldr q0, [%0]", "str q0, [%1]", "v0")
HOLD(v31, "ldr q31, [%0]", "str q31, [%1]", "v31")

static const struct held registers[] = {
	{"v0", 16, hold_v0},
	{"v31", 16, hold_v31},
};

static int has(const struct held *held)
{
	return held->width > 0 && COMPILER_CLEARS;
}

#else

static const struct held registers[] = {{"none that is known here", 0, NULL}};

static int has(const struct held *held)
{
	return held->width > 0;
}

#endif

START_TEST(test_cleared)
{
	const struct held *held = &registers[_i];
	unsigned char pattern[WIDEST];
	unsigned char kept[WIDEST];

	if (!has(held))
		return;
	memset(pattern, 0xb5, sizeof pattern);
	memset(kept, 0x11, sizeof kept);
	held->hold(pattern, kept, 0);
	ck_assert_msg(
		memcmp(kept, pattern, held->width) == 0, "%s does not hold what it was given", held->name);
	held->hold(pattern, kept, 1);
	ck_assert_msg(memcmp(kept, zeros, held->width) == 0, "%s is not zero", held->name);
}
END_TEST

static double third(void)
{
	volatile double one = 1;
	volatile double three = 3;

	return one / three;
}

/* The thread goes on to compute as it did before. */
START_TEST(test_arithmetic_stays)
{
	double nearest = third();

	ck_assert_int_eq(fesetround(FE_UPWARD), 0);
	ck_assert(third() > nearest);
	registers_clear();
	ck_assert_int_eq(fegetround(), FE_UPWARD);
	ck_assert(third() > nearest);
	ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
	ck_assert_int_eq(feclearexcept(FE_ALL_EXCEPT), 0);
	registers_clear();
	ck_assert_int_eq(fetestexcept(FE_ALL_EXCEPT), 0);
	ck_assert(third() == nearest);
	registers_clear();
	ck_assert_int_eq(fetestexcept(FE_ALL_EXCEPT), FE_INEXACT);
}
END_TEST

#ifdef __x86_64__

#define VECTORS 0xe6U
/* Of a secret that was copied something is in sight with fewer bytes than a register has. */
#define PIECE 8

/* All vector registers, as XSAVE writes them; those of other processors than this one have no place. */
static unsigned char saved[4096] __attribute__((aligned(64)));

__attribute__((noinline, target("xsave"))) static void save(void)
{
	_xsave64(saved, VECTORS);
}

static struct secrets secrets;

/* Whether a piece of the secret is in what was saved, as it is or as HMAC pads it. */
static int has_piece(void)
{
	static const unsigned char pads[] = {0, 0x36, 0x5c};
	const struct secret *secret = &secrets.secret[0];
	unsigned char piece[PIECE];

	for (size_t pad = 0; pad < sizeof pads; pad++)
		for (size_t at = 0; at + PIECE <= secret->len; at++) {
			for (size_t i = 0; i < PIECE; i++)
				piece[i] = secret->key[at + i] ^ pads[pad];
			if (memmem(saved, sizeof saved, piece, PIECE) != NULL)
				return 1;
		}
	return 0;
}

/* What is done with a secret, whose registers are saved before anything else happens. */
static void use_by_reading(void)
{
	char path[] = "/tmp/check_registers.XXXXXX";
	char error[512];
	struct secrets read;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
		write(fd, secrets.secret[0].key, secrets.secret[0].len), (ssize_t)secrets.secret[0].len);
	close(fd);
	int failed = secrets_read(path, &read, error, sizeof error);
	save();
	unlink(path);
	ck_assert_int_eq(failed, 0);
	ck_assert(memcmp(read.secret[0].key, secrets.secret[0].key, secrets.secret[0].len) == 0);
}

static void use_by_opening(void)
{
	struct signature_verifier *verifier = signature_open(&secrets);

	save();
	ck_assert_ptr_nonnull(verifier);
	signature_close(verifier);
}

static void use_by_verifying(void)
{
	struct signature_verifier *verifier = signature_open(&secrets);
	int64_t timestamp;
	size_t which;

	ck_assert_ptr_nonnull(verifier);
	int result =
		signature_verify(verifier, GOOD, TIMESTAMP, good_body, sizeof good_body, &timestamp, &which);
	save();
	ck_assert_int_eq(result, SIGNATURE_WRONG);
	signature_close(verifier);
}

static void use_by_succeeding(void)
{
	struct signature_verifier *old = signature_open(&secrets);
	struct signature_verifier *verifier = signature_open(&secrets);
	bool same = false;

	ck_assert(old != NULL && verifier != NULL);
	bool done = signature_succeed(verifier, old, &same);
	save();
	ck_assert(done && same);
	signature_close(old);
	signature_close(verifier);
}

static void (*const uses[])(void) = {use_by_reading, use_by_opening, use_by_verifying, use_by_succeeding};

START_TEST(test_secret_is_gone)
{
	static const size_t lengths[] = {16, 33, 64, 100, SECRETS_MAX_LEN};

	if (!__builtin_cpu_supports("avx"))
		return;
	/* XSAVE leaves out what is zero. */
	memset(saved, 0, sizeof saved);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		secrets.count = 1;
		secrets.secret[0].len = lengths[i];
		for (size_t at = 0; at < lengths[i]; at++)
			secrets.secret[0].key[at] = (unsigned char)('!' + (at * 37 + at / 8 * 11) % 90);
		registers_clear();
		uses[_i]();
		ck_assert_msg(!has_piece(), "of a secret of %zu bytes", lengths[i]);
	}
	/* So it would have been found. */
	memcpy(saved + 1024, secrets.secret[0].key + 100, 16);
	ck_assert(has_piece());
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("registers");
	TCase *tests = tcase_create("registers");
	SRunner *runner = srunner_create(suite);

	tcase_add_loop_test(tests, test_cleared, 0, (int)COUNT(registers));
	tcase_add_test(tests, test_arithmetic_stays);
#ifdef __x86_64__
	tcase_add_loop_test(tests, test_secret_is_gone, 0, (int)COUNT(uses));
#endif
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
