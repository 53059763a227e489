/* Events from bodies, by cases that are files:
 *
 *   valid/NAME.json and valid/documented/NAME.json with NAME.expected, a line for each
 *   member of the result, sorted by name: the name, a tab, its value as JSON;
 *   invalid/NAME.json with NAME.expected, a line with the detail.
 *
 * A new case is a new pair of files. Numbers are compared by their digits: both sides are
 * read with each number turned into a text, because Jansson would make them doubles. */
#include "config.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/event/event.h"

#define MAX_CASES 1000
#define PATH_SIZE 1024
/* Bodies up to this are also tried with each of their ends cut off. */
#define CUT_MAX 4096

struct bytes {
	char *data; /* NUL-terminated for the tests' own use */
	size_t len;
};

/* The files of one directory that end in .json, without that ending, sorted. */
struct cases {
	const char *directory; /* below tests/events */
	size_t count;
	char *name[MAX_CASES];
};

static struct cases documented = {.directory = "valid/documented"};
static struct cases valid = {.directory = "valid"};
static struct cases invalid = {.directory = "invalid"};

/* The path of a file among the cases. */
static void case_path(char path[PATH_SIZE], const char *directory, const char *name, const char *ending)
{
	const char *source = getenv("BAGELHOOK_SOURCE");
	int len = snprintf(path, PATH_SIZE, "%s/tests/events/%s%s%s%s", source == NULL ? "." : source,
		directory, name == NULL ? "" : "/", name == NULL ? "" : name, ending);

	if (len < 0 || len >= PATH_SIZE) {
		fprintf(stderr, "the path of the cases is too long\n");
		exit(EXIT_FAILURE);
	}
}

/* Length of a file name without this ending; 0 where it ends otherwise. */
static size_t stem_len(const char *file, const char *ending)
{
	size_t len = strlen(file);
	size_t ending_len = strlen(ending);

	if (len <= ending_len || strcmp(file + len - ending_len, ending) != 0)
		return 0;
	return len - ending_len;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A directory that is missing has no cases, which is a failure of its own. */
static void list_cases(struct cases *cases)
{
	char path[PATH_SIZE];
	struct dirent *entry;

	case_path(path, cases->directory, NULL, "");
	DIR *directory = opendir(path);
	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		size_t len = stem_len(entry->d_name, ".json");

		if (len == 0)
			continue;
		if (cases->count == MAX_CASES) {
			fprintf(stderr, "%s: more than %d cases\n", path, MAX_CASES);
			exit(EXIT_FAILURE);
		}
		cases->name[cases->count++] = strndup(entry->d_name, len);
	}
	closedir(directory);
	qsort(cases->name, cases->count, sizeof cases->name[0], compare_names);
}

static void free_cases(struct cases *cases)
{
	for (size_t i = 0; i < cases->count; i++)
		free(cases->name[i]);
	cases->count = 0;
}

static struct bytes read_file(const char *path)
{
	struct bytes bytes = {.len = 0};
	size_t size = 1024;
	FILE *file = fopen(path, "rb");

	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	bytes.data = malloc(size);
	ck_assert_ptr_nonnull(bytes.data);
	for (;;) {
		bytes.len += fread(bytes.data + bytes.len, 1, size - bytes.len, file);
		if (bytes.len < size)
			break;
		size *= 2;
		bytes.data = realloc(bytes.data, size);
		ck_assert_ptr_nonnull(bytes.data);
	}
	ck_assert_msg(!ferror(file), "%s: cannot be read", path);
	fclose(file);
	bytes.data[bytes.len] = '\0';
	return bytes;
}

static struct bytes read_case(const struct cases *cases, int i, const char *ending)
{
	char path[PATH_SIZE];

	case_path(path, cases->directory, cases->name[i], ending);
	return read_file(path);
}

/* Parses a copy of exactly the body's size, so that a sanitizer sees a read beyond it. */
static enum event_result parse(
	const char *body, size_t len, struct event **event, char detail[EVENT_DETAIL_SIZE])
{
	unsigned char *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, body, len);
	*event = NULL;
	memset(detail, 'x', EVENT_DETAIL_SIZE);
	enum event_result result = event_parse(copy, len, event, detail);
	free(copy);
	return result;
}

static bool within_number(char c)
{
	return c != '\0' && strchr("+-.0123456789eE", c) != NULL;
}

