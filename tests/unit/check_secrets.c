/* The file of secrets, with what people and their editors put into such a file. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fcgi/auth/secrets.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A file with this content in the directory for temporary ones; its path is static. */
static const char *write_file(const void *content, size_t len)
{
	static char path[1024];
	const char *directory = getenv("TMPDIR");

	snprintf(path, sizeof path, "%s/check_secrets.XXXXXX", directory == NULL ? "/tmp" : directory);
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, len), (ssize_t)len);
	ck_assert_int_eq(close(fd), 0);
	return path;
}

static bool is_wiped(const struct secrets *secrets)
{
	const unsigned char *bytes = (const unsigned char *)secrets;

	for (size_t i = 0; i < sizeof *secrets; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static char last_error[512];

/* Reads a file of this content. What was in *secrets before must not matter. */
static int read_content(const void *content, size_t len, struct secrets *secrets)
{
	char *error = last_error;
	const char *path = write_file(content, len);

	memset(secrets, 0xa5, sizeof *secrets);
	int result = secrets_read(path, secrets, error, sizeof last_error);
	unlink(path);
	if (result != 0) {
		ck_assert_int_eq(result, -1);
		ck_assert_msg(strstr(error, path) != NULL, "the file is not named: %s", error);
		ck_assert_msg(strchr(error, '\n') == NULL, "not one line: %s", error);
		ck_assert(is_wiped(secrets));
	}
	return result;
}

struct file_row {
	const char *what;
	const char *content;
	size_t count; /* 0: refused */
	const char *secret[3];
	unsigned modes[3]; /* 0: both */
	const char *said;  /* of one that is refused */
};

static const struct file_row file_rows[] = {
	{"one line", "first\n", 1, {"first"}, {0}, NULL},
	{"no line end at the end", "first", 1, {"first"}, {0}, NULL},
	{"several", "first\nsecond\nthird\n", 3, {"first", "second", "third"}, {0}, NULL},
	{"several, no line end at the end", "first\nsecond", 2, {"first", "second"}, {0}, NULL},
	{"blank lines", "\n\nfirst\n\n \t\nsecond\n\n", 2, {"first", "second"}, {0}, NULL},
	{"CRLF", "first\r\nsecond\r\n", 2, {"first", "second"}, {0}, NULL},
	{"CRLF, no line end at the end", "first\r\nsecond", 2, {"first", "second"}, {0}, NULL},
	{"CRLF and blank lines", "\r\nfirst\r\n\r\n\r\nsecond\r\n", 2, {"first", "second"}, {0}, NULL},
	{"CRLF among LF", "first\nsecond\r\nthird\n", 3, {"first", "second", "third"}, {0}, NULL},
	{"one byte", "k", 1, {"k"}, {0}, NULL},
	{"UTF-8", "schl\xc3\xbcssel\n", 1, {"schl\xc3\xbcssel"}, {0}, NULL},
	{"white space around", " \tfirst \v\f\n\t second", 2, {"first", "second"}, {0}, NULL},
	{"a byte order mark",
		"\xef\xbb\xbf"
		"first\nsecond",
		2, {"first", "second"}, {0}, NULL},
	{"comments", "# of 2025\nfirst\n  #second\n#\nthird#4\n", 2, {"first", "third#4"}, {0}, NULL},
	{"a comment behind a byte order mark", "\xef\xbb\xbf# new\nfirst", 1, {"first"}, {0}, NULL},
	{"modes", "live:first\ntest:second\nthird", 3, {"first", "second", "third"},
		{SECRET_LIVE, SECRET_TEST}, NULL},
	{"modes and white space", " live: first \n\ttest:\tsecond\r\n", 2, {"first", "second"},
		{SECRET_LIVE, SECRET_TEST}, NULL},
	{"one prefix only", "live:test:first\n", 1, {"test:first"}, {SECRET_LIVE}, NULL},
	{"other words before a colon", "alive:first\nlive\n", 2, {"alive:first", "live"}, {0}, NULL},
	{"base64", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==\nYWJj=\n", 2,
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==", "YWJj="}, {0}, NULL},
	{"an equals sign behind other characters", "a+b=c\n1a=b\n", 2, {"a+b=c", "1a=b"}, {0}, NULL},
	{"one quote", "fir'st\n\"", 2, {"fir'st", "\""}, {0}, NULL},
	{"empty", "", 0, {NULL}, {0}, "holds no secret"},
	{"only a line end", "\n", 0, {NULL}, {0}, "holds no secret"},
	{"only blank lines", "\n\r\n \n", 0, {NULL}, {0}, "holds no secret"},
	{"only comments", "# first\n", 0, {NULL}, {0}, "holds no secret"},
	{"only a byte order mark", "\xef\xbb\xbf", 0, {NULL}, {0}, "holds no secret"},
	{"a blank within", "first\nsecond third\n", 0, {NULL}, {0}, "line 2: white space"},
	{"a tab within", "a\tb\n", 0, {NULL}, {0}, "line 1: white space"},
	{"a control character",
		"a\x01"
		"b\n",
		0, {NULL}, {0}, "line 1: white space, a control character"},
	{"delete", "a\x7f\n", 0, {NULL}, {0}, "line 1: white space, a control character"},
	{"a C1 control character",
		"a\xc2\x85"
		"b\n",
		0, {NULL}, {0}, "an invisible character"},
	{"a no-break space behind it", "first\xc2\xa0\n", 0, {NULL}, {0}, "an invisible character"},
	{"a zero-width space", "fir\xe2\x80\x8bst\n", 0, {NULL}, {0}, "an invisible character"},
	{"a byte order mark elsewhere", "first\n\xef\xbb\xbfsecond\n", 0, {NULL}, {0}, "line 2: white space"},
	{"double quotes", "\"first\"\n", 0, {NULL}, {0}, "line 1: quotes around the secret: remove them"},
	{"single quotes", "# x\n'first'\n", 0, {NULL}, {0}, "line 2: quotes around the secret: remove them"},
	{"quotes behind a prefix", "live:\"first\"\n", 0, {NULL}, {0}, "line 1: quotes around the secret"},
	{"an assignment", "SECRET=first\n", 0, {NULL}, {0}, "line 1: NAME=value: write the value alone"},
	{"an assignment with quotes", "BAGELPAY_SECRET=\"first\"\n", 0, {NULL}, {0}, "line 1: NAME=value"},
	{"an assignment of base64", "secret_1=YWJj==\n", 0, {NULL}, {0}, "line 1: NAME=value"},
	{"a prefix alone", "first\nlive:\n", 0, {NULL}, {0}, "line 2: no secret behind the prefix"},
	{"a prefix in capitals", "Live:first\n", 0, {NULL}, {0}, "line 1: a prefix in capital letters"},
};

START_TEST(file_row)
{
	const struct file_row *row = &file_rows[_i];
	struct secrets secrets;
	int result = read_content(row->content, strlen(row->content), &secrets);

	ck_assert_msg(
		row->said == NULL || strstr(last_error, row->said) != NULL, "%s: %s", row->what, last_error);
	ck_assert_msg(result == (row->count == 0 ? -1 : 0), "%s: %d", row->what, result);
	if (result != 0)
		return;
	ck_assert_msg(secrets.count == row->count, "%s: %zu secrets", row->what, secrets.count);
	for (size_t i = 0; i < row->count; i++) {
		size_t len = strlen(row->secret[i]);

		ck_assert_msg(secrets.secret[i].len == len
				&& memcmp(secrets.secret[i].key, row->secret[i], len) == 0
				&& secrets.secret[i].modes
					== (row->modes[i] == 0 ? SECRET_BOTH : row->modes[i]),
			"%s: secret %zu", row->what, i);
	}
}
END_TEST

/* A line of len bytes between two others. */
static int read_long_line(size_t len, const char *line_end, struct secrets *secrets)
{
	char content[4 * SECRETS_MAX_LEN] = "first\n";
	size_t at = strlen(content);

	ck_assert_uint_lt(len + 16, sizeof content);
	memset(content + at, 'k', len);
	snprintf(content + at + len, sizeof content - at - len, "%slast\n", line_end);
	return read_content(content, strlen(content), secrets);
}

START_TEST(secrets_have_a_length)
{
	static const char *const ends[] = {"\n", "\r\n"};
	struct secrets secrets;

	for (size_t i = 0; i < COUNT(ends); i++) {
		for (size_t len = SECRETS_MAX_LEN - 4; len <= SECRETS_MAX_LEN; len++) {
			ck_assert_int_eq(read_long_line(len, ends[i], &secrets), 0);
			ck_assert_uint_eq(secrets.count, 3);
			ck_assert_uint_eq(secrets.secret[1].len, len);
			ck_assert_uint_eq(secrets.secret[2].len, 4);
		}
		for (size_t len = SECRETS_MAX_LEN + 1; len < 3 * SECRETS_MAX_LEN; len += len / 100)
			ck_assert_msg(
				read_long_line(len, ends[i], &secrets) == -1, "a secret of %zu bytes", len);
	}
}
END_TEST

/* As many secrets as this, each between blank lines. */
static int read_many(size_t count, struct secrets *secrets)
{
	char content[64 * SECRETS_MAX] = "\n";

	ck_assert_uint_lt(count, 2 * SECRETS_MAX);
	for (size_t i = 0; i < count; i++)
		snprintf(content + strlen(content), sizeof content - strlen(content), "secret_%zu\n\n", i);
	return read_content(content, strlen(content), secrets);
}

START_TEST(secrets_have_a_number)
{
	struct secrets secrets;

	ck_assert_int_eq(read_many(SECRETS_MAX, &secrets), 0);
	ck_assert_uint_eq(secrets.count, SECRETS_MAX);
	ck_assert_int_eq(read_many(SECRETS_MAX + 1, &secrets), -1);
}
END_TEST

/* A file that is not what it seems (UTF-16, say) must not become a shorter secret than
 * whoever wrote it believes: it is refused, or each line is taken whole. */
START_TEST(nul_cuts_no_secret_short)
{
	static const char *const lines[] = {
		"whsec\0_test\nlast\n", "\0whsec_test\nlast\n", "whsec_test\0\nlast\n"};
	struct secrets secrets;

	for (size_t i = 0; i < COUNT(lines); i++) {
		if (read_content(lines[i], 17, &secrets) != 0)
			continue;
		ck_assert_uint_eq(secrets.count, 2);
		ck_assert_uint_eq(secrets.secret[0].len, 11);
		ck_assert_mem_eq(secrets.secret[0].key, lines[i], 11);
	}
}
END_TEST

static void refuse_path(const char *path)
{
	struct secrets secrets;
	char error[512] = "";

	memset(&secrets, 0xa5, sizeof secrets);
	ck_assert_int_eq(secrets_read(path, &secrets, error, sizeof error), -1);
	ck_assert_msg(strstr(error, path) != NULL, "the file is not named: %s", error);
	ck_assert_msg(strchr(error, '\n') == NULL, "not one line: %s", error);
	ck_assert(is_wiped(&secrets));
}

START_TEST(files_that_cannot_be_read)
{
	const char *path = write_file("whsec_test\n", 11);

	/* For root, every file is readable. */
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(path, 0), 0);
		refuse_path(path);
	}
	unlink(path);
	refuse_path(path);
	refuse_path("/");
	refuse_path("/nonexistent/secret");
}
END_TEST

/* The reason is cut to fit, and ends within its room. */
START_TEST(a_short_reason)
{
	struct secrets secrets;
	char error[8];

	memset(error, 'x', sizeof error);
	ck_assert_int_eq(secrets_read("/nonexistent/secret", &secrets, error, sizeof error), -1);
	ck_assert_ptr_nonnull(memchr(error, '\0', sizeof error));
}
END_TEST

/* Whatever is done to a file, it is another version; one that is left alone is the same. */
START_TEST(versions)
{
	const char *path = write_file("whsec_test\n", 11);
	struct secrets secrets;
	struct secrets_version version;
	char error[512];

	ck_assert_int_eq(secrets_read(path, &secrets, error, sizeof error), 0);
	secrets_look(path, &version);
	ck_assert(secrets_same_version(&version, &secrets.version));
	ck_assert_int_eq(chmod(path, 0400), 0);
	secrets_look(path, &version);
	ck_assert(!secrets_same_version(&version, &secrets.version));
	ck_assert_int_eq(secrets_read(path, &secrets, error, sizeof error), 0);
	unlink(path);
	secrets_look(path, &version);
	ck_assert(!secrets_same_version(&version, &secrets.version));
	/* There is nothing to compare in what cannot be read twice, or not at all. */
	memset(&secrets, 0, sizeof secrets);
	ck_assert(secrets_same_version(&version, &secrets.version));
	secrets_look("/dev/null", &version);
	ck_assert(secrets_same_version(&version, &secrets.version));
}
END_TEST

START_TEST(wiping)
{
	struct secrets secrets;

	memset(&secrets, 0xa5, sizeof secrets);
	secrets_wipe(&secrets);
	ck_assert(is_wiped(&secrets));
}
END_TEST

static Suite *secrets_suite(void)
{
	Suite *suite = suite_create("secrets");
	TCase *tcase = tcase_create("file");

	tcase_add_loop_test(tcase, file_row, 0, (int)COUNT(file_rows));
	tcase_add_test(tcase, secrets_have_a_length);
	tcase_add_test(tcase, secrets_have_a_number);
	tcase_add_test(tcase, nul_cuts_no_secret_short);
	tcase_add_test(tcase, files_that_cannot_be_read);
	tcase_add_test(tcase, a_short_reason);
	tcase_add_test(tcase, versions);
	tcase_add_test(tcase, wiping);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(secrets_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
