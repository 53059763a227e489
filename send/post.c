#include "config.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

#include "common/buffer.h"
#include "common/text.h"
#include "post.h"

/*
 * A connection per body, and no redirects: the provider signs for the URL that it was given. Only http and
 * https, because libcurl would otherwise read files and talk to mail servers as well.
 */

enum { ANSWER_MAX_BYTES = 1024 * 1024, SIGNATURE_BYTES = 32 };

/* Takes the answer's body as it arrives. A longer one than the limit is an error, not a truncated text. */
static size_t add_to_answer(char *data, size_t size, size_t count, void *cookie)
{
	struct buffer *buffer = cookie;
	const size_t len = size * count;

	/* libcurl takes any other number than len for "stop". */
	if (len > ANSWER_MAX_BYTES - buffer->len)
		return 0;
	buffer_put(buffer, data, len);
	return buffer_failed(buffer) ? 0 : len;
}

/* Writes the signature as lower-case hex with its NUL. 0, or -1 where libcrypto refuses. */
static int sign_body(const struct post_target *target, const char *timestamp, const unsigned char *body,
	size_t body_len, char hex[2 * SIGNATURE_BYTES + 1])
{
	unsigned char mac[SIGNATURE_BYTES];
	size_t mac_len = sizeof(mac);
	EVP_PKEY *key = NULL;
	EVP_MD_CTX *context = NULL;
	int rc = -1;

	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, target->secret, target->secret_len);
	context = EVP_MD_CTX_new();
	if (key == NULL || context == NULL)
		goto out;
	if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1
		|| EVP_DigestSignUpdate(context, timestamp, strlen(timestamp)) != 1
		|| EVP_DigestSignUpdate(context, ".", 1) != 1
		|| EVP_DigestSignUpdate(context, body, body_len) != 1
		|| EVP_DigestSignFinal(context, mac, &mac_len) != 1 || mac_len != sizeof(mac))
		goto out;
	for (size_t i = 0; i < sizeof(mac); i++)
		snprintf(hex + 2 * i, 3, "%02x", mac[i]);
	rc = 0;
out:
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return rc;
}

/* Appends a header; on failure the list is freed and NULL comes back. */
static struct curl_slist *header_append(struct curl_slist *headers, const char *name, const char *value)
{
	struct curl_slist *longer;
	char line[256];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	if ((longer = curl_slist_append(headers, line)) == NULL)
		curl_slist_free_all(headers);
	return longer;
}

static struct curl_slist *make_headers(const char *timestamp, const char *signature)
{
	struct curl_slist *headers = NULL;

	if ((headers = header_append(headers, "Content-Type", "application/json")) == NULL
		|| (headers = header_append(headers, "timestamp", timestamp)) == NULL
		|| (headers = header_append(headers, "Bagelpay-Signature", signature)) == NULL)
		return NULL;
	/* Without this, libcurl asks for leave before a large body, and waits a second for it. */
	return header_append(headers, "Expect", "");
}

/* A copy of a member that is text, else NULL. Out of memory reads as absent: it is only shown. */
static char *copy_text(const json_t *answer, const char *name)
{
	const char *text = json_string_value(json_object_get(answer, name));

	return text == NULL ? NULL : strdup(text);
}

static void read_answer(const struct buffer *buffer, struct post_answer *answer)
{
	json_t *root, *spooled;

	if (buffer->len == 0 || (root = json_loadb(buffer->data, buffer->len, 0, NULL)) == NULL)
		return;
	answer->outcome = copy_text(root, "outcome");
	answer->error = copy_text(root, "error");
	answer->detail = copy_text(root, "detail");
	answer->event_id = copy_text(root, "event_id");
	spooled = json_object_get(root, "spooled");
	if (json_is_boolean(spooled))
		answer->spooled = json_is_true(spooled);
	json_decref(root);
}

static int stop_if_interrupted(
	void *cookie, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	const volatile sig_atomic_t *interrupted = cookie;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return *interrupted != 0;
}

/* Returns true if the URL names this machine by itself: no proxy leads there. */
static bool is_loopback(const char *url)
{
	CURLU *parts = curl_url();
	char *host = NULL;
	bool loopback = false;

	if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK
		&& curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		struct in_addr address;

		loopback = strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
			|| (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
	}
	curl_free(host);
	curl_url_cleanup(parts);
	return loopback;
}

/* Every option that can fail for want of memory or of a feature is checked: a wrong request proves nothing.
 */
