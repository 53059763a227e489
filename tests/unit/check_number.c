/* Numbers: grammar, ranges and amounts, by RFC 8259 and the bounds of the contract.
 *
 * Every text is handed over as a copy of exactly its size, so that a sanitizer sees a read
 * beyond it. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/event/number.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct check_row {
	const char *text;
	enum number_check result;
};

static const struct check_row check_rows[] = {
	{"0", NUMBER_OK},
	{"-0", NUMBER_OK},
	{"7", NUMBER_OK},
	{"-7", NUMBER_OK},
	{"10", NUMBER_OK},
	{"397.1632", NUMBER_OK},
	{"0.5", NUMBER_OK},
	{"0.000", NUMBER_OK},
	{"1e0", NUMBER_OK},
	{"1E5", NUMBER_OK},
	{"1e+5", NUMBER_OK},
	{"1e-5", NUMBER_OK},
	{"1e05", NUMBER_OK},
	{"0e0", NUMBER_OK},
	{"-1.5E-3", NUMBER_OK},
	{"18446744073709551616", NUMBER_OK},
	{"123456789012345678901234567890", NUMBER_OK},

	{"", NUMBER_MALFORMED},
	{"-", NUMBER_MALFORMED},
	{"+", NUMBER_MALFORMED},
	{"+1", NUMBER_MALFORMED},
	{"--1", NUMBER_MALFORMED},
	{"-+1", NUMBER_MALFORMED},
	{"01", NUMBER_MALFORMED},
	{"00", NUMBER_MALFORMED},
	{"-01", NUMBER_MALFORMED},
	{"1.", NUMBER_MALFORMED},
	{"-1.", NUMBER_MALFORMED},
	{".5", NUMBER_MALFORMED},
	{"-.5", NUMBER_MALFORMED},
	{".", NUMBER_MALFORMED},
	{"1..5", NUMBER_MALFORMED},
	{"1.5.5", NUMBER_MALFORMED},
	{"1.e5", NUMBER_MALFORMED},
	{"1e", NUMBER_MALFORMED},
	{"1e+", NUMBER_MALFORMED},
	{"1e-", NUMBER_MALFORMED},
	{"1e5.5", NUMBER_MALFORMED},
	{"1e5e5", NUMBER_MALFORMED},
	{"1e+-5", NUMBER_MALFORMED},
	{"e5", NUMBER_MALFORMED},
	{"0x1", NUMBER_MALFORMED},
	{"1f", NUMBER_MALFORMED},
	{"1L", NUMBER_MALFORMED},
	{"1_000", NUMBER_MALFORMED},
	{"1,5", NUMBER_MALFORMED},
	{"1 000", NUMBER_MALFORMED},
	{" 1", NUMBER_MALFORMED},
	{"1 ", NUMBER_MALFORMED},
	{"1\n", NUMBER_MALFORMED},
	{"NaN", NUMBER_MALFORMED},
	{"nan", NUMBER_MALFORMED},
	{"Infinity", NUMBER_MALFORMED},
	{"-Infinity", NUMBER_MALFORMED},
	{"inf", NUMBER_MALFORMED},
	{"\xd9\xa1", NUMBER_MALFORMED}, /* ARABIC-INDIC DIGIT ONE */

	{"1e308", NUMBER_OK},
	{"-1e308", NUMBER_OK},
	{"1.7976931348623157e308", NUMBER_OK},
	{"0.17976931348623157e309", NUMBER_OK},
	{"1.7976931348623159e308", NUMBER_OUT_OF_RANGE},
	{"1e309", NUMBER_OUT_OF_RANGE},
	{"1e400", NUMBER_OUT_OF_RANGE},
	{"-1e400", NUMBER_OUT_OF_RANGE},
	{"1e99999999999999999999", NUMBER_OUT_OF_RANGE},
	{"1e2147483648", NUMBER_OUT_OF_RANGE},
	{"1e18446744073709551617", NUMBER_OUT_OF_RANGE},
	/* Subnormal, yet no zero. */
	{"1e-310", NUMBER_OK},
	{"-1e-310", NUMBER_OK},
	{"5e-324", NUMBER_OK},
	{"1e-324", NUMBER_OUT_OF_RANGE},
	{"1e-400", NUMBER_OUT_OF_RANGE},
	{"-1e-400", NUMBER_OUT_OF_RANGE},
	{"0.1e-400", NUMBER_OUT_OF_RANGE},
	{"1e-99999999999999999999", NUMBER_OUT_OF_RANGE},
	{"1e-18446744073709551617", NUMBER_OUT_OF_RANGE},
	/* Zero is in range, whatever is written behind it. */
	{"0e99999", NUMBER_OK},
	{"0e-99999", NUMBER_OK},
	{"-0.000e99999", NUMBER_OK},
	{"0e99999999999999999999", NUMBER_OK},
};

