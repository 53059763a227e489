/* The spool's directory: its parts, the names of its files, and how full it is.
 *
 * Names sort by age, say how large the file is, and are unique among all processes: nanoseconds of the real clock, bytes,
 * random digits. */
#ifndef BAGELHOOK_SPOOL_DIR_H
#define BAGELHOOK_SPOOL_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_ERROR_SIZE 1024

/* A file that is made in tmp/ for a moment, to see whether that is possible; no spool file is
 * called so. */
#define SPOOL_PARTS_TRIAL "trial"

/* Descriptors; -1: not open. */
struct spool_parts {
	int tmp;
	int fresh; /* new/ */
	int corrupt;
	int lock; /* a file */
};

/* Opens a directory and what is in it, makes what is missing, and tries whether files can be made
 * there. Returns 0, or -1 with the reason, one line, in error; then nothing is open. */
int spool_parts_open(struct spool_parts *, const char *path, char error[SPOOL_ERROR_SIZE]);

/* Closes them. */
void spool_parts_close(struct spool_parts *);

/* Returns 0 if this user could open a directory, or make it, else -1 with the reason in error. Changes nothing. */
int spool_parts_check(const char *path, char error[SPOOL_ERROR_SIZE]);

/* --- names --- */

/* Bytes of a name, and NUL. */
#define SPOOL_NAME_SIZE 64

/* Makes a name for a file of this size that begins to be written now. False, with errno, where
 * the system gives no random bytes. Any thread. */
bool spool_name_make(size_t size, char name[SPOOL_NAME_SIZE]);

/* Returns true if a text is such a name; *size is then what it says. Any thread. */
bool spool_name_parse(const char *text, int64_t *size);

/* When a file of this name began to be written, in Unix time. Any thread. */
double spool_name_time(const char *name);

/* Puts a name, of at most SPOOL_NAME_SIZE - 1 bytes, where it belongs among count sorted ones;
 * where there are already size of them, the last of all drops out. Returns how many there are. */
size_t spool_name_insert(char names[][SPOOL_NAME_SIZE], size_t count, size_t size, const char *name);

/* --- how full it is, and may be --- */

struct spool_limits {
	long files;
	int64_t bytes;     /* of all files */
	long free_percent; /* of the file system that has to stay free */
};

/* One thread at a time. */
struct spool_usage {
	struct spool_limits limits;
	long files;
	int64_t bytes;
	int64_t room;       /* bytes until too little of the file system is free */
	int64_t counted_ms; /* when the files were counted; INT64_MIN: never */
};

/* The contents of a spool, for those who watch. */
struct spool_contents {
	long files;
	int64_t bytes;
	double oldest_s; /* for how long its oldest file has been there; 0 with none */
	long corrupt;    /* what was set apart */
};

/* Looks through the directories new/ and corrupt/. False where they cannot be read. Blocks on the
 * disk; any thread. */
bool spool_usage_look(int fresh, int corrupt, struct spool_contents *);

/* Nothing counted yet. */
void spool_usage_init(struct spool_usage *, const struct spool_limits *);

/* Looks at the directory again where the last look is too old: others write and drain, too. */
void spool_usage_refresh(struct spool_usage *, int directory);

/* Why one more file of this size must not be written, or NULL. */
const char *spool_usage_reached(const struct spool_usage *, size_t size);

/* Counts a file that was written, or removed, since. */
void spool_usage_add(struct spool_usage *, size_t size);
void spool_usage_remove(struct spool_usage *, int64_t size);

/* --- reading directories that are open --- */

/* A stream, from the beginning, on a directory that is open as fd, which stays as it is. NULL with
 * errno; to be closed with closedir(). */
DIR *directory_stream(int fd);

/* The next entry but . and .., NULL behind the last. A stream is one thread's at a time. */
const struct dirent *directory_next(DIR *);

#endif