static CURLcode set_options(CURL *curl, const struct post_target *target, struct curl_slist *headers,
	const unsigned char *body, size_t body_len, struct buffer *buffer, char *error)
{
	CURLcode rc;

#define SET(option, value)                                                                                   \
	do {                                                                                                 \
		if ((rc = curl_easy_setopt(curl, option, value)) != CURLE_OK)                                \
			return rc;                                                                           \
	} while (0)

	SET(CURLOPT_ERRORBUFFER, error);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_URL, target->url);
	SET(CURLOPT_USERAGENT, "bagelhook-send/" PACKAGE_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_POST, 1L);
	/* The length comes first: without it libcurl would take the body for a string. */
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
	SET(CURLOPT_POSTFIELDS, body_len == 0 ? "" : (const char *)body);
	SET(CURLOPT_WRITEFUNCTION, add_to_answer);
	SET(CURLOPT_WRITEDATA, buffer);
	SET(CURLOPT_TIMEOUT_MS, target->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, target->timeout_ms);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_XFERINFOFUNCTION, stop_if_interrupted);
	/* curl_easy_setopt() takes no const, but hands it on as it is. */
	SET(CURLOPT_XFERINFODATA, (void *)(uintptr_t)target->interrupted);
	SET(CURLOPT_NOPROGRESS, 0L);
	if (target->ca_file != NULL) {
		SET(CURLOPT_CAINFO, target->ca_file);
		/* In the system's directory libcurl would find further authorities. */
		SET(CURLOPT_CAPATH, NULL);
	}
	if (is_loopback(target->url))
		SET(CURLOPT_PROXY, "");
#undef SET
	return CURLE_OK;
}

static enum post_result classify(CURLcode rc)
{
	switch (rc) {
	case CURLE_OK:
		return POST_ANSWERED;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CACERT_BADFILE:
		return POST_IMPOSSIBLE;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
		return POST_UNREACHABLE;
	default:
		return POST_BROKEN;
	}
}

/* Writes the reason of a failure, in the system's own words if there are some: libcurl keeps that apart. */
static void explain(
	CURL *curl, CURLcode rc, const char *error, const struct buffer *buffer, struct post_answer *answer)
{
	long system_error = 0;
	long unverified = 0;

	/* Not if the certificate is another server's: then no authority helps, and libcurl leaves it unspecified. */
	if (curl != NULL && rc == CURLE_PEER_FAILED_VERIFICATION)
		curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &unverified);
	if (curl != NULL && rc == CURLE_COULDNT_CONNECT)
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system_error);
	if (rc == CURLE_WRITE_ERROR && !buffer_failed(buffer))
		snprintf(answer->reason, sizeof(answer->reason), "the answer is longer than %d bytes",
			ANSWER_MAX_BYTES);
	else if (rc == CURLE_ABORTED_BY_CALLBACK)
		snprintf(answer->reason, sizeof(answer->reason), "interrupted");
	else if (system_error != 0)
		snprintf(answer->reason, sizeof(answer->reason), "cannot connect: %s",
			text_error((int)system_error));
	else
		snprintf(answer->reason, sizeof(answer->reason), "%s%s", error[0] != '\0' ? error : curl_easy_strerror(rc),
			unverified > X509_V_ERR_UNSPECIFIED ? "; --ca-file FILE names the authority that vouches for it" : "");
}

enum post_result post_body(const struct post_target *target, const char *timestamp, const unsigned char *body,
	size_t body_len, struct post_answer *answer)
{
	char signature[2 * SIGNATURE_BYTES + 1];
	char error[CURL_ERROR_SIZE] = "";
	unsigned char *corrupt = NULL;
	struct buffer buffer;
	struct curl_slist *headers = NULL;
	CURL *curl = NULL;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	memset(answer, 0, sizeof(*answer));
	answer->spooled = -1;
	buffer_init(&buffer);
	if (sign_body(target, timestamp, body, body_len, signature) != 0) {
		snprintf(answer->reason, sizeof(answer->reason), "cannot compute the signature");
		return POST_BROKEN;
	}
	if (target->corrupt) {
		if ((corrupt = calloc(body_len + 1, 1)) == NULL)
			goto out;
		memcpy(corrupt, body, body_len);
		corrupt[body_len / 2] ^= 1;
		body = corrupt;
		/* An empty body has no bit to change: it becomes a byte. */
		body_len += body_len == 0;
	}
	if ((headers = make_headers(timestamp, signature)) == NULL || (curl = curl_easy_init()) == NULL)
		goto out;
	rc = set_options(curl, target, headers, body, body_len, &buffer, error);
	if (rc == CURLE_OK)
		rc = curl_easy_perform(curl);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (rc == CURLE_OK)
		read_answer(&buffer, answer);
out:
	if (rc != CURLE_OK)
		explain(curl, rc, error, &buffer, answer);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	buffer_done(&buffer);
	free(corrupt);
	return classify(rc);
}

void post_answer_done(struct post_answer *answer)
{
	free(answer->outcome);
	free(answer->error);
	free(answer->detail);
	free(answer->event_id);
	memset(answer, 0, sizeof(*answer));
}
