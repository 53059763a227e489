/* What is JSON and what is not, by the rows of tests/conformance/json.txt, which says how to
 * read them. Each row is a test. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "json_text.h"

#define MAX_ROWS 1000
#define ERROR_SIZE 256

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
	{"surrogate", "lone surrogate in a string"},
	{"nul", "\\u0000 in a string"},
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

/* Loads a copy of exactly the text's size, so that a sanitizer sees a read beyond it. */
static enum json_text_result load(const struct buffer *text, json_t **tree, char error[ERROR_SIZE])
{
	unsigned char *copy = malloc(text->len > 0 ? text->len : 1);

	ck_assert_ptr_nonnull(copy);
	if (text->len > 0)
		memcpy(copy, text->data, text->len);
	enum json_text_result result = json_text_load(copy, text->len, tree, error, ERROR_SIZE);
	free(copy);
	return result;
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
	char error[ERROR_SIZE];
	struct buffer first;
	struct buffer second;
	json_t *again;

	buffer_init(&first);
	buffer_init(&second);
	json_text_write(tree, &first);
	json_text_done(&again);
	ck_assert_msg(load(&first, &again, error) == JSON_TEXT_OK, "%s: written as %s: %s", row->name,
		first.data, error);
	json_text_write(again, &second);
	json_text_done(&again);
	ck_assert_str_eq(first.data, second.data);
	buffer_done(&first);
	buffer_done(&second);
}

START_TEST(row_gets_its_verdict)
{
	const struct row *row = &rows[_i];
	char error[ERROR_SIZE] = "";
	json_t *tree = NULL;
	enum json_text_result result = load(&row->text, &tree, error);

	if (strcmp(row->verdict, "ok") == 0) {
		ck_assert_msg(result == JSON_TEXT_OK, "%s: should be read: %s", row->name, error);
		check_written(row, tree);
		return;
	}
	ck_assert_msg(result == JSON_TEXT_INVALID, "%s: should be %s, and is read", row->name, row->verdict);
	ck_assert_ptr_null(tree);
	ck_assert_msg(
		means(error, row->verdict), "%s: should be %s, and is: %s", row->name, row->verdict, error);
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
		{"{\"a\": [\"\\ud800\"]}", "lone surrogate in a string at byte 9"},
		{"{\"a\": 1, ", "ends too early at byte 10"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char error[ERROR_SIZE] = "";
		json_t *tree = NULL;
		enum json_text_result result = json_text_load((const unsigned char *)cases[i].body,
			strlen(cases[i].body), &tree, error, ERROR_SIZE);

		ck_assert_int_eq(result, JSON_TEXT_INVALID);
		ck_assert_str_eq(error, cases[i].error);
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
	tcase_add_loop_test(cases, row_gets_its_verdict, 0, (int)row_count);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	free_rows();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
