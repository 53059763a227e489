/* Requests over a real FastCGI stream: records written by hand into a socket pair, whose
 * other end libfcgi reads as the server has it do. A child writes them, so that no body is
 * too large for the socket's buffer. */
#include "config.h"

#include <check.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fcgi/request.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MAX_PARAMS 8
#define MAX_BODY 1000
#define MAX_RECORD 65535

/* FastCGI 1.0, section 3.3 */
enum record_type { BEGIN_REQUEST = 1, PARAMS = 4, STDIN = 5 };

struct param {
	const char *name;
	const char *value;
};

/* What the web server sends. */
struct exchange {
	struct param params[MAX_PARAMS]; /* ends with a NULL name */
	const unsigned char *body;
	size_t body_len;
	size_t record_len; /* bytes of body in one record; 0: as many as fit */
	size_t padding;    /* bytes behind each record with content, but the first */
	bool cut;          /* the connection ends without the empty record that ends the body */
};

/* The web server's end. */
struct peer {
	int fd;
	size_t padding;
};

static void write_all(const struct peer *peer, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t written = write(peer->fd, at, len);

		/* The other side has seen enough. */
		if (written < 0)
			_exit(EXIT_SUCCESS);
		at += written;
		len -= (size_t)written;
	}
}

static void write_record(const struct peer *peer, enum record_type type, const void *content, size_t len)
{
	static const unsigned char padding[255];
	/* libfcgi takes padding for the next record where that is another stream's. */
	size_t padding_len = type != BEGIN_REQUEST && len > 0 ? peer->padding : 0;
	const unsigned char header[8] = {1, (unsigned char)type, 0, 1, (unsigned char)(len >> 8),
		(unsigned char)(len & 0xff), (unsigned char)padding_len, 0};

	write_all(peer, header, sizeof header);
	write_all(peer, content, len);
	write_all(peer, padding, padding_len);
}

/* Appends a length as FastCGI writes it: a byte, or four with the first bit set. */
static size_t put_length(unsigned char *out, size_t len)
{
	if (len < 128) {
		out[0] = (unsigned char)len;
		return 1;
	}
	out[0] = (unsigned char)(0x80 | (len >> 24));
	out[1] = (unsigned char)(len >> 16 & 0xff);
	out[2] = (unsigned char)(len >> 8 & 0xff);
	out[3] = (unsigned char)(len & 0xff);
	return 4;
}

static void write_params(const struct peer *peer, const struct param *params)
{
	unsigned char content[4096];
	size_t at = 0;

	for (; params->name != NULL; params++) {
		size_t name_len = strlen(params->name);
		size_t value_len = strlen(params->value);

		if (sizeof content - at < name_len + value_len + 8)
			_exit(EXIT_FAILURE);
		at += put_length(content + at, name_len);
		at += put_length(content + at, value_len);
		memcpy(content + at, params->name, name_len);
		at += name_len;
		memcpy(content + at, params->value, value_len);
		at += value_len;
	}
	if (at > 0)
		write_record(peer, PARAMS, content, at);
	write_record(peer, PARAMS, NULL, 0);
}

static void write_exchange(int fd, const struct exchange *exchange)
{
	static const unsigned char responder[8] = {0, 1, 0};
	const struct peer peer = {.fd = fd, .padding = exchange->padding};
	size_t at = 0;

	write_record(&peer, BEGIN_REQUEST, responder, sizeof responder);
	write_params(&peer, exchange->params);
	while (at < exchange->body_len) {
		size_t most = exchange->record_len > 0 ? exchange->record_len : MAX_RECORD;
		size_t left = exchange->body_len - at;
		size_t len = left < most ? left : most;

		write_record(&peer, STDIN, exchange->body + at, len);
		at += len;
	}
	if (!exchange->cut)
		write_record(&peer, STDIN, NULL, 0);
	close(fd);
}

/* The responder's end of one exchange. */
struct responder {
	FCGX_Request fcgi;
	int fd;
	pid_t writer;
	struct request request;
};

static void accept_exchange(struct responder *responder, const struct exchange *exchange)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	responder->writer = fork();
	ck_assert_int_ge(responder->writer, 0);
	if (responder->writer == 0) {
		close(ends[0]);
		write_exchange(ends[1], exchange);
		_exit(EXIT_SUCCESS);
	}
	close(ends[1]);
	responder->fd = ends[0];
	ck_assert_int_eq(FCGX_InitRequest(&responder->fcgi, -1, 0), 0);
	responder->fcgi.ipcFd = ends[0];
	responder->fcgi.keepConnection = 1;
	ck_assert_int_eq(FCGX_Accept_r(&responder->fcgi), 0);
}

static void finish(struct responder *responder)
{
	request_done(&responder->request);
	FCGX_Free(&responder->fcgi, 0);
	close(responder->fd);
	ck_assert_int_eq(waitpid(responder->writer, NULL, 0), responder->writer);
}

