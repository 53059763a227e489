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

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/text.h"
#include "spool_file.h"

/* A file in tmp/ that nobody has written to for so long is nobody's. */
#define ABANDONED_S 600
/* How long it must not have refused anything to be no longer said to refuse. */
#define RECOVERED_MS 10000
/* The longest body there can be (--max-body), and what stands before it. */
#define FILE_MAX (64L * 1024 * 1024 + SPOOL_FILE_HEAD_MAX)
/* errno for what is no file that could be read. */
#define EFTYPE_OURS EISDIR

struct spool {
	const char *path;
	struct spool_parts parts;
	bool locked;
	bool unreadable;    /* that it is was logged */
	bool refusing;      /* that it does was logged */
	int64_t refused_ms; /* when it last did */

	struct spool_usage usage;
	struct buffer head; /* kept for its memory */
};

struct spool *spool_open(const char *path, const struct spool_limits *limits, char error[SPOOL_ERROR_SIZE])
{
	struct spool *spool = calloc(1, sizeof *spool);

	if (spool == NULL) {
		snprintf(error, SPOOL_ERROR_SIZE, "cannot use the spool %s: %s", path, text_error(ENOMEM));
		return NULL;
	}
	spool->path = path;
	spool_usage_init(&spool->usage, limits);
	buffer_init(&spool->head);
	if (spool_parts_open(&spool->parts, path, error) == 0)
		return spool;
	free(spool);
	return NULL;
}

void spool_close(struct spool *spool)
{
	if (spool == NULL)
		return;
	spool_parts_close(&spool->parts);
	buffer_done(&spool->head);
	free(spool);
}

bool spool_look(const struct spool *spool, struct spool_contents *contents)
{
	return spool_usage_look(spool->parts.fresh, spool->parts.corrupt, contents);
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
	int fd = openat(spool->parts.tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
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
	if (written && renameat(spool->parts.tmp, name, spool->parts.fresh, name) == 0)
		return true;
	if (written)
		error = errno;
	unlinkat(spool->parts.tmp, name, 0);
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
	int64_t now = clock_ms();

	if (refused != NULL) {
		if (!spool->refusing)
			log_record(LOG_ERROR, "the spool takes no more",
				LOG_PAIRS("spool", spool->path, "reason", refused));
		spool->refusing = true;
		spool->refused_ms = now;
	} else if (spool->refusing && now - spool->refused_ms > RECOVERED_MS) {
		/* Where a large one does not fit, a small one may. */
		log_record(LOG_INFO, "the spool takes events again", LOG_PAIRS("spool", spool->path));
		spool->refusing = false;
	}
}

void spool_write(struct spool *spool, struct delivery *const batch[], size_t count, bool stored[])
{
	const char *refused = NULL;

	spool_usage_refresh(&spool->usage, spool->parts.fresh);
	for (size_t i = 0; i < count; i++) {
		const char *reason = write_one(spool, batch[i]);

		stored[i] = reason == NULL;
		if (reason != NULL)
			refused = reason;
	}
	/* One sync makes all the names last. What it fails for may be there or not; it was not
	 * promised, and is drained if it is. */
	if (fsync(spool->parts.fresh) != 0) {
		refused = text_error(errno);
		memset(stored, 0, count * sizeof stored[0]);
	}
	for (size_t i = 0; i < count; i++)
		metrics_count(stored[i] ? METRICS_SPOOL_WRITTEN : METRICS_SPOOL_REFUSED);
	metrics_set(METRICS_SPOOL_REFUSED_LAST, refused != NULL);
	report(spool, refused);
}

/* --- taking out -------------------------------------------------------------------------------------- */

bool spool_lock(struct spool *spool)
{
	if (!spool->locked && flock(spool->parts.lock, LOCK_EX | LOCK_NB) == 0)
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
	while (fstatat(spool->parts.corrupt, target, &status, AT_SYMLINK_NOFOLLOW) == 0)
		snprintf(target, sizeof target, "%.*s.%d", NAME_MAX - 12, name, ++tries);
	if (renameat(spool->parts.fresh, name, spool->parts.corrupt, target) != 0) {
		log_record(LOG_ERROR, "cannot move a file from the spool to corrupt/",
			LOG_PAIRS("file", name, "reason", text_error(errno)));
		return;
	}
	/* Not synced: after a crash it is moved again. */
	log_record(LOG_ERROR, "what was in the spool is no whole spool file, it is in corrupt/ now",
		LOG_PAIRS("spool", spool->path, "file", target, "reason", reason));
}

/* Whoever wrote it is gone, and had promised nothing; but if it is whole it is an event. */
static void take_up_abandoned(struct spool *spool)
{
	DIR *directory = directory_stream(spool->parts.tmp);
	time_t now = time(NULL);
	struct stat status;
	int64_t unused;

	if (directory == NULL)
		return;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;)
		if (spool_name_parse(entry->d_name, &unused)
			&& fstatat(spool->parts.tmp, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
			&& now - status.st_mtime > ABANDONED_S
			&& renameat(spool->parts.tmp, entry->d_name, spool->parts.fresh, entry->d_name) != 0)
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
	directory = directory_stream(spool->parts.fresh);
	if (directory == NULL) {
		if (!spool->unreadable)
			log_record(LOG_ERROR, "cannot read the spool",
				LOG_PAIRS("spool", spool->path, "reason", text_error(errno)));
		spool->unreadable = true;
		return 0;
	}
	spool->unreadable = false;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;) {
		if (!spool_name_parse(entry->d_name, &unused))
			set_apart(spool, entry->d_name, "not the name of a spool file");
		else if (strcmp(entry->d_name, after) > 0)
			count = spool_name_insert(names, count, size, entry->d_name);
	}
	closedir(directory);
	return count;
}

