/* What is JSON and what is not, by the rows of tests/conformance/json.txt, which says how to
 * read them. Each row is a test. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "fcgi/event/json_text.h"
#include "fcgi/event/json_write.h"

#define MAX_ROWS 1000

struct row {
	char *line; /* owns what the others point to */
	char *verdict;
	char *name;
	struct buffer text;
};

static struct row rows[MAX_ROWS];
static size_t row_count;

/* What json_text_load() says of a body that gets this verdict. */
static const struct {
	const char *verdict;
	const char *error; /* up to " at byte" */
} meanings[] = {
	{"object", "must be a JSON object"},
	{"syntax", "not JSON"},
	{"syntax", "ends too early"},
	{"syntax", "something follows the JSON object"},
	{"syntax", "malformed number"},
	{"syntax", "a key is no string"},
	{"utf8", "invalid UTF-8"},
	{"range", "number out of range"},
	{"digits", "number of more than 1000 digits"},
	{"depth", "nested deeper than 64 levels"},
	{"duplicate", "duplicate key"},
};

static void give_up(const char *what, const char *line)
{
	fprintf(stderr, "json.txt: %s: %s\n", what, line);
	exit(EXIT_FAILURE);
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c == '\0' ? NULL : strchr(digits, c);

	return found == NULL ? -1 : (int)(found - digits);
}

/* Appends the bytes that stand behind a bracket; returns what is behind them. */
static const char *decode_bytes(const char *at, struct buffer *out)
{
	const char *begin = at;
	struct buffer bytes;
	long times = 1;

	buffer_init(&bytes);
	if (memchr(at, '*', strcspn(at, ">")) != NULL) {
		char *end;

		times = strtol(at, &end, 10);
		at = end + 1;
	}
	for (; hex_value(at[0]) >= 0 && hex_value(at[1]) >= 0; at += 2) {
		char byte = (char)(hex_value(at[0]) * 16 + hex_value(at[1]));

		buffer_put(&bytes, &byte, 1);
	}
	if (*at != '>' || bytes.len == 0 || times < 1)
		give_up("no bytes", begin);
	for (; times > 0; times--)
		buffer_put(out, bytes.data, bytes.len);
	buffer_done(&bytes);
	return at + 1;
}

static void decode(const char *at, struct buffer *out)
{
	buffer_init(out);
	while (*at != '\0') {
		size_t plain = strcspn(at, "<");

		buffer_put(out, at, plain);
		at += plain;
		if (*at == '<')
			at = decode_bytes(at + 1, out);
	}
	if (buffer_failed(out))
		give_up("no memory", "");
}

static void add_row(const char *line)
{
	if (row_count == MAX_ROWS)
		give_up("too many rows", line);
	struct row *row = &rows[row_count++];
	char *rest = row->line = strdup(line);

	row->verdict = strsep(&rest, "\t");
	row->name = strsep(&rest, "\t");
	const char *text = strsep(&rest, "\t");
	if (text == NULL)
		give_up("no row", line);
	decode(text, &row->text);
}

static void read_rows(void)
{
	const char *source = getenv("BAGELHOOK_SOURCE");
	char path[1024];
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	snprintf(path, sizeof path, "%s/tests/conformance/json.txt", source == NULL ? "." : source);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		give_up("cannot be read", path);
	while ((len = getline(&line, &size, file)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0' && line[0] != '#')
			add_row(line);
	}
	free(line);
	fclose(file);
}

static void free_rows(void)
{
	for (size_t i = 0; i < row_count; i++) {
		free(rows[i].line);
		buffer_done(&rows[i].text);
	}
}

/* Loads a copy of exactly the text's size, so that a sanitizer sees a read beyond it. It lives until the next
 * call. */
static enum json_text_result load(const struct buffer *text, struct json_text *json)
{
	static unsigned char *copy;

	free(copy);
	copy = malloc(text->len > 0 ? text->len : 1);
	ck_assert_ptr_nonnull(copy);
	if (text->len > 0)
		memcpy(copy, text->data, text->len);
	return json_text_load(copy, text->len, json);
}

/* Whether one of the verdicts, which a slash separates, is this one. */
static bool is_among(const char *verdicts, const char *verdict)
{
	size_t len = strlen(verdict);

	for (const char *at = verdicts; at != NULL; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, verdict, len) == 0 && (at[len] == '\0' || at[len] == '/'))
			return true;
	}
	return false;
}

static bool means(const char *error, const char *verdicts)
{
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
		size_t len = strlen(meanings[i].error);

		if (is_among(verdicts, meanings[i].verdict) && strncmp(error, meanings[i].error, len) == 0
			&& (error[len] == '\0' || strncmp(error + len, " at byte ", 9) == 0))
			return true;
	}
	return false;
}

