#include "config.h"

#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

/* Appended to a socket's path, the path of its lock. */
#define LOCK_ENDING ".lock"
/* How long another process may take to make the same socket. */
#define LOCK_WAIT_MS 5000
#define LOCK_PAUSE_MS 10

static bool set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0
		&& fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* Returns true if nobody listens any more on the socket at this address: only then may it be removed. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	bool refused;

	if (fd < 0)
		return false;
	refused =
		connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

/* Checks that there can be a socket at this path. Sets the address, and whether one is there that is
 * listened on (live), or is not (stale). */
static int look_at_path(const char *option, const char *path, struct sockaddr_un *address, bool *live,
	bool *stale, char error[LISTENER_ERROR_SIZE])
{
	struct stat status;

	*live = *stale = false;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, strlen(path) + 1);
	if (lstat(path, &status) != 0)
		return 0;
	if (!S_ISSOCK(status.st_mode)) {
		snprintf(error, LISTENER_ERROR_SIZE,
			"%s unix:%s: there is a file that is no socket: name another path", option, path);
		return -1;
	}
	*stale = is_stale(address);
	*live = !*stale;
	return 0;
}

/* Waits for a lock on a file that is open. Where the file system has no locks it goes without: a race that is
 * seldom is better than no start. Returns 0, or -1 with errno. */
static int wait_for_lock(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

	for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_PAUSE_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		if (waited_ms >= LOCK_WAIT_MS)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Locks a socket's path: of two processes that find a stale socket, the second would remove what the first has put in
 * its place. Only our own user can open the lock's file, so that nobody else can hold the lock. Returns the descriptor
 * that holds it, or -1 with errno. */
static int lock_path(const char *lock)
{
	struct stat held;
	struct stat status;

	for (;;) {
		const int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		if (wait_for_lock(fd) != 0) {
			close(fd);
			errno = EWOULDBLOCK;
			return -1;
		}
		/* The one before us has removed it, and another may have made it anew. */
		if (fstat(fd, &held) == 0 && stat(lock, &status) == 0 && held.st_ino == status.st_ino)
			return fd;
		close(fd);
	}
}

/* With the lock. */
static int make_unix(struct listener *listener, const char *option, const char *path, mode_t mode,
	char error[LISTENER_ERROR_SIZE])
{
	struct sockaddr_un address;
	struct stat status;
	bool live;
	bool stale;

	if (look_at_path(option, path, &address, &live, &stale, error) != 0)
		return -1;
	if (live) {
		snprintf(error, LISTENER_ERROR_SIZE, "%s unix:%s is already in use", option, path);
		return -1;
	}
	if (stale)
		unlink(path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (listener->fd < 0)
		goto err;
	/* Nobody may connect between bind() and chmod(). */
	mode_t old_mask = umask(0777);
	int bound = bind(listener->fd, (struct sockaddr *)&address, sizeof address);
	umask(old_mask);
	if (bound != 0 || chmod(path, mode) != 0 || stat(path, &status) != 0
		|| listen(listener->fd, LISTENER_BACKLOG) != 0)
		goto err;
	listener->path = strdup(path);
	if (listener->path == NULL)
		goto err;
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	return 0;
err:
	snprintf(error, LISTENER_ERROR_SIZE, "%s unix:%s: %s", option, path, text_error(errno));
	return -1;
}

static int open_unix(struct listener *listener, const char *option, const char *path, mode_t mode,
	char error[LISTENER_ERROR_SIZE])
{
	char lock[ADDRESS_PATH_SIZE + sizeof LOCK_ENDING];

	snprintf(lock, sizeof lock, "%s" LOCK_ENDING, path);
	const int fd = lock_path(lock);
	if (fd < 0) {
		const int reason = errno;

		snprintf(error, LISTENER_ERROR_SIZE, "%s unix:%s: %s%s", option, path,
			reason == EWOULDBLOCK               ? "another start holds its lock: stop that one"
				: access(lock, F_OK) == 0 ? "another user has left its lock: run: rm "
							    : text_error(reason),
			reason != EWOULDBLOCK && access(lock, F_OK) == 0 ? lock : "");
		return -1;
	}
	const int made = make_unix(listener, option, path, mode, error);
	unlink(lock);
	close(fd);
	return made;
}

static int check_unix(const char *option, const char *path, bool *in_use, char error[LISTENER_ERROR_SIZE])
{
	struct sockaddr_un address;
	char directory[ADDRESS_PATH_SIZE];
	bool stale;

	if (look_at_path(option, path, &address, in_use, &stale, error) != 0)
		return -1;
	snprintf(directory, sizeof directory, "%.*s/", (int)(strrchr(path, '/') - path), path);
	if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0)
		return 0;
	snprintf(error, LISTENER_ERROR_SIZE, "%s unix:%s: %s", option, path, text_error(errno));
	return -1;
}

/* A listening socket on one address, or -1 with errno. */
static int bind_inet(const struct addrinfo *address)
{
	const int on = 1;
	int fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
		&& bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTENER_BACKLOG) == 0)
		return fd;
	int reason = errno;
	close(fd);
	errno = reason;
	return -1;
}

