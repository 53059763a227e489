/* Asks a responder at its --admin-listen. */
#ifndef BAGELHOOK_ADMIN_CLIENT_H
#define BAGELHOOK_ADMIN_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

#define ADMIN_CLIENT_ERROR_SIZE 256

/* Returns 0 if an address is one to ask: unix:/path or host:port; else -1 with the reason in error. Does not
 * block. */
int admin_client_check(const char *address, char error[ADMIN_CLIENT_ERROR_SIZE]);

/* Appends the answer to a GET of path ("/metrics") to out. Returns 0, or -1 with the reason, which begins
 * with the address, in error. Blocks for a second at most, and for as long as a name server takes. Any
 * thread. */
int admin_client_get(
	const char *address, const char *path, struct buffer *out, char error[ADMIN_CLIENT_ERROR_SIZE]);

/* Finds a metric without labels in an answer to /metrics. Returns true if there is one, which is not
 * negative. */
bool admin_client_figure(const char *metrics, const char *name, int64_t *figure);

#endif
