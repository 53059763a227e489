/* Log records, whatever the values: one line, and in JSON an object that says the same. */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* What a call writes to standard error, in text, NUL-terminated. */
#define CAPTURE(text, call)                                                                                  \
	do {                                                                                                 \
		int ends[2];                                                                                 \
		const int kept = dup(STDERR_FILENO);                                                         \
		ck_assert(kept >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);                \
		call;                                                                                        \
		ck_assert(dup2(kept, STDERR_FILENO) >= 0);                                                   \
		close(ends[1]);                                                                              \
		const ssize_t len = read(ends[0], text, sizeof(text) - 1);                                   \
		ck_assert(len >= 0);                                                                         \
		(text)[len] = '\0';                                                                          \
		close(ends[0]);                                                                              \
		close(kept);                                                                                 \
	} while (0)

static const struct {
	const char *value;
	const char *logfmt;
	const char *said; /* by JSON */
} values[] = {
	{"plain", "plain", "plain"},
	{"", "\"\"", ""},
	{"two words", "\"two words\"", "two words"},
	{"\"}, {\"level\":\"error", "\"\\\"}, {\\\"level\\\":\\\"error\"", "\"}, {\"level\":\"error"},
	{"a\nlevel=error", "\"a\\x0alevel=error\"", "a\\x0alevel=error"},
	{"\\", "\"\\\\\"", "\\"},
	{"\\u0041\\", "\"\\\\u0041\\\\\"", "\\u0041\\"},
	{"\x1b[2J\x7f\x01", "\"\\x1b[2J\\x7f\\x01\"", "\\x1b[2J\\x7f\\x01"},
	{"\xc3\xa9\xff\xed\xa0\x80", "\"\\xc3\\xa9\\xff\\xed\\xa0\\x80\"", "\\xc3\\xa9\\xff\\xed\\xa0\\x80"},
	{"</script>'", "</script>'", "</script>'"},
};

START_TEST(logfmt)
{
	char text[4096];
	char end[512];

	CAPTURE(text, log_record(LOG_WARN, "as it is", LOG_PAIRS("id", values[_i].value, "none", NULL)));
	snprintf(end, sizeof end, "Z level=warn msg=\"as it is\" id=%s\n", values[_i].logfmt);
	ck_assert_str_eq(strstr(text, "Z level="), end);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(json)
{
	char text[4096];
	const char *at, *level, *msg, *id;

	log_configure(LOG_JSON, LOG_INFO);
	CAPTURE(text, log_record(LOG_ERROR, "as it is", LOG_PAIRS("id", values[_i].value, "none", NULL)));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	json_t *record = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_int_eq(json_unpack_ex(record, NULL, JSON_STRICT, "{s:s, s:s, s:s, s:s}", "time", &at,
				 "level", &level, "msg", &msg, "id", &id),
		0);
	ck_assert_str_eq(level, "error");
	ck_assert_str_eq(msg, "as it is");
	ck_assert_str_eq(id, values[_i].said);
	json_decref(record);
}
END_TEST

/* Every byte that there can be, and more than is kept of a value. */
START_TEST(json_of_all_bytes)
{
	char value[1024];
	char text[8192];

	for (size_t i = 0; i < sizeof value - 1; i++)
		value[i] = (char)(i % 255 + 1);
	value[sizeof value - 1] = '\0';
	log_configure(LOG_JSON, LOG_INFO);
	CAPTURE(text, log_record(LOG_ERROR, "all", LOG_PAIRS("id", value)));
	json_t *record = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(record);
	ck_assert_uint_gt(json_string_length(json_object_get(record, "id")), 512);
	json_decref(record);
}
END_TEST

START_TEST(level)
{
	char text[4096];

	log_configure(LOG_LOGFMT, LOG_WARN);
	ck_assert(log_wants(LOG_ERROR) && log_wants(LOG_WARN) && !log_wants(LOG_INFO));
	CAPTURE(text, log_record(LOG_INFO, "unwanted", NULL));
	ck_assert_str_eq(text, "");
	CAPTURE(text, log_record(LOG_WARN, "wanted", NULL));
	ck_assert_ptr_nonnull(strstr(text, " level=warn msg=wanted\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	const int count = (int)(sizeof values / sizeof values[0]);

	tcase_add_loop_test(tcase, logfmt, 0, count);
	tcase_add_loop_test(tcase, json, 0, count);
	tcase_add_test(tcase, json_of_all_bytes);
	tcase_add_test(tcase, level);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
