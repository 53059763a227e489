/* A directory of deliveries that the database could not take, each in a file of its own that
 * survives a crash. Any number of processes may write to one directory; only the one that holds
 * its lock takes files out.
 *
 *     DIR/tmp/      files that are being written
 *     DIR/new/      whole files, named by their age: they sort as they came
 *     DIR/corrupt/  what turned out not to be a whole spool file; nothing of it is ever deleted
 *     DIR/lock      held by whoever drains
 *
 * One thread at a time, unless said otherwise. */
#ifndef BAGELHOOK_SPOOL_H
#define BAGELHOOK_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/commit/delivery.h"
#include "spool_dir.h"
#include "spool_name.h"
#include "spool_usage.h"

struct spool;

/* Opens a directory, and makes it and those in it where they are missing. NULL where it cannot
 * be used, with the reason, one line, in error. The path must outlive the spool. */
struct spool *spool_open(const char *path, const struct spool_limits *, char error[SPOOL_ERROR_SIZE]);

/* Closes it, and with it the lock; NULL is allowed. */
void spool_close(struct spool *);

/* Writes deliveries, and says of each whether it is now on disk to stay. Those that would go
 * beyond a limit are not written. Logs once when it begins to refuse, and once when it no longer
 * does. Blocks on the disk. */
void spool_write(struct spool *, struct delivery *const batch[], size_t count, bool stored[]);

/* Counts its files. Returns false if they cannot be seen. Blocks on the disk; any thread, until it is closed. */
bool spool_look(const struct spool *, struct spool_contents *);

/* Takes the lock if nobody holds it. Returns whether it is ours. */
bool spool_lock(struct spool *);

/* Fills names with the oldest files behind the one named after ("" for the first), sorted, and
 * returns how many. Only with the lock. Moves what is none of ours to corrupt/, and takes
 * up files that a process has left in tmp/ when it ended. */
size_t spool_list(struct spool *, const char *after, char names[][SPOOL_NAME_SIZE], size_t size);

enum spool_read_result {
	SPOOL_READ_OK,
	SPOOL_READ_NONE, /* there is none (any more): a corrupt one was moved to corrupt/, and logged */
	SPOOL_READ_LEFT  /* it cannot be read now, which is logged */
};

/* Reads a file. On SPOOL_READ_OK the caller owns its delivery, which is without its event. Only
 * with the lock. */
enum spool_read_result spool_read(struct spool *, const char *name, struct delivery **);

/* Removes a file whose delivery is committed. False, with errno, where that cannot be done. Only with the lock. */
bool spool_remove(struct spool *, const char *name);

#endif
