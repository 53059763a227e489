/* Times: every form that the contract names, and what is next to each.
 *
 * Every text is handed over as a copy of exactly its size, so that a sanitizer sees a read
 * beyond it. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/moment.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct row {
	const char *text;
	const char *utc; /* of those with a zone; "" otherwise */
	enum moment_kind kind;
};

#define UTC(text, utc)                                                                                       \
	{                                                                                                    \
		text, utc, MOMENT_UTC                                                                        \
	}
#define LOCAL(text)                                                                                          \
	{                                                                                                    \
		text, "", MOMENT_LOCAL                                                                       \
	}
#define INVALID(text)                                                                                        \
	{                                                                                                    \
		text, "", MOMENT_INVALID                                                                     \
	}

static const struct row rows[] = {
	/* Without zone. */
	LOCAL("2025-09-14 08:30:00"),
	LOCAL("2025-09-14T08:30:00"),
	LOCAL("2025-09-14 08:30:02.653"),
	LOCAL("2025-09-14T08:30:02.6"),
	LOCAL("2025-09-14T08:30:02.123456"),
	LOCAL("2025-12-31T23:59:59.999999"),
	LOCAL("2000-01-01T00:00:00"),
	LOCAL("2999-12-31T23:59:59.999999"),

	/* With zone. */
	UTC("2025-09-14T08:30:00Z", "2025-09-14 08:30:00.000000+00"),
	UTC("2025-09-14 08:30:00Z", "2025-09-14 08:30:00.000000+00"),
	UTC("2025-09-14T08:30:00.1Z", "2025-09-14 08:30:00.100000+00"),
	UTC("2025-09-14T08:30:00.12Z", "2025-09-14 08:30:00.120000+00"),
	UTC("2025-09-14T08:30:00.123Z", "2025-09-14 08:30:00.123000+00"),
	UTC("2025-09-14T08:30:00.1234Z", "2025-09-14 08:30:00.123400+00"),
	UTC("2025-09-14T08:30:00.12345Z", "2025-09-14 08:30:00.123450+00"),
	UTC("2025-09-14T08:30:00.123456Z", "2025-09-14 08:30:00.123456+00"),
	UTC("2025-09-14T08:30:00.000001Z", "2025-09-14 08:30:00.000001+00"),
	UTC("2025-09-14T08:30:00+00", "2025-09-14 08:30:00.000000+00"),
	UTC("2025-09-14T08:30:00-00:00", "2025-09-14 08:30:00.000000+00"),
	UTC("2025-09-14T08:30:00+08", "2025-09-14 00:30:00.000000+00"),
	UTC("2025-09-14T08:30:00+0800", "2025-09-14 00:30:00.000000+00"),
	UTC("2025-09-14T08:30:00+08:00", "2025-09-14 00:30:00.000000+00"),
	UTC("2025-09-14 08:30:00.746+08", "2025-09-14 00:30:00.746000+00"),
	UTC("2025-09-14T08:30:00-08", "2025-09-14 16:30:00.000000+00"),
	UTC("2025-09-14T08:30:00+0530", "2025-09-14 03:00:00.000000+00"),
	UTC("2025-09-14T08:30:00-0330", "2025-09-14 12:00:00.000000+00"),
	UTC("2025-09-14T08:30:00-00:30", "2025-09-14 09:00:00.000000+00"),
	UTC("2025-09-14T08:30:00+14:00", "2025-09-13 18:30:00.000000+00"),
	UTC("2025-09-14T08:30:00+23:59", "2025-09-13 08:31:00.000000+00"),
	UTC("2025-09-14T08:30:00-23:59", "2025-09-15 08:29:00.000000+00"),
	UTC("2024-03-01T00:00:00+01", "2024-02-29 23:00:00.000000+00"),
	UTC("2025-12-31T23:30:00-01", "2026-01-01 00:30:00.000000+00"),
	UTC("2000-01-01T00:00:00Z", "2000-01-01 00:00:00.000000+00"),
	UTC("2999-12-31T23:59:59.999999Z", "2999-12-31 23:59:59.999999+00"),
	UTC("2038-01-19T03:14:08Z", "2038-01-19 03:14:08.000000+00"),

	/* The year is that of the text. */
	UTC("2000-01-01T00:00:00+01", "1999-12-31 23:00:00.000000+00"),
	UTC("2999-12-31T23:59:59-01", "3000-01-01 00:59:59.000000+00"),
	INVALID("1999-12-31T23:59:59Z"),
	INVALID("1999-12-31T23:59:59-01"),
	INVALID("1999-12-31 23:59:59.999999"),
	INVALID("3000-01-01T00:00:00Z"),
	INVALID("3000-01-01T00:00:00+01"),
	INVALID("3000-01-01 00:00:00"),
	INVALID("0000-01-01T00:00:00Z"),
	INVALID("9999-01-01T00:00:00Z"),

	/* Days of the months. */
	LOCAL("2024-02-29 00:00:00"),
	LOCAL("2000-02-29 00:00:00"),
	LOCAL("2400-02-29 00:00:00"),
	LOCAL("2025-01-31 00:00:00"),
	LOCAL("2025-04-30 00:00:00"),
	LOCAL("2025-12-31 00:00:00"),
	INVALID("2023-02-29 00:00:00"),
	INVALID("2100-02-29 00:00:00"),
	INVALID("2024-02-30 00:00:00"),
	INVALID("2025-01-32 00:00:00"),
	INVALID("2025-04-31 00:00:00"),
	INVALID("2025-06-31 00:00:00"),
	INVALID("2025-09-31 00:00:00"),
	INVALID("2025-11-31 00:00:00"),
	INVALID("2025-00-10 00:00:00"),
	INVALID("2025-13-10 00:00:00"),
	INVALID("2025-01-00 00:00:00"),

	/* Hours, minutes and seconds; no leap second, and midnight only as 00:00. */
	LOCAL("2025-01-01 23:59:59"),
	INVALID("2025-01-01 24:00:00"),
	INVALID("2025-01-01 23:60:00"),
	INVALID("2025-01-01 23:59:60"),
	INVALID("2016-12-31T23:59:60Z"),
	INVALID("2025-01-01 -1:00:00"),
	INVALID("2025-01-01 00:00:-1"),

	/* Shapes. */
	INVALID(""),
	INVALID(" "),
	INVALID("now"),
	INVALID("today"),
	INVALID("infinity"),
	INVALID("epoch"),
	INVALID("2025-09-14"),
	INVALID("2025-09-14 08:30"),
	INVALID("2025-09-14 08:30Z"),
	INVALID("08:30:00"),
	INVALID("2025-9-14 08:30:00"),
	INVALID("2025-09-14 8:30:00"),
	INVALID("25-09-14 08:30:00"),
	INVALID("02025-09-14 08:30:00"),
	INVALID("+2025-09-14 08:30:00"),
	INVALID("-2025-09-14 08:30:00"),
	INVALID("2025/09/14 08:30:00"),
	INVALID("2025-09-14 08.30.00"),
	INVALID("20250914T083000Z"),
	INVALID("2025-09-14t08:30:00Z"),
	INVALID("2025-09-14T08:30:00z"),
	INVALID("2025-09-14_08:30:00"),
	INVALID("2025-09-14  08:30:00"),
	INVALID("2025-09-14T 08:30:00"),
	INVALID(" 2025-09-14 08:30:00"),
	INVALID("2025-09-14 08:30:00 "),
	INVALID("2025-09-14 08:30:00\n"),
	INVALID("2025-09-14T08:30:00.Z"),
	INVALID("2025-09-14T08:30:00."),
	INVALID("2025-09-14T08:30:00,5Z"),
	INVALID("2025-09-14T08:30:00.1234567"),
	INVALID("2025-09-14T08:30:00.0000000Z"),
	INVALID("2025-09-14T08:30:00.12 3"),
	INVALID("2025-09-14T08:30:00.1.2"),
	INVALID("2025-09-14 08:30:00 Z"),
	INVALID("2025-09-14 08:30:00 UTC"),
	INVALID("2025-09-14 08:30:00 +08"),
	INVALID("2025-09-14T08:30:00GMT"),
	INVALID("2025-09-14T08:30:00Z+08"),
	INVALID("2025-09-14T08:30:00ZZ"),
	INVALID("2025-09-14T08:30:00+"),
	INVALID("2025-09-14T08:30:00+8"),
	INVALID("2025-09-14T08:30:00+080"),
	INVALID("2025-09-14T08:30:00+08:"),
	INVALID("2025-09-14T08:30:00+08:0"),
	INVALID("2025-09-14T08:30:00+8:00"),
	INVALID("2025-09-14T08:30:00+08:000"),
	INVALID("2025-09-14T08:30:00+08000"),
	INVALID("2025-09-14T08:30:00+08.00"),
	INVALID("2025-09-14T08:30:00+08:00:00"),
	INVALID("2025-09-14T08:30:00+08Z"),
	INVALID("2025-09-14T08:30:00++8"),
	INVALID("2025-09-14T08:30:00+-8"),
	INVALID("2025-09-14T08:30:00+24"),
	INVALID("2025-09-14T08:30:00+24:00"),
	INVALID("2025-09-14T08:30:00+08:60"),
	INVALID("2025-09-14T08:30:00-99:99"),
	INVALID("2025-09-14T08:30:00\xe2\x88\x92"
		"08"), /* MINUS SIGN */
	INVALID("\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa5-09-14 08:30:00"),
	INVALID("2025-09-14T08:30:00.000000+08:00+08:00"),
	INVALID("Sun, 14 Sep 2025 08:30:00 GMT"),

	/* Unix seconds. */
	UTC("946684800", "2000-01-01 00:00:00.000000+00"),
	UTC("1757666484", "2025-09-12 08:41:24.000000+00"),
	UTC("2147483648", "2038-01-19 03:14:08.000000+00"),
	UTC("4294967296", "2106-02-07 06:28:16.000000+00"),
	UTC("32503679999", "2999-12-31 23:59:59.000000+00"),
	INVALID("946684799"),
	INVALID("32503680000"),
	INVALID("99999999999"), /* still seconds: the year 5138 */
	INVALID("0"),
	INVALID("1"),

	/* Milliseconds. */
	UTC("946684800000", "2000-01-01 00:00:00.000000+00"),
	UTC("1757666484746", "2025-09-12 08:41:24.746000+00"),
	UTC("1757666484001", "2025-09-12 08:41:24.001000+00"),
	UTC("32503679999999", "2999-12-31 23:59:59.999000+00"),
	INVALID("100000000000"), /* 1973 */
	INVALID("946684799999"),
	INVALID("32503680000000"),

	/* Microseconds and beyond are no form. */
	INVALID("1757666484746000"),
	INVALID("1757666484746000000"),
	INVALID("9223372036854775807"),
	INVALID("9223372036854775808"),
	INVALID("18446744073709551616"),
	INVALID("18446744075467218100"), /* 1757666484 + 2^64 */
	INVALID("99999999999999999999999999999999999999999999"),

	/* Not the digits of an integer. */
	INVALID("-1757666484"),
	INVALID("-0"),
	INVALID("+1757666484"),
	INVALID("01757666484"),
	INVALID("00000000001757666484"),
	INVALID("1757666484.5"),
	INVALID("1757666484.0"),
	INVALID("1757666484e0"),
	INVALID("1.757666484e9"),
	INVALID("0x68C3DC34"),
	INVALID("1757666484 "),
	INVALID(" 1757666484"),
	INVALID("1757666484Z"),
	INVALID("1,757,666,484"),
};

