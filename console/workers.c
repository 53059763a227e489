#include "config.h"

#include "workers.h"

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"
#include "common/thread.h"

/* Also how many connections to the database there are, and questions to it at once. */
#define WORKERS 4
/* For each read of a request, which the web server has whole before it connects, and each write of its
 * answer. */
#define READ_S 2
#define WRITE_S 10

struct shared {
	const struct listener *listener;
	const struct views *views;
	const char *conninfo;
};

/* One request from the web server. Owns the socket. */
static void serve(int fd, const struct shared *shared, struct database *db, struct buffer *out)
{
	const struct timeval reading = {.tv_sec = READ_S};
	const struct timeval writing = {.tv_sec = WRITE_S};
	FCGX_Request fcgi;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &reading, sizeof reading) != 0
		|| setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &writing, sizeof writing) != 0) {
		close(fd);
		return;
	}
	/* Without a listening socket it cannot accept behind our back. With keepConnection unset,
	 * FCGX_Accept_r() would first close the descriptor; afterwards it closes it on any failure. */
	FCGX_InitRequest(&fcgi, -1, 0);
	fcgi.ipcFd = fd;
	fcgi.keepConnection = 1;
	if (FCGX_Accept_r(&fcgi) != 0)
		return;
	buffer_clear(out);
	routes_answer(shared->views, db, FCGX_GetParam("REQUEST_METHOD", fcgi.envp),
		FCGX_GetParam("REQUEST_URI", fcgi.envp), out);
	if (!buffer_failed(out))
		FCGX_PutStr(out->data, (int)out->len, fcgi.out);
	else
		FCGX_PutS("Status: 503 Service Unavailable\r\n\r\n", fcgi.out);
	fcgi.keepConnection = 0;
	FCGX_Finish_r(&fcgi);
}

/* The next connection, or -1 when it is time to end. Any thread may get it, or none. */
static int next_connection(int listener)
{
	for (;;) {
		struct pollfd ready[2] = {
			{.fd = listener, .events = POLLIN}, {.fd = signals_fd(), .events = POLLIN}};

		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			return -1;
		if (ready[1].revents != 0)
			signals_empty();
		if (signals_terminate()) {
			/* It was not for us alone. */
			signals_wake();
			return -1;
		}
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
			log_record(LOG_WARN, "cannot accept", LOG_PAIRS("reason", text_error(errno)));
			poll(NULL, 0, 100);
		}
	}
}

static void work(void *argument)
{
	const struct shared *shared = argument;
	struct database db;
	struct buffer out;
	int fd;

	buffer_init(&out);
	database_init(&db, shared->conninfo);
	while ((fd = next_connection(shared->listener->fd)) >= 0) {
		serve(fd, shared, &db, &out);
		/* One large body must not stay for ever. */
		if (out.size > (size_t)1024 * 1024 || buffer_failed(&out))
			buffer_done(&out);
	}
	database_done(&db);
	buffer_done(&out);
}

int workers_run(const struct listener *listener, const struct views *views, const char *conninfo)
{
	struct shared shared = {listener, views, conninfo};
	struct thread threads[WORKERS] = {0};
	size_t started = 0;
	int failed = 0;

	for (; started < WORKERS && failed == 0; started += failed == 0)
		failed = thread_start(&threads[started], "worker", work, &shared);
	for (size_t i = 0; i < started; i++)
		thread_join(&threads[i]);
	errno = failed;
	return started > 0 ? 0 : -1;
}