/* All bytes of a file, malloc()ed, and when it was changed. NULL with errno if they cannot be had. */
static unsigned char *read_file(int at, const char *name, size_t *len, int64_t *changed_us)
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
	if (error == 0) {
		*changed_us = (int64_t)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000;
		return bytes;
	}
	free(bytes);
	errno = error;
	return NULL;
}

enum spool_read_result spool_read(struct spool *spool, const char *name, struct delivery **delivery)
{
	char reason[SPOOL_FILE_REASON_SIZE];
	size_t len;
	int64_t changed_us;
	unsigned char *bytes = read_file(spool->parts.fresh, name, &len, &changed_us);

	if (bytes == NULL) {
		if (errno == ENOENT)
			return SPOOL_READ_NONE;
		/* The last is what opening a symbolic link, and the first what opening a socket, gives. */
		if (errno == ENXIO || errno == EFTYPE_OURS || errno == ELOOP) {
			set_apart(spool, name, "not a file, or too large for one of the spool");
			return SPOOL_READ_NONE;
		}
		log_record(LOG_ERROR, "cannot read a file of the spool",
			LOG_PAIRS("file", name, "reason", text_error(errno)));
		return SPOOL_READ_LEFT;
	}
	enum spool_file_result result = spool_file_parse(bytes, len, changed_us, delivery, reason);
	free(bytes);
	switch (result) {
	case SPOOL_FILE_OK:
		return SPOOL_READ_OK;
	case SPOOL_FILE_NO_MEMORY:
		return SPOOL_READ_LEFT;
	case SPOOL_FILE_CORRUPT:
		break;
	}
	set_apart(spool, name, reason);
	return SPOOL_READ_NONE;
}

bool spool_remove(struct spool *spool, const char *name)
{
	int64_t size;

	if (unlinkat(spool->parts.fresh, name, 0) != 0 && errno != ENOENT)
		return false;
	if (spool_name_parse(name, &size))
		spool_usage_remove(&spool->usage, size);
	return true;
}
