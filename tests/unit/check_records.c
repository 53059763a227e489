/* FastCGI requests in pieces: what is whole and well-formed is handed on as it came, and nothing
 * else is. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/records.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
/* FastCGI 1.0, section 8 */
enum {
	BEGIN = 1,
	ABORT = 2,
	END = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
	DATA = 8,
	GET_VALUES = 9,
	GET_VALUES_RESULT = 10,
	UNKNOWN_TYPE = 11
};

static const struct records_limits limits = {1000, 1000, 77};

static void put_record(
	struct buffer *to, unsigned type, unsigned id, const char *content, size_t len, unsigned padding)
{
	const unsigned char header[8] = {1, (unsigned char)type, (unsigned char)(id >> 8), (unsigned char)id,
		(unsigned char)(len >> 8), (unsigned char)len, (unsigned char)padding, 0};
	const char zeros[255] = {0};

	buffer_put(to, header, sizeof header);
	buffer_put(to, content, len);
	buffer_put(to, zeros, padding);
}

static void put_begin(struct buffer *to, unsigned role)
{
	const char content[8] = {(char)(role >> 8), (char)role, 1, 0, 0, 0, 0, 0};

	put_record(to, BEGIN, 1, content, sizeof content, 0);
}

/* Takes bytes in beyond the end of the parameters. */
static enum records_result feed_some(
	struct records *records, const unsigned char *bytes, size_t len, size_t *all_taken)
{
	enum records_result result;
	size_t taken;

	*all_taken = 0;
	do {
		result = records_feed(records, bytes + *all_taken, len - *all_taken, &taken);
		*all_taken += taken;
	} while (result == RECORDS_HEAD);
	return result;
}

/* Feeds all of it in pieces of a size. */
static enum records_result feed(struct records *records, const struct buffer *bytes, size_t piece)
{
	enum records_result result = RECORDS_MORE;
	size_t taken;

	records_init(records, &limits);
	for (size_t at = 0; at < bytes->len && result == RECORDS_MORE; at += piece) {
		size_t len = bytes->len - at < piece ? bytes->len - at : piece;
		unsigned char *copy = malloc(len);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes->data + at, len);
		result = feed_some(records, copy, len, &taken);
		free(copy);
	}
	return result;
}

/* Feeds all of it at once. */
static enum records_result feed_all(struct records *records, const struct buffer *bytes)
{
	size_t taken;
	enum records_result result =
		feed_some(records, (const unsigned char *)bytes->data, bytes->len, &taken);

	ck_assert_uint_eq(taken, bytes->len);
	return result;
}

static enum records_result result_of(const struct buffer *bytes)
{
	struct records records;
	enum records_result result = feed(&records, bytes, bytes->len);

	records_done(&records);
	return result;
}

#define PAIRS                                                                                                \
	"\x03\x01"                                                                                           \
	"ABCd"                                                                                               \
	"\x80\x00\x00\x01\x00"                                                                               \
	"E"

/* A request whose streams are split over records of this many bytes. */
static void put_request(struct buffer *to, size_t split, unsigned padding)
{
	static const char pairs[] = PAIRS;
	static const char body[] = "{\"a\":\0 1}";

	put_begin(to, 1);
	for (size_t at = 0; at < sizeof pairs - 1; at += split)
		put_record(to, PARAMS, 1, pairs + at,
			sizeof pairs - 1 - at < split ? sizeof pairs - 1 - at : split, padding);
	put_record(to, PARAMS, 1, "", 0, padding);
	for (size_t at = 0; at < sizeof body - 1; at += split)
		put_record(to, STDIN, 1, body + at,
			sizeof body - 1 - at < split ? sizeof body - 1 - at : split, padding);
	put_record(to, STDIN, 1, "", 0, padding);
}

START_TEST(whole)
{
	struct buffer bytes;
	struct records records;
	FCGX_Request request;
	FCGX_Stream in;
	char body[20];

	for (size_t split = 1; split < 20; split += 3)
		for (unsigned padding = 0; padding < 256; padding += 85) {
			buffer_init(&bytes);
			put_request(&bytes, split, padding);
			for (size_t piece = 1; piece <= bytes.len; piece += 1 + piece / 4) {
				ck_assert_int_eq(feed(&records, &bytes, piece), RECORDS_COMPLETE);
				/* As libfcgi's functions read it. */
				records_open(&records, &request, &in);
				ck_assert_str_eq(request.envp[0], "ABC=d");
				ck_assert_str_eq(request.envp[1], "E=");
				ck_assert_ptr_null(request.envp[2]);
				ck_assert_str_eq(FCGX_GetParam("ABC", request.envp), "d");
				ck_assert_int_eq(FCGX_GetStr(body, sizeof body, request.in), 9);
				ck_assert_mem_eq(body, "{\"a\":\0 1}", 9);
				ck_assert_int_eq(FCGX_GetChar(request.in), -1);
				records_done(&records);
			}
			buffer_done(&bytes);
		}
}
END_TEST

