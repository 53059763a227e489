/* Addresses as options take them: unix:/path, or host:port, where an IPv6 host stands in brackets. */
#ifndef BAGELHOOK_ADDRESS_H
#define BAGELHOOK_ADDRESS_H

#include <netdb.h>
#include <sys/un.h>

#define ADDRESS_ERROR_SIZE 512
/* Bytes of a Unix socket's path, with its NUL. */
#define ADDRESS_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* Returns 0 if an address, given for the option of that name, is one in form, else -1 with the reason, one line, in error.
 * Does not block. */
int address_check(const char *option, const char *address, char error[ADDRESS_ERROR_SIZE]);

/* Returns the path of a Unix socket's address, or NULL if it is another one. */
const char *address_path(const char *address);

/* Looks up host and port of an address that address_check() has passed; flags as of getaddrinfo(3). Returns 0, or -1 with
 * a literal in reason. The caller frees *found. Blocks as name service does. Any thread. */
int address_look_up(const char *address, int flags, struct addrinfo **found, const char **reason);

#endif
