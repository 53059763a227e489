/* libmicrohttpd speaks HTTP, in one thread of ours: it would wait for a peer as long as that goes on
 * sending now and then, and here every connection has one deadline for all of it. It is a thread
 * besides the watching one, so that it can say that that one hangs, and so that nothing that strangers
 * to the admin listener do holds deliveries up.
 *
 * epoll(7), because the library's other way to be called, with select(2), ends at descriptor 1023. */
#include "config.h"

#include "admin.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "common/thread.h"

/* Bytes for a connection's request and the head of its answer. */
#define CONNECTION_BYTES ((size_t)16 * 1024)
/* From accepting a connection to the end of its answer. */
#define DEADLINE_MS 2000
/* At the limit the library listens no more, and begins again only when it is called. */
#define WAIT_MAX_MS 1000
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct connection {
	int fd; /* -1: a free place */
	int64_t deadline_ms;
};

struct admin {
	struct listener listener;
	struct exposition_sources sources;
	int wake[2]; /* a pipe; what comes through it ends the thread */
	bool running;
	struct thread thread;
	struct MHD_Daemon *daemon;
	int epoll;
	/* The thread's alone. */
	struct connection connections[ADMIN_CONNECTIONS];
};

static enum MHD_Result respond(
	struct MHD_Connection *connection, unsigned status, const char *type, struct buffer *body)
{
	struct MHD_Response *response = buffer_failed(body)
		? NULL
		: MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result queued = MHD_NO;

	buffer_done(body);
	if (response == NULL)
		return MHD_NO;
	/* Kept ones would take the few places. */
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES
		&& MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES
		&& MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES
		&& (status != MHD_HTTP_METHOD_NOT_ALLOWED
			|| MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES))
		queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size, void **state)
{
	const struct admin *admin = context;
	const char *type = "text/plain; charset=utf-8";
	unsigned status = MHD_HTTP_OK;
	struct buffer body;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	buffer_init(&body);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		buffer_puts(&body, "GET or HEAD only\n");
	} else if (strcmp(url, "/healthz") == 0) {
		if (!exposition_health(&body))
			status = MHD_HTTP_SERVICE_UNAVAILABLE;
	} else if (strcmp(url, "/readyz") == 0) {
		if (!exposition_readiness(&admin->sources, &body))
			status = MHD_HTTP_SERVICE_UNAVAILABLE;
	} else if (strcmp(url, "/metrics") == 0) {
		type = METRICS_TYPE;
		exposition_metrics(&admin->sources, &body);
	} else {
		status = MHD_HTTP_NOT_FOUND;
		buffer_puts(&body, "/healthz, /readyz or /metrics\n");
	}
	return respond(connection, status, type, &body);
}

static void notice(void *context, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct admin *admin = context;
	struct connection *place = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (place != NULL)
			place->fd = -1;
		return;
	}
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (size_t i = 0; i < ADMIN_CONNECTIONS && info != NULL; i++) {
		place = &admin->connections[i];
		if (place->fd >= 0)
			continue;
		*place = (struct connection){info->connect_fd, clock_ms() + DEADLINE_MS};
		*socket_context = place;
		return;
	}
}

/* Ends those that are past their deadline; the library sees that they have ended. Returns when the next
 * one will be, at the latest WAIT_MAX_MS from now. */
static int64_t cut_overdue(struct admin *admin, int64_t now_ms)
{
	int64_t next_ms = now_ms + WAIT_MAX_MS;

	for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
		struct connection *one = &admin->connections[i];

		if (one->fd < 0)
			continue;
		if (one->deadline_ms <= now_ms) {
			shutdown(one->fd, SHUT_RDWR);
			one->deadline_ms = now_ms + DEADLINE_MS;
		}
		if (one->deadline_ms < next_ms)
			next_ms = one->deadline_ms;
	}
	return next_ms;
}

static void run(void *argument)
{
	struct admin *admin = argument;

	for (;;) {
		struct pollfd polled[2] = {
			{.fd = admin->epoll, .events = POLLIN}, {.fd = admin->wake[0], .events = POLLIN}};
		const int64_t now_ms = clock_ms();
		const int64_t next_ms = cut_overdue(admin, now_ms);
		MHD_UNSIGNED_LONG_LONG wanted_ms;
		int wait_ms = (int)(next_ms - now_ms);

		thread_alive(THREAD_STUCK_MS);
		if (MHD_get_timeout(admin->daemon, &wanted_ms) == MHD_YES
			&& wanted_ms < (MHD_UNSIGNED_LONG_LONG)wait_ms)
			wait_ms = (int)wanted_ms;
		if (poll(polled, 2, wait_ms) < 0 && errno != EINTR)
			log_record(LOG_ERROR, "poll failed", LOG_PAIRS("reason", text_error(errno)));
		if (polled[1].revents != 0)
			return;
		MHD_run(admin->daemon);
	}
}

struct admin *admin_open(const char *address, mode_t mode, char error[LISTENER_ERROR_SIZE])
{
	struct admin *admin = calloc(1, sizeof *admin);

	if (admin == NULL) {
		snprintf(error, LISTENER_ERROR_SIZE, "--admin-listen: %s", text_error(ENOMEM));
		return NULL;
	}
	admin->wake[0] = admin->wake[1] = -1;
	for (size_t i = 0; i < ADMIN_CONNECTIONS; i++)
		admin->connections[i].fd = -1;
	if (listener_open(&admin->listener, "--admin-listen", address, mode, error) == 0)
		return admin;
	free(admin);
	return NULL;
}

const char *admin_socket(const struct admin *admin)
{
	return admin->listener.path;
}

static bool start_daemon(struct admin *admin)
{
	admin->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, admin,
		MHD_OPTION_LISTEN_SOCKET, admin->listener.fd, MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION, notice,
		admin, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (admin->daemon == NULL)
		return false;
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return false;
	admin->epoll = info->epoll_fd;
	return true;
}

int admin_start(struct admin *admin, const struct exposition_sources *sources)
{
	admin->sources = *sources;
	if (pipe2(admin->wake, O_CLOEXEC) != 0 || !start_daemon(admin))
		return -1;
	admin->running = thread_start(&admin->thread, "admin", run, admin) == 0;
	return admin->running ? 0 : -1;
}

void admin_close(struct admin *admin)
{
	if (admin == NULL)
		return;
	if (admin->running && write(admin->wake[1], "", 1) == 1)
		thread_join(&admin->thread);
	listener_unlink(&admin->listener);
	if (admin->daemon != NULL) {
		/* It closes the listening socket with it. */
		MHD_stop_daemon(admin->daemon);
		admin->listener.fd = -1;
	}
	listener_close(&admin->listener);
	for (int i = 0; i < 2; i++)
		if (admin->wake[i] >= 0)
			close(admin->wake[i]);
	free(admin);
}
