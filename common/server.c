/* One thread accepts connections and reads from them; a pool of workers serves requests that are
 * there as a whole, so that no peer can hold a worker. libfcgi, which reads with blocking calls and
 * knows no bounds, reads from memory, and never sees the connection.
 *
 * No worker has to wait for an outcome: it takes the next request, and whichever is free answers when the
 * outcome is there. So a few threads serve many requests, and a batch that is committed wakes one of them, not
 * one each. */
#include "config.h"

#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "signals.h"
#include "text.h"
#include "thread.h"

/* Descriptors for all but connections: the log, the database, resolving names, files. */
#define SPARE_DESCRIPTORS 24
/* Fewer connections are no service. */
#define LEAST_PLACES 16
/* The most bytes of all unfinished requests together, one of the longest not counted; and of one request's
 * parameters. Web servers accept header fields of a few dozen kilobytes. */
#define GATHERED_BYTES ((size_t)64 * 1024 * 1024)
#define PARAMS_BYTES ((size_t)256 * 1024)
/* How long a kept connection may wait for its next request. Longer than the web server keeps it
 * (nginx/bagelhook-upstream.conf), so that it is the web server that closes it. */
#define IDLE_TIMEOUT_MS 75000
/* How long accepting rests when there are no descriptors. */
#define ACCEPT_REST_MS 100
/* Accepted before those that are there already are looked at again. */
#define ACCEPT_AT_ONCE 64
/* How long the watching thread rests at most: it looks after the other threads. */
#define TURN_MS 1000
/* Each worker keeps this much room for an answer, so that it can say that there is no memory. */
#define ANSWER_BYTES ((size_t)8 * 1024)

struct server {
	struct server_service service;
	struct server_limits limits;
	struct listener *listener;
	struct peers *peers;

	/* The watching thread's alone. */
	bool accepting;
	bool stopping; /* accepting ends with what waits in the socket's queue */
	int left;      /* how many that may be at most */
	int64_t rest_until_ms; /* no accepting until then */
	struct log_limit error_limit;
};

/* A worker thread's own data. */
struct worker {
	void *own; /* the service's */
	struct buffer text;
	struct buffer records;
};

/* Sends all of it, and waits for a peer that is slow. Returns false if it does not take it all. */
static bool send_all(int fd, const char *bytes, size_t len, int timeout_ms)
{
	const int64_t deadline_ms = clock_ms() + timeout_ms;

	while (len > 0) {
		const ssize_t sent = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		struct pollfd peer = {.fd = fd, .events = POLLOUT};
		const int64_t left_ms = deadline_ms - clock_ms();

		if (sent > 0) {
			bytes += sent;
			len -= (size_t)sent;
			continue;
		}
		if ((sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) || left_ms <= 0)
			return false;
		if (poll(&peer, 1, (int)left_ms) < 0 && errno != EINTR)
			return false;
	}
	return true;
}

/* Sends the answer that was made, in one piece. A short one fits into any socket's buffer. */
static void send_answer(const struct server *s, struct peer *peer, struct worker *worker)
{
	buffer_clear(&worker->records);
	records_put_answer(&peer->records, worker->text.data, worker->text.len, &worker->records);
	/* Behind part of an answer nothing else can be said. */
	if (buffer_failed(&worker->text) || buffer_failed(&worker->records)
		|| !send_all(peer->fd, worker->records.data, worker->records.len,
			s->limits.send_timeout_ms))
		peer->keep = false;
}

/* Begins a request. Returns true if it was answered. */
static bool begin(struct server *s, struct peer *peer, struct worker *worker)
{
	const struct server_service *service = &s->service;
	FCGX_Request fcgi;
	FCGX_Stream in;

	/* A request that has waited so long for a worker would wait for the database, too, and its web
	 * server would give up first. */
	if (clock_ms() - peer->since_ms > 2 * (int64_t)s->limits.read_timeout_ms) {
		peers_refuse(&service->peers, REFUSAL_BUSY, &worker->text);
	} else {
		records_open(&peer->records, &fcgi, &in);
		if (!service->serve(service->peers.context, worker->own, &fcgi, peer, &worker->text))
			return false;
	}
	send_answer(s, peer, worker);
	return true;
}