/* Up to its last byte a request is not there yet. */
START_TEST(cut)
{
	struct buffer bytes;

	buffer_init(&bytes);
	put_request(&bytes, 5, 3);
	for (size_t len = bytes.len - 1; len > 0; len--) {
		bytes.len = len;
		ck_assert_int_eq(result_of(&bytes), RECORDS_MORE);
	}
	buffer_done(&bytes);
}
END_TEST

START_TEST(pairs_that_are_none)
{
	static const struct {
		const char *content;
		size_t len;
	} rows[] = {
		{"\x01", 1},
		{"\x01\x01", 2},
		{"\x01\x01"
		 "A",
			3},
		{"\x01\x01"
		 "ABC",
			5},
		{"\x80\x00\x00", 3},
		{"\x00\x80\x00\x00", 4},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
		{"\x80\x00\x00\x01\xff\xff\xff\xff"
		 "A",
			9},
		/* They fill, but libfcgi would end them at the NUL. */
		{"\x03\x01"
		 "A\0BC",
			6},
		{"\x01\x03"
		 "AB\0C",
			6},
		{"\x01\x01"
		 "A\0",
			4},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		put_begin(&bytes, 1);
		put_record(&bytes, PARAMS, 1, rows[i].content, rows[i].len, 0);
		put_record(&bytes, PARAMS, 1, "", 0, 0);
		ck_assert_int_eq(result_of(&bytes), RECORDS_INVALID);
		buffer_done(&bytes);
	}
}
END_TEST

/* A record of this type and id, after so many of a request's three streams have begun. */
START_TEST(out_of_place)
{
	static const struct {
		int begun;
		unsigned type;
		unsigned id;
		enum records_result result;
	} rows[] = {
		{0, PARAMS, 1, RECORDS_INVALID},
		{0, STDIN, 1, RECORDS_INVALID},
		{0, ABORT, 1, RECORDS_INVALID},
		{0, BEGIN, 1, RECORDS_INVALID}, /* without its content */
		{0, GET_VALUES, 0, RECORDS_MANAGEMENT},
		{0, GET_VALUES, 1, RECORDS_INVALID},
		{0, 255, 0, RECORDS_MANAGEMENT},
		{0, 255, 1, RECORDS_INVALID},
		{1, BEGIN, 1, RECORDS_INVALID},
		{1, BEGIN, 2, RECORDS_MULTIPLEXED},
		{1, STDIN, 1, RECORDS_INVALID},
		{1, PARAMS, 2, RECORDS_INVALID},
		{1, GET_VALUES, 0, RECORDS_MANAGEMENT},
		{1, GET_VALUES, 1, RECORDS_INVALID},
		{1, ABORT, 1, RECORDS_ABORTED},
		{2, GET_VALUES, 0, RECORDS_MANAGEMENT},
		{2, PARAMS, 1, RECORDS_INVALID},
		{2, BEGIN, 2, RECORDS_MULTIPLEXED},
		{2, STDIN, 2, RECORDS_INVALID},
		{2, DATA, 1, RECORDS_INVALID},
		{2, STDOUT, 1, RECORDS_INVALID},
		{2, END, 1, RECORDS_INVALID},
		{2, ABORT, 1, RECORDS_ABORTED},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		if (rows[i].begun > 0)
			put_begin(&bytes, 1);
		if (rows[i].begun > 1)
			put_record(&bytes, PARAMS, 1, "", 0, 0);
		put_record(&bytes, rows[i].type, rows[i].id, "", 0, 0);
		ck_assert_int_eq(result_of(&bytes), rows[i].result);
		buffer_done(&bytes);
	}
}
END_TEST

START_TEST(roles_and_versions)
{
	struct buffer bytes;

	for (unsigned role = 0; role < 5; role++) {
		buffer_init(&bytes);
		put_begin(&bytes, role);
		ck_assert_int_eq(result_of(&bytes), role == 1 ? RECORDS_MORE : RECORDS_WRONG_ROLE);
		bytes.data[0] = 2;
		ck_assert_int_eq(result_of(&bytes), RECORDS_INVALID);
		buffer_done(&bytes);
	}
}
END_TEST

