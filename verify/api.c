#include "config.h"

#include "api.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/buffer.h"
#include "common/text.h"
#include "fcgi/event/json_text.h"
#include "fcgi/event/number.h"

/* Of one page; a hundred items take some 100 KiB. */
#define ANSWER_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define REQUEST_MS 60000L
#define CONNECT_MS 10000L
#define TRIES_MAX 5
/* A server that wants a longer pause is asked another day. */
#define PAUSE_MAX_S 120
#define URL_SIZE 2048

struct api {
	const char *url;
	CURL *curl;
	struct curl_slist *headers;
	struct buffer answer;
	char reason[CURL_ERROR_SIZE];
};

/* Returns true if the URL names this machine by itself: then it may do without TLS, and no proxy leads there.
 */
static bool is_loopback(CURLU *parts)
{
	char *host = NULL;
	struct in_addr address;
	bool loopback = false;

	if (curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		loopback = strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
			|| (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
	curl_free(host);
	return loopback;
}

/* Returns what keeps a URL from being asked, or NULL. */
static const char *check_url(const char *url, bool *loopback)
{
	CURLU *parts = curl_url();
	char *scheme = NULL;
	const char *problem = NULL;

	if (parts == NULL || strlen(url) > URL_SIZE / 2
		|| curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK
		|| curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
		problem = "is no URL such as https://live.bagelpay.io";
	else {
		*loopback = is_loopback(parts);
		if (strcmp(scheme, "https") != 0 && (strcmp(scheme, "http") != 0 || !*loopback))
			problem = "must begin with https://, or the API key could be read on the way";
	}
	curl_free(scheme);
	curl_url_cleanup(parts);
	return problem;
}

/* Takes the answer's body as it arrives. libcurl takes any other number than len for "stop". */
static size_t add_to_answer(char *data, size_t size, size_t count, void *cookie)
{
	struct buffer *answer = cookie;
	const size_t len = size * count;

	if (len > ANSWER_MAX_BYTES - answer->len)
		return 0;
	buffer_put(answer, data, len);
	return buffer_failed(answer) ? 0 : len;
}

static CURLcode set_options(struct api *api, const char *ca_file, bool loopback)
{
	CURLcode rc;

#define SET(option, value)                                                                                   \
	do {                                                                                                 \
		if ((rc = curl_easy_setopt(api->curl, option, value)) != CURLE_OK)                           \
			return rc;                                                                           \
	} while (0)

	SET(CURLOPT_ERRORBUFFER, api->reason);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_USERAGENT, "bagelhook-verify/" PACKAGE_VERSION);
	SET(CURLOPT_HTTPHEADER, api->headers);
	SET(CURLOPT_WRITEFUNCTION, add_to_answer);
	SET(CURLOPT_WRITEDATA, &api->answer);
	SET(CURLOPT_TIMEOUT_MS, REQUEST_MS);
	SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	SET(CURLOPT_NOSIGNAL, 1L);
	if (ca_file != NULL) {
		SET(CURLOPT_CAINFO, ca_file);
		/* In the system's directory libcurl would find further authorities. */
		SET(CURLOPT_CAPATH, NULL);
	}
	if (loopback)
		SET(CURLOPT_PROXY, "");
#undef SET
	return CURLE_OK;
}

struct api *api_open(const char *url, const char *ca_file, const struct key *key, char error[API_ERROR_SIZE])
{
	char header[KEY_MAX_LEN + 16];
	bool loopback = false;
	const char *problem = check_url(url, &loopback);
	struct api *api = problem == NULL ? calloc(1, sizeof *api) : NULL;

	if (problem != NULL) {
		snprintf(error, API_ERROR_SIZE, "%.200s %s", url, problem);
		return NULL;
	}
	snprintf(header, sizeof header, "x-api-key: %s", key->text);
	if (api != NULL) {
		api->url = url;
		buffer_init(&api->answer);
		api->headers = curl_slist_append(NULL, header);
		api->curl = curl_easy_init();
	}
	explicit_bzero(header, sizeof header);
	if (api != NULL && api->headers != NULL && api->curl != NULL
		&& set_options(api, ca_file, loopback) == CURLE_OK)
		return api;
	snprintf(error, API_ERROR_SIZE, "libcurl cannot be used: %s",
		api == NULL || api->reason[0] == '\0' ? "no memory" : api->reason);
	api_close(api);
	return NULL;
}

void api_close(struct api *api)
{
	if (api == NULL)
		return;
	for (struct curl_slist *header = api->headers; header != NULL; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_easy_cleanup(api->curl);
	curl_slist_free_all(api->headers);
	buffer_done(&api->answer);
	json_text_done();
	free(api);
}

/* --- an answer
 * ---------------------------------------------------------------------------------------------- */

/* Returns a number that is not negative, also if it is text; -1 if it is none. */
static int64_t read_count(const json_t *value)
{
	const char *text = NULL;
	size_t len = 0;
	char digits[INTEGER_SIZE];
	const enum json_text_kind kind = json_text_kind(value, &text, &len);

	if ((kind != JSON_TEXT_NUMBER && kind != JSON_TEXT_STRING) || number_check(text, len) != NUMBER_OK)
		return -1;
	len = number_integer(text, len, digits);
	return len == 0 || len > 15 || digits[0] == '-' ? -1 : strtoll(digits, NULL, 10);
}

long api_read_page(const char *text, size_t len, struct api_page *page, char error[API_ERROR_SIZE])
{
	static const char *const names[] = {"items", "data", "list", "rows", "records"};
	struct json_text json;
	long code = 0;

	*page = (struct api_page){NULL, -1};
	switch (json_text_load((const unsigned char *)(len > 0 ? text : ""), len, &json)) {
	case JSON_TEXT_NO_MEMORY:
		snprintf(error, API_ERROR_SIZE, "no memory for an answer");
		return 0;
	case JSON_TEXT_INVALID:
		snprintf(error, API_ERROR_SIZE, "an answer cannot be read: %s", json.error);
		return 0;
	case JSON_TEXT_OK:
		break;
	}
	const json_t *code_value = json_object_get(json.tree, "code");
	const int64_t said = read_count(code_value);
	if (said >= 400 && said < 600)
		return (long)said;
	const json_t *data = json_object_get(json.tree, "data");
	const json_t *list = json_is_object(data) ? data : json.tree;
	for (size_t i = 0; page->items == NULL && i < sizeof names / sizeof names[0]; i++) {
		const json_t *items = json_object_get(list, names[i]);

		if (json_is_array(items))
			page->items = items;
	}
	page->total = read_count(json_object_get(list, "total"));
	if (page->items != NULL)
		code = 200;
	else
		snprintf(error, API_ERROR_SIZE, "an answer holds no list");
	return code;
}

/* --- requests
 * ----------------------------------------------------------------------------------------------- */

static void wait_seconds(long seconds)
{
	struct timespec left = {.tv_sec = seconds};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

/* Explains a status that is final. */
static void explain_status(const struct api *api, long status, char error[API_ERROR_SIZE])
{
	if (status == 401 || status == 403)
		snprintf(error, API_ERROR_SIZE,
			"%.200s rejects the API key (%ld): give the key of this mode, from BagelPay's "
			"dashboard; those of the test "
			"environment do not work in the live one",
			api->url, status);
	else if (status == 404 || (status >= 300 && status < 400))
		snprintf(error, API_ERROR_SIZE, "%.200s answers %ld: is it the address of BagelPay's API?",
			api->url, status);
	else
		snprintf(error, API_ERROR_SIZE, "%.200s answers %ld: try again later", api->url, status);
}

/* Explains why there was no whole answer. */
static void explain_failure(struct api *api, CURLcode rc, char error[API_ERROR_SIZE])
{
	if (rc == CURLE_WRITE_ERROR)
		snprintf(error, API_ERROR_SIZE,
			"%.200s: an answer is longer than %zu bytes, or there is no memory for it", api->url,
			ANSWER_MAX_BYTES);
	else
		snprintf(error, API_ERROR_SIZE, "cannot reach %.200s: %.200s", api->url,
			api->reason[0] != '\0' ? api->reason : curl_easy_strerror(rc));
}

static bool may_pass(CURLcode rc)
{
	return rc != CURLE_WRITE_ERROR && rc != CURLE_URL_MALFORMAT && rc != CURLE_UNSUPPORTED_PROTOCOL
		&& rc != CURLE_PEER_FAILED_VERIFICATION && rc != CURLE_SSL_CACERT_BADFILE
		&& rc != CURLE_OUT_OF_MEMORY;
}

/* Tries once. Returns 0, 1 if another try may succeed, or -1; and the pause in seconds that the server asks
 * for. */
static int try_once(struct api *api, struct api_page *page, long *pause_s, char error[API_ERROR_SIZE])
{
	long status = 0;
	curl_off_t retry_after = 0;

	buffer_clear(&api->answer);
	api->reason[0] = '\0';
	*pause_s = 0;
	const CURLcode rc = curl_easy_perform(api->curl);
	if (rc != CURLE_OK) {
		explain_failure(api, rc, error);
		return may_pass(rc) ? 1 : -1;
	}
	curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(api->curl, CURLINFO_RETRY_AFTER, &retry_after);
	if (status == 200) {
		char reason[API_ERROR_SIZE];

		status = api_read_page(api->answer.data, api->answer.len, page, reason);
		if (status == 200)
			return 0;
		if (status == 0) {
			snprintf(error, API_ERROR_SIZE,
				"%.200s: %.200s: is it the address of BagelPay's API?", api->url, reason);
			return -1;
		}
	}
	explain_status(api, status, error);
	if (retry_after > PAUSE_MAX_S)
		return -1;
	*pause_s = (long)retry_after;
	return status == 429 || status >= 500 ? 1 : -1;
}

int api_get(struct api *api, const char *list, long page, struct api_page *answer, char error[API_ERROR_SIZE])
{
	char url[URL_SIZE];
	long pause_s = 0;

	snprintf(url, sizeof url, "%.1024s/api/%s/list?pageNum=%ld&pageSize=%d", api->url, list, page,
		API_PAGE_SIZE);
	if (curl_easy_setopt(api->curl, CURLOPT_URL, url) != CURLE_OK) {
		snprintf(error, API_ERROR_SIZE, "no memory for a request");
		return -1;
	}
	for (int tries = 1;; tries++) {
		const int result = try_once(api, answer, &pause_s, error);

		if (result <= 0)
			return result;
		if (tries == TRIES_MAX)
			return -1;
		wait_seconds(pause_s > 0 ? pause_s : 1L << (tries - 1));
	}
}