/* A JSON text with each number as a text of its digits behind a number sign. */
static char *quote_numbers(const char *json)
{
	/* The worst is a digit in each second byte: [1,2]. */
	char *out = malloc(4 * strlen(json) + 1);
	size_t at = 0;
	bool in_text = false;

	ck_assert_ptr_nonnull(out);
	for (const char *c = json; *c != '\0'; c++) {
		if (!in_text && (*c == '-' || (*c >= '0' && *c <= '9'))) {
			out[at++] = '"';
			out[at++] = '#';
			while (within_number(*c))
				out[at++] = *c++;
			out[at++] = '"';
			c--;
			continue;
		}
		if (*c == '"')
			in_text = !in_text;
		out[at++] = *c;
		if (in_text && *c == '\\' && c[1] != '\0')
			out[at++] = *++c;
	}
	out[at] = '\0';
	return out;
}

/* Reads the members of a JSON object, without its braces. */
static json_t *read_members(const char *members, const char *what)
{
	char *quoted = quote_numbers(members);
	char *text = malloc(strlen(quoted) + 3);
	json_error_t error;

	ck_assert_ptr_nonnull(text);
	sprintf(text, "{%s}", quoted);
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(object != NULL, "%s: %s: %s", what, error.text, members);
	free(text);
	free(quoted);
	return object;
}

/* Turns `name<TAB>value` lines into members. */
static json_t *read_expected(const struct cases *cases, int i)
{
	struct bytes file = read_case(cases, i, ".expected");
	char *members = malloc(file.len * 2 + 16);
	const char *last = "";
	size_t at = 0;
	char *rest = file.data;
	char *line;

	ck_assert_ptr_nonnull(members);
	ck_assert_msg(file.len > 0 && file.data[file.len - 1] == '\n', "%s: its .expected has no last line",
		cases->name[i]);
	members[0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL && rest != NULL) {
		char *tab = strchr(line, '\t');

		ck_assert_msg(
			tab != NULL, "%s: a line of its .expected has no tab: %s", cases->name[i], line);
		*tab = '\0';
		ck_assert_msg(
			strcmp(last, line) < 0, "%s: its .expected is not sorted: %s", cases->name[i], line);
		last = line;
		at += (size_t)sprintf(members + at, "%s\"%s\":%s", at > 0 ? "," : "", line, tab + 1);
	}
	json_t *object = read_members(members, cases->name[i]);
	free(members);
	free(file.data);
	return object;
}

/* A value as the messages of this test show it; static. */
static const char *shown(const json_t *value)
{
	static char text[2][2000];
	static int which;
	char *dump =
		value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

	which = !which;
	snprintf(text[which], sizeof text[which], "%s", dump == NULL ? "(absent)" : dump);
	free(dump);
	return text[which];
}

/* Checks that each member of one side is equal on the other, where it may be absent. */
static void compare_members(const char *name, json_t *wanted, json_t *got)
{
	json_t *sides[] = {wanted, got};

	for (size_t i = 0; i < 2; i++) {
		const char *key;
		json_t *value;

		json_object_foreach(sides[i], key, value)
			ck_assert_msg(json_equal(json_object_get(wanted, key), json_object_get(got, key)),
				"%s: %s should be %s, and is %s", name, key,
				shown(json_object_get(wanted, key)), shown(json_object_get(got, key)));
	}
}

/* An event has a digest, which the .expected does not tell; without an id in its body it is named by
 * that. */
static void check_names(const struct event *event, const json_t *wanted, json_t *got, const char *name)
{
	char of_digest[EVENT_ID_MAX + 1];
	const char *digest = json_string_value(json_object_get(got, "digest"));

	/* As PostgreSQL reads bytea. */
	ck_assert_msg(digest != NULL && strlen(digest) == 66 && strncmp(digest, "\\x", 2) == 0
			&& strspn(digest + 2, "0123456789abcdef") == 64,
		"%s: no digest", name);
	ck_assert_str_eq(event->id, json_string_value(json_object_get(got, "event_id")));
	snprintf(of_digest, sizeof of_digest, "sha256:%s", digest + 2);
	ck_assert_msg((json_object_get(wanted, "event_id") == NULL) == (strcmp(event->id, of_digest) == 0),
		"%s: event_id is %s", name, event->id);
	if (json_object_get(wanted, "event_id") == NULL)
		json_object_del(got, "event_id");
	json_object_del(got, "digest");
}

static void check_valid(const struct cases *cases, int i)
{
	struct bytes body = read_case(cases, i, ".json");
	char detail[EVENT_DETAIL_SIZE];
	struct event *event;
	enum event_result result = parse(body.data, body.len, &event, detail);

	ck_assert_msg(result == EVENT_OK, "%s: %d: %.255s", cases->name[i], (int)result, detail);
	ck_assert_ptr_nonnull(event);
	ck_assert_uint_eq(event->members_len, strlen(event->members));
	json_t *wanted = read_expected(cases, i);
	json_t *got = read_members(event->members, cases->name[i]);
	/* A time without zone is its column's value, too. */
	json_object_update(wanted, json_object_get(wanted, "local_times"));
	check_names(event, wanted, got, cases->name[i]);
	compare_members(cases->name[i], wanted, got);
	ck_assert_str_eq(event->type, json_string_value(json_object_get(wanted, "event_type")));
	ck_assert_str_eq(event->mode, json_string_value(json_object_get(wanted, "mode")));
	json_decref(wanted);
	json_decref(got);
	event_free(event);
	free(body.data);
}