/* Parameters up to their limit; a body of one byte more than its limit is enough. */
START_TEST(bounds)
{
	char content[1100];
	struct buffer bytes;
	struct records records;

	memset(content, 0, sizeof content);
	buffer_init(&bytes);
	put_begin(&bytes, 1);
	put_record(&bytes, PARAMS, 1, content, 600, 0);
	ck_assert_int_eq(result_of(&bytes), RECORDS_MORE);
	put_record(&bytes, PARAMS, 1, content, 400, 0);
	ck_assert_int_eq(result_of(&bytes), RECORDS_MORE);
	put_record(&bytes, PARAMS, 1, content, 1, 0);
	ck_assert_int_eq(result_of(&bytes), RECORDS_TOO_LONG);
	buffer_clear(&bytes);
	put_begin(&bytes, 1);
	put_record(&bytes, PARAMS, 1, "", 0, 0);
	put_record(&bytes, STDIN, 1, content, 1000, 0);
	ck_assert_int_eq(result_of(&bytes), RECORDS_MORE);
	put_record(&bytes, STDIN, 1, content, 1, 0);
	ck_assert_int_eq(feed(&records, &bytes, 100), RECORDS_COMPLETE);
	ck_assert_uint_eq(records.body.len, 1001);
	ck_assert_uint_ge(records_size(&records), 1001);
	records_done(&records);
	buffer_done(&bytes);
}
END_TEST

/* Bodies come in many records, and answers go out in as many as they need. */
START_TEST(large)
{
	static const struct records_limits wide = {1000, 1000000, 1};
	struct records records;
	struct buffer bytes;
	struct buffer answer;
	char *content = calloc(1, 60000);

	ck_assert_ptr_nonnull(content);
	buffer_init(&bytes);
	buffer_init(&answer);
	put_begin(&bytes, 1);
	put_record(&bytes, PARAMS, 1, "", 0, 0);
	for (int i = 0; i < 5; i++)
		put_record(&bytes, STDIN, 1, content, 60000, 0);
	put_record(&bytes, STDIN, 1, "", 0, 0);
	records_init(&records, &wide);
	ck_assert_int_eq(feed_all(&records, &bytes), RECORDS_COMPLETE);
	ck_assert_uint_eq(records.body.len, 300000);
	records_put_answer(&records, content, 60000, &answer);
	ck_assert_uint_eq(answer.len, 8 + 60000 + 8 + 16);
	buffer_clear(&answer);
	records_put_answer(&records, records.body.data, 300000, &answer);
	ck_assert_uint_eq(answer.len, 5 * 8 + 300000 + 8 + 16);
	records_done(&records);
	buffer_done(&bytes);
	buffer_done(&answer);
	free(content);
}
END_TEST

/* The end of the parameters is told once, before anything of the body. */
START_TEST(head)
{
	struct buffer bytes;
	struct records records;
	size_t taken;

	buffer_init(&bytes);
	records_init(&records, &limits);
	ck_assert(records_idle(&records));
	put_begin(&bytes, 1);
	put_record(&bytes, PARAMS, 1, PAIRS, sizeof PAIRS - 1, 0);
	put_record(&bytes, PARAMS, 1, "", 0, 7);
	const size_t head_len = bytes.len;
	put_record(&bytes, STDIN, 1, "{}", 2, 0);
	put_record(&bytes, STDIN, 1, "", 0, 0);
	ck_assert_int_eq(records_feed(&records, (unsigned char *)bytes.data, bytes.len, &taken), RECORDS_HEAD);
	ck_assert_uint_eq(taken, head_len);
	ck_assert(!records_idle(&records));
	ck_assert_str_eq(FCGX_GetParam("ABC", records.envp), "d");
	ck_assert_int_eq(
		records_feed(&records, (unsigned char *)bytes.data + head_len, bytes.len - head_len, &taken), RECORDS_COMPLETE);
	ck_assert_uint_eq(records.body.len, 2);
	records_next(&records);
	ck_assert(records_idle(&records));
	ck_assert_uint_eq(records_size(&records), 0);
	buffer_done(&bytes);
}
END_TEST

/* Has a management record answered, which changes nothing of the request that it comes amid. */
static void ask(unsigned type, const char *content, size_t len, struct buffer *answer)
{
	struct buffer bytes;
	struct records records;
	size_t taken;

	buffer_init(&bytes);
	records_init(&records, &limits);
	put_begin(&bytes, 1);
	put_record(&bytes, type, 0, content, len, 5);
	const size_t asked = bytes.len;
	put_record(&bytes, PARAMS, 1, "", 0, 0);
	put_record(&bytes, STDIN, 1, "", 0, 0);
	ck_assert_int_eq(feed_some(&records, (unsigned char *)bytes.data, bytes.len, &taken), RECORDS_MANAGEMENT);
	ck_assert_uint_eq(taken, asked);
	buffer_init(answer);
	records_put_values(&records, answer);
	ck_assert(!buffer_failed(answer));
	ck_assert_int_eq(feed_some(&records, (unsigned char *)bytes.data + asked, bytes.len - asked, &taken),
		RECORDS_COMPLETE);
	records_done(&records);
	buffer_done(&bytes);
}

