/* What registers_clear() leaves in the registers that memcpy() uses. */
#include "config.h"

#include <check.h>
#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include "registers.h"

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
/* No compiler that is told of no wider processor uses these. */
HOLD(zmm9, "vmovdqu64 (%0), %%zmm9", "vmovdqu64 %%zmm9, (%1)", "xmm9")
HOLD(zmm16, "vmovdqu64 (%0), %%zmm16", "vmovdqu64 %%zmm16, (%1)", "memory")
HOLD(zmm31, "vmovdqu64 (%0), %%zmm31", "vmovdqu64 %%zmm31, (%1)", "memory")

static const struct held registers[] = {
	{"xmm0", 16, hold_xmm0},
	{"xmm15", 16, hold_xmm15},
	{"ymm7", 32, hold_ymm7},
	{"zmm9", 64, hold_zmm9},
	{"zmm16", 64, hold_zmm16},
	{"zmm31", 64, hold_zmm31},
};

static int has(const struct held *held)
{
	if (held->width == 64)
		return __builtin_cpu_supports("avx512f");
	return held->width == 16 || __builtin_cpu_supports("avx");
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
	return held->width > 0;
}

#else

static const struct held registers[] = {{"none that is known here", 0, NULL}};

static int has(const struct held *held)
{
	return held->width > 0;
}

#endif

#define REGISTERS ((int)(sizeof registers / sizeof registers[0]))

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

/* The thread goes on to compute as it did before. */
START_TEST(test_rounding_stays)
{
	ck_assert_int_eq(fesetround(FE_UPWARD), 0);
	registers_clear();
	ck_assert_int_eq(fegetround(), FE_UPWARD);
	ck_assert_int_eq(fesetround(FE_TONEAREST), 0);
	registers_clear();
	ck_assert_int_eq(fegetround(), FE_TONEAREST);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("registers");
	TCase *tests = tcase_create("registers");
	SRunner *runner = srunner_create(suite);

	tcase_add_loop_test(tests, test_cleared, 0, REGISTERS);
	tcase_add_test(tests, test_rounding_stays);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
