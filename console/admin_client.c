#include "config.h"

#include "admin_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define TIMEOUT_MS 1000L
#define ANSWER_MAX ((size_t)1024 * 1024)

int admin_client_init(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

void admin_client_done(void)
{
	curl_global_cleanup();
}

/* The path of a Unix socket's address, or NULL. */
static const char *socket_path(const char *address)
{
	const size_t prefix = strlen(UNIX_PREFIX);

	return strncmp(address, UNIX_PREFIX, prefix) == 0 ? address + prefix : NULL;
}

int admin_client_check(const char *address, char error[ADMIN_CLIENT_ERROR_SIZE])
{
	const char *path = socket_path(address);
	const char *colon = strrchr(address, ':');
	struct sockaddr_un name;

	if (path != NULL && (path[0] != '/' || strlen(path) >= sizeof name.sun_path))
		snprintf(error, ADMIN_CLIENT_ERROR_SIZE,
			"\"%.100s\": the path of a Unix socket is absolute and shorter than %zu bytes",
			address, sizeof name.sun_path);
	else if (path == NULL
		&& (colon == NULL || colon == address || colon[1] == '\0'
			|| strspn(colon + 1, "0123456789") != strlen(colon + 1)
			|| strpbrk(address, "/?#@ ") != NULL))
		snprintf(error, ADMIN_CLIENT_ERROR_SIZE, "\"%.100s\": must be unix:/path or host:port",
			address);
	else
		return 0;
	return -1;
}

static size_t append(char *data, size_t size, size_t count, void *cookie)
{
	struct buffer *out = cookie;
	const size_t len = size * count;

	/* libcurl takes any other number than len for "stop". */
	if (out->len + len > ANSWER_MAX)
		return 0;
	buffer_put(out, data, len);
	return buffer_failed(out) ? 0 : len;
}

static CURLcode set_options(CURL *curl, const char *path, const char *url, struct buffer *out)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value)                                                                                   \
	if (rc == CURLE_OK)                                                                                  \
	rc = curl_easy_setopt(curl, option, value)
	SET(CURLOPT_URL, url);
	if (path != NULL)
		SET(CURLOPT_UNIX_SOCKET_PATH, path);
	/* The address is the responder's own: nobody else is to be asked, whatever the environment says. */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_FAILONERROR, 1L);
	/* Several threads: no signals for time limits. */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	SET(CURLOPT_WRITEFUNCTION, append);
	SET(CURLOPT_WRITEDATA, out);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Nor wait for a name server beyond that limit. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
#undef SET
	return rc;
}

int admin_client_get(
	const char *address, const char *path, struct buffer *out, char error[ADMIN_CLIENT_ERROR_SIZE])
{
	const char *socket = socket_path(address);
	char url[ADMIN_CLIENT_ERROR_SIZE];
	CURL *curl = curl_easy_init();
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	int len = snprintf(url, sizeof url, "http://%s%s", socket == NULL ? address : "localhost", path);

	if (len < 0 || (size_t)len >= sizeof url)
		rc = CURLE_URL_MALFORMAT;
	else if (curl != NULL)
		rc = set_options(curl, socket, url, out);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	if (rc == CURLE_OK)
		return 0;
	snprintf(error, ADMIN_CLIENT_ERROR_SIZE, "%.100s: %.100s", address, curl_easy_strerror(rc));
	return -1;
}