/* Section 4.1: what is not known is left out; names that are cut end it. */
START_TEST(values)
{
	static const struct {
		const char *asked;
		size_t len;
		const char *told;
		size_t told_len;
	} rows[] = {
#define ROW(asked, told) {asked, sizeof(asked) - 1, told, sizeof(told) - 1}
		ROW("", ""),
		ROW("\x0e\0"
		    "FCGI_MAX_CONNS"
		    "\x0d\0"
		    "FCGI_MAX_REQS"
		    "\x0f\0"
		    "FCGI_MPXS_CONNS",
			"\x0e\x02"
			"FCGI_MAX_CONNS77"
			"\x0d\x02"
			"FCGI_MAX_REQS77"
			"\x0f\x01"
			"FCGI_MPXS_CONNS0"),
		ROW("\x05\0"
		    "OTHER"
		    "\x0f\x01"
		    "FCGI_MPXS_CONNS9",
			"\x0f\x01"
			"FCGI_MPXS_CONNS0"),
		ROW("\x0f\0"
		    "FCGI_MPXS_CONN",
			""),
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buffer answer;

		ask(GET_VALUES, rows[i].asked, rows[i].len, &answer);
		ck_assert_uint_eq(answer.len, 8 + rows[i].told_len);
		ck_assert_mem_eq(
			answer.data, ((unsigned char[]){1, GET_VALUES_RESULT, 0, 0, 0, (unsigned char)rows[i].told_len, 0, 0}), 8);
		ck_assert_mem_eq(answer.data + 8, rows[i].told, rows[i].told_len);
		buffer_done(&answer);
	}
}
END_TEST

/* Section 4.2; and a question longer than all that there is to ask. */
START_TEST(other_management)
{
	static const unsigned char unknown[16] = {1, UNKNOWN_TYPE, 0, 0, 0, 8, 0, 0, 200};
	const char many[5000] = {0};
	struct buffer answer;

	ask(200, "abc", 3, &answer);
	ck_assert_uint_eq(answer.len, sizeof unknown);
	ck_assert_mem_eq(answer.data, unknown, sizeof unknown);
	buffer_done(&answer);
	ask(GET_VALUES, many, sizeof many, &answer);
	ck_assert_uint_eq(answer.len, 8);
	buffer_done(&answer);
}
END_TEST

/* A request of one parameter and a body, with an id and flags. */
static void put_small(struct buffer *to, unsigned id, unsigned char flags, const char *body)
{
	const char content[8] = {0, 1, (char)flags, 0, 0, 0, 0, 0};

	put_record(to, BEGIN, id, content, sizeof content, 0);
	put_record(to, PARAMS, id, "\x01\x01XY", 4, 3);
	put_record(to, PARAMS, id, "", 0, 0);
	if (body[0] != '\0')
		put_record(to, STDIN, id, body, strlen(body), 1);
	put_record(to, STDIN, id, "", 0, 0);
}

/* One flag says that the connection is to be kept; the others mean nothing. */
START_TEST(keep)
{
	for (unsigned flags = 0; flags < 256; flags++) {
		struct records records;
		struct buffer bytes;

		buffer_init(&bytes);
		put_small(&bytes, 1, (unsigned char)flags, "{}");
		ck_assert_int_eq(feed(&records, &bytes, bytes.len), RECORDS_COMPLETE);
		ck_assert_int_eq(records_keep(&records), (flags & 1) != 0);
		records_done(&records);
		buffer_done(&bytes);
	}
}
END_TEST

