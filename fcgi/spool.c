/* A file is written under tmp/, synced, renamed into new/, and then new/ is synced: after a
 * crash at any moment it is either not in new/ or there as a whole. Disks that lie about that
 * are found out by the checksum in each file. */
#include "config.h"

#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "directory.h"
#include "log.h"
#include "spool_file.h"
#include "text.h"

/* A file in tmp/ that nobody has written to for so long is nobody's. */
#define ABANDONED_S 600
/* The longest body there can be (--max-body), and what stands before it. */
#define FILE_MAX (64L * 1024 * 1024 + SPOOL_FILE_HEAD_MAX)
/* errno for what is no file that could be read. */
#define EFTYPE_OURS EISDIR

struct spool {
	const char *path;
	int tmp;
	int fresh; /* new/ */
	int corrupt;
	int lock;
	bool locked;
	bool refusing; /* that it does was logged */

	struct spool_usage usage;
	struct buffer head; /* kept for its memory */
};

/* --- opening ----------------------------------------------------------------------------------------- */

static int fail(char error[SPOOL_ERROR_SIZE], const char *path, const char *what)
{
	snprintf(error, SPOOL_ERROR_SIZE, "cannot use the spool %s: %s", path, what);
	return -1;
}

static int open_part(const struct spool *spool, int at, const char *name, char error[SPOOL_ERROR_SIZE])
{
	char what[128];
	int fd = -1;

	if (mkdirat(at, name, 0700) == 0 || errno == EEXIST)
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		snprintf(what, sizeof what, "%s in it: %s", name, text_error(errno));
		fail(error, spool->path, what);
	}
	return fd;
}

/* Webhooks are personal data, and whoever can write here can entitle anyone. */
static int check_owner(const char *path, int fd, char error[SPOOL_ERROR_SIZE])
{
	struct stat status;
	char what[160];

	if (fstat(fd, &status) != 0)
		return fail(error, path, text_error(errno));
	if (status.st_uid != geteuid()) {
		snprintf(what, sizeof what, "it belongs to user %lu, not to user %lu who runs this: chown it",
			(unsigned long)status.st_uid, (unsigned long)geteuid());
		return fail(error, path, what);
	}
	if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		snprintf(what, sizeof what, "it is open to others (mode %04o): chmod 0700 it",
			(unsigned)(status.st_mode & 07777));
		return fail(error, path, what);
	}
	return 0;
}

/* A disk that is merely full is none of what only people can mend: it says so when the time
 * comes. */
static int check_writable(const struct spool *spool, char error[SPOOL_ERROR_SIZE])
{
	char name[SPOOL_NAME_SIZE];
	char what[128];
	int fd;

	if (!spool_name_make(0, name))
		return fail(error, spool->path, text_error(errno));
	fd = openat(spool->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno != ENOSPC && errno != EDQUOT) {
		snprintf(what, sizeof what, "cannot write to it: %s", text_error(errno));
		return fail(error, spool->path, what);
	}
	if (fd >= 0) {
		close(fd);
		unlinkat(spool->tmp, name, 0);
	}
	return 0;
}

struct spool *spool_open(const char *path, const struct spool_limits *limits, char error[SPOOL_ERROR_SIZE])
{
	struct spool *spool = calloc(1, sizeof *spool);
	int top = -1;

	if (spool == NULL) {
		fail(error, path, text_error(ENOMEM));
		return NULL;
	}
	spool->path = path;
	spool_usage_init(&spool->usage, limits);
	spool->tmp = spool->fresh = spool->corrupt = spool->lock = -1;
	buffer_init(&spool->head);
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0) {
		fail(error, path, text_error(errno));
		goto err;
	}
	if (check_owner(path, top, error) != 0 || (spool->tmp = open_part(spool, top, "tmp", error)) < 0
		|| (spool->fresh = open_part(spool, top, "new", error)) < 0
		|| (spool->corrupt = open_part(spool, top, "corrupt", error)) < 0
		|| check_writable(spool, error) != 0)
		goto err;
	spool->lock = openat(top, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* So that what was made survives a crash as what will be in it does. */
	if (spool->lock < 0 || fsync(top) != 0) {
		fail(error, path, text_error(errno));
		goto err;
	}
	close(top);
	return spool;
err:
	if (top >= 0)
		close(top);
	spool_close(spool);
	return NULL;
}

