/* The socket on which the web server's connections come in. */
#ifndef BAGELHOOK_LISTENER_H
#define BAGELHOOK_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "address.h"

/* Connections that the kernel keeps until they are accepted, unless its limit is lower. Where that many wait, a
 * web server's connect() on a Unix socket fails at once, which it answers with a 502. */
#define LISTENER_BACKLOG 4096
#define LISTENER_ERROR_SIZE ADDRESS_ERROR_SIZE
/* Wrong usage, if there is neither an address nor an inherited socket. */
#define LISTENER_NOTHING                                                                                     \
	"nothing to listen on: give --listen unix:/path or --listen host:port, or start it with a "          \
	"listening "                                                                                         \
	"socket as descriptor 0"

/* The same of a check, which need not have inherited what a start will. */
#define LISTENER_NEEDED                                                                                      \
	"without --listen, a start must inherit a listening socket as descriptor 0, as from a .socket unit of "  \
	"systemd"

struct listener {
	int fd;
	/* Set for a Unix socket that we made, and remove again. */
	char *path;
	dev_t device;
	ino_t inode;
};

/* Opens, for the option of that name, "unix:/path" (made with the mode; one that nobody listens on is
 * replaced) or "host:port" ("[::1]:9000"), or, where address is NULL, takes over a listening socket that was
 * inherited as descriptor 0. The socket does not block. Returns 0, or -1 with the reason, one line, in error.
 */
int listener_open(struct listener *, const char *option, const char *address, mode_t mode,
	char error[LISTENER_ERROR_SIZE]);

/* Checks that listener_open() could open an address, as far as can be seen without leaving anything there; a
 * port is listened on for a moment. Where somebody listens there already, which may be who is to be
 * replaced, *in_use is set. Returns 0, or -1 with the reason, one line, in error. */
int listener_check(const char *option, const char *address, bool *in_use, char error[LISTENER_ERROR_SIZE]);

/* Returns true if descriptor 0 is a listening socket. */
bool listener_is_inherited(void);

/* Removes the Unix socket that listener_open() made, unless another took its place. New
 * connections then fail; those that already wait can still be accepted. */
void listener_unlink(struct listener *);

/* Closes the socket; an inherited one stays open for whoever gave it. */
void listener_close(struct listener *);

#endif
