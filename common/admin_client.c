/* HTTP/1.0, which ends an answer by closing the connection: all that is needed to ask a server of our own. A
 * library for more would be loaded by each CGI request. */
#include "config.h"

#include "admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "text.h"

#define TIMEOUT_MS 1000
#define ANSWER_MAX ((size_t)1024 * 1024)
#define REQUEST "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n"
/* Beyond it, a double is not a whole number of anything any more. */
#define FIGURE_MAX 9007199254740992.0

/* Waits until the socket is ready. Returns false with errno. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd socket = {.fd = fd, .events = events};
	int ready;

	do {
		const int64_t left = deadline_ms - clock_ms();

		ready = poll(&socket, 1, left > 0 ? (int)left : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		errno = ETIMEDOUT;
	return ready > 0;
}

/* Returns a socket that is connected, or -1 with errno. */
static int connect_to(const struct sockaddr *address, socklen_t len, int64_t deadline_ms)
{
	const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int reason = 0;
	socklen_t size = sizeof reason;

	if (fd < 0)
		return -1;
	if (connect(fd, address, len) != 0
		&& (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline_ms)
			|| getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &size) != 0 || reason != 0)) {
		reason = reason != 0 ? reason : errno;
		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

/* The same for an address as text; *reason says why not. */
static int dial(const char *address, int64_t deadline_ms, const char **reason)
{
	const char *path = address_path(address);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct addrinfo *found = NULL;
	int fd = -1;

	if (path != NULL) {
		snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
		fd = connect_to((const struct sockaddr *)&name, sizeof name, deadline_ms);
		*reason = text_error(errno);
		return fd;
	}
	address_look_up(address, 0, &found, reason);
	for (const struct addrinfo *one = found; one != NULL && fd < 0; one = one->ai_next) {
		fd = connect_to(one->ai_addr, one->ai_addrlen, deadline_ms);
		*reason = text_error(errno);
	}
	if (found != NULL)
		freeaddrinfo(found);
	return fd;
}

/* Sends the request and reads all of the answer, with its head. Returns NULL, or the reason why not. */
static const char *exchange(int fd, const char *path, int64_t deadline_ms, struct buffer *answer)
{
	char request[256];
	const int len = snprintf(request, sizeof request, REQUEST, path);

	/* So little has room at once. */
	if (len < 0 || (size_t)len >= sizeof request || send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		return text_error(errno);
	for (;;) {
		char bytes[16384];
		ssize_t got = -1;

		if (wait_for(fd, POLLIN, deadline_ms))
			got = recv(fd, bytes, sizeof bytes, 0);
		if (got < 0)
			return text_error(errno);
		if (got == 0)
			return NULL;
		if (answer->len + (size_t)got > ANSWER_MAX)
			return "the answer is longer than 1 MiB";
		buffer_put(answer, bytes, (size_t)got);
	}
}

/* Appends what is behind the head of an answer to out. Returns NULL, or the reason why not. */
static const char *take_body(const struct buffer *answer, struct buffer *out)
{
	const char *text = answer->len == 0 ? "" : answer->data;
	const char *body = strstr(text, "\r\n\r\n");

	if (buffer_failed(answer))
		return text_error(ENOMEM);
	if (strncmp(text, "HTTP/1.", 7) != 0 || body == NULL)
		return "what answers does not speak HTTP";
	if (strlen(text) < 12 || strncmp(text + 8, " 200", 4) != 0)
		return "the answer is not 200 OK";
	body += 4;
	buffer_put(out, body, answer->len - (size_t)(body - text));
	return NULL;
}

int admin_client_get(
	const char *address, const char *path, struct buffer *out, char error[ADMIN_CLIENT_ERROR_SIZE])
{
	const int64_t deadline_ms = clock_ms() + TIMEOUT_MS;
	const char *reason = NULL;
	struct buffer answer;
	const int fd = dial(address, deadline_ms, &reason);

	buffer_init(&answer);
	if (fd >= 0) {
		reason = exchange(fd, path, deadline_ms, &answer);
		close(fd);
		if (reason == NULL)
			reason = take_body(&answer, out);
	}
	buffer_done(&answer);
	if (reason == NULL)
		return 0;
	snprintf(error, ADMIN_CLIENT_ERROR_SIZE, "%.100s: %.100s", address, reason);
	return -1;
}

/* Finds a metric without labels. Returns true if there is one, which is not negative. */
static bool find_figure(const char *metrics, const char *name, int64_t *figure)
{
	const size_t len = strlen(name);

	for (const char *line = metrics; line != NULL; line = strchr(line, '\n')) {
		line += line[0] == '\n';
		if (strncmp(line, name, len) != 0 || line[len] != ' ')
			continue;
		const char *digits = line + len + 1;
		char *end;
		/* It would pass over the end of the line in search of a number. */
		double value = strtod(digits, &end);
		if (end == digits || *end != '\n' || memchr(digits, '\n', (size_t)(end - digits)) != NULL
			|| !(value >= 0 && value <= FIGURE_MAX))
			return false;
		*figure = (int64_t)value;
		return true;
	}
	return false;
}

bool admin_client_spool(const char *metrics, struct admin_client_spool *spool)
{
	int64_t limit;

	*spool = (struct admin_client_spool){.exists = find_figure(metrics, "bagelhook_spool_limit_files", &limit)};
	return !spool->exists
		|| (find_figure(metrics, "bagelhook_spool_files", &spool->files)
			&& find_figure(metrics, "bagelhook_spool_bytes", &spool->bytes)
			&& find_figure(metrics, "bagelhook_spool_oldest_age_seconds", &spool->oldest_s)
			&& find_figure(metrics, "bagelhook_spool_corrupt_files", &spool->corrupt));
}
