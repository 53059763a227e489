/* Parameters of an address. Every query is handed over as a copy of exactly its size, so that a
 * sanitizer sees a read beyond it. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "query_string.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct row {
	const char *query;
	enum query_result result;
	const char *value;
} rows[] = {
	{"q=a", QUERY_FOUND, "a"},
	{"x=1&q=a&y=2", QUERY_FOUND, "a"},
	{"q=a&q=b", QUERY_FOUND, "a"},
	{"q=a+b%20c", QUERY_FOUND, "a b c"},
	{"q=%C3%a9", QUERY_FOUND, "\xc3\xa9"},
	{"q=a=b", QUERY_FOUND, "a=b"},
	{"q=%26", QUERY_FOUND, "&"},
	{"q=%2B", QUERY_FOUND, "+"},
	{"&&q=a", QUERY_FOUND, "a"},
	{"", QUERY_ABSENT, NULL},
	{"q", QUERY_ABSENT, NULL},
	{"q=", QUERY_ABSENT, NULL},
	{"q=&q=a", QUERY_ABSENT, NULL},
	{"qq=a", QUERY_ABSENT, NULL},
	{"xq=a", QUERY_ABSENT, NULL},
	{"Q=a", QUERY_ABSENT, NULL},
	{"q=%", QUERY_MALFORMED, NULL},
	{"q=%4", QUERY_MALFORMED, NULL},
	{"q=%4&x=1", QUERY_MALFORMED, NULL},
	{"q=%zz", QUERY_MALFORMED, NULL},
	{"q=%4z", QUERY_MALFORMED, NULL},
	{"q=a%00b", QUERY_MALFORMED, NULL},
};

static enum query_result find(const char *query, char value[QUERY_VALUE_SIZE])
{
	char *copy = strdup(query);
	enum query_result result = query_find(copy, "q", value);

	free(copy);
	return result;
}

START_TEST(finds)
{
	const struct row *row = &rows[_i];
	char value[QUERY_VALUE_SIZE];

	ck_assert_int_eq(find(row->query, value), row->result);
	if (row->value != NULL)
		ck_assert_str_eq(value, row->value);
}
END_TEST

START_TEST(bounds)
{
	char query[QUERY_VALUE_SIZE + 3] = "q=";
	char value[QUERY_VALUE_SIZE];

	memset(query + 2, 'a', QUERY_VALUE_SIZE - 1);
	query[QUERY_VALUE_SIZE + 1] = '\0';
	ck_assert_int_eq(find(query, value), QUERY_FOUND);
	ck_assert_uint_eq(strlen(value), QUERY_VALUE_SIZE - 1);
	query[QUERY_VALUE_SIZE + 1] = 'a';
	query[QUERY_VALUE_SIZE + 2] = '\0';
	ck_assert_int_eq(find(query, value), QUERY_MALFORMED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_string");
	TCase *tcase = tcase_create("query_string");
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	tcase_add_loop_test(tcase, finds, 0, COUNT(rows));
	tcase_add_test(tcase, bounds);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
