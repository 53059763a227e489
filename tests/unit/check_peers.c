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

/* FastCGI 1.0, section 8 */
enum { BEGIN = 1, PARAMS = 4, STDIN = 5 };
enum { CLOSES, KEEPS };

#define PLACES 3
#define PATIENCE_MS 10000

static const struct peers_limits usual = {PLACES, 1000000, 5000, 60000, {1000, 100000}};

static struct peers *open_peers(int read_timeout_ms, int idle_timeout_ms)
{
	struct peers_limits limits = usual;

	limits.read_timeout_ms = read_timeout_ms;
	limits.idle_timeout_ms = idle_timeout_ms;
	struct peers *peers = peers_new(&limits);
	ck_assert_ptr_nonnull(peers);
	return peers;
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
	struct peers *peers = peers_new(&limits);
	ck_assert_ptr_nonnull(peers);
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

/* A body beyond the limit ends the connection, whatever the web server wants: the rest of it still comes. */
START_TEST(too_long)
{
	struct peers_limits limits = usual;
	limits.records.body = 3;
	struct peers *peers = peers_new(&limits);
	ck_assert_ptr_nonnull(peers);
	int fd = add(peers);

	send_request(fd, 1, KEEPS, "four");
	peers_release(peers, take(peers, "four"));
	ck_assert(is_closed(fd));
	close(fd);
	settle(peers);
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
	suite_add_tcase(suite, tcase);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