struct amount_row {
	const char *text;
	const char *amount; /* NULL: no amount */
};

static const struct amount_row amount_rows[] = {
	{"0", "0"},
	{"-0", "0"},
	{"0.0", "0"},
	{"-0.000000000", "0"},
	{"0e99999", "0"},
	{"0.000e-99999", "0"},
	{"1", "1"},
	{"10", "10"},
	{"10.0", "10"},
	{"100", "100"},
	{"397.16", "397.16"},
	{"397.1632", "397.1632"},
	{"12210", "12210"},
	{"0.1", "0.1"},
	{"0.10", "0.1"},
	{"0.000001", "0.000001"},
	{"0.0000010", "0.000001"},
	{"1.0000000", "1"},
	{"1.00000000000000000000", "1"},
	{"1.2345670000", "1.234567"},
	{"1e2", "100"},
	{"1E+2", "100"},
	{"1e-6", "0.000001"},
	{"10e-7", "0.000001"},
	{"0.1e-5", "0.000001"},
	{"0.00000001e2", "0.000001"},
	{"123.456e3", "123456"},
	{"123.456e-3", "0.123456"},
	{"1.5e1", "15"},
	{"1e14", "100000000000000"},
	{"0.1e15", "100000000000000"},
	{"9007199254740993", NULL},
	{"900719925474099.3", "900719925474099.3"},
	{"999999999999999", "999999999999999"},
	{"999999999999999.999999", "999999999999999.999999"},
	{"999999999999999.9999990", "999999999999999.999999"},
	{"999999999999999999999e-6", "999999999999999.999999"},
	{"9.99999999999999999999e14", "999999999999999.999999"},

	{"1e15", NULL},
	{"10e14", NULL},
	{"1000000000000000", NULL},
	{"1000000000000000.0", NULL},
	{"999999999999999.9999999", NULL},
	{"1e308", NULL},
	{"1e-7", NULL},
	{"0.1e-6", NULL},
	{"0.0000001", NULL},
	{"0.0000011", NULL},
	{"1.0000001", NULL},
	{"1e-310", NULL},
	{"-1", NULL},
	{"-0.000001", NULL},
	{"-1e-7", NULL},
};

struct value_row {
	const char *text;
	const char *integer;   /* NULL: none */
	const char *canonical; /* "0" of zero alone */
};

static const struct value_row value_rows[] = {
	{"0", "0", "0"},
	{"-0", "0", "0"},
	{"0.0", "0", "0"},
	{"0e0", "0", "0"},
	{"-0.00E-7", "0", "0"},
	{"0e99999", "0", "0"},
	{"0e-99999999999999999999", "0", "0"},
	{"5", "5", "5e1"},
	{"-5", "-5", "-5e1"},
	{"123", "123", "123e3"},
	{"123.0", "123", "123e3"},
	{"1.23e2", "123", "123e3"},
	{"12300E-2", "123", "123e3"},
	{"1e3", "1000", "1e4"},
	{"1E+3", "1000", "1e4"},
	{"1.0", "1", "1e1"},
	{"-1.0", "-1", "-1e1"},
	{"0.001e3", "1", "1e1"},
	{"100000000000000000000000000000", "100000000000000000000000000000", "1e30"},
	{"18446744073709551616", "18446744073709551616", "18446744073709551616e20"},
	{"9007199254740993.000", "9007199254740993", "9007199254740993e16"},
	{"0.1", NULL, "1e0"},
	{"1.5", NULL, "15e1"},
	{"-12.50", NULL, "-125e2"},
	{"0.00120", NULL, "12e-2"},
	{"1e-310", NULL, "1e-309"},
	{"123e-1", NULL, "123e2"},
};

