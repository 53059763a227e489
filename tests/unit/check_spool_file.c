/* Spool files: what was written is what is read, and nothing else is taken for it. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "fcgi/spool/spool_file.h"
#include "fcgi/spool/spool_name.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define RECEIVED INT64_C(1757842163123456)
#define CHANGED INT64_C(1757842199000001)
#define SIGNATURE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct delivery *make(const char *body, size_t len, int64_t timestamp, const char *signature)
{
	unsigned char *copy = malloc(len + 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, body, len);
	struct delivery *delivery = delivery_new(copy, len);
	ck_assert_ptr_nonnull(delivery);
	delivery->received_us = RECEIVED;
	delivery->timestamp = timestamp;
	snprintf(delivery->signature, sizeof delivery->signature, "%s", signature);
	return delivery;
}

/* The whole file of a delivery. */
static void write_file(const struct delivery *delivery, struct buffer *file)
{
	ck_assert(spool_file_head(delivery, file));
	ck_assert_uint_le(file->len, SPOOL_FILE_HEAD_MAX);
	buffer_put(file, delivery->body, delivery->body_len);
	ck_assert(!buffer_failed(file));
}

static enum spool_file_result parse(const char *file, size_t len, struct delivery **delivery)
{
	char reason[SPOOL_FILE_REASON_SIZE] = "";
	enum spool_file_result result =
		spool_file_parse((const unsigned char *)file, len, CHANGED, delivery, reason);

	ck_assert_int_eq(result == SPOOL_FILE_CORRUPT, reason[0] != '\0');
	return result;
}

static const struct {
	const char *body;
	size_t len;
	int64_t timestamp;
	const char *signature;
} deliveries[] = {
	{"{}", 2, 1757842163, SIGNATURE},
	{"", 0, 1757842163, SIGNATURE},
	{"\0\n\n\0length 7\n", 13, 0, SIGNATURE},
	{"{\"a\":1}", 7, -1, ""},
	{"x", 1, 999999999999, SIGNATURE},
};

START_TEST(round_trip)
{
	struct delivery *written = make(
		deliveries[_i].body, deliveries[_i].len, deliveries[_i].timestamp, deliveries[_i].signature);
	struct delivery *read = NULL;
	struct buffer file;

	buffer_init(&file);
	write_file(written, &file);
	ck_assert_int_eq(parse(file.data, file.len, &read), SPOOL_FILE_OK);
	ck_assert_uint_eq(read->body_len, written->body_len);
	ck_assert_mem_eq(read->body, written->body, written->body_len);
	ck_assert_int_eq(read->received_us, RECEIVED);
	ck_assert_int_eq(read->timestamp, written->timestamp);
	ck_assert_str_eq(read->signature, written->signature);
	ck_assert_ptr_null(read->event);
	delivery_free(read);
	delivery_free(written);
	buffer_done(&file);
}
END_TEST

/* Cut anywhere, longer, or with any one byte changed, it is no spool file. */
START_TEST(damaged)
{
	struct delivery *written = make(
		deliveries[_i].body, deliveries[_i].len, deliveries[_i].timestamp, deliveries[_i].signature);
	struct delivery *read = NULL;
	struct buffer file;

	buffer_init(&file);
	write_file(written, &file);
	for (size_t len = 0; len < file.len; len++)
		ck_assert_int_eq(parse(file.data, len, &read), SPOOL_FILE_CORRUPT);
	for (size_t i = 0; i < file.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			file.data[i] = (char)(file.data[i] ^ 1 << bit);
			ck_assert_int_eq(parse(file.data, file.len, &read), SPOOL_FILE_CORRUPT);
			file.data[i] = (char)(file.data[i] ^ 1 << bit);
		}
	buffer_put(&file, "", 1);
	ck_assert_int_eq(parse(file.data, file.len, &read), SPOOL_FILE_CORRUPT);
	delivery_free(written);
	buffer_done(&file);
}
END_TEST

/* What a program that knows the checksum, but not the format, might write. */
static const char *const wrong[] = {
	"",
	"\n",
	"length 2\n{}",
	"length 2\n\n{",
	"length 2\n\n{}}",
	"length 02\n\n{}",
	"length -2\n\n{}",
	"length  2\n\n{}",
	"length 99999999999999999999\n\n{}",
	"length \n\n{}",
	"Length 2\n\n{}",
	"timestamp x\nlength 2\n\n{}",
	"timestamp -1\nlength 2\n\n{}",
	"timestamp 01\nlength 2\n\n{}",
	"timestamp 1\ntimestamp 1\nlength 2\n\n{}",
	"signature ab\nlength 2\n\n{}",
	"signature " SIGNATURE "0\nlength 2\n\n{}",
	"signature 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\nlength 2\n\n{}",
	"signature " SIGNATURE "\ntimestamp 1\nlength 2\n\n{}",
	"length 2\nmore 1\n\n{}",
	"length 2\r\n\r\n{}",
};