static enum moment_kind parse(const char *text, size_t len, char out[MOMENT_SIZE])
{
	char *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	memset(out, 'x', MOMENT_SIZE);
	enum moment_kind kind = moment_parse(copy, len, out);
	free(copy);
	return kind;
}

START_TEST(one_row)
{
	const struct row *row = &rows[_i];
	char out[MOMENT_SIZE];
	enum moment_kind kind = parse(row->text, strlen(row->text), out);

	ck_assert_msg(kind == row->kind, "\"%s\": %d, not %d", row->text, (int)row->kind, (int)kind);
	if (kind == MOMENT_UTC)
		ck_assert_msg(strcmp(out, row->utc) == 0, "\"%s\" is %s, not %s", row->text, row->utc, out);
	if (kind == MOMENT_LOCAL)
		ck_assert_msg(out[0] == '\0', "\"%s\" has no zone, but is %.31s", row->text, out);
}
END_TEST

/* What a prefix of a time is, up to each of its lengths. */
START_TEST(every_prefix)
{
	static const char text[] = "2025-09-14T08:30:00.123456+08:00";
	char out[MOMENT_SIZE];

	for (size_t len = 0; len < sizeof text; len++) {
		enum moment_kind wanted = MOMENT_INVALID;

		if (len == 19 || (len >= 21 && len <= 26))
			wanted = MOMENT_LOCAL;
		else if (len == 29 || len == 32)
			wanted = MOMENT_UTC;
		ck_assert_msg(parse(text, len, out) == wanted, "the first %zu bytes of %s", len, text);
	}
}
END_TEST