/* The bytes of a text without its NUL, in memory of their own; free() is the caller's. */
static char *exactly(const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	return copy;
}

static enum number_check check(const char *text, size_t len)
{
	char *copy = exactly(text, len);
	enum number_check result = number_check(copy, len);

	free(copy);
	return result;
}

/* Checks what number_amount() makes of a text; NULL for amount: that it refuses. */
static void check_amount(const char *text, size_t len, const char *amount)
{
	char out[AMOUNT_SIZE];
	char *copy = exactly(text, len);
	const char *wrong = number_amount(copy, len, out);

	free(copy);
	if (amount == NULL) {
		ck_assert_msg(wrong != NULL, "%.40s is no amount, but became %s", text, out);
		return;
	}
	ck_assert_msg(wrong == NULL, "%.40s is an amount, but: %s", text, wrong);
	ck_assert_msg(strcmp(out, amount) == 0, "%.40s is %s, not %s", text, amount, out);
}

START_TEST(check_row)
{
	const struct check_row *row = &check_rows[_i];
	enum number_check result = check(row->text, strlen(row->text));

	ck_assert_msg(result == row->result, "\"%s\": %d, not %d", row->text, (int)row->result, (int)result);
}
END_TEST

START_TEST(amount_row)
{
	const struct amount_row *row = &amount_rows[_i];

	ck_assert_int_eq(check(row->text, strlen(row->text)), NUMBER_OK);
	check_amount(row->text, strlen(row->text), row->amount);
}
END_TEST

START_TEST(value_row)
{
	const struct value_row *row = &value_rows[_i];
	size_t len = strlen(row->text);
	char *copy = exactly(row->text, len);
	char integer[INTEGER_SIZE] = "";
	char canonical[NUMBER_CANONICAL_SIZE];

	ck_assert_uint_eq(
		number_integer(copy, len, integer), row->integer == NULL ? 0 : strlen(row->integer));
	ck_assert_str_eq(integer, row->integer == NULL ? "" : row->integer);
	ck_assert_uint_eq(number_canonical(copy, len, canonical), strlen(row->canonical));
	ck_assert_str_eq(canonical, row->canonical);
	ck_assert_msg(number_is_zero(copy, len) == (strcmp(row->canonical, "0") == 0), "%s: zero", row->text);
	free(copy);
}
END_TEST

/* A text of prefix, count times the digit, and suffix, in a buffer that is large enough. */
static const char *build(const char *prefix, char digit, size_t count, const char *suffix)
{
	static char text[4096];
	size_t len = strlen(prefix);

	ck_assert_uint_lt(len + count + strlen(suffix), sizeof text);
	memcpy(text, prefix, len);
	memset(text + len, digit, count);
	memcpy(text + len + count, suffix, strlen(suffix) + 1);
	return text;
}

struct long_row {
	const char *prefix;
	char digit;
	size_t count;
	const char *suffix;
	enum number_check result;
	const char *amount; /* of those that are NUMBER_OK */
};

