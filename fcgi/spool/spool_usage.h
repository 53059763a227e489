/* How full a spool is, and may be. */
#ifndef BAGELHOOK_SPOOL_USAGE_H
#define BAGELHOOK_SPOOL_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