/* A socket on the first of the host's addresses that can be bound. */
static int open_inet(struct listener *listener, const char *option, const char *address, bool *in_use,
	char error[LISTENER_ERROR_SIZE])
{
	struct addrinfo *found = NULL;
	const char *reason = NULL;

	address_look_up(address, AI_PASSIVE, &found, &reason);
	for (const struct addrinfo *one = found; one != NULL && listener->fd < 0; one = one->ai_next) {
		listener->fd = bind_inet(one);
		if (listener->fd < 0) {
			*in_use = *in_use || errno == EADDRINUSE;
			reason = text_error(errno);
		}
	}
	if (found != NULL)
		freeaddrinfo(found);
	if (listener->fd >= 0)
		return 0;
	snprintf(error, LISTENER_ERROR_SIZE, "%s %.100s: %s", option, address, reason);
	return -1;
}

bool listener_is_inherited(void)
{
	int listening = 0;
	socklen_t size = sizeof listening;

	return getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

static int take_inherited(struct listener *listener, char error[LISTENER_ERROR_SIZE])
{
	if (!listener_is_inherited()) {
		snprintf(error, LISTENER_ERROR_SIZE, LISTENER_NOTHING);
		return -1;
	}
	listener->fd = STDIN_FILENO;
	return 0;
}

int listener_open(struct listener *listener, const char *option, const char *address, mode_t mode,
	char error[LISTENER_ERROR_SIZE])
{
	int opened;
	bool in_use = false;

	memset(listener, 0, sizeof *listener);
	listener->fd = -1;
	if (address != NULL && address_check(option, address, error) != 0)
		opened = -1;
	else if (address == NULL)
		opened = take_inherited(listener, error);
	else if (address_path(address) != NULL)
		opened = open_unix(listener, option, address_path(address), mode, error);
	else
		opened = open_inet(listener, option, address, &in_use, error);
	if (opened == 0 && !set_flags(listener->fd)) {
		snprintf(error, LISTENER_ERROR_SIZE, "cannot prepare the listening socket: %s",
			text_error(errno));
		opened = -1;
	}
	if (opened != 0)
		listener_close(listener);
	return opened;
}

int listener_check(const char *option, const char *address, bool *in_use, char error[LISTENER_ERROR_SIZE])
{
	struct listener probe = {.fd = -1};

	*in_use = false;
	if (address_check(option, address, error) != 0)
		return -1;
	if (address_path(address) != NULL)
		return check_unix(option, address_path(address), in_use, error);
	int opened = open_inet(&probe, option, address, in_use, error);
	listener_close(&probe);
	return opened == 0 || *in_use ? 0 : -1;
}

void listener_unlink(struct listener *listener)
{
	struct stat status;

	if (listener->path != NULL && lstat(listener->path, &status) == 0 && status.st_dev == listener->device
		&& status.st_ino == listener->inode)
		unlink(listener->path);
	free(listener->path);
	listener->path = NULL;
}

void listener_close(struct listener *listener)
{
	listener_unlink(listener);
	if (listener->fd > STDIN_FILENO)
		close(listener->fd);
	listener->fd = -1;
}
