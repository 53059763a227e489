/* One thread accepts and watches connections; a pool of workers serves them. A connection
 * goes to a worker only once its peer has sent something, so that silent peers hold no
 * worker. libfcgi then reads with blocking calls; its deadline is kept by the watching
 * thread, which shuts the reading side down, and the read ends as if the peer had closed.
 *
 * No worker waits for a commit: with the request in the queue it takes the next
 * connection, and whichever is free answers when the outcome is there. So a few threads
 * serve many requests, and a batch that is committed wakes one of them, not one each. */
#include "config.h"

#include "server.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "peers.h"
#include "signals.h"
#include "text.h"

#define STACK_BYTES ((size_t)512 * 1024)
#define SEND_TIMEOUT_S 10
/* Descriptors for all but connections: the log, the database, resolving names, files. */
#define SPARE_DESCRIPTORS 32
/* How long accepting rests when there are no descriptors, and how often that is logged. */
#define ACCEPT_REST_MS 100
#define ERROR_LOG_MS 1000

/* A request between being read and being answered. */
struct exchange {
	struct receipt receipt;
	struct peer *peer;
	FCGX_Request fcgi;
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

/* Reads and drops what a peer still sends after its answer: closing with bytes unread
 * would make the kernel throw the answer away. Ends with the connection's deadline. */
static void linger(int fd)
{
	char unread[4096];

	if (shutdown(fd, SHUT_WR) != 0)
		return;
	while (recv(fd, unread, sizeof unread, 0) > 0)
		;
}

/* Ends what libfcgi holds of a request, and with it what was written of the answer. */
static void finish_request(FCGX_Request *fcgi)
{
	fcgi->keepConnection = 1;
	FCGX_Finish_r(fcgi);
	if (fcgi->ipcFd >= 0)
		close(fcgi->ipcFd);
	fcgi->ipcFd = -1;
}

/* Answers. Where libfcgi cannot write the answer, it reads until the peer closes, however
 * long that takes: from a request that is complete nothing more is to be read. */
static void write_answer(struct exchange *exchange, bool complete, struct buffer *out)
{
	buffer_clear(out);
	response_format(&exchange->answer, out);
	if (complete)
		shutdown(exchange->peer->fd, SHUT_RD);
	if (!buffer_failed(out))
		FCGX_PutStr(out->data, (int)out->len, exchange->fcgi.out);
	finish_request(&exchange->fcgi);
}

/* The steps of the request that libfcgi has begun to read. Returns whether the receipt will
 * come; otherwise the request was answered. */
static bool submit(struct server *s, struct exchange *exchange, struct buffer *out)
{
	struct peer *peer = exchange->peer;
	struct request request;
	bool submitted = false;
	bool complete = handler_receive(s->handler, &exchange->fcgi, &request, &exchange->answer);

	peers_set_reading(s->peers, peer, false);
	/* What has waited so long for a worker would wait for the database, too, and its web
	 * server would give up first. */
	if (complete && peer->taken_ms - peer->accepted_ms > s->limits->read_timeout_ms)
		exchange->answer.kind = ANSWER_BUSY;
	else if (complete)
		submitted = handler_submit(s->handler, &request, &exchange->answer, &exchange->receipt);
	/* From here on another worker may already have answered it, and freed the exchange. */
	request_done(&request);
	if (submitted)
		return true;
	/* With the deadline of reading, what is left unread is read to its end. */
	if (!complete)
		peers_set_reading(s->peers, peer, true);
	write_answer(exchange, complete, out);
	if (!complete)
		linger(peer->fd);
	return false;
}

/* Begins the one request of a connection: an exchange that waits for its receipt, or false
 * where the connection is finished with. fcgi gets a descriptor of its own, because on some
 * errors libfcgi closes what it was given, and a closed number may be someone else's by the
 * time the watching thread acts on it. */
static bool begin(struct server *s, struct peer *peer, struct buffer *out)
{
	struct exchange *exchange = calloc(1, sizeof *exchange);
	int fd = fcntl(peer->fd, F_DUPFD_CLOEXEC, 0);

	if (exchange == NULL || fd < 0) {
		log_record(LOG_ERROR, "cannot serve a connection", LOG_PAIRS("reason", text_error(errno)));
		if (fd >= 0)
			close(fd);
		free(exchange);
		return false;
	}
	exchange->peer = peer;
	peer->exchange = exchange;
	/* Without a listening socket it cannot accept behind our back. With keepConnection
	 * unset, FCGX_Accept_r() would first close the descriptor. */
	FCGX_InitRequest(&exchange->fcgi, -1, 0);
	exchange->fcgi.ipcFd = fd;
	exchange->fcgi.keepConnection = 1;
	if (FCGX_Accept_r(&exchange->fcgi) != 0)
		finish_request(&exchange->fcgi);
	else if (submit(s, exchange, out))
		return true;
	free(exchange);
	return false;
}

/* Answers a request whose receipt came. */
static void answer(struct exchange *exchange, struct buffer *out)
{
	handler_complete(&exchange->receipt, &exchange->answer);
	write_answer(exchange, true, out);
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

static void *work(void *argument)
{
	struct server *s = argument;
	struct peer *peer;
	struct buffer out;

	buffer_init(&out);
	while ((peer = peers_take(s->peers)) != NULL) {
		if (peer->exchange != NULL)
			answer(peer->exchange, &out);
		else if (begin(s, peer, &out))
			continue;
		if (peers_drop(s->peers, peer))
			signals_wake();
	}
	buffer_done(&out);
	return NULL;
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

/* Accepts until the queue of the socket is empty or no place is left: what waits in the queue
 * is served later, what was accepted without a place could only be cut. */
static void accept_all(struct server *s)
{
	const struct timeval send_timeout = {.tv_sec = SEND_TIMEOUT_S};
	bool full;

	while (peers_count(s->peers, &full), !full) {
		int fd = accept(s->listener->fd, NULL, NULL);
		if (fd < 0) {
			if (accept_again(s, errno))
				continue;
			return;
		}
		/* On some systems an accepted socket inherits that the listening one does not block. */
		fcntl(fd, F_SETFL, 0);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof send_timeout);
		if (!peers_add(s->peers, fd))
			return;
	}
}

/* After SIGTERM: what the kernel has already accepted on our own socket is still taken;
 * an inherited socket lives on, and what waits there is its next reader's. */
static void stop_accepting(struct server *s)
{
	log_record(LOG_INFO, "stopping: finishing what was accepted", NULL);
	listener_unlink(s->listener);
	if (s->listener->fd > STDIN_FILENO)
		accept_all(s);
	listener_close(s->listener);
	s->accepting = false;
}

/* What poll(2) is to watch the listening socket with: nothing, as a negative descriptor
 * says, while stopping, without a place, or while accepting rests. */
static struct pollfd watch_listener(const struct server *s, bool full, int64_t *next_ms)
{
	struct pollfd watched = {.fd = -1, .events = POLLIN};

	if (!s->accepting || full)
		return watched;
	if (clock_ms() >= s->rest_until_ms)
		watched.fd = s->listener->fd;
	else if (s->rest_until_ms < *next_ms)
		*next_ms = s->rest_until_ms;
	return watched;
}

/* The watching thread: until SIGTERM, and then until no connection is open. */
static void watch(struct server *s, void (*reload)(void *context), void *context)
{
	static struct pollfd polled[PEERS_MAX + 2];
	static struct peer *polled_peers[PEERS_MAX + 2];
	bool full;

	for (;;) {
		nfds_t count = 2;

		if (signals_hangup())
			reload(context);
		if (signals_terminate() && s->accepting)
			stop_accepting(s);
		int64_t expiry_ms = handler_expire(s->handler, clock_ms());
		int64_t next_ms = peers_watch(s->peers, polled, polled_peers, &count);
		if (expiry_ms < next_ms)
			next_ms = expiry_ms;
		if (peers_count(s->peers, &full) == 0 && !s->accepting)
			return;
		polled[0] = (struct pollfd){.fd = signals_fd(), .events = POLLIN};
		polled[1] = watch_listener(s, full, &next_ms);
		int64_t left_ms = next_ms - clock_ms();
		if (poll(polled, count, left_ms > 0 ? (int)left_ms : 0) < 0) {
			if (errno != EINTR)
				log_record(LOG_ERROR, "poll failed", LOG_PAIRS("reason", text_error(errno)));
			continue;
		}
		if (polled[0].revents != 0)
			signals_empty();
		peers_heard(s->peers, polled + 2, polled_peers + 2, count - 2);
		if (polled[1].revents != 0)
			accept_all(s);
	}
}

/* How many connections can be open: each takes two descriptors from its first byte to its
 * answer, and the system may not allow as many as usual. */
static size_t count_places(void)
{
	const rlim_t usual = 2 * PEERS_MAX + SPARE_DESCRIPTORS;
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
	if (limit.rlim_cur < SPARE_DESCRIPTORS + 2)
		return 1;
	return (size_t)(limit.rlim_cur - SPARE_DESCRIPTORS) / 2;
}

static size_t start_workers(struct server *s, pthread_t *threads, size_t count)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t old;
	size_t started = 0;

	if (pthread_attr_init(&attributes) != 0)
		return 0;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are to wake the watching thread, not workers. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (started < count && pthread_create(&threads[started], &attributes, work, s) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return started;
}

int server_run(struct listener *listener, struct handler *handler, const struct server_limits *limits,
	void (*reload)(void *context), void *context)
{
	struct server s = {.handler = handler, .limits = limits, .listener = listener, .accepting = true};
	/* One more than may read at the same time: it answers even if all the others read. */
	const size_t workers = limits->threads + 1;
	pthread_t *threads = calloc(workers, sizeof *threads);
	int status = -1;

	s.accept_error_ms = clock_ms() - ERROR_LOG_MS;
	s.peers = peers_new(count_places(), limits->threads, limits->read_timeout_ms);
	if (threads == NULL || s.peers == NULL)
		goto done;
	handler_on_finish(handler, receive_receipts, &s);
	size_t started = start_workers(&s, threads, workers);
	if (started == workers) {
		watch(&s, reload, context);
		status = 0;
	}
	peers_end(s.peers);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
done:
	listener_close(listener);
	peers_free(s.peers);
	free(threads);
	return status;
}