/* Reads a request; finish() is the caller's, on success and failure. */
static enum request_result receive(
	struct responder *responder, const struct exchange *exchange, size_t max_body)
{
	accept_exchange(responder, exchange);
	memset(&responder->request, 0xa5, sizeof responder->request);
	return request_read(responder->fcgi.in, responder->fcgi.envp, max_body, &responder->request);
}

/* A body of which each byte tells where it stands. */
static const unsigned char *pattern(size_t len)
{
	static unsigned char bytes[2 * 1024 * 1024];

	ck_assert_uint_le(len, sizeof bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)((i ^ i >> 8 ^ i >> 16) & 0xff);
	return bytes;
}

/* Rows that differ in what the request says; method and length NULL: absent. */
struct row {
	const char *method;
	const char *length;
	size_t sent;
	enum request_result result;
};

static const struct row rows[] = {
	{"POST", "5", 5, REQUEST_OK},
	{"POST", "0", 0, REQUEST_OK},
	{"POST", "00", 0, REQUEST_OK},
	{"POST", "005", 5, REQUEST_OK},
	{"POST", "0000000000000000000000000000005", 5, REQUEST_OK},
	{"POST", "1", 1, REQUEST_OK},
	{"POST", "999", 999, REQUEST_OK},
	{"POST", "1000", 1000, REQUEST_OK}, /* MAX_BODY */

	{NULL, "5", 5, REQUEST_WRONG_METHOD},
	{"", "5", 5, REQUEST_WRONG_METHOD},
	{"GET", "5", 5, REQUEST_WRONG_METHOD},
	{"GET", NULL, 0, REQUEST_WRONG_METHOD},
	{"HEAD", "", 0, REQUEST_WRONG_METHOD},
	{"PUT", "5", 5, REQUEST_WRONG_METHOD},
	{"DELETE", NULL, 0, REQUEST_WRONG_METHOD},
	{"OPTIONS", NULL, 0, REQUEST_WRONG_METHOD},
	{"post", "5", 5, REQUEST_WRONG_METHOD}, /* methods are case-sensitive: RFC 9110, section 9.1 */
	{"POSTS", "5", 5, REQUEST_WRONG_METHOD},
	{"POS", "5", 5, REQUEST_WRONG_METHOD},
	{"POST ", "5", 5, REQUEST_WRONG_METHOD},
	/* The method comes first, whatever the length is. */
	{"GET", "abc", 5, REQUEST_WRONG_METHOD},
	{"GET", "99999999999999999999999", 5, REQUEST_WRONG_METHOD},

	{"POST", NULL, 0, REQUEST_NO_LENGTH},
	{"POST", NULL, 5, REQUEST_NO_LENGTH},
	{"POST", "", 0, REQUEST_NO_LENGTH},
	{"POST", "", 5, REQUEST_NO_LENGTH},

	{"POST", "abc", 5, REQUEST_NO_LENGTH},
	{"POST", "-5", 5, REQUEST_NO_LENGTH},
	{"POST", "-0", 0, REQUEST_NO_LENGTH},
	{"POST", "+5", 5, REQUEST_NO_LENGTH},
	{"POST", "1e3", 5, REQUEST_NO_LENGTH},
	{"POST", " 5", 5, REQUEST_NO_LENGTH},
	{"POST", "5 ", 5, REQUEST_NO_LENGTH},
	{"POST", " ", 5, REQUEST_NO_LENGTH},
	{"POST", "5x", 5, REQUEST_NO_LENGTH},
	{"POST", "5.0", 5, REQUEST_NO_LENGTH},
	{"POST", "5,5", 5, REQUEST_NO_LENGTH},
	{"POST", "5, 5", 5, REQUEST_NO_LENGTH},
	{"POST", "0x5", 5, REQUEST_NO_LENGTH},
	{"POST", "5\n", 5, REQUEST_NO_LENGTH},
	{"POST", "/", 5, REQUEST_NO_LENGTH},
	{"POST", ":", 5, REQUEST_NO_LENGTH},
	{"POST", "\xd9\xa5", 5, REQUEST_NO_LENGTH}, /* ARABIC-INDIC DIGIT FIVE */
	{"POST", "99999999999999999999999x", 5, REQUEST_NO_LENGTH},

	{"POST", "1001", 1001, REQUEST_TOO_LONG},
	{"POST", "1001", 0, REQUEST_TOO_LONG},
	{"POST", "10000", 5, REQUEST_TOO_LONG},
	{"POST", "2147483648", 5, REQUEST_TOO_LONG},
	{"POST", "4294967296", 5, REQUEST_TOO_LONG},
	{"POST", "4294967301", 5, REQUEST_TOO_LONG}, /* 2^32 + 5 */
	{"POST", "9223372036854775808", 5, REQUEST_TOO_LONG},
	{"POST", "18446744073709551615", 5, REQUEST_TOO_LONG}, /* 2^64 - 1 */
	{"POST", "18446744073709551616", 5, REQUEST_TOO_LONG},
	{"POST", "18446744073709551621", 5, REQUEST_TOO_LONG}, /* 2^64 + 5 */
	{"POST", "99999999999999999999999", 5, REQUEST_TOO_LONG},
	{"POST", "340282366920938463463374607431768211461", 5, REQUEST_TOO_LONG}, /* 2^128 + 5 */

	{"POST", "5", 0, REQUEST_SHORT},
	{"POST", "5", 4, REQUEST_SHORT},
	{"POST", "1", 0, REQUEST_SHORT},
	{"POST", "1000", 999, REQUEST_SHORT},
	{"POST", "5", 6, REQUEST_LONGER},
	{"POST", "5", 500, REQUEST_LONGER},
	{"POST", "0", 1, REQUEST_LONGER},
	{"POST", "1000", 1001, REQUEST_LONGER},
};