void spool_close(struct spool *spool)
{
	if (spool == NULL)
		return;
	const int fds[] = {spool->tmp, spool->fresh, spool->corrupt, spool->lock};
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	buffer_done(&spool->head);
	free(spool);
}

/* --- writing ----------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t written = write(fd, at, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		len -= (size_t)written;
	}
	return true;
}

/* Writes one file and moves it to new/, which is not synced yet. */
static bool write_file(struct spool *spool, const struct delivery *delivery, const char *name)
{
	int fd = openat(spool->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool written;
	int error;

	if (fd < 0)
		return false;
	written = write_all(fd, spool->head.data, spool->head.len)
		&& write_all(fd, delivery->body, delivery->body_len) && fsync(fd) == 0;
	error = errno;
	/* Not repeated on EINTR: the descriptor is gone by then. */
	if (close(fd) != 0 && written) {
		written = false;
		error = errno;
	}
	if (written && renameat(spool->tmp, name, spool->fresh, name) == 0)
		return true;
	if (written)
		error = errno;
	unlinkat(spool->tmp, name, 0);
	errno = error;
	return false;
}

/* Returns NULL, or why the delivery was not written. */
static const char *write_one(struct spool *spool, const struct delivery *delivery)
{
	char name[SPOOL_NAME_SIZE];

	if (!spool_file_head(delivery, &spool->head))
		return text_error(ENOMEM);
	size_t size = spool->head.len + delivery->body_len;
	const char *reached = spool_usage_reached(&spool->usage, size);
	if (reached != NULL)
		return reached;
	if (!spool_name_make(size, name) || !write_file(spool, delivery, name))
		return text_error(errno);
	spool_usage_add(&spool->usage, size);
	return NULL;
}

static void report(struct spool *spool, const char *refused)
{
	if (refused != NULL && !spool->refusing)
		log_record(LOG_ERROR, "the spool takes no more",
			LOG_PAIRS("spool", spool->path, "reason", refused));
	if (refused == NULL && spool->refusing)
		log_record(LOG_INFO, "the spool takes events again", LOG_PAIRS("spool", spool->path));
	spool->refusing = refused != NULL;
}

void spool_write(struct spool *spool, struct delivery *const batch[], size_t count, bool stored[])
{
	const char *refused = NULL;

	spool_usage_refresh(&spool->usage, spool->fresh);
	for (size_t i = 0; i < count; i++) {
		const char *reason = write_one(spool, batch[i]);

		stored[i] = reason == NULL;
		if (reason != NULL)
			refused = reason;
	}
	/* One sync makes all the names last. What it fails for may be there or not; it was not
	 * promised, and is drained if it is. */
	if (fsync(spool->fresh) != 0) {
		refused = text_error(errno);
		memset(stored, 0, count * sizeof stored[0]);
	}
	report(spool, refused);
}

/* --- taking out -------------------------------------------------------------------------------------- */

bool spool_lock(struct spool *spool)
{
	if (!spool->locked && flock(spool->lock, LOCK_EX | LOCK_NB) == 0)
		spool->locked = true;
	return spool->locked;
}

/* Moves something out of new/ for people to look at, under a name that is free. */
static void set_apart(struct spool *spool, const char *name, const char *reason)
{
	char target[NAME_MAX + 1];
	struct stat status;
	int tries = 0;

	snprintf(target, sizeof target, "%s", name);
	/* Nobody else does, with the lock. */
	while (fstatat(spool->corrupt, target, &status, AT_SYMLINK_NOFOLLOW) == 0)
		snprintf(target, sizeof target, "%.*s.%d", NAME_MAX - 12, name, ++tries);
	if (renameat(spool->fresh, name, spool->corrupt, target) != 0) {
		log_record(LOG_ERROR, "cannot move a file from the spool to corrupt/",
			LOG_PAIRS("file", name, "reason", text_error(errno)));
		return;
	}
	fsync(spool->corrupt);
	fsync(spool->fresh);
	log_record(LOG_ERROR, "what was in the spool is no whole spool file, it is in corrupt/ now",
		LOG_PAIRS("spool", spool->path, "file", target, "reason", reason));
}

/* Whoever wrote it is gone, and had promised nothing; but if it is whole it is an event. */
static void take_up_abandoned(struct spool *spool)
{
	DIR *directory = directory_stream(spool->tmp);
	time_t now = time(NULL);
	struct stat status;

	if (directory == NULL)
		return;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;)
		if (fstatat(spool->tmp, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
			&& now - status.st_mtime > ABANDONED_S
			&& renameat(spool->tmp, entry->d_name, spool->fresh, entry->d_name) != 0)
			log_record(LOG_ERROR, "cannot take up a file that was left in the spool's tmp/",
				LOG_PAIRS("file", entry->d_name, "reason", text_error(errno)));
	closedir(directory);
}

size_t spool_list(struct spool *spool, const char *after, char names[][SPOOL_NAME_SIZE], size_t size)
{
	DIR *directory;
	size_t count = 0;
	int64_t unused;

	take_up_abandoned(spool);
	directory = directory_stream(spool->fresh);
	if (directory == NULL)
		return 0;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;) {
		if (!spool_name_parse(entry->d_name, &unused))
			set_apart(spool, entry->d_name, "not the name of a spool file");
		else if (strcmp(entry->d_name, after) > 0)
			count = spool_name_insert(names, count, size, entry->d_name);
	}
	closedir(directory);
	return count;
}

