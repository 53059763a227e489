/* One thread accepts and watches connections; a pool of workers serves them. A connection
 * goes to a worker only once its peer has sent something, so that silent peers hold no
 * worker. libfcgi then reads with blocking calls; its deadline is kept by the watching
 * thread, which shuts the reading side down, and the read ends as if the peer had closed. */
#include "config.h"

#include "server.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "signals.h"
#include "text.h"

/* Connections that are open at once; beyond it, the oldest that has sent nothing goes. */
#define MAX_CONNECTIONS 1024
#define STACK_BYTES ((size_t)512 * 1024)
#define SEND_TIMEOUT_S 10
/* How long poll(2) may sleep when nothing is due: a net under missed wake-ups. */
#define POLL_MAX_MS 1000

enum peer_state {
	PEER_FREE,
	PEER_SILENT,  /* accepted, watched for its first byte */
	PEER_READY,   /* waits for a worker */
	PEER_READING, /* in a worker's hands, the request is being read */
	PEER_SERVED   /* in a worker's hands, past reading */
};

struct peer {
	int fd;
	enum peer_state state;
	bool cut; /* the reading side has been shut down */
	int64_t deadline_ms;
	struct peer *next; /* among the ready */
};

struct server {
	struct handler *handler;
	const struct server_limits *limits;
	struct listener *listener;
	bool accepting;

	pthread_mutex_t lock; /* covers the rest; never held across I/O that can block */
	pthread_cond_t ready;
	struct peer peers[MAX_CONNECTIONS];
	size_t open; /* peers that are not free */
	struct peer *ready_first;
	struct peer *ready_last;
	bool stopping; /* workers end once nothing is ready */
};

/* Closes a connection and frees its place. Called with the lock held; close(2) on a
 * socket without linger does not wait. */
static void drop(struct server *s, struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	peer->state = PEER_FREE;
	s->open--;
}

static void push_ready(struct server *s, struct peer *peer)
{
	peer->state = PEER_READY;
	peer->next = NULL;
	if (s->ready_last == NULL)
		s->ready_first = peer;
	else
		s->ready_last->next = peer;
	s->ready_last = peer;
	pthread_cond_signal(&s->ready);
}

/* The next connection for a worker, or NULL when it is to end. */
static struct peer *pop_ready(struct server *s)
{
	struct peer *peer;

	pthread_mutex_lock(&s->lock);
	while (s->ready_first == NULL && !s->stopping)
		pthread_cond_wait(&s->ready, &s->lock);
	peer = s->ready_first;
	if (peer != NULL) {
		s->ready_first = peer->next;
		if (s->ready_first == NULL)
			s->ready_last = NULL;
		peer->state = PEER_READING;
	}
	pthread_mutex_unlock(&s->lock);
	return peer;
}

static void set_state(struct server *s, struct peer *peer, enum peer_state state)
{
	pthread_mutex_lock(&s->lock);
	peer->state = state;
	pthread_mutex_unlock(&s->lock);
}

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

/* Serves the one request of a connection. fcgi gets a descriptor of its own, because on
 * some errors libfcgi closes what it was given, and a closed number may be someone else's
 * by the time the watching thread acts on it. */
static void serve(struct server *s, struct peer *peer, FCGX_Request *fcgi, struct buffer *out)
{
	struct request request;
	struct answer answer;
	int fd = fcntl(peer->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return;
	/* With keepConnection unset, FCGX_Accept_r() would first close the descriptor. */
	fcgi->ipcFd = fd;
	fcgi->keepConnection = 1;
	if (FCGX_Accept_r(fcgi) != 0)
		goto done;

	bool complete = handler_receive(s->handler, fcgi, &request, &answer);
	set_state(s, peer, PEER_SERVED);
	if (complete)
		handler_decide(s->handler, &request, &answer);
	request_done(&request);
	buffer_clear(out);
	response_format(&answer, out);
	if (!buffer_failed(out))
		FCGX_PutStr(out->data, (int)out->len, fcgi->out);
	fcgi->keepConnection = 1;
	FCGX_Finish_r(fcgi);
	if (!complete) {
		set_state(s, peer, PEER_READING);
		linger(peer->fd);
	}
done:
	if (fcgi->ipcFd >= 0)
		close(fcgi->ipcFd);
	fcgi->ipcFd = -1;
}

static void *work(void *argument)
{
	struct server *s = argument;
	struct peer *peer;
	struct buffer out;
	FCGX_Request fcgi;

	buffer_init(&out);
	/* Without a listening socket it cannot accept behind our back. */
	FCGX_InitRequest(&fcgi, -1, 0);
	while ((peer = pop_ready(s)) != NULL) {
		serve(s, peer, &fcgi, &out);
		pthread_mutex_lock(&s->lock);
		drop(s, peer);
		bool notify = s->stopping || !s->accepting || s->open == MAX_CONNECTIONS - 1;
		pthread_mutex_unlock(&s->lock);
		if (notify)
			signals_wake();
	}
	buffer_done(&out);
	return NULL;
}

/* Makes a place by dropping the connection that has been silent longest; NULL where all
 * are in use. Called with the lock held. */
static struct peer *free_place(struct server *s)
{
	struct peer *oldest = NULL;

	for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
		struct peer *peer = &s->peers[i];

		if (peer->state == PEER_FREE)
			return peer;
		if (peer->state == PEER_SILENT && (oldest == NULL || peer->deadline_ms < oldest->deadline_ms))
			oldest = peer;
	}
	if (oldest != NULL)
		drop(s, oldest);
	return oldest;
}