/* What was read is written so that it is read the same. */
static void check_written(const struct row *row, const json_t *tree)
{
	struct json_text again;
	struct buffer first;
	struct buffer second;

	buffer_init(&first);
	buffer_init(&second);
	json_write(tree, JSON_WRITE_OWN_DIGITS, &first);
	json_text_done();
	ck_assert_msg(load(&first, &again) == JSON_TEXT_OK, "%s: written as %s: %s", row->name, first.data,
		again.error);
	ck_assert(!again.nul_replaced && !again.surrogate_replaced);
	json_write(again.tree, JSON_WRITE_OWN_DIGITS, &second);
	json_text_done();
	ck_assert_str_eq(first.data, second.data);
	buffer_done(&first);
	buffer_done(&second);
}

START_TEST(row_gets_its_verdict)
{
	const struct row *row = &rows[_i];
	struct json_text json;
	enum json_text_result result = load(&row->text, &json);
	const bool nul = strcmp(row->verdict, "nul") == 0;
	const bool surrogate = strcmp(row->verdict, "surrogate") == 0;

	if (nul || surrogate || strcmp(row->verdict, "ok") == 0) {
		ck_assert_msg(result == JSON_TEXT_OK, "%s: should be read: %s", row->name, json.error);
		ck_assert_msg(json.nul_replaced == nul, "%s: nul", row->name);
		ck_assert_msg(json.surrogate_replaced == surrogate, "%s: surrogate", row->name);
		check_written(row, json.tree);
		return;
	}
	ck_assert_msg(result == JSON_TEXT_INVALID, "%s: should be %s, and is read", row->name, row->verdict);
	ck_assert_ptr_null(json.tree);
	ck_assert_msg(means(json.error, row->verdict), "%s: should be %s, and is: %s", row->name,
		row->verdict, json.error);
}
END_TEST

/* What U+0000, lone surrogates and U+FFFD become, and in which order keys are written. */
START_TEST(replacements)
{
	static const struct {
		const char *body;
		const char *written; /* ~ is U+FFFD */
		bool all;            /* no key was left out */
	} cases[] = {
		{"{\"a\":\"\\u0000\"}", "{\"a\":\"~\"}", true},
		{"{\"a\":\"\\u00001\"}", "{\"a\":\"~1\"}", true},
		{"{\"a\":\"\\\\\\u0000b\"}", "{\"a\":\"\\\\~b\"}", true},
		{"{\"a\":\"\\\\u0000\"}", "{\"a\":\"\\\\u0000\"}", true},
		{"{\"a\":\"\\ud800\\u0041\\uDC00 \"}", "{\"a\":\"~A~ \"}", true},
		{"{\"a\":\"\\ud800\\ud83d\\ude00\\ud83d\"}", "{\"a\":\"~\xf0\x9f\x98\x80~\"}", true},
		{"{\"a\":\"\\ufffd\xef\xbf\xbd\"}", "{\"a\":\"~~\"}", true},
		{"{\"\\u0000\" \t\r\n:1}", "{\"~\":1}", true},
		{"{\"a\\ud8000b\":1}", "{\"a~0b\":1}", true},
		{"{\"\\ufffd \":1,\"\\ufffd0\":2,\"\xef\xbf\xbd\\u0000d\":3}",
			"{\"~ \":1,\"~0\":2,\"~~d\":3}", true},
		{"{\"b\":1,\"a\":{\"d\":2,\"c\":3},\"\":4}", "{\"\":4,\"a\":{\"c\":3,\"d\":2},\"b\":1}",
			true},
		/* Equal by the replacement: U+FFFD itself stays, else U+0000, else the first. */
		{"{\"a\\u0000\":1,\"a\\ufffd\":2}", "{\"a~\":2}", false},
		{"{\"a\\ufffd\":2,\"a\\u0000\":1}", "{\"a~\":2}", false},
		{"{\"\\ud801\":1,\"\\ud800\":2,\"\\u0000\":3}", "{\"~\":3}", false},
		{"{\"\\ud801\":1,\"\\uD800\":2}", "{\"~\":2}", false},
		{"{\"x\":[{\"\\u0000\":1,\"\\ud800\":[]}],\"y\":0}", "{\"x\":[{\"~\":1}],\"y\":0}", false},
		/* What a byte sorts behind is what is written, not what stood there. */
		{"{\"\\u0000b\":1,\"\\ufffda\":2,\"\\ufffdc\":3}", "{\"~a\":2,\"~b\":1,\"~c\":3}", true},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buffer wanted;
		struct buffer written;
		struct json_text json;

		buffer_init(&wanted);
		buffer_init(&written);
		for (const char *c = cases[i].written; *c != '\0'; c++)
			buffer_put(&wanted, *c == '~' ? "\xef\xbf\xbd" : c, *c == '~' ? 3 : 1);
		ck_assert_msg(
			json_text_load((const unsigned char *)cases[i].body, strlen(cases[i].body), &json)
				== JSON_TEXT_OK,
			"%s: %s", cases[i].body, json.error);
		const bool all = json_write(json.tree, JSON_WRITE_OWN_DIGITS, &written);
		json_text_done();
		ck_assert_str_eq(written.data, wanted.data);
		ck_assert_msg(all == cases[i].all, "%s", cases[i].body);
		buffer_done(&wanted);
		buffer_done(&written);
	}
}
END_TEST