/* All bytes of a file, malloc()ed. NULL with errno where they cannot be had. */
static unsigned char *read_file(int at, const char *name, size_t *len)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;
	unsigned char *bytes = NULL;
	int error = 0;

	if (fd < 0)
		return NULL;
	*len = 0;
	if (fstat(fd, &status) != 0)
		error = errno;
	else if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX)
		error = EFTYPE_OURS;
	else if ((bytes = malloc((size_t)status.st_size + 1)) == NULL)
		error = ENOMEM;
	while (error == 0 && *len < (size_t)status.st_size) {
		ssize_t got = read(fd, bytes + *len, (size_t)status.st_size - *len);

		if (got == 0)
			break;
		if (got > 0)
			*len += (size_t)got;
		else if (errno != EINTR)
			error = errno;
	}
	close(fd);
	if (error == 0)
		return bytes;
	free(bytes);
	errno = error;
	return NULL;
}

struct delivery *spool_read(struct spool *spool, const char *name)
{
	char reason[SPOOL_FILE_REASON_SIZE];
	struct delivery *delivery = NULL;
	size_t len;
	unsigned char *bytes = read_file(spool->fresh, name, &len);

	if (bytes == NULL) {
		if (errno == EFTYPE_OURS || errno == ELOOP)
			set_apart(spool, name, "not a file, or too large for one of the spool");
		else if (errno != ENOENT)
			log_record(LOG_ERROR, "cannot read a file of the spool",
				LOG_PAIRS("file", name, "reason", text_error(errno)));
		return NULL;
	}
	if (spool_file_parse(bytes, len, &delivery, reason) == SPOOL_FILE_CORRUPT)
		set_apart(spool, name, reason);
	free(bytes);
	return delivery;
}

void spool_remove(struct spool *spool, const char *name)
{
	int64_t size;

	if (unlinkat(spool->fresh, name, 0) != 0) {
		log_record(LOG_ERROR, "cannot remove a file from the spool, it will be delivered again",
			LOG_PAIRS("file", name, "reason", text_error(errno)));
		return;
	}
	if (spool_name_parse(name, &size))
		spool_usage_remove(&spool->usage, size);
}
