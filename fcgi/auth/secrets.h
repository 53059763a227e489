/* The webhook's signing secrets, read from a file, ready to be used by signature.h. */
#ifndef BAGELHOOK_SECRETS_H
#define BAGELHOOK_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* More than anyone rotates through; bounds the work of one unauthentic request. */
#define SECRETS_MAX 16
/* Bytes of one secret. */
#define SECRETS_MAX_LEN 512

struct secret {
	unsigned char key[SECRETS_MAX_LEN];
	size_t len;
};

/* What tells one content of a file from another without reading it. All zero: there is no file, or
 * one that is not a regular one. */
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

/* Reads a file of secrets, one per line (empty lines do not count), into *secrets, which
 * the caller owns. Returns 0, or -1 with the reason, one line that names the file, in
 * error; *secrets is then wiped. Warns where the file is open to others than need be. No copy of
 * a secret is left but in *secrets. Blocks on the file system. */
int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size);

/* Which version of the file is there now; all zero where it cannot be seen. Blocks on the file system. */
void secrets_look(const char *path, struct secrets_version *version);

bool secrets_same_version(const struct secrets_version *, const struct secrets_version *);

/* Overwrites the secrets. */
void secrets_wipe(struct secrets *);

#endif