/* Answers a request whose outcome has come. */
static void answer(struct server *s, struct peer *peer, struct worker *worker)
{
	void *exchange = peer->exchange;

	s->service.answer(s->service.peers.context, peer, &worker->text);
	send_answer(s, peer, worker);
	peer->exchange = NULL;
	s->service.finish(exchange);
}

static void work(void *argument)
{
	struct server *s = argument;
	const struct server_service *service = &s->service;
	struct worker worker = {0};
	struct peer *peer;

	if (!buffer_reserve(&worker.text, ANSWER_BYTES) || !buffer_reserve(&worker.records, ANSWER_BYTES))
		log_record(LOG_ERROR, "a worker has no room for answers", NULL);
	if (service->open_worker != NULL)
		worker.own = service->open_worker(service->peers.context);
	while ((peer = peers_take(s->peers)) != NULL) {
		buffer_recycle(&worker.text, ANSWER_BYTES);
		buffer_recycle(&worker.records, ANSWER_BYTES);
		if (peer->exchange != NULL)
			answer(s, peer, &worker);
		else if (!begin(s, peer, &worker))
			continue;
		if (peers_release(s->peers, peer))
			signals_wake();
	}
	if (service->close_worker != NULL)
		service->close_worker(worker.own);
	buffer_done(&worker.text);
	buffer_done(&worker.records);
}

/* Returns true if accepting is to go on at once after accept(2) has failed. Without descriptors,
 * accepting rests for a moment: the socket stays readable, and this thread would do
 * nothing else. */
static bool accept_again(struct server *s, int error)
{
	if (error == EINTR || error == ECONNABORTED)
		return true;
	if (error == EAGAIN || error == EWOULDBLOCK)
		return false;
	if (log_may(&s->error_limit))
		log_record(LOG_ERROR, "cannot accept a connection", LOG_PAIRS("reason", text_error(error)));
	s->rest_until_ms = clock_ms() + ACCEPT_REST_MS;
	return false;
}

/* Accepts until the queue of the socket is empty, no place is left (what waits in the queue is
 * served later, what was accepted without a place could only be cut), or so many have come: the
 * others have their turn, however fast new ones come and go. *most is how many more may come.
 * Returns true if the queue is empty. */
static bool accept_some(struct server *s, int *most)
{
	while (*most > 0 && peers_room(s->peers)) {
		int fd = accept(s->listener->fd, NULL, NULL);

		--*most;
		if (fd < 0) {
			const int error = errno;

			if (accept_again(s, error))
				continue;
			return error == EAGAIN || error == EWOULDBLOCK;
		}
		/* On some systems an accepted socket inherits that the listening one does not block. */
		fcntl(fd, F_SETFL, 0);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (!peers_add(s->peers, fd))
			return false;
	}
	return false;
}

/* After SIGTERM: no new connection gets through to a Unix socket of our own, idle connections are closed. */
static void begin_stop(struct server *s)
{
	log_record(LOG_INFO, "stopping: finishing what was accepted", NULL);
	metrics_set(METRICS_STOPPING, 1);
	notify_stopping();
	listener_unlink(s->listener);
	peers_stop(s->peers);
	s->stopping = true;
	s->left = LISTENER_BACKLOG;
}

/* While stopping: what the kernel has already accepted on our own socket is still taken, as places come free; to close
 * it earlier would cut that. An inherited socket lives on, and what waits there is its next reader's. */
static void stop_accepting(struct server *s)
{
	const bool own = s->listener->fd > STDIN_FILENO;

	if (own && s->left > 0 && (clock_ms() < s->rest_until_ms || !accept_some(s, &s->left)))
		return;
	listener_close(s->listener);
	s->accepting = false;
}

/* The descriptor to accept on; -1 once nothing is accepted any more, without a place, or while accepting rests. */
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

static int64_t turn(const struct server *s)
{
	return s->service.turn == NULL ? INT64_MAX : s->service.turn(s->service.peers.context);
}

