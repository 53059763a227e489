/* Log records, whatever the values: one line, and in JSON an object that says the same. */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/metrics.h"

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

/* A pipe in the place of standard error that holds one page. Returns the end to read from. */
static int become_pipe(void)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	return ends[0];
}

static void put_numbered(int number)
{
	char text[16];

	snprintf(text, sizeof text, "%d", number);
	log_record(LOG_INFO, "one of many", LOG_PAIRS("number", text));
}

/* Reads what comes up to the record that says it is the last. The caller frees it. */
static char *read_to(int fd, const char *last)
{
	char *text = calloc(1, 1);
	size_t len = 0;

	while (strstr(text, last) == NULL) {
		struct pollfd polled = {.fd = fd, .events = POLLIN};

		ck_assert_int_eq(poll(&polled, 1, 10000), 1);
		text = realloc(text, len + 4097);
		const ssize_t got = read(fd, text + len, 4096);
		ck_assert_int_gt(got, 0);
		len += (size_t)got;
		text[len] = '\0';
	}
	return text;
}

/* Each record that was not dropped is there, whole and in order; between them it says how many were. */
START_TEST(reader_that_stops)
{
	const int fd = become_pipe();
	char dropped[64];
	int number = 0;
	int expected = 0;

	ck_assert_int_eq(log_start(), 0);
	while (metrics_counter(METRICS_LOG_DROPPED) < 10)
		put_numbered(number++);
	snprintf(dropped, sizeof dropped, "msg=\"log records were dropped\" total=10\n");
	char *text = read_to(fd, dropped);
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		const char *at = strstr(line, " number=");

		ck_assert_int_eq(strncmp(line, "time=", 5), 0);
		if (at == NULL)
			ck_assert_ptr_nonnull(strstr(line, " total=10"));
		else
			ck_assert_int_eq(atoi(at + strlen(" number=")), expected++);
	}
	ck_assert_int_eq(expected, number - 10);
	free(text);
	log_record(LOG_INFO, "goes on", NULL);
	free(read_to(fd, "msg=\"goes on\""));
	log_stop();
	ck_assert_uint_eq(metrics_counter(METRICS_LOG_DROPPED), 10);
}
END_TEST

/* Neither before its thread nor at the end is a full pipe waited for for long. */
START_TEST(full_pipe)
{
	const int fd = become_pipe();
	char page[4096];

	memset(page, '\n', sizeof page);
	ck_assert_int_eq(write(STDERR_FILENO, page, sizeof page), sizeof page);
	put_numbered(1);
	ck_assert_int_eq(log_start(), 0);
	put_numbered(2);
	log_stop();
	char *text = read_to(fd, " number=2\n");
	ck_assert_ptr_nonnull(strstr(text, " number=1\n"));
	free(text);
}
END_TEST

/* What nobody can read is counted once, and nothing turns in circles. */
START_TEST(reader_that_is_gone)
{
	close(become_pipe());
	signal(SIGPIPE, SIG_IGN);
	put_numbered(0);
	ck_assert_uint_eq(metrics_counter(METRICS_LOG_DROPPED), 1);
	ck_assert_int_eq(log_start(), 0);
	for (int i = 1; i < 10; i++)
		put_numbered(i);
	log_stop();
	ck_assert_uint_eq(metrics_counter(METRICS_LOG_DROPPED), 10);
	const int fd = become_pipe();
	log_complaint("test", "the end");
	free(read_to(fd, "test: the end\n"));
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
	tcase_add_test(tcase, reader_that_stops);
	tcase_add_test(tcase, full_pipe);
	tcase_add_test(tcase, reader_that_is_gone);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
