#include "config.h"

#include "address.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define UNIX_PREFIX "unix:"
#define HOST_SIZE 256

const char *address_path(const char *address)
{
	const size_t prefix = strlen(UNIX_PREFIX);

	return strncmp(address, UNIX_PREFIX, prefix) == 0 ? address + prefix : NULL;
}

int address_check(const char *option, const char *address, char error[ADDRESS_ERROR_SIZE])
{
	const char *path = address_path(address);
	const char *colon = strrchr(address, ':');

	if (path != NULL && (path[0] != '/' || strlen(path) >= ADDRESS_PATH_SIZE))
		snprintf(error, ADDRESS_ERROR_SIZE, "%s %.300s: must be an absolute path of at most %zu bytes", option,
			address, ADDRESS_PATH_SIZE - 1);
	else if (path == NULL
		&& (colon == NULL || colon == address || colon[1] == '\0' || colon - address >= HOST_SIZE
			|| strpbrk(address, "/?#@ ") != NULL))
		snprintf(error, ADDRESS_ERROR_SIZE, "%s %.100s: must be unix:/path or host:port", option, address);
	else
		return 0;
	return -1;
}

int address_look_up(const char *address, int flags, struct addrinfo **found, const char **reason)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
	const char *colon = strrchr(address, ':');
	const bool bracketed = address[0] == '[' && colon[-1] == ']';
	char host[HOST_SIZE];

	snprintf(host, sizeof host, "%.*s", (int)(colon - address) - (bracketed ? 2 : 0), address + (bracketed ? 1 : 0));
	const int failed = getaddrinfo(host, colon + 1, &hints, found);
	if (failed != 0)
		*reason = gai_strerror(failed); /* NOLINT(concurrency-mt-unsafe): literals */
	return failed == 0 ? 0 : -1;
}