/* Accepts until the queue of the socket is empty or no place is left. */
static void accept_all(struct server *s)
{
	const struct timeval send_timeout = {.tv_sec = SEND_TIMEOUT_S};

	for (;;) {
		pthread_mutex_lock(&s->lock);
		struct peer *peer = free_place(s);
		pthread_mutex_unlock(&s->lock);
		if (peer == NULL)
			return;
		/* Only this thread takes places, so that this one stays free. */
		int fd = accept(s->listener->fd, NULL, NULL);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				log_record(LOG_ERROR, "cannot accept a connection",
					LOG_PAIRS("reason", text_error(errno)));
			return;
		}
		/* On some systems an accepted socket inherits that the listening one does not block. */
		fcntl(fd, F_SETFL, 0);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof send_timeout);
		pthread_mutex_lock(&s->lock);
		peer->fd = fd;
		peer->cut = false;
		peer->deadline_ms = clock_ms() + s->limits->read_timeout_ms;
		s->open++;
		/* Web servers send with the connect; where this one has not, it is watched. */
		char first;
		if (recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
			peer->state = PEER_SILENT;
		else
			push_ready(s, peer);
		pthread_mutex_unlock(&s->lock);
	}
}

/* Ends what is past its deadline, and lists the silent connections for poll(2). Returns
 * when the next deadline is. */
static int64_t watch_list(struct server *s, struct pollfd *polled, struct peer **polled_peers, nfds_t *count)
{
	int64_t now = clock_ms();
	int64_t next = now + POLL_MAX_MS;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
		struct peer *peer = &s->peers[i];

		if ((peer->state != PEER_SILENT && peer->state != PEER_READING) || peer->cut)
			continue;
		if (peer->deadline_ms <= now) {
			if (peer->state == PEER_SILENT) {
				drop(s, peer);
			} else {
				shutdown(peer->fd, SHUT_RD);
				peer->cut = true;
			}
			continue;
		}
		if (peer->deadline_ms < next)
			next = peer->deadline_ms;
		if (peer->state == PEER_SILENT) {
			polled[*count] = (struct pollfd){.fd = peer->fd, .events = POLLIN};
			polled_peers[(*count)++] = peer;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return next;
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
	pthread_mutex_lock(&s->lock);
	s->accepting = false;
	pthread_mutex_unlock(&s->lock);
}

/* The watching thread: until SIGTERM, and then until no connection is open. */
static void watch(struct server *s, void (*reload)(void *context), void *context)
{
	static struct pollfd polled[MAX_CONNECTIONS + 2];
	static struct peer *polled_peers[MAX_CONNECTIONS + 2];

	for (;;) {
		nfds_t count = 2;

		if (signals_hangup())
			reload(context);
		if (signals_terminate() && s->accepting)
			stop_accepting(s);
		int64_t next = watch_list(s, polled, polled_peers, &count);
		pthread_mutex_lock(&s->lock);
		size_t open = s->open;
		pthread_mutex_unlock(&s->lock);
		if (!s->accepting && open == 0)
			return;
		polled[0] = (struct pollfd){.fd = signals_fd(), .events = POLLIN};
		/* A negative descriptor is passed over: not while stopping, nor without a place. */
		bool full = open - (count - 2) >= MAX_CONNECTIONS;
		polled[1] =
			(struct pollfd){.fd = s->accepting && !full ? s->listener->fd : -1, .events = POLLIN};
		int64_t left = next - clock_ms();
		if (poll(polled, count, left > 0 ? (int)left : 0) < 0 && errno != EINTR)
			log_record(LOG_ERROR, "poll failed", LOG_PAIRS("reason", text_error(errno)));
		if (polled[0].revents != 0)
			signals_empty();
		pthread_mutex_lock(&s->lock);
		for (nfds_t i = 2; i < count; i++)
			if (polled[i].revents != 0)
				push_ready(s, polled_peers[i]);
		pthread_mutex_unlock(&s->lock);
		if (polled[1].revents != 0)
			accept_all(s);
	}
}

static size_t start_workers(struct server *s, pthread_t *threads)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t old;
	size_t started = 0;

	if (pthread_attr_init(&attributes) != 0)
		return 0;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* Signals are the watching thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (started < s->limits->threads && pthread_create(&threads[started], &attributes, work, s) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return started;
}

int server_run(struct listener *listener, struct handler *handler, const struct server_limits *limits,
	void (*reload)(void *context), void *context)
{
	struct server *s = calloc(1, sizeof *s);
	pthread_t *threads = calloc(limits->threads, sizeof *threads);
	size_t started = 0;
	int status = -1;

	if (s == NULL || threads == NULL)
		goto done;
	s->handler = handler;
	s->limits = limits;
	s->listener = listener;
	s->accepting = true;
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		goto done;
	if (pthread_cond_init(&s->ready, NULL) != 0) {
		pthread_mutex_destroy(&s->lock);
		goto done;
	}
	started = start_workers(s, threads);
	if (started == limits->threads) {
		watch(s, reload, context);
		status = 0;
	}
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->ready);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_cond_destroy(&s->ready);
	pthread_mutex_destroy(&s->lock);
done:
	listener_close(listener);
	free(threads);
	free(s);
	return status;
}