/* Each value is written as it was read, also where there are more of them than references. */
START_TEST(values)
{
	struct buffer body;
	struct buffer written;
	struct json_text json;

	buffer_init(&body);
	buffer_init(&written);
	buffer_puts(&body, "{\"\":\"\",\"a\":[");
	for (size_t i = 0; i < 1000; i++) {
		buffer_puts(&body, i % 2 == 0 ? "\"" : "");
		buffer_put_size(&body, i);
		buffer_puts(&body, i % 2 == 0 ? "\"," : ",");
	}
	buffer_puts(
		&body, "-1.50e+3],\"b\":{\"c\":\"~ !#[]^\",\"d\":\"\\\"\",\"e\":\"\xc3\xa9\"},\"f\":true}");
	ck_assert_msg(load(&body, &json) == JSON_TEXT_OK, "%s", json.error);
	json_write(json.tree, JSON_WRITE_OWN_DIGITS, &written);
	json_text_done();
	ck_assert_str_eq(written.data, body.data);
	buffer_done(&body);
	buffer_done(&written);
}
END_TEST

/* A text within another one is read in the same way, and neither costs the other. */
START_TEST(inner_text)
{
	const char *first_body = "{\"a\":1}";
	const char *second_body = "{\"b\":\"\\u0000\",\"c\":2}";
	const char *third_body = "{\"b\":01}";
	struct json_text outer;
	struct json_text inner;
	struct json_text wrong;
	struct buffer written;

	buffer_init(&written);
	ck_assert_int_eq(
		json_text_load((const unsigned char *)first_body, strlen(first_body), &outer), JSON_TEXT_OK);
	ck_assert_int_eq(
		json_text_load_inner((const unsigned char *)second_body, strlen(second_body), &inner),
		JSON_TEXT_OK);
	ck_assert_int_eq(json_text_load_inner((const unsigned char *)third_body, strlen(third_body), &wrong),
		JSON_TEXT_INVALID);
	ck_assert_str_eq(wrong.error, "malformed number at byte 6");
	ck_assert(!outer.nul_replaced && inner.nul_replaced);
	json_write(outer.tree, JSON_WRITE_OWN_DIGITS, &written);
	json_write(inner.tree, JSON_WRITE_OWN_DIGITS, &written);
	ck_assert_str_eq(written.data, "{\"a\":1}{\"b\":\"\xef\xbf\xbd\",\"c\":2}");
	json_text_done();
	buffer_done(&written);
}
END_TEST

/* Where an error is said to be: at the byte, or behind the word, that cannot be, whatever is before it. */
START_TEST(errors_say_where)
{
	static const struct {
		const char *body;
		const char *error;
	} cases[] = {
		{"{\"event_id\": \"evt_\xff!!!!!!!!\"}", "invalid UTF-8 at byte 19"},
		{"{\"a\": [1, 2.5, -30], \"b\": \"\xc3\xa9\xc3(\"}", "invalid UTF-8 at byte 30"},
		{"{\"a\": 12345, \"b\" 1}", "not JSON at byte 19"},
		{"{\"a\": 1, \"b\": nul}", "not JSON at byte 18"},
		{"{\"a\": \"x\ny\"}", "not JSON at byte 9"},
		{"{\"a\": 1} 12345", "something follows the JSON object at byte 15"},
		{"{\"a\": 01}", "malformed number at byte 7"},
		{"{\"a\\u0000\": \"\\ud800\", \"b\": nul}", "not JSON at byte 31"},
		{"{\"a\": 1, ", "ends too early at byte 10"},
		{"{\"a\":[\"b\"\"c\"]}", "not JSON at byte 13"},
		{"{\"a\":[1\"b\",2]}", "not JSON at byte 11"},
		{"{\"a\":[\"b\",+1]}", "not JSON at byte 12"},
		{"{\"a\",\"b\"}", "not JSON at byte 6"},
		{"{\"a\":\"b\",\"a\":\"c\"}", "duplicate key at byte 13"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct json_text json;
		enum json_text_result result =
			json_text_load((const unsigned char *)cases[i].body, strlen(cases[i].body), &json);

		ck_assert_int_eq(result, JSON_TEXT_INVALID);
		ck_assert_str_eq(json.error, cases[i].error);
	}
}
END_TEST

/* A table that was not read would check nothing. */
START_TEST(every_verdict_is_there)
{
	ck_assert_uint_ge(row_count, 350);
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
		size_t at = 0;

		while (at < row_count && !is_among(rows[at].verdict, meanings[i].verdict))
			at++;
		ck_assert_msg(at < row_count, "no row is %s", meanings[i].verdict);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json");
	TCase *cases = tcase_create("rows");

	read_rows();
	tcase_add_test(cases, errors_say_where);
	tcase_add_test(cases, every_verdict_is_there);
	tcase_add_test(cases, replacements);
	tcase_add_test(cases, values);
	tcase_add_test(cases, inner_text);
	tcase_add_loop_test(cases, row_gets_its_verdict, 0, (int)row_count);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	free_rows();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
