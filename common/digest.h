/* SHA-256, as files and their checksums need it. */
#ifndef BAGELHOOK_DIGEST_H
#define BAGELHOOK_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Hex digits of a digest. */
#define DIGEST_LEN 64

/* Writes the digest of two pieces of memory, one behind the other, as lower-case hex. False
 * where libcrypto finds no memory. Does not block; any thread. */
bool digest_hex(
	const void *first, size_t first_len, const void *second, size_t second_len, char hex[DIGEST_LEN + 1]);

#endif
