#include "config.h"

#include "spool_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

#define USER_SIZE 64

static int fail(char error[SPOOL_ERROR_SIZE], const char *path, const char *what)
{
	snprintf(error, SPOOL_ERROR_SIZE, "cannot use the spool %s: %s", path, what);
	return -1;
}

/* The same, for something in it. */
static int fail_part(char error[SPOOL_ERROR_SIZE], const char *path, const char *name)
{
	char what[128];

	snprintf(what, sizeof what, "%s in it: %s", name, text_error(errno));
	return fail(error, path, what);
}

/* A user's name, or number. */
static const char *name_user(uid_t uid, char name[USER_SIZE])
{
	const struct passwd *user =
		getpwuid(uid); /* NOLINT(concurrency-mt-unsafe): before the first thread */

	if (user == NULL)
		snprintf(name, USER_SIZE, "%lu", (unsigned long)uid);
	else
		snprintf(name, USER_SIZE, "%s", user->pw_name);
	return name;
}

/* Whether a directory is a spool that a start has made. */
static bool is_spool(const char *path)
{
	static const char *const parts[] = {"tmp", "new", "corrupt", "lock"};
	struct stat status;
	char *part;
	bool is = true;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && is; i++) {
		is = asprintf(&part, "%s/%s", path, parts[i]) > 0;
		if (!is)
			return false;
		is = lstat(part, &status) == 0;
		free(part);
	}
	return is;
}

/* Webhooks are personal data, and whoever can write here can entitle anyone. Rights are to be changed only of
 * what a start has made, never of a directory that somebody named by mistake. */
static int check_owner(
	const char *path, const char *part, const struct stat *status, char error[SPOOL_ERROR_SIZE])
{
	const bool ours = status->st_uid == geteuid();
	char what[512];
	char owner[USER_SIZE];
	char user[USER_SIZE];
	int len;

	if (ours && (status->st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return 0;
	if (ours)
		len = snprintf(what, sizeof what, "%s is open to others (mode %04o)",
			part == NULL ? "it" : part, (unsigned)(status->st_mode & 07777));
	else
		len = snprintf(what, sizeof what, "%s belongs to user %s, but this runs as user %s",
			part == NULL ? "it" : part, name_user(status->st_uid, owner),
			name_user(geteuid(), user));
	/* What is in a directory that is ours alone was made by us, or by root in our name. */
	if (part != NULL)
		snprintf(what + len, sizeof what - (size_t)len,
			": run as root: chown -R %s %s/%s && chmod 0700 %s/%s", name_user(geteuid(), user),
			path, part, path, part);
	else if (!is_spool(path))
		snprintf(what + len, sizeof what - (size_t)len,
			": name a directory that bagelhook makes for itself, such as --spool "
			"%s/bagelhook-spool",
			strcmp(path, "/") == 0 ? "/var/spool" : path);
	else if (ours)
		snprintf(what + len, sizeof what - (size_t)len, ": run: chmod 0700 %s", path);
	else
		snprintf(what + len, sizeof what - (size_t)len,
			": run bagelhook as user %s, or name another directory", owner);
	return fail(error, path, what);
}

static int check_open(const char *path, const char *part, int fd, char error[SPOOL_ERROR_SIZE])
{
	struct stat status;

	return fstat(fd, &status) != 0 ? fail(error, path, text_error(errno))
				       : check_owner(path, part, &status, error);
}

static int open_part(int top, const char *path, const char *name, char error[SPOOL_ERROR_SIZE])
{
	int fd = -1;

	if (mkdirat(top, name, 0700) == 0 || errno == EEXIST)
		fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_part(error, path, name);
	if (check_open(path, name, fd, error) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A disk that is merely full is none of what only people can mend: it says so when the time
 * comes. */
static int try_out(int top, int tmp, const char *path, char error[SPOOL_ERROR_SIZE])
{
	char what[128];
	int failed = 0;
	int fd = openat(tmp, SPOOL_PARTS_TRIAL, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		failed = errno;
	} else {
		close(fd);
		/* Another process that starts at this moment may have done so. */
		if (unlinkat(tmp, SPOOL_PARTS_TRIAL, 0) != 0 && errno != ENOENT)
			failed = errno;
	}
	if (failed == 0
		&& (faccessat(top, "new", W_OK | X_OK, AT_EACCESS) != 0
			|| faccessat(top, "corrupt", W_OK | X_OK, AT_EACCESS) != 0))
		failed = errno;
	if (failed == 0 || failed == ENOSPC || failed == EDQUOT)
		return 0;
	snprintf(what, sizeof what, "cannot write to it: %s", text_error(failed));
	return fail(error, path, what);
}

/* The directory that a path is in; the text is changed. */
static const char *parent_of(char *path)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): what it returns is in its argument, or a literal */
	return dirname(path);
}

/* So that the directory's own name survives a crash as what will be in it does. */
static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	int fd = copy == NULL ? -1 : open(parent_of(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 || fsync(fd) != 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return failed ? -1 : 0;
}

static int open_top(const char *path, char error[SPOOL_ERROR_SIZE])
{
	int made = mkdir(path, 0700);
	int top = -1;

	if (made == 0 || errno == EEXIST)
		top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || (made == 0 && sync_parent(path) != 0)) {
		fail(error, path, text_error(errno));
		goto err;
	}
	if (check_open(path, NULL, top, error) == 0)
		return top;
err:
	if (top >= 0)
		close(top);
	return -1;
}

int spool_parts_open(struct spool_parts *parts, const char *path, char error[SPOOL_ERROR_SIZE])
{
	int status = -1;

	*parts = (struct spool_parts){-1, -1, -1, -1};
	int top = open_top(path, error);
	if (top < 0)
		return -1;
	if ((parts->tmp = open_part(top, path, "tmp", error)) >= 0
		&& (parts->fresh = open_part(top, path, "new", error)) >= 0
		&& (parts->corrupt = open_part(top, path, "corrupt", error)) >= 0
		&& try_out(top, parts->tmp, path, error) == 0) {
		parts->lock = openat(top, "lock", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (parts->lock < 0 || fsync(top) != 0)
			fail_part(error, path, "lock");
		else
			status = 0;
	}
	close(top);
	if (status != 0)
		spool_parts_close(parts);
	return status;
}

void spool_parts_close(struct spool_parts *parts)
{
	const int fds[] = {parts->tmp, parts->fresh, parts->corrupt, parts->lock};

	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*parts = (struct spool_parts){-1, -1, -1, -1};
}

int spool_parts_check(const char *path, char error[SPOOL_ERROR_SIZE])
{
	struct stat status;
	char *copy;
	int denied;

	if (stat(path, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			return fail(error, path, text_error(ENOTDIR));
		if (check_owner(path, NULL, &status, error) != 0)
			return -1;
		return access(path, R_OK | W_OK | X_OK) == 0 ? 0 : fail(error, path, text_error(errno));
	}
	if (errno != ENOENT)
		return fail(error, path, text_error(errno));
	copy = strdup(path);
	denied = copy == NULL || access(parent_of(copy), W_OK | X_OK) != 0;
	free(copy);
	return denied ? fail(error, path, text_error(errno)) : 0;
}
