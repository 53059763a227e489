/* One thread accepts connections and reads from them; a pool of workers serves requests that are
 * there as a whole, so that no peer can hold a worker. libfcgi, which reads with blocking calls and
 * knows no bounds, gets the request from a file in memory, and never the connection.
 *
 * No worker waits for a commit: with the request in the queue it takes the next one, and
 * whichever is free answers when the outcome is there. So a few threads serve many requests, and
 * a batch that is committed wakes one of them, not one each. */
#include "config.h"

#include "server.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/desk.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/peers.h"
#include "common/signals.h"
#include "common/text.h"
#include "common/thread.h"
#include "common/notify.h"

/* Descriptors for all but connections: the log, the database, resolving names, files; and for each
 * worker its desk's. */
#define SPARE_DESCRIPTORS 24
#define WORKER_DESCRIPTORS 1
/* Of requests that are on their way, all together; of the parameters of one. Web servers accept
 * header fields of a few dozen kilobytes. */
#define GATHERED_BYTES ((size_t)64 * 1024 * 1024)
#define PARAMS_BYTES ((size_t)256 * 1024)
/* How long a kept connection may wait for its next request. Longer than the web server keeps it
 * (nginx/bagelhook-upstream.conf), so that it is the web server that closes it. */
#define IDLE_TIMEOUT_MS 75000
/* How long accepting rests when there are no descriptors, and how often that is logged. */
#define ACCEPT_REST_MS 100
/* Accepted before those that are there already are looked at again. */
#define ACCEPT_AT_ONCE 64
#define ERROR_LOG_MS 1000
/* How long the watching thread rests at most: it looks after the other threads. */
#define TURN_MS 1000

/* A request between being read and being answered. */
struct exchange {
	struct receipt receipt;
	struct peer *peer;
	struct answer answer;
};

struct server {
	struct handler *handler;
	const struct server_limits *limits;
	struct listener *listener;
	struct peers *peers;

	/* The watching thread's alone. */
	bool accepting;
	int64_t rest_until_ms;   /* no accepting until then */
	int64_t accept_error_ms; /* when the last error of accept(2) was logged */
};

static void count_answer(const struct answer *answer)
{
	const int status = response_status(answer);

	metrics_count_request(status);
	if (status == 503 && !answer->spooled)
		metrics_count(METRICS_LEFT_TO_RETRIES);
}

/* Sends an answer, without libfcgi, in one piece. That is short enough for any socket's buffer: a peer that
 * does not take it gets none, and nobody waits for it. */