START_TEST(nul_is_no_end)
{
	static const char text[] = "2025-09-14T08:30:00Z\0";
	static const char digits[] = "1757666484\0";
	static const char within[] = "2025-09-14T08:30\0"
				     "00Z";
	char out[MOMENT_SIZE];

	ck_assert_int_eq(parse(text, sizeof text - 1, out), MOMENT_INVALID);
	ck_assert_int_eq(parse(digits, sizeof digits - 1, out), MOMENT_INVALID);
	ck_assert_int_eq(parse(within, sizeof within - 1, out), MOMENT_INVALID);
}
END_TEST

START_TEST(printed)
{
	char out[MOMENT_SIZE];

	moment_print(INT64_C(1757842163000042), out);
	ck_assert_str_eq(out, "2025-09-14T09:29:23.000042Z");
	moment_print(0, out);
	ck_assert_str_eq(out, "1970-01-01T00:00:00.000000Z");
}
END_TEST

static void check_read(const char *text, bool is_end, const char *wanted)
{
	char out[MOMENT_SIZE];
	const bool read = moment_read(text, strlen(text), is_end, out);

	ck_assert_msg(read == (wanted != NULL), "\"%s\" is read: %d", text, read);
	if (wanted != NULL)
		ck_assert_str_eq(out, wanted);
}

