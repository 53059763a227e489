/* The webhook's signing secrets, read from a file, ready to be used by signature.h. */
#ifndef BAGELHOOK_SECRETS_H
#define BAGELHOOK_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* Bounds the work of one request with a wrong signature. */
#define SECRETS_MAX 64
/* Bytes of one secret. */
#define SECRETS_MAX_LEN 1024
/* A shorter secret is used, with a warning. */
#define SECRETS_SHORT_LEN 16

/* The modes of events that a secret vouches for, as bits. */
enum secret_modes { SECRET_LIVE = 1, SECRET_TEST = 2, SECRET_BOTH = 3 };

struct secret {
	unsigned char key[SECRETS_MAX_LEN];
	size_t len;
	unsigned modes; /* enum secret_modes */
};

/* Tells one content of a file from another without reading it. All zero: there is no file, or one
 * that is not a regular one. */
struct secrets_version {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
	struct timespec changed;
};

struct secrets {
	struct secrets_version version; /* of the file, before it was read */
	size_t count;
	struct secret secret[SECRETS_MAX];
};

/* Reads a file of secrets into *secrets, which the caller owns: one secret per line, each with an optional
 * prefix `live:` or `test:`. White space around a line, a UTF-8 BOM, empty lines and lines that begin with #
 * are dropped. Returns 0, or -1 with the reason, one line that names the file and the remedy, in error;
 * *secrets is then wiped. Logs a warning if others may read the file, and for each short secret. No copy of a
 * secret is left but in *secrets. Blocks on the file system. Any thread. */
int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size);

/* Sets *version to that of the file now; all zero if it cannot be seen. Blocks on the file system. Any
 * thread. */
void secrets_look(const char *path, struct secrets_version *version);

/* Returns true if nothing tells the two apart. */
bool secrets_same_version(const struct secrets_version *, const struct secrets_version *);

/* Overwrites the secrets. */
void secrets_wipe(struct secrets *);

#endif