static const struct long_row long_rows[] = {
	/* 1000 digits in all: before the point, behind it, and of the exponent. */
	{"", '0', 1, "", NUMBER_OK, "0"},
	{"0.", '0', 999, "", NUMBER_OK, "0"},
	{"0.", '0', 1000, "", NUMBER_LONG, NULL},
	{"-0.", '0', 999, "", NUMBER_OK, "0"},
	{"1.", '0', 999, "", NUMBER_OK, "1"},
	{"1.", '0', 1000, "", NUMBER_LONG, NULL},
	{"1.", '0', 997, "e1", NUMBER_OK, "10"},
	{"1.", '0', 997, "e+01", NUMBER_OK, "10"},
	{"1.", '0', 998, "e+01", NUMBER_LONG, NULL},
	{"0.", '3', 999, "", NUMBER_OK, NULL},
	{"0e", '9', 999, "", NUMBER_OK, "0"},
	{"0e-", '9', 999, "", NUMBER_OK, "0"},
	{"0e", '9', 1000, "", NUMBER_LONG, NULL},
	{"1e", '0', 998, "2", NUMBER_OK, "100"},
	{"1e", '0', 999, "2", NUMBER_LONG, NULL},
	{"1e-", '0', 998, "6", NUMBER_OK, "0.000001"},
	{"1e", '9', 999, "", NUMBER_OUT_OF_RANGE, NULL},
	{"1e-", '9', 999, "", NUMBER_OUT_OF_RANGE, NULL},
	/* Digits that an exponent takes back. */
	{"1", '0', 900, "e-900", NUMBER_OK, "1"},
	{"1", '0', 900, "e-906", NUMBER_OK, "0.000001"},
	{"1", '0', 900, "e-907", NUMBER_OK, NULL},
	{"0.", '0', 900, "1e901", NUMBER_OK, "1"},
	{"0.", '0', 900, "1e915", NUMBER_OK, "100000000000000"},
	{"0.", '0', 900, "1e916", NUMBER_OK, NULL},
	/* 309 digits are the most that a double can hold. */
	{"", '1', 309, "", NUMBER_OK, NULL},
	{"", '2', 309, "", NUMBER_OUT_OF_RANGE, NULL},
	{"", '1', 310, "", NUMBER_OUT_OF_RANGE, NULL},
	{"", '9', 1000, "", NUMBER_OUT_OF_RANGE, NULL},
	{"", '9', 1001, "", NUMBER_LONG, NULL},
	{"-", '9', 1001, "", NUMBER_LONG, NULL},
	{"0.", '0', 400, "1", NUMBER_OUT_OF_RANGE, NULL},
	{"", '0', 2000, "", NUMBER_MALFORMED, NULL},
};

START_TEST(long_row)
{
	const struct long_row *row = &long_rows[_i];
	const char *text = build(row->prefix, row->digit, row->count, row->suffix);
	enum number_check result = check(text, strlen(text));

	ck_assert_msg(result == row->result, "%s%zu times %c%s: %d, not %d", row->prefix, row->count,
		row->digit, row->suffix, (int)row->result, (int)result);
	if (result == NUMBER_OK)
		check_amount(text, strlen(text), row->amount);
}
END_TEST

/* An id has room for 255 characters, the sign among them. */
START_TEST(long_integers)
{
	char out[INTEGER_SIZE] = "";

	ck_assert_uint_eq(number_integer("1e254", 5, out), 255);
	ck_assert_uint_eq(strlen(out), 255);
	ck_assert_uint_eq(strspn(out + 1, "0"), 254);
	out[0] = '\0';
	ck_assert_uint_eq(number_integer("1e255", 5, out), 256);
	ck_assert_uint_eq(number_integer("-1e254", 6, out), 256);
	ck_assert_uint_eq(number_integer("1e308", 5, out), 309);
	ck_assert_str_eq(out, "");
	ck_assert_uint_eq(number_integer("-1e253", 6, out), 255);
}
END_TEST

/* The text may be a part of a longer one, and may hold any byte. */
START_TEST(the_length_counts)
{
	ck_assert_int_eq(number_check("123abc", 3), NUMBER_OK);
	ck_assert_int_eq(number_check("1e400", 4), NUMBER_OK);
	ck_assert_int_eq(number_check("12\0"
				      "3",
				 4),
		NUMBER_MALFORMED);
	ck_assert_int_eq(number_check("12\0", 3), NUMBER_MALFORMED);
	check_amount("12.345", 4, "12.3");
	ck_assert(number_is_zero("0.01", 3));
}
END_TEST

static Suite *number_suite(void)
{
	Suite *suite = suite_create("number");
	TCase *tcase = tcase_create("tables");

	tcase_add_loop_test(tcase, check_row, 0, (int)COUNT(check_rows));
	tcase_add_loop_test(tcase, amount_row, 0, (int)COUNT(amount_rows));
	tcase_add_loop_test(tcase, value_row, 0, (int)COUNT(value_rows));
	tcase_add_test(tcase, long_integers);
	tcase_add_loop_test(tcase, long_row, 0, (int)COUNT(long_rows));
	tcase_add_test(tcase, the_length_counts);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(number_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
