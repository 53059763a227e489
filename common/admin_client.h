/* Asks a responder at its --admin-listen. */
#ifndef BAGELHOOK_ADMIN_CLIENT_H
#define BAGELHOOK_ADMIN_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

#define ADMIN_CLIENT_ERROR_SIZE 256

/* Asks an address that address_check() has passed: appends the answer to a GET of path ("/metrics") to out. Returns 0, or -1 with the reason, which begins
 * with the address, in error. Blocks for a second at most, and for as long as a name server takes. Any
 * thread. */
int admin_client_get(
	const char *address, const char *path, struct buffer *out, char error[ADMIN_CLIENT_ERROR_SIZE]);

/* A responder's spool; all 0 if it has none. */
struct admin_client_spool {
	bool exists;
	int64_t files;
	int64_t bytes;
	int64_t oldest_s; /* the age of the oldest file */
	int64_t corrupt;  /* files */
};

/* Reads an answer to /metrics. Returns false if the responder has a spool, but cannot read it. */
bool admin_client_spool(const char *metrics, struct admin_client_spool *);

#endif
