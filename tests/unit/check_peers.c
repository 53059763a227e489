/* Connections from accepting to closing, over socket pairs: kept ones between two requests above all. The
 * test is the watching thread and the worker in turn. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/peers.h"
#include "common/thread.h"

/* FastCGI 1.0, section 8 */
enum { BEGIN = 1, PARAMS = 4, STDIN = 5 };
enum { CLOSES, KEEPS };

#define PLACES 3
#define PATIENCE_MS 10000

#define REFUSED "Status: 503\r\n\r\n"

static const struct peers_limits usual = {PLACES, 1000000, 5000, 60000, {1000, 100000, 0}};
static int refused[4]; /* by enum refusal */

static void refuse(void *context, enum refusal why, struct buffer *out)
{
	(void)context;
	refused[why]++;
	buffer_puts(out, REFUSED);
}

/* A body is not waited for where the parameters say so. */
static bool wants_body(void *context, char **envp)
{
	(void)context;
	return FCGX_GetParam("NO_BODY", envp) == NULL;
}

static struct peers *make_peers(const struct peers_limits *limits)
{
	const struct peers_owner owner = {NULL, wants_body, refuse};
	struct peers *peers = peers_new(limits, &owner);

	memset(refused, 0, sizeof refused);
	ck_assert_ptr_nonnull(peers);
	return peers;
}

static struct peers *open_peers(int read_timeout_ms, int idle_timeout_ms)
{
	struct peers_limits limits = usual;

	limits.read_timeout_ms = read_timeout_ms;
	limits.idle_timeout_ms = idle_timeout_ms;
	return make_peers(&limits);
}

/* A web server's end of a connection that was added. */
static int add(struct peers *peers)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert(peers_room(peers));
	ck_assert(peers_add(peers, ends[0]));
	return ends[1];
}

static void put_record(struct buffer *to, unsigned type, unsigned id, const char *content, size_t len)
{
	const unsigned char header[8] = {
		1, (unsigned char)type, 0, (unsigned char)id, (unsigned char)(len >> 8), (unsigned char)len};

	buffer_put(to, header, sizeof header);
	buffer_put(to, content, len);
}

static void put_request(struct buffer *to, unsigned id, int keep, const char *body)
{
	const char content[8] = {0, 1, (char)keep};

	put_record(to, BEGIN, id, content, sizeof content);
	put_record(to, PARAMS, id, "", 0);
	put_record(to, STDIN, id, body, strlen(body));
	put_record(to, STDIN, id, "", 0);
}

static void send_all(int fd, const void *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void send_buffer(int fd, struct buffer *bytes)
{
	send_all(fd, bytes->data, bytes->len);
	buffer_done(bytes);
}

static void send_request(int fd, unsigned id, int keep, const char *body)
{
	struct buffer bytes;

	buffer_init(&bytes);
	put_request(&bytes, id, keep, body);
	send_buffer(fd, &bytes);
}

/* One turn of the watching thread, which sleeps for as long as it may. Returns true if something had come. */
static bool turn(struct peers *peers, int most_ms)
{
	struct pollfd polled = {.events = POLLIN};

	peers_watch(peers, &polled.fd);
	if (poll(&polled, 1, most_ms) <= 0)
		return false;
	peers_heard(peers);
	return true;
}

/* Until nothing is there to be done at once. */
static void settle(struct peers *peers)
{
	for (int turns = 0; turn(peers, 0); turns++)
		ck_assert_int_lt(turns, 100);
}

/* Takes the next request, as a worker does, and checks its body. Waits if there is none, until Check's timeout ends
 * the program. */
static struct peer *take(struct peers *peers, const char *body)
{
	settle(peers);
	struct peer *peer = peers_take(peers);

	ck_assert_ptr_nonnull(peer);
	ck_assert_uint_eq(peer->records.body.len, strlen(body));
	if (body[0] != '\0')
		ck_assert_mem_eq(peer->records.body.data, body, strlen(body));
	return peer;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);

	ck_assert_int_le(got, 0);
	return got == 0 || errno == ECONNRESET;
}