/* The watching thread: until SIGTERM, and then until no connection is open. */
static void watch(struct server *s)
{
	struct pollfd polled[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	const struct timespec pause = {.tv_nsec = 100000000};

	polled[0].fd = signals_fd();
	for (;;) {
		thread_alive(THREAD_STUCK_MS);
		report_stuck_threads();
		if (signals_terminate() && !s->stopping)
			begin_stop(s);
		if (s->stopping && s->accepting)
			stop_accepting(s);
		const int64_t turn_ms = turn(s);
		int64_t next_ms = peers_watch(s->peers, &polled[2].fd);
		if (turn_ms < next_ms)
			next_ms = turn_ms;
		const bool room = peers_room(s->peers);
		if (peers_count(s->peers) == 0 && !s->accepting)
			return;
		polled[1].fd = watch_listener(s, room, &next_ms);
		int64_t left_ms = next_ms - clock_ms();
		if (left_ms > TURN_MS)
			left_ms = TURN_MS;
		if (poll(polled, 3, left_ms > 0 ? (int)left_ms : 0) < 0) {
			if (errno != EINTR) {
				log_record(LOG_ERROR, "poll failed", LOG_PAIRS("reason", text_error(errno)));
				nanosleep(&pause, NULL);
			}
			continue;
		}
		if (polled[0].revents != 0)
			signals_empty();
		if (polled[2].revents != 0)
			peers_heard(s->peers);
		int most = ACCEPT_AT_ONCE;
		if (polled[1].revents != 0 && !s->stopping)
			accept_some(s, &most);
	}
}

/* How many connections can be open: the system may not allow as many as usual. */
static size_t count_places(const struct server_limits *limits)
{
	const rlim_t spare = SPARE_DESCRIPTORS + limits->other_descriptors;
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
	return limit.rlim_cur < spare ? 0 : (size_t)(limit.rlim_cur - spare);
}

int server_check_descriptors(const struct server_limits *limits, char error[SERVER_ERROR_SIZE])
{
	const size_t places = count_places(limits);
	const size_t spare = SPARE_DESCRIPTORS + limits->other_descriptors;
	struct rlimit limit = {0};

	if (places >= LEAST_PLACES)
		return 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(error, SERVER_ERROR_SIZE,
		"only %zu files may be open at once: at least %zu are needed, and %zu for as many connections as usual: "
		"raise LimitNOFILE= of the unit, or ulimit -n",
		(size_t)limit.rlim_cur, spare + LEAST_PLACES, spare + PEERS_MAX);
	return -1;
}

struct server *server_new(
	struct listener *listener, const struct server_limits *limits, const struct server_service *service)
{
	const struct peers_limits peers_limits = {count_places(limits), GATHERED_BYTES + limits->max_body,
		limits->read_timeout_ms, IDLE_TIMEOUT_MS, {PARAMS_BYTES, limits->max_body, 0}};
	struct server *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->service = *service;
	s->limits = *limits;
	s->listener = listener;
	s->accepting = true;
	s->peers = peers_new(&peers_limits, &service->peers);
	if (s->peers != NULL)
		return s;
	free(s);
	return NULL;
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	peers_free(s->peers);
	free(s);
}

int server_run(struct server *s)
{
	struct thread *threads = calloc(s->limits.threads, sizeof *threads);
	struct thread self = {0};
	size_t started = 0;
	int status = -1;

	while (threads != NULL && started < s->limits.threads
		&& thread_start(&threads[started], "worker", work, s) == 0)
		started++;
	if (threads != NULL && started == s->limits.threads) {
		notify_ready();
		thread_watch_self(&self, "event loop");
		watch(s);
		thread_unwatch_self(&self);
		status = 0;
	}
	peers_end(s->peers);
	for (size_t i = 0; i < started; i++)
		thread_join(&threads[i]);
	listener_close(s->listener);
	free(threads);
	return status;
}

void server_answer(struct server *s, struct peer *first)
{
	peers_answer(s->peers, first);
}