START_TEST(read_from_people)
{
	check_read("2025-09-14", false, "2025-09-14 00:00:00.000000+00");
	check_read("2025-09-14", true, "2025-09-14 24:00:00.000000+00");
	check_read("2025-09-14T08:30:00", true, "2025-09-14 08:30:00.000000+00");
	check_read("2025-09-14 08:30:00.5", false, "2025-09-14 08:30:00.500000+00");
	check_read("2025-09-14T08:30:00+02", true, "2025-09-14 06:30:00.000000+00");
	check_read("1757666484", true, "2025-09-12 08:41:24.000000+00");
	check_read("2025-02-29", false, NULL);
	check_read("2025-9-14", false, NULL);
	check_read("2025/09/14", false, NULL);
	check_read("14.09.2025", false, NULL);
	check_read("", false, NULL);
}
END_TEST

static Suite *moment_suite(void)
{
	Suite *suite = suite_create("moment");
	TCase *tcase = tcase_create("tables");

	tcase_add_loop_test(tcase, one_row, 0, (int)COUNT(rows));
	tcase_add_test(tcase, every_prefix);
	tcase_add_test(tcase, nul_is_no_end);
	tcase_add_test(tcase, printed);
	tcase_add_test(tcase, read_from_people);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	/* A time with zone means the same wherever the responder runs. */
	setenv("TZ", "Asia/Kathmandu", 1);
	SRunner *runner = srunner_create(moment_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