/* Turns until the peers have closed the other end. */
static void wait_closed(struct peers *peers, int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLIN};

	for (int waited = 0; poll(&polled, 1, 0) == 0; waited += 5) {
		ck_assert_int_lt(waited, PATIENCE_MS);
		turn(peers, 5);
	}
	ck_assert(is_closed(fd));
}

static void close_peers(struct peers *peers, size_t open)
{
	ck_assert_uint_eq(peers_count(peers), open);
	peers_stop(peers);
	settle(peers);
	ck_assert_uint_eq(peers_count(peers), 0);
	peers_end(peers);
	ck_assert_ptr_null(peers_take(peers));
	peers_free(peers);
}

START_TEST(kept_and_closed)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);

	for (int i = 0; i < 3; i++) {
		send_request(fd, 1, KEEPS, "again");
		ck_assert(!peers_release(peers, take(peers, "again")));
		settle(peers);
		ck_assert(!is_closed(fd));
		ck_assert_uint_eq(peers_count(peers), 1);
	}
	/* Another id, in two pieces. */
	struct buffer bytes;
	buffer_init(&bytes);
	put_request(&bytes, 9, CLOSES, "last");
	send_all(fd, bytes.data, 5);
	settle(peers);
	send_all(fd, bytes.data + 5, bytes.len - 5);
	buffer_done(&bytes);
	struct peer *peer = take(peers, "last");
	ck_assert_uint_eq(peer->records.id, 9);
	peers_release(peers, peer);
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* A web server that closes a kept connection ends it. */
START_TEST(closed_by_the_other_end)
{
	struct peers *peers = open_peers(5000, 60000);
	int idle = add(peers);
	int busy = add(peers);

	send_request(idle, 1, KEEPS, "a");
	peers_release(peers, take(peers, "a"));
	send_request(busy, 1, KEEPS, "b");
	struct peer *peer = take(peers, "b");
	close(idle);
	close(busy);
	settle(peers);
	ck_assert_uint_eq(peers_count(peers), 1);
	peers_release(peers, peer);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Requests in one piece with the first, up to an incomplete one. */
START_TEST(pipelined)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);
	struct buffer bytes;

	buffer_init(&bytes);
	put_request(&bytes, 1, KEEPS, "first");
	put_request(&bytes, 2, KEEPS, "second");
	put_request(&bytes, 1, KEEPS, "third");
	put_request(&bytes, 1, KEEPS, "fourth");
	send_all(fd, bytes.data, bytes.len - 9);
	ck_assert(peers_release(peers, take(peers, "first")));
	ck_assert(peers_release(peers, take(peers, "second")));
	ck_assert(peers_release(peers, take(peers, "third")));
	settle(peers);
	send_all(fd, bytes.data + bytes.len - 9, 9);
	ck_assert(!peers_release(peers, take(peers, "fourth")));
	buffer_done(&bytes);
	close(fd);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Bytes that arrive while a worker has the connection stay in the kernel, and wake nobody. */
START_TEST(early)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);

	send_request(fd, 1, KEEPS, "first");
	struct peer *peer = take(peers, "first");
	send_request(fd, 1, KEEPS, "second");
	turn(peers, 0);
	ck_assert(!turn(peers, 0));
	peers_release(peers, peer);
	peers_release(peers, take(peers, "second"));
	settle(peers);
	ck_assert(!is_closed(fd));
	close(fd);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Behind an answer that was not sent as a whole nothing may follow. */