static void add_param(struct exchange *exchange, const char *name, const char *value)
{
	size_t i = 0;

	if (value == NULL)
		return;
	while (exchange->params[i].name != NULL)
		i++;
	ck_assert_uint_lt(i + 1, MAX_PARAMS);
	exchange->params[i].name = name;
	exchange->params[i].value = value;
}

static struct exchange exchange_of(const char *method, const char *length, size_t sent)
{
	struct exchange exchange = {.body = pattern(sent), .body_len = sent};

	add_param(&exchange, "REQUEST_METHOD", method);
	add_param(&exchange, "CONTENT_LENGTH", length);
	return exchange;
}

static void check_body(const struct request *request, size_t len)
{
	ck_assert_uint_eq(request->body_len, len);
	ck_assert_ptr_nonnull(request->body);
	if (len > 0)
		ck_assert_mem_eq(request->body, pattern(len), len);
}

START_TEST(one_row)
{
	const struct row *row = &rows[_i];
	struct exchange exchange = exchange_of(row->method, row->length, row->sent);
	struct responder responder;
	enum request_result result = receive(&responder, &exchange, MAX_BODY);

	ck_assert_msg(result == row->result, "method \"%s\", length \"%s\", %zu bytes: %d, not %d",
		row->method == NULL ? "(none)" : row->method, row->length == NULL ? "(none)" : row->length,
		row->sent, (int)row->result, (int)result);
	if (result == REQUEST_OK)
		check_body(&responder.request, row->sent);
	finish(&responder);
}
END_TEST

/* How the body comes in records changes nothing of it. */
START_TEST(records_of_any_length)
{
	static const size_t lengths[] = {1, 2, 7, 8, 500, 999, 1000};
	static const size_t paddings[] = {0, 1, 7, 255};

	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (size_t j = 0; j < COUNT(paddings); j++) {
			struct exchange exchange = exchange_of("POST", "1000", 1000);
			struct responder responder;

			exchange.record_len = lengths[i];
			exchange.padding = paddings[j];
			enum request_result result = receive(&responder, &exchange, MAX_BODY);
			ck_assert_msg(result == REQUEST_OK, "records of %zu bytes, padding %zu: %d",
				lengths[i], paddings[j], (int)result);
			check_body(&responder.request, 1000);
			finish(&responder);
		}
	}
}
END_TEST

/* The default limit, which many records and many reads make up. */
START_TEST(a_mebibyte)
{
	size_t len = 1024 * 1024;
	struct exchange exchange = exchange_of("POST", "1048576", len);
	struct responder responder;

	ck_assert_int_eq(receive(&responder, &exchange, len), REQUEST_OK);
	check_body(&responder.request, len);
	finish(&responder);

	ck_assert_int_eq(receive(&responder, &exchange, len - 1), REQUEST_TOO_LONG);
	finish(&responder);

	exchange.body_len = len - 1;
	ck_assert_int_eq(receive(&responder, &exchange, len), REQUEST_SHORT);
	finish(&responder);

	exchange.body = pattern(len + 1);
	exchange.body_len = len + 1;
	ck_assert_int_eq(receive(&responder, &exchange, len), REQUEST_LONGER);
	finish(&responder);
}
END_TEST

START_TEST(a_limit_of_nothing)
{
	struct exchange none = exchange_of("POST", "0", 0);
	struct exchange one = exchange_of("POST", "1", 1);
	struct responder responder;

	ck_assert_int_eq(receive(&responder, &none, 0), REQUEST_OK);
	ck_assert_uint_eq(responder.request.body_len, 0);
	finish(&responder);
	ck_assert_int_eq(receive(&responder, &one, 0), REQUEST_TOO_LONG);
	finish(&responder);
}
END_TEST

