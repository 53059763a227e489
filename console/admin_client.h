/* Asks a responder at its --admin-listen. */
#ifndef BAGELHOOK_ADMIN_CLIENT_H
#define BAGELHOOK_ADMIN_CLIENT_H

#include "common/buffer.h"

#define ADMIN_CLIENT_ERROR_SIZE 256

/* Prepares the process for it; before the first thread. Returns 0, or -1 where libcurl refuses. */
int admin_client_init(void);
void admin_client_done(void);

/* Whether an address is one to ask: unix:/path or host:port. Returns 0, or -1 with the reason. */
int admin_client_check(const char *address, char error[ADMIN_CLIENT_ERROR_SIZE]);

/* Appends the answer to a GET of path ("/metrics") to out; on failure out may have a part of it. Returns 0,
 * or -1 with the reason. Blocks for a second at most, or, before libcurl 7.87,
 * for as long as a name server takes. Any thread. */
int admin_client_get(
	const char *address, const char *path, struct buffer *out, char error[ADMIN_CLIENT_ERROR_SIZE]);

#endif
