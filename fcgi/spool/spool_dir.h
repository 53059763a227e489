/* The spool's directory and its parts: new/, tmp/, corrupt/ and a lock. */
#ifndef BAGELHOOK_SPOOL_DIR_H
#define BAGELHOOK_SPOOL_DIR_H

#include <dirent.h>

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

/* A stream, from the beginning, on a directory that is open as fd, which stays as it is. NULL with
 * errno; to be closed with closedir(). */
DIR *directory_stream(int fd);

/* The next entry but . and .., NULL behind the last. A stream is one thread's at a time. */
const struct dirent *directory_next(DIR *);

#endif
