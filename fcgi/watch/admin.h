/* A listener of its own for those who watch: GET and HEAD of /healthz, /readyz and /metrics. */
#ifndef BAGELHOOK_ADMIN_H
#define BAGELHOOK_ADMIN_H

#include <sys/types.h>

#include "common/listener.h"
#include "exposition.h"

/* Connections at once, and all descriptors that the listener may use. */
#define ADMIN_CONNECTIONS 16
#define ADMIN_DESCRIPTORS (ADMIN_CONNECTIONS + 6)

struct admin;

/* Listens on an address, as listener_open() does, and answers nothing yet. NULL with the reason, one
 * line, in error. */
struct admin *admin_open(const char *address, mode_t mode, char error[LISTENER_ERROR_SIZE]);

/* The path of its Unix socket, which admin_close() removes; NULL on a TCP address. */
const char *admin_socket(const struct admin *);

/* Starts a thread that answers. The sources are copied. Returns 0, or -1 without memory or thread. To be
 * called once. */
int admin_start(struct admin *, const struct exposition_sources *);

/* Ends the thread, closes everything and frees it; NULL is allowed. */
void admin_close(struct admin *);

#endif