START_TEST(not_answered)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);

	send_request(fd, 1, KEEPS, "first");
	struct peer *peer = take(peers, "first");
	peer->keep = false;
	peers_release(peers, peer);
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* Records that are none, behind a good request. */
START_TEST(malformed_next)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);
	struct buffer bytes;

	buffer_init(&bytes);
	put_request(&bytes, 1, KEEPS, "good");
	put_record(&bytes, STDIN, 1, "x", 1);
	send_buffer(fd, &bytes);
	struct peer *peer = take(peers, "good");
	ck_assert(!is_closed(fd));
	peers_release(peers, peer);
	settle(peers);
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* A second request that begins amid the first: END_REQUEST with FCGI_CANT_MPX_CONN, and the first goes on. */
START_TEST(multiplexed)
{
	static const unsigned char refusal[16] = {1, 3, 0, 2, 0, 8, 0, 0, 0, 0, 0, 0, 1};
	static const char content[8] = {0, 1, KEEPS};
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);
	unsigned char got[32];
	struct buffer bytes;

	buffer_init(&bytes);
	put_record(&bytes, BEGIN, 1, content, sizeof content);
	put_request(&bytes, 2, KEEPS, "second");
	put_record(&bytes, PARAMS, 1, "", 0);
	put_record(&bytes, STDIN, 1, "first", 5);
	put_record(&bytes, STDIN, 1, "", 0);
	send_buffer(fd, &bytes);
	peers_release(peers, take(peers, "first"));
	ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), sizeof refusal);
	ck_assert_mem_eq(got, refusal, sizeof refusal);
	send_request(fd, 2, CLOSES, "second");
	peers_release(peers, take(peers, "second"));
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* An idle connection is closed after its time, and not before; a request that begins in time has its own. */
START_TEST(idle_timeout)
{
	struct peers *peers = open_peers(60000, 100);
	int idle = add(peers);
	int begun = add(peers);

	send_request(idle, 1, KEEPS, "a");
	send_request(begun, 1, KEEPS, "b");
	peers_release(peers, take(peers, "a"));
	peers_release(peers, take(peers, "b"));
	settle(peers);
	ck_assert(!is_closed(idle) && !is_closed(begun));
	send_all(begun, "\1", 1);
	settle(peers);
	wait_closed(peers, idle);
	ck_assert(!is_closed(begun));
	close(idle);
	close(begun);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* A request that has begun on a kept connection has as long as a first one. */
START_TEST(slow_next)
{
	struct peers *peers = open_peers(100, 60000);
	int fd = add(peers);

	send_request(fd, 1, KEEPS, "a");
	peers_release(peers, take(peers, "a"));
	send_all(fd, "\1", 1);
	wait_closed(peers, fd);
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* If all places are taken, the connection that has been idle longest is closed for a new one, unless its next
 * request has come. */
START_TEST(places)
{
	struct peers *peers = open_peers(60000, 60000);
	int fds[PLACES];

	for (int i = 0; i < PLACES; i++) {
		fds[i] = add(peers);
		send_request(fds[i], 1, KEEPS, "x");
		peers_release(peers, take(peers, "x"));
		/* The next one is idle from a later millisecond on. */
		for (const int64_t now = clock_ms(); clock_ms() == now;)
			;
	}
	send_request(fds[0], 1, KEEPS, "in time");
	int newer = add(peers);
	ck_assert(!is_closed(fds[0]));
	ck_assert(is_closed(fds[1]));
	ck_assert(!is_closed(fds[2]));
	struct peer *busy = take(peers, "in time");
	int newest = add(peers);
	ck_assert(is_closed(fds[2]));
	/* One is busy, and two have not had the time to send a request. */
	ck_assert(!peers_room(peers));
	ck_assert(peers_release(peers, busy));
	ck_assert(peers_room(peers));
	ck_assert_uint_eq(peers_count(peers), PLACES);
	for (int i = 0; i < PLACES; i++)
		close(fds[i]);
	close(newer);
	close(newest);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Stopping closes idle connections at once, and lets others finish: one that is busy, one that has sent its
 * next request, one that has sent part of its first. */
START_TEST(stop)
{
	struct peers_limits limits = usual;
	limits.places = 4;
	struct peers *peers = make_peers(&limits);
	int idle = add(peers);
	int sent = add(peers);
	int busy = add(peers);
	int partial = add(peers);

	send_request(idle, 1, KEEPS, "a");
	peers_release(peers, take(peers, "a"));
	send_request(sent, 1, KEEPS, "b");
	peers_release(peers, take(peers, "b"));
	send_request(busy, 1, KEEPS, "c");
	struct peer *peer = take(peers, "c");
	struct buffer bytes;
	buffer_init(&bytes);
	put_request(&bytes, 1, KEEPS, "d");
	send_all(partial, bytes.data, 5);
	send_request(sent, 1, KEEPS, "b again");

	peers_stop(peers);
	settle(peers);
	ck_assert(is_closed(idle));
	ck_assert(!is_closed(sent) && !is_closed(busy) && !is_closed(partial));
	ck_assert(peers_release(peers, take(peers, "b again")));
	settle(peers);
	ck_assert(is_closed(sent));
	ck_assert(peers_release(peers, peer));
	settle(peers);
	ck_assert(is_closed(busy));
	send_all(partial, bytes.data + 5, bytes.len - 5);
	buffer_done(&bytes);
	ck_assert(peers_release(peers, take(peers, "d")));
	settle(peers);
	ck_assert(is_closed(partial));
	close(idle);
	close(sent);
	close(busy);
	close(partial);
	close_peers(peers, 0);
}
END_TEST

/* A request that came early is served while stopping, as it was accepted. */
START_TEST(stop_with_early)
{
	struct peers *peers = open_peers(5000, 60000);
	int fd = add(peers);
	struct buffer bytes;

	buffer_init(&bytes);
	put_request(&bytes, 1, KEEPS, "first");
	put_request(&bytes, 1, KEEPS, "second");
	send_buffer(fd, &bytes);
	struct peer *peer = take(peers, "first");
	peers_stop(peers);
	ck_assert(peers_release(peers, peer));
	ck_assert(peers_release(peers, take(peers, "second")));
	settle(peers);
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* A body beyond the limit is there with one byte more. The rest of it still comes. */
START_TEST(too_long)
{
	struct peers_limits limits = usual;
	limits.records.body = 3;
	struct peers *peers = make_peers(&limits);
	int fd = add(peers);

	send_request(fd, 1, KEEPS, "four");
	peers_release(peers, take(peers, "four"));
	send_request(fd, 1, CLOSES, "four");
	peers_release(peers, take(peers, "four"));
	ck_assert(is_closed(fd));
	close(fd);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Checks that a request was refused: what comes is an answer, and then the end. */
static void check_refused(struct peers *peers, int fd)
{
	char got[200];
	const size_t whole = 8 + strlen(REFUSED) + 8 + 16;

	settle(peers);
	ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), (ssize_t)whole);
	ck_assert_mem_eq(got + 8, REFUSED, strlen(REFUSED));
	ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 0);
}

/* Requests that take too much memory together: the largest is told so, and the others go on. What counts is what
 * has come, and not the room that was made for it. */
START_TEST(too_much)
{
	static char content[60000];
	struct peers_limits limits = usual;
	limits.bytes = 130000;
	struct peers *peers = make_peers(&limits);
	const char begin[8] = {0, 1};
	int fds[PLACES];

	for (int i = 0; i < PLACES; i++) {
		struct buffer bytes;

		buffer_init(&bytes);
		fds[i] = add(peers);
		put_record(&bytes, BEGIN, 1, begin, sizeof begin);
		put_record(&bytes, PARAMS, 1, "", 0);
		put_record(&bytes, STDIN, 1, content, i == 1 ? sizeof content : 40000);
		send_buffer(fds[i], &bytes);
		settle(peers);
	}
	ck_assert_int_eq(refused[REFUSAL_BYTES], 1);
	check_refused(peers, fds[1]);
	for (int i = 0; i < PLACES; i++) {
		if (i != 1) {
			struct buffer bytes;

			buffer_init(&bytes);
			put_record(&bytes, STDIN, 1, "", 0);
			send_buffer(fds[i], &bytes);
			settle(peers);
			struct peer *peer = peers_take(peers);
			ck_assert_uint_eq(peer->records.body.len, 40000);
			peers_release(peers, peer);
		}
		close(fds[i]);
	}
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* A request that has to go for another connection is told so. */
START_TEST(evicted)
{
	struct peers *peers = open_peers(60000, 60000);
	int fds[PLACES + 1];

	for (int i = 0; i < PLACES; i++) {
		const char begin[8] = {0, 1, KEEPS};
		struct buffer bytes;

		buffer_init(&bytes);
		fds[i] = add(peers);
		put_record(&bytes, BEGIN, 1, begin, sizeof begin);
		send_buffer(fds[i], &bytes);
		settle(peers);
	}
	for (int waited = 0; !peers_room(peers); waited++) {
		ck_assert_int_lt(waited, PATIENCE_MS);
		turn(peers, 1);
	}
	fds[PLACES] = add(peers);
	ck_assert_int_eq(refused[REFUSAL_PLACES], 1);
	check_refused(peers, fds[0]);
	for (int i = 0; i <= PLACES; i++)
		close(fds[i]);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* What is refused by its parameters is there without its body. If the connection is not to be kept, it ends behind
 * the answer, which the bytes that still come do not destroy. */
START_TEST(without_body)
{
	static const char content[] = "\x07\x00NO_BODY";
	const char begin[8] = {0, 1, CLOSES};
	struct peers *peers = open_peers(60000, 60000);
	struct buffer bytes;
	int fd = add(peers);

	buffer_init(&bytes);
	put_record(&bytes, BEGIN, 1, begin, sizeof begin);
	put_record(&bytes, PARAMS, 1, content, sizeof content - 1);
	put_record(&bytes, PARAMS, 1, "", 0);
	put_record(&bytes, STDIN, 1, "half", 4);
	send_buffer(fd, &bytes);
	struct peer *peer = take(peers, "");
	ck_assert(!peer->keep && peer->partial);
	send_all(peer->fd, "!", 1);
	peers_release(peers, peer);
	send_all(fd, "more", 4);
	settle(peers);
	ck_assert_uint_eq(peers_count(peers), 1);
	char answer[2];
	ck_assert_int_eq(recv(fd, answer, sizeof answer, MSG_DONTWAIT), 1);
	ck_assert(is_closed(fd));
	close(fd);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* If it is to be kept, the body is passed over, whenever it comes, and the next request is served. */
START_TEST(without_body_kept)
{
	static const char content[] = "\x07\x00NO_BODY";
	const char begin[8] = {0, 1, KEEPS};
	struct peers *peers = open_peers(60000, 60000);
	int fd = add(peers);

	for (int split = 0; split < 30; split++) {
		struct buffer head;
		struct buffer rest;

		buffer_init(&head);
		buffer_init(&rest);
		put_record(&head, BEGIN, 1, begin, sizeof begin);
		put_record(&head, PARAMS, 1, content, sizeof content - 1);
		put_record(&head, PARAMS, 1, "", 0);
		put_record(&rest, STDIN, 1, "body", 4);
		/* Or the web server never ends it. */
		if (split % 2 == 0)
			put_record(&rest, STDIN, 1, "", 0);
		const size_t with_head = (size_t)split < rest.len ? (size_t)split : rest.len;
		buffer_put(&head, rest.data, with_head);
		send_buffer(fd, &head);
		struct peer *peer = take(peers, "");
		ck_assert(peer->keep);
		peers_release(peers, peer);
		settle(peers);
		send_all(fd, rest.data + with_head, rest.len - with_head);
		settle(peers);
		buffer_done(&rest);
		send_request(fd, 1, KEEPS, "next");
		peers_release(peers, take(peers, "next"));
		settle(peers);
		ck_assert(!is_closed(fd));
	}
	close(fd);
	settle(peers);
	close_peers(peers, 0);
}
END_TEST

/* Answers go out in the order in which they came. */
START_TEST(answers_in_order)
{
	struct peers *peers = open_peers(60000, 60000);
	struct peer *served[PLACES];
	int fds[PLACES];

	for (int i = 0; i < PLACES; i++) {
		fds[i] = add(peers);
		send_request(fds[i], 1, CLOSES, "x");
		served[i] = take(peers, "x");
	}
	served[0]->next = served[1];
	served[1]->next = NULL;
	peers_answer(peers, served[0]);
	served[2]->next = NULL;
	peers_answer(peers, served[2]);
	for (int i = 0; i < PLACES; i++) {
		ck_assert_ptr_eq(peers_take(peers), served[i]);
		peers_release(peers, served[i]);
		close(fds[i]);
	}
	close_peers(peers, 0);
}
END_TEST

/* A web server that asks for our limits first may take its time for the request, as between two requests. */
START_TEST(values)
{
	static const char question[] = "\x0e\x00" "FCGI_MAX_CONNS";
	static const char told[] = "\x0e\x01" "FCGI_MAX_CONNS3";
	struct peers *peers = open_peers(50, 60000);
	struct buffer bytes;
	char got[100];
	int fd = add(peers);

	buffer_init(&bytes);
	put_record(&bytes, 9, 0, question, sizeof question - 1);
	send_buffer(fd, &bytes);
	settle(peers);
	ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 8 + sizeof told - 1);
	ck_assert_mem_eq(got + 8, told, sizeof told - 1);
	for (const int64_t until = clock_ms() + 200; clock_ms() < until;)
		turn(peers, 10);
	ck_assert(!is_closed(fd));
	send_request(fd, 1, CLOSES, "x");
	peers_release(peers, take(peers, "x"));
	ck_assert(is_closed(fd));
	close(fd);
	close_peers(peers, 0);
}
END_TEST

/* A worker that always finds something to do says with each request that it is not stuck. */
START_TEST(busy_worker)
{
	struct peers *peers = open_peers(5000, 60000);
	struct thread self = {0};
	int fds[2];

	for (int i = 0; i < 2; i++) {
		fds[i] = add(peers);
		send_request(fds[i], 1, CLOSES, "x");
	}
	settle(peers);
	thread_watch_self(&self, "worker");
	for (int i = 0; i < 2; i++) {
		thread_alive(-1);
		ck_assert_uint_eq(thread_stuck(NULL, NULL), 1);
		struct peer *peer = peers_take(peers);
		ck_assert_uint_eq(thread_stuck(NULL, NULL), 0);
		peers_release(peers, peer);
		close(fds[i]);
	}
	thread_unwatch_self(&self);
	close_peers(peers, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("peers");
	TCase *tcase = tcase_create("peers");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, kept_and_closed);
	tcase_add_test(tcase, closed_by_the_other_end);
	tcase_add_test(tcase, pipelined);
	tcase_add_test(tcase, early);
	tcase_add_test(tcase, not_answered);
	tcase_add_test(tcase, malformed_next);
	tcase_add_test(tcase, multiplexed);
	tcase_add_test(tcase, idle_timeout);
	tcase_add_test(tcase, slow_next);
	tcase_add_test(tcase, places);
	tcase_add_test(tcase, stop);
	tcase_add_test(tcase, stop_with_early);
	tcase_add_test(tcase, too_long);
	tcase_add_test(tcase, too_much);
	tcase_add_test(tcase, evicted);
	tcase_add_test(tcase, without_body);
	tcase_add_test(tcase, without_body_kept);
	tcase_add_test(tcase, answers_in_order);
	tcase_add_test(tcase, values);
	tcase_add_test(tcase, busy_worker);
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