START_TEST(documented_case)
{
	check_valid(&documented, _i);
}
END_TEST

START_TEST(valid_case)
{
	check_valid(&valid, _i);
}
END_TEST

START_TEST(invalid_case)
{
	const char *name = invalid.name[_i];
	struct bytes body = read_case(&invalid, _i, ".json");
	struct bytes expected = read_case(&invalid, _i, ".expected");
	char detail[EVENT_DETAIL_SIZE];
	struct event *event;
	enum event_result result = parse(body.data, body.len, &event, detail);

	ck_assert_msg(result == EVENT_INVALID, "%s: %d", name, (int)result);
	event_free(event);
	ck_assert_msg(memchr(detail, '\0', sizeof detail) != NULL, "%s: its detail has no end", name);
	ck_assert_msg(strchr(detail, '\n') == NULL, "%s: not one line: %s", name, detail);
	ck_assert_msg(expected.len > 0 && expected.data[expected.len - 1] == '\n',
		"%s: its .expected has no line", name);
	expected.data[expected.len - 1] = '\0';
	ck_assert_msg(strcmp(detail, expected.data) == 0, "%s: should be \"%s\", and is \"%s\"", name,
		expected.data, detail);
	free(expected.data);
	free(body.data);
}
END_TEST

/* No body is valid without its last brace. */
static void check_cuts(const struct cases *cases, int i)
{
	struct bytes body = read_case(cases, i, ".json");
	size_t len = body.len;

	while (len > 0 && body.data[len - 1] != '}')
		len--;
	while (body.len <= CUT_MAX && len > 0) {
		char detail[EVENT_DETAIL_SIZE];
		struct event *event;

		len--;
		ck_assert_msg(parse(body.data, len, &event, detail) == EVENT_INVALID,
			"%s: its first %zu bytes", cases->name[i], len);
		ck_assert_msg(strncmp(detail, "body: ", 6) == 0, "%s: its first %zu bytes: %.255s",
			cases->name[i], len, detail);
	}
	free(body.data);
}

START_TEST(cut_documented_case)
{
	check_cuts(&documented, _i);
}
END_TEST

START_TEST(cut_valid_case)
{
	check_cuts(&valid, _i);
}
END_TEST

/* Every .expected belongs to a .json, or it would check nothing. */
static void check_directory(const struct cases *cases)
{
	char path[PATH_SIZE];
	struct dirent *entry;
	size_t expected = 0;

	case_path(path, cases->directory, NULL, "");
	ck_assert_msg(cases->count > 0, "%s: no cases", path);
	DIR *directory = opendir(path);
	ck_assert_msg(directory != NULL, "%s: %s", path, strerror(errno));
	while ((entry = readdir(directory)) != NULL)
		if (stem_len(entry->d_name, ".expected") > 0)
			expected++;
	closedir(directory);
	ck_assert_msg(
		expected == cases->count, "%s: %zu .json, and %zu .expected", path, cases->count, expected);
}

START_TEST(directories_are_whole)
{
	check_directory(&documented);
	check_directory(&valid);
	check_directory(&invalid);
}
END_TEST

START_TEST(free_nothing)
{
	event_free(NULL);
}
END_TEST

static Suite *event_suite(void)
{
	Suite *suite = suite_create("event");
	TCase *cases = tcase_create("cases");
	TCase *rest = tcase_create("rest");

	tcase_add_test(cases, directories_are_whole);
	tcase_add_loop_test(cases, documented_case, 0, (int)documented.count);
	tcase_add_loop_test(cases, valid_case, 0, (int)valid.count);
	tcase_add_loop_test(cases, invalid_case, 0, (int)invalid.count);
	suite_add_tcase(suite, cases);
	/* Many parses each, and sanitizers slow them down. */
	tcase_set_timeout(rest, 60);
	tcase_add_loop_test(rest, cut_documented_case, 0, (int)documented.count);
	tcase_add_loop_test(rest, cut_valid_case, 0, (int)valid.count);
	tcase_add_test(rest, free_nothing);
	suite_add_tcase(suite, rest);
	return suite;
}

int main(void)
{
	list_cases(&documented);
	list_cases(&valid);
	list_cases(&invalid);
	SRunner *runner = srunner_create(event_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	free_cases(&documented);
	free_cases(&valid);
	free_cases(&invalid);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