/* A file with the right checksum, of a format's first line and two pieces. */
static void put_file(struct buffer *file, int format, const char *line, const char *rest)
{
	char digest[DIGEST_LEN + 1];

	buffer_clear(file);
	ck_assert(digest_hex(line, strlen(line), rest, strlen(rest), digest));
	buffer_printf(file, "bagelhook-spool %d\nsha256 %s\n%s%s", format, digest, line, rest);
}

START_TEST(malformed)
{
	struct delivery *read = NULL;
	struct buffer file;

	buffer_init(&file);
	/* In both formats: the second begins with a line more. */
	put_file(&file, 1, "", wrong[_i]);
	ck_assert_int_eq(parse(file.data, file.len, &read), SPOOL_FILE_CORRUPT);
	put_file(&file, 2, "received 1757842163123456\n", wrong[_i]);
	ck_assert_int_eq(parse(file.data, file.len, &read), SPOOL_FILE_CORRUPT);
	buffer_done(&file);
}
END_TEST

/* A file of format 1 was received when it was written; one of format 2 says when. */
START_TEST(formats)
{
	static const struct {
		int format;
		const char *line;
		int64_t received_us; /* 0: corrupt */
	} rows[] = {
		{1, "", CHANGED},
		{2, "received 1757842163123456\n", RECEIVED},
		{1, "received 1757842163123456\n", 0},
		{2, "", 0},
		{2, "received -1\n", 0},
		{2, "received 1757842163.5\n", 0},
		{2, "received 1757842163123456\nreceived 1757842163123456\n", 0},
		{3, "received 1757842163123456\n", 0},
	};
	struct delivery *read = NULL;
	struct buffer file;

	buffer_init(&file);
	for (size_t i = 0; i < COUNT(rows); i++) {
		put_file(&file, rows[i].format, rows[i].line, "timestamp 1\nlength 2\n\n{}");
		ck_assert_int_eq(parse(file.data, file.len, &read),
			rows[i].received_us > 0 ? SPOOL_FILE_OK : SPOOL_FILE_CORRUPT);
		if (rows[i].received_us > 0) {
			ck_assert_int_eq(read->received_us, rows[i].received_us);
			delivery_free(read);
		}
	}
	buffer_done(&file);
}
END_TEST

START_TEST(names)
{
	char name[SPOOL_NAME_SIZE];
	char later[SPOOL_NAME_SIZE];
	int64_t size;

	ck_assert(spool_name_make(1234, name));
	ck_assert(spool_name_parse(name, &size));
	ck_assert_int_eq(size, 1234);
	ck_assert(spool_name_make(1234, later));
	ck_assert_int_lt(strncmp(name, later, 19), 1);
	ck_assert_str_ne(name, later);
}
END_TEST

static const char *const foreign[] = {
	"",
	".",
	"notes.txt",
	"1764000000000000000",
	"1764000000000000000-",
	"1764000000000000000-1",
	"1764000000000000000-1-",
	"1764000000000000000--0123456789abcdef",
	"1764000000000000000-1-0123456789abcde",
	"1764000000000000000-1-0123456789abcdeff",
	"1764000000000000000-1-0123456789abcdeg",
	"1764000000000000000-1-0123456789ABCDEF",
	"1764000000000000000-x-0123456789abcdef",
	"1764000000000000000- 1-0123456789abcdef",
	"1764000000000000000--1-0123456789abcdef",
	"1764000000000000000-999999999999-0123456789abcdef",
	"176400000000000000-1-0123456789abcdef",
	"17640000000000000000-1-0123456789abcdef",
	"x764000000000000000-1-0123456789abcdef",
};

START_TEST(foreign_names)
{
	int64_t size;

	ck_assert(!spool_name_parse(foreign[_i], &size));
}
END_TEST

/* Whatever the order in which names are found, the smallest are kept, sorted. */
START_TEST(insertion)
{
	char kept[8][SPOOL_NAME_SIZE];
	char expected[SPOOL_NAME_SIZE];
	size_t count = 0;

	for (unsigned i = 0; i < 101; i++) {
		char name[SPOOL_NAME_SIZE];

		snprintf(name, sizeof name, "%03u", i * 37 % 101);
		count = spool_name_insert(kept, count, 8, name);
		ck_assert_uint_eq(count, i < 8 ? i + 1 : 8);
		for (size_t j = 1; j < count; j++)
			ck_assert_int_lt(strcmp(kept[j - 1], kept[j]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		snprintf(expected, sizeof expected, "%03u", i);
		ck_assert_str_eq(kept[i], expected);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spool_file");
	TCase *files = tcase_create("files");
	TCase *of_names = tcase_create("names");

	tcase_set_timeout(files, 60);
	tcase_add_loop_test(files, round_trip, 0, (int)COUNT(deliveries));
	tcase_add_loop_test(files, damaged, 0, (int)COUNT(deliveries));
	tcase_add_test(files, formats);
	tcase_add_loop_test(files, malformed, 0, (int)COUNT(wrong));
	suite_add_tcase(suite, files);
	tcase_add_test(of_names, names);
	tcase_add_loop_test(of_names, foreign_names, 0, (int)COUNT(foreign));
	tcase_add_test(of_names, insertion);
	suite_add_tcase(suite, of_names);

	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
