/* Intervals: each word of the contract, and what is none. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/event/interval.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct {
	const char *text;
	const char *interval; /* NULL: none */
} rows[] = {
	{"day", "1 day"},
	{"daily", "1 day"},
	{"week", "7 days"},
	{"weekly", "7 days"},
	{"month", "1 month"},
	{"monthly", "1 month"},
	{"3months", "3 months"},
	{"quarter", "3 months"},
	{"quarterly", "3 months"},
	{"6months", "6 months"},
	{"half-yearly", "6 months"},
	{"semiannual", "6 months"},
	{"year", "1 year"},
	{"yearly", "1 year"},
	{"annual", "1 year"},
	{"annually", "1 year"},
	{"12months", "1 year"},
	/* Any case. */
	{"MONTHLY", "1 month"},
	{"Half-Yearly", "6 months"},
	{"3Months", "3 months"},
	{"2 WEEKS", "14 days"},
	/* Numbers, with and without a space and an s. */
	{"1 day", "1 day"},
	{"1days", "1 day"},
	{"30 days", "30 days"},
	{"30day", "30 days"},
	{"1 week", "7 days"},
	{"4weeks", "28 days"},
	{"1 month", "1 month"},
	{"12 month", "1 year"},
	{"18 months", "18 months"},
	{"24 months", "2 years"},
	{"1 year", "1 year"},
	{"2years", "2 years"},
	{"7 days", "7 days"},
	{"1000 days", "1000 days"},
	{"1000 weeks", "7000 days"},
	{"1000 months", "1000 months"},
	{"1000 years", "1000 years"},

	{"", NULL},
	{" ", NULL},
	{"once", NULL},
	{"days", NULL},
	{"months", NULL},
	{"month ", NULL},
	{" month", NULL},
	{"monthlys", NULL},
	{"every month", NULL},
	{"1", NULL},
	{"1 ", NULL},
	{"1s", NULL},
	{"1 s", NULL},
	{"0 days", NULL},
	{"1001 days", NULL},
	{"10000 days", NULL},
	{"99999999999999999999 days", NULL},
	{"-1 days", NULL},
	{"+1 days", NULL},
	{"1.5 months", NULL},
	{"1  month", NULL},
	{"1\tmonth", NULL},
	{"1 dayss", NULL},
	{"2 monthly", NULL},
	{"3 quarter", NULL},
	{"1 hour", NULL},
	{"P1M", NULL},
	{"m\xc3\xb6nth", NULL},
};

START_TEST(row)
{
	const size_t len = strlen(rows[_i].text);
	char *copy = malloc(len > 0 ? len : 1);
	char out[INTERVAL_SIZE] = "";

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, rows[_i].text, len);
	const bool parsed = interval_parse(copy, len, out);
	free(copy);
	ck_assert_msg(
		parsed == (rows[_i].interval != NULL), "\"%s\": %s", rows[_i].text, parsed ? out : "none");
	if (parsed)
		ck_assert_str_eq(out, rows[_i].interval);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("interval");
	TCase *all = tcase_create("rows");

	tcase_add_loop_test(all, row, 0, (int)COUNT(rows));
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