static void write_answer(struct peer *peer, const struct answer *answer, struct desk *desk)
{
	ssize_t sent = -1;

	count_answer(answer);
	buffer_clear(&desk->out);
	buffer_clear(&desk->records);
	response_format(answer, &desk->out);
	records_put_answer(&peer->records, desk->out.data, desk->out.len, &desk->records);
	if (!buffer_failed(&desk->out) && !buffer_failed(&desk->records))
		sent = send(peer->fd, desk->records.data, desk->records.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Behind part of an answer nothing else can be said. */
	if (sent != (ssize_t)desk->records.len)
		peer->keep = false;
}

/* Answers a request that cannot be served, with errno. */
static void apologise(struct peer *peer, struct desk *desk)
{
	const struct answer answer = {.kind = ANSWER_NO_MEMORY};

	log_record(LOG_ERROR, "cannot serve a request", LOG_PAIRS("reason", text_error(errno)));
	write_answer(peer, &answer, desk);
}

/* The steps of the request that libfcgi has begun to read. Returns true if the receipt will come; otherwise
 * the request was answered. */
static bool submit(struct server *s, struct exchange *exchange, FCGX_Request *fcgi, struct desk *desk)
{
	struct peer *peer = exchange->peer;
	struct request request;
	bool submitted = false;
	bool complete = handler_receive(s->handler, fcgi, &request, &exchange->answer);

	/* What has waited so long for a worker would wait for the database, too, and its web
	 * server would give up first. */
	if (complete && clock_ms() - peer->since_ms > 2 * (int64_t)s->limits->read_timeout_ms)
		exchange->answer.kind = ANSWER_BUSY;
	else if (complete)
		submitted = handler_submit(s->handler, &request, &exchange->answer, &exchange->receipt);
	/* From here on another worker may already have answered it, and freed the exchange. */
	request_done(&request);
	if (!submitted)
		write_answer(peer, &exchange->answer, desk);
	return submitted;
}

/* Begins a request: an exchange that waits for its receipt, or false if the request was answered. */
static bool begin(struct server *s, struct peer *peer, struct desk *desk)
{
	struct exchange *exchange = peer->no_memory ? NULL : calloc(1, sizeof *exchange);
	FCGX_Request fcgi;
	bool submitted;

	if (peer->no_memory)
		errno = ENOMEM;
	if (exchange == NULL || !desk_lay_out(desk, &peer->records) || !desk_accept(desk, &fcgi)) {
		apologise(peer, desk);
		free(exchange);
		return false;
	}
	records_done(&peer->records);
	exchange->peer = peer;
	peer->exchange = exchange;
	submitted = submit(s, exchange, &fcgi, desk);
	FCGX_Free(&fcgi, 0);
	if (submitted)
		return true;
	peer->exchange = NULL;
	free(exchange);
	return false;
}

/* Answers a request whose receipt came. */
static void answer(struct exchange *exchange, struct desk *desk)
{
	struct peer *peer = exchange->peer;

	handler_complete(&exchange->receipt, &exchange->answer);
	write_answer(peer, &exchange->answer, desk);
	handler_finish(&exchange->receipt, &exchange->answer);
	peer->exchange = NULL;
	free(exchange);
}

/* The queue's receipts: their connections are to be answered. */
static void receive_receipts(void *context, struct receipt *receipts)
{
	struct server *s = context;
	struct peer *first = NULL;
	struct peer **end = &first;

	for (struct receipt *receipt = receipts; receipt != NULL; receipt = receipt->next) {
		struct exchange *exchange =
			(struct exchange *)((char *)receipt - offsetof(struct exchange, receipt));

		*end = exchange->peer;
		end = &exchange->peer->next;
	}
	*end = NULL;
	peers_answer(s->peers, first);
}

static void work(void *argument)
{
	struct server *s = argument;
	struct peer *peer;
	struct desk desk;

	if (!desk_open(&desk))
		log_record(LOG_ERROR, "a worker cannot work", LOG_PAIRS("reason", text_error(errno)));
	while ((peer = peers_take(s->peers)) != NULL) {
		if (peer->exchange != NULL)
			answer(peer->exchange, &desk);
		else if (begin(s, peer, &desk))
			continue;
		if (peers_release(s->peers, peer))
			signals_wake();
	}
	desk_close(&desk);
}

/* Whether to accept again at once after accept(2) has failed. Without descriptors,
 * accepting rests for a moment: the socket stays readable, and this thread would do
 * nothing else. */
static bool accept_again(struct server *s, int error)
{
	int64_t now = clock_ms();

	if (error == EINTR || error == ECONNABORTED)
		return true;
	if (error == EAGAIN || error == EWOULDBLOCK)
		return false;
	if (now - s->accept_error_ms >= ERROR_LOG_MS) {
		s->accept_error_ms = now;
		log_record(LOG_ERROR, "cannot accept a connection", LOG_PAIRS("reason", text_error(error)));
	}
	s->rest_until_ms = now + ACCEPT_REST_MS;
	return false;
}

/* Accepts until the queue of the socket is empty, no place is left (what waits in the queue is
 * served later, what was accepted without a place could only be cut), or so many have come: the
 * others have their turn, however fast new ones come and go. */
static void accept_some(struct server *s, int most)
{
	for (; most > 0 && peers_room(s->peers); most--) {
		int fd = accept(s->listener->fd, NULL, NULL);
		if (fd < 0) {
			if (accept_again(s, errno))
				continue;
			return;
		}
		/* On some systems an accepted socket inherits that the listening one does not block. */
		fcntl(fd, F_SETFL, 0);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (!peers_add(s->peers, fd))
			return;
	}
}

/* After SIGTERM: what the kernel has already accepted on our own socket is still taken;
 * an inherited socket lives on, and what waits there is its next reader's. Idle connections are closed. */
static void stop_accepting(struct server *s)
{
	log_record(LOG_INFO, "stopping: finishing what was accepted", NULL);
	metrics_set(METRICS_STOPPING, 1);
	notify_stopping();
	listener_unlink(s->listener);
	if (s->listener->fd > STDIN_FILENO)
		accept_some(s, LISTENER_BACKLOG);
	listener_close(s->listener);
	s->accepting = false;
	peers_stop(s->peers);
}

/* The descriptor to accept on; -1 while stopping, without a place, or while accepting rests. */
static int watch_listener(const struct server *s, bool room, int64_t *next_ms)
{
	if (!s->accepting || !room)
		return -1;
	if (clock_ms() >= s->rest_until_ms)
		return s->listener->fd;
	if (s->rest_until_ms < *next_ms)
		*next_ms = s->rest_until_ms;
	return -1;
}

/* The admin listener says so, too, unless it is its own thread. */
static void report_stuck_threads(void)
{
	const char *name = thread_newly_stuck();

	if (name != NULL)
		log_record(LOG_ERROR, "a thread is stuck", LOG_PAIRS("thread", name));
}

/* The watching thread: until SIGTERM, and then until no connection is open. */
static void watch(struct server *s, struct rotation *rotation)
{
	struct pollfd polled[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};

	polled[0].fd = signals_fd();
	for (;;) {
		thread_alive(THREAD_STUCK_MS);
		report_stuck_threads();
		if (signals_hangup() && s->accepting)
			rotation_ask(rotation);
		if (signals_terminate() && s->accepting)
			stop_accepting(s);
		int64_t expiry_ms = handler_expire(s->handler, clock_ms());
		int64_t next_ms = peers_watch(s->peers, &polled[2].fd);
		if (expiry_ms < next_ms)
			next_ms = expiry_ms;
		const bool room = peers_room(s->peers);
		if (peers_count(s->peers) == 0 && !s->accepting)
			return;
		polled[1].fd = watch_listener(s, room, &next_ms);
		int64_t left_ms = next_ms - clock_ms();
		if (left_ms > TURN_MS)
			left_ms = TURN_MS;
		if (poll(polled, 3, left_ms > 0 ? (int)left_ms : 0) < 0) {
			if (errno != EINTR)
				log_record(LOG_ERROR, "poll failed", LOG_PAIRS("reason", text_error(errno)));
			continue;
		}
		if (polled[0].revents != 0)
			signals_empty();
		if (polled[2].revents != 0)
			peers_heard(s->peers);
		if (polled[1].revents != 0)
			accept_some(s, ACCEPT_AT_ONCE);
	}
}

/* How many connections can be open: the system may not allow as many as usual. */
static size_t count_places(const struct server_limits *limits)
{
	const rlim_t spare =
		SPARE_DESCRIPTORS + WORKER_DESCRIPTORS * limits->threads + limits->other_descriptors;
	const rlim_t usual = PEERS_MAX + spare;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return PEERS_MAX;
	if (limit.rlim_cur < usual && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < usual ? limit.rlim_max : usual;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= usual)
		return PEERS_MAX;
	if (limit.rlim_cur < spare + 1)
		return 1;
	return (size_t)(limit.rlim_cur - spare);
}

int server_run(struct listener *listener, struct handler *handler, const struct server_limits *limits,
	struct rotation *rotation)
{
	struct server s = {.handler = handler, .limits = limits, .listener = listener, .accepting = true};
	const struct peers_limits peers_limits = {count_places(limits), GATHERED_BYTES,
		limits->read_timeout_ms, IDLE_TIMEOUT_MS, {PARAMS_BYTES, limits->max_body}};
	const size_t workers = limits->threads;
	struct thread *threads = calloc(workers, sizeof *threads);
	struct thread self = {0};
	size_t started = 0;
	int status = -1;

	s.accept_error_ms = clock_ms() - ERROR_LOG_MS;
	s.peers = peers_new(&peers_limits);
	if (threads == NULL || s.peers == NULL)
		goto done;
	handler_on_finish(handler, receive_receipts, &s);
	while (started < workers && thread_start(&threads[started], "worker", work, &s) == 0)
		started++;
	if (started == workers) {
		notify_ready();
		thread_watch_self(&self, "event loop");
		watch(&s, rotation);
		thread_unwatch_self(&self);
		status = 0;
	}
	peers_end(s.peers);
	for (size_t i = 0; i < started; i++)
		thread_join(&threads[i]);
done:
	listener_close(listener);
	peers_free(s.peers);
	free(threads);
	return status;
}