/* The web server is gone before the body was whole. */
START_TEST(cut_connections)
{
	static const size_t sent[] = {0, 1, 4};

	for (size_t i = 0; i < COUNT(sent); i++) {
		struct exchange exchange = exchange_of("POST", "5", sent[i]);
		struct responder responder;

		exchange.cut = true;
		ck_assert_int_eq(receive(&responder, &exchange, MAX_BODY), REQUEST_SHORT);
		finish(&responder);
	}
}
END_TEST

START_TEST(a_body_of_any_bytes)
{
	static const unsigned char body[] = {0, '\r', '\n', 0xff, 0, 0x1a};
	struct exchange exchange = exchange_of("POST", "6", 0);
	struct responder responder;

	exchange.body = body;
	exchange.body_len = sizeof body;
	ck_assert_int_eq(receive(&responder, &exchange, MAX_BODY), REQUEST_OK);
	ck_assert_uint_eq(responder.request.body_len, sizeof body);
	ck_assert_mem_eq(responder.request.body, body, sizeof body);
	finish(&responder);
}
END_TEST

static void check_text(const char *got, const char *wanted)
{
	if (wanted == NULL)
		ck_assert_ptr_null(got);
	else
		ck_assert_str_eq(got, wanted);
}

/* Two headers as they came, absent and empty told apart. */
static void check_headers(const char *signature, const char *timestamp)
{
	struct exchange exchange = exchange_of("POST", "5", 5);
	struct responder responder;

	/* What begins or ends like one of the names is another header. */
	add_param(&exchange, "HTTP_BAGELPAY_SIGNATURE_OLD", "no");
	add_param(&exchange, "HTTP_BAGELPAY_SIGNATURE", signature);
	add_param(&exchange, "HTTP_TIMESTAMP", timestamp);
	add_param(&exchange, "HTTP_X_TIMESTAMP", "no");
	add_param(&exchange, "CONTENT_TYPE", "text/plain");
	ck_assert_int_eq(receive(&responder, &exchange, MAX_BODY), REQUEST_OK);
	check_text(responder.request.signature, signature);
	check_text(responder.request.timestamp, timestamp);
	finish(&responder);
}

START_TEST(headers)
{
	static const char digits[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char long_text[301];

	memset(long_text, 'a', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	check_headers(digits, "1756301826");
	check_headers(NULL, NULL);
	check_headers(digits, NULL);
	check_headers(NULL, "1756301826");
	check_headers("", "");
	check_headers(" a=b ", "=");
	check_headers(long_text, long_text);
}
END_TEST

/* Of a header that came twice, even the same one, neither value is taken. */
START_TEST(headers_twice)
{
	static const char *const again[] = {"a", "b", ""};

	for (size_t i = 0; i < COUNT(again); i++) {
		struct exchange exchange = exchange_of("POST", "5", 5);
		struct responder responder;

		add_param(&exchange, "HTTP_BAGELPAY_SIGNATURE", "a");
		add_param(&exchange, "HTTP_TIMESTAMP", again[i]);
		add_param(&exchange, "HTTP_BAGELPAY_SIGNATURE", again[i]);
		add_param(&exchange, "HTTP_TIMESTAMP", "a");
		ck_assert_int_eq(receive(&responder, &exchange, MAX_BODY), REQUEST_OK);
		ck_assert_str_eq(responder.request.signature, ",");
		ck_assert_str_eq(responder.request.timestamp, ",");
		finish(&responder);
	}
}
END_TEST

/* Done with a request of which nothing was read, and done twice. */
START_TEST(done_is_safe)
{
	struct exchange exchange = exchange_of("GET", NULL, 0);
	struct responder responder;

	ck_assert_int_eq(receive(&responder, &exchange, MAX_BODY), REQUEST_WRONG_METHOD);
	ck_assert_ptr_null(responder.request.body);
	request_done(&responder.request);
	finish(&responder);
}
END_TEST

static Suite *request_suite(void)
{
	Suite *suite = suite_create("request");
	TCase *tcase = tcase_create("streams");

	/* A request that waits for bytes that will not come should fail its test. */
	tcase_set_timeout(tcase, 20);
	tcase_add_loop_test(tcase, one_row, 0, (int)COUNT(rows));
	tcase_add_test(tcase, records_of_any_length);
	tcase_add_test(tcase, a_mebibyte);
	tcase_add_test(tcase, a_limit_of_nothing);
	tcase_add_test(tcase, cut_connections);
	tcase_add_test(tcase, a_body_of_any_bytes);
	tcase_add_test(tcase, headers);
	tcase_add_test(tcase, headers_twice);
	tcase_add_test(tcase, done_is_safe);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (FCGX_Init() != 0)
		return EXIT_FAILURE;
	SRunner *runner = srunner_create(request_suite());
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
