/* The webhook's signing secrets, read from a file, ready to be used by signature.h. */
#ifndef BAGELHOOK_SECRETS_H
#define BAGELHOOK_SECRETS_H

#include <stddef.h>

/* More than anyone rotates through; bounds the work of one unauthentic request. */
#define SECRETS_MAX 16
/* Bytes of one secret. */
#define SECRETS_MAX_LEN 512

struct secret {
	unsigned char key[SECRETS_MAX_LEN];
	size_t len;
};

struct secrets {
	size_t count;
	struct secret secret[SECRETS_MAX];
};

/* Reads a file of secrets, one per line (empty lines do not count), into *secrets, which
 * the caller owns. Returns 0, or -1 with the reason, one line that names the file, in
 * error; *secrets is then wiped. Blocks on the file system. */
int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size);

/* Overwrites the secrets. */
void secrets_wipe(struct secrets *);

#endif
