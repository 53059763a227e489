/* The directories of a spool: making, checking and opening them. */
#ifndef BAGELHOOK_SPOOL_PARTS_H
#define BAGELHOOK_SPOOL_PARTS_H

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

/* Whether this user could open a directory, or make it; changes nothing. The same. */
int spool_parts_check(const char *path, char error[SPOOL_ERROR_SIZE]);

#endif
