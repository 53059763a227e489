#include "config.h"

#include "spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

#define USER_SIZE 64

/* --- reading directories --- */

DIR *directory_stream(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = own < 0 ? NULL : fdopendir(own);

	if (directory == NULL && own >= 0) {
		int error = errno;

		close(own);
		errno = error;
	}
	return directory;
}

const struct dirent *directory_next(DIR *directory)
{
	const struct dirent *entry;

	do
		entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe): no stream is shared */
	while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

/* --- parts --- */

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

/* Returns true if a directory is a spool that a start has made. */
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

/* Returns true if a directory holds files that are not of a spool, or cannot be read. */
static bool is_foreign(const char *path)
{
	static const char *const ours[] = {"tmp", "new", "corrupt", "lock", "lost+found"};
	DIR *directory = opendir(path);
	bool foreign = directory == NULL;

	for (const struct dirent *entry; !foreign && (entry = directory_next(directory)) != NULL;) {
		foreign = true;
		for (size_t i = 0; i < sizeof ours / sizeof ours[0] && foreign; i++)
			foreign = strcmp(entry->d_name, ours[i]) != 0;
	}
	if (directory != NULL)
		closedir(directory);
	return foreign;
}

/* Returns true if a directory is one that a spool may be made in: neither cleaned up nor the system's own. */
static bool is_lasting(const char *path)
{
	static const char *const others[] = {"/tmp", "/var/tmp", "/dev", "/run", "/var/run", "/proc", "/sys", "/etc"};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		const size_t len = strlen(others[i]);

		if (strncmp(path, others[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return false;
	}
	return strcmp(path, "/") != 0;
}

/* Webhooks are personal data, and whoever can write here can entitle anyone. Rights are to be changed only of
 * what a start has made, never of a directory that somebody named by mistake. */
static int check_owner(
	const char *path, const char *part, const struct stat *status, char error[SPOOL_ERROR_SIZE])
{
	const bool ours = status->st_uid == geteuid();
	const bool open = (status->st_mode & (S_IRWXG | S_IRWXO)) != 0;
	const bool foreign = part == NULL && is_foreign(path);
	char what[512];
	char owner[USER_SIZE];
	char user[USER_SIZE];
	int len;

	if (ours && !open && !foreign)
		return 0;
	if (ours && !open)
		len = snprintf(what, sizeof what, "it holds other files");
	else if (ours)
		len = snprintf(what, sizeof what, "%s is open to others (mode %04o)",
			part == NULL ? "it" : part, (unsigned)(status->st_mode & 07777));
	else
		len = snprintf(what, sizeof what, "%s belongs to user %s, but this runs as user %s",
			part == NULL ? "it" : part, name_user(status->st_uid, owner),
			name_user(geteuid(), user));
	/* A part of a directory that is ours alone was made by us, or by root in our name. */
	if (part != NULL)
		snprintf(what + len, sizeof what - (size_t)len,
			": run as root: chown -R %s %s/%s && chmod 0700 %s/%s", name_user(geteuid(), user),
			path, part, path, part);
	else if (!is_spool(path))
		snprintf(what + len, sizeof what - (size_t)len,
			": name a directory that bagelhook makes for itself, such as --spool "
			"%s/bagelhook-spool",
			is_lasting(path) ? path : "/var/spool");
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

/* A spool is to outlive a machine that stops. */
static void warn_if_in_memory(const char *path)
{
	char *parent = strdup(path);
	struct statfs fs;

	/* One that is still to be made is on its parent's file system. */
	if ((statfs(path, &fs) == 0 || (parent != NULL && statfs(parent_of(parent), &fs) == 0))
		&& (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
		log_record(LOG_WARN, "the spool is in memory: what is in it is lost when the machine stops",
			LOG_PAIRS("spool", path, "remedy", "name a directory on a disk, such as --spool /var/spool/bagelhook-spool"));
	free(parent);
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
	if (status == 0)
		warn_if_in_memory(path);
	else
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

/* Those that are there already. */
static int check_parts(const char *path, char error[SPOOL_ERROR_SIZE])
{
	static const char *const parts[] = {"tmp", "new", "corrupt"};
	const int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;
	int result = top < 0 ? fail(error, path, text_error(errno)) : 0;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && result == 0; i++)
		if (fstatat(top, parts[i], &status, AT_SYMLINK_NOFOLLOW) == 0)
			result = check_owner(path, parts[i], &status, error);
	if (top >= 0)
		close(top);
	return result;
}

int spool_parts_check(const char *path, char error[SPOOL_ERROR_SIZE])
{
	struct stat status;
	char *copy;
	int denied;

	if (stat(path, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			return fail(error, path, text_error(ENOTDIR));
		if (check_owner(path, NULL, &status, error) != 0 || check_parts(path, error) != 0)
			return -1;
		if (access(path, R_OK | W_OK | X_OK) != 0)
			return fail(error, path, text_error(errno));
		warn_if_in_memory(path);
		return 0;
	}
	if (errno != ENOENT)
		return fail(error, path, text_error(errno));
	copy = strdup(path);
	denied = copy == NULL || access(parent_of(copy), W_OK | X_OK) != 0;
	free(copy);
	if (!denied)
		warn_if_in_memory(path);
	return denied ? fail(error, path, text_error(errno)) : 0;
}