/* Requests of one connection, one behind the other, each to its own end, in pieces of any size. */
START_TEST(one_after_the_other)
{
	static const char *const bodies[] = {"{\"a\":1}", "", "{\"b\":22}"};
	struct buffer bytes;

	buffer_init(&bytes);
	for (unsigned i = 0; i < COUNT(bodies); i++)
		put_small(&bytes, i + 7, 1, bodies[i]);
	for (size_t piece = 1; piece <= bytes.len; piece++) {
		struct records records;
		size_t complete = 0;

		records_init(&records, &limits);
		for (size_t at = 0, taken; at < bytes.len; at += taken) {
			const size_t len = bytes.len - at < piece ? bytes.len - at : piece;

			if (feed_some(&records, (unsigned char *)bytes.data + at, len, &taken)
				== RECORDS_MORE) {
				ck_assert_uint_eq(taken, len);
				continue;
			}
			ck_assert_uint_eq(records.id, complete + 7);
			ck_assert_str_eq(records.envp[0], "X=Y");
			ck_assert_uint_eq(records.body.len, strlen(bodies[complete]));
			if (records.body.len > 0)
				ck_assert_mem_eq(records.body.data, bodies[complete], records.body.len);
			complete++;
			records_next(&records);
			ck_assert_uint_eq(records_size(&records), 0);
		}
		ck_assert_uint_eq(complete, COUNT(bodies));
		records_done(&records);
	}
	buffer_done(&bytes);
}
END_TEST

/* A second request amid the first is refused, its records are passed over, and the first one is complete. */
START_TEST(multiplexed)
{
	struct records records;
	struct buffer bytes;
	size_t taken;

	buffer_init(&bytes);
	put_begin(&bytes, 1);
	put_record(&bytes, PARAMS, 1, "", 0, 0);
	put_record(&bytes, STDIN, 1, "{", 1, 0);
	const size_t first = bytes.len;
	put_small(&bytes, 2, 1, "two");
	put_record(&bytes, STDIN, 1, "}", 1, 0);
	put_record(&bytes, ABORT, 2, "", 0, 0);
	put_record(&bytes, STDIN, 1, "", 0, 0);
	records_init(&records, &limits);
	ck_assert_int_eq(
		feed_some(&records, (unsigned char *)bytes.data, bytes.len, &taken), RECORDS_MULTIPLEXED);
	ck_assert_uint_eq(taken, first + 16);
	ck_assert_uint_eq(records.refused_id, 2);
	ck_assert_int_eq(
		records_feed(&records, (unsigned char *)bytes.data + taken, bytes.len - taken, &taken),
		RECORDS_COMPLETE);
	ck_assert_uint_eq(records.id, 1);
	ck_assert_uint_eq(records.body.len, 2);
	ck_assert_mem_eq(records.body.data, "{}", 2);
	/* A third id was never begun. */
	records_next(&records);
	bytes.len = 0;
	put_record(&bytes, STDIN, 2, "late", 4, 0);
	put_record(&bytes, STDIN, 3, "", 0, 0);
	ck_assert_int_eq(feed_all(&records, &bytes), RECORDS_INVALID);
	/* The refused id may be that of a later request. */
	records_next(&records);
	bytes.len = 0;
	put_small(&bytes, 2, 1, "two");
	ck_assert_int_eq(feed_all(&records, &bytes), RECORDS_COMPLETE);
	ck_assert_uint_eq(records.body.len, 3);
	records_done(&records);
	buffer_done(&bytes);
}
END_TEST

/* A request that is given up when it has been answered is passed over; another one is not. */
START_TEST(late_abort)
{
	for (unsigned id = 1; id <= 2; id++) {
		struct records records;
		struct buffer bytes;

		buffer_init(&bytes);
		put_small(&bytes, 1, 1, "{}");
		ck_assert_int_eq(feed(&records, &bytes, bytes.len), RECORDS_COMPLETE);
		records_next(&records);
		bytes.len = 0;
		put_record(&bytes, ABORT, id, "", 0, 0);
		ck_assert_int_eq(records_feed(&records, (unsigned char *)bytes.data, bytes.len, &(size_t){0}),
			id == 1 ? RECORDS_MORE : RECORDS_INVALID);
		if (id == 1) {
			bytes.len = 0;
			put_small(&bytes, 1, 0, "{}");
			ck_assert_int_eq(feed_all(&records, &bytes), RECORDS_COMPLETE);
			ck_assert(!records_keep(&records));
		}
		records_done(&records);
		buffer_done(&bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("records");
	TCase *tcase = tcase_create("records");

	tcase_add_test(tcase, whole);
	tcase_add_test(tcase, cut);
	tcase_add_test(tcase, pairs_that_are_none);
	tcase_add_test(tcase, out_of_place);
	tcase_add_test(tcase, roles_and_versions);
	tcase_add_test(tcase, bounds);
	tcase_add_test(tcase, large);
	tcase_add_test(tcase, head);
	tcase_add_test(tcase, values);
	tcase_add_test(tcase, other_management);
	tcase_add_test(tcase, keep);
	tcase_add_test(tcase, one_after_the_other);
	tcase_add_test(tcase, multiplexed);
	tcase_add_test(tcase, late_abort);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
