/* All requests of one template are of one length: numbers take the place of marks of as
 * many bytes. What is kept of an event is its signature, 32 bytes, so that millions fit;
 * the rest is copied together when it is sent. */
#include "config.h"

#include "events.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIGNATURE_BYTES 32
#define MARKS_MAX 32
/* How many orders a payment follows its checkout: more than are under way at once. */
#define PAYMENT_LAG 500

struct mark {
	size_t at;
	int is_event; /* else the order's number */
};

struct template
{
	char text[EVENTS_REQUEST_MAX];
	size_t len;
	size_t signature_at;
	size_t body_at;
	struct mark marks[MARKS_MAX];
	size_t mark_count;
};

struct events {
	struct template templates[2];
	char timestamp[16];
	uint64_t first;
	size_t count;
	unsigned char (*signatures)[SIGNATURE_BYTES];
};

static int find_marks(struct template *t, const char *mark, int is_event)
{
	char *at = t->text + t->body_at;

	while ((at = strstr(at, mark)) != NULL) {
		if (t->mark_count == MARKS_MAX)
			return -1;
		t->marks[t->mark_count++] = (struct mark){(size_t)(at - t->text), is_event};
		at += EVENTS_DIGITS;
	}
	return 0;
}

static int read_template(struct template *t, const char *file, const char *path, const char *timestamp)
{
	char body[EVENTS_REQUEST_MAX / 2];
	FILE *stream = fopen(file, "rb");

	if (stream == NULL) {
		perror(file);
		return -1;
	}
	size_t len = fread(body, 1, sizeof body - 1, stream);
	int complete = feof(stream);
	fclose(stream);
	if (!complete) {
		fprintf(stderr, "%s: longer than %zu bytes\n", file, sizeof body - 1);
		return -1;
	}
	body[len] = '\0';
	int head = snprintf(t->text, sizeof t->text,
		"POST %.256s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\ntimestamp: %s\r\nBagelpay-Signature: ",
		path, len, timestamp);
	t->signature_at = (size_t)head;
	t->body_at = t->signature_at + 2 * SIGNATURE_BYTES + 4;
	memset(t->text + t->signature_at, '0', 2 * SIGNATURE_BYTES);
	memcpy(t->text + t->body_at - 4, "\r\n\r\n", 4);
	memcpy(t->text + t->body_at, body, len + 1);
	t->len = t->body_at + len;
	if (find_marks(t, EVENTS_ORDER_MARK, 0) != 0 || find_marks(t, EVENTS_EVENT_MARK, 1) != 0) {
		fprintf(stderr, "%s: more than %d marks\n", file, MARKS_MAX);
		return -1;
	}
	return 0;
}

/* Numbers in no order, each once, of at most 12 digits: like most ids of the world they
 * come to every page of an index, not to its last. The factor has no divisor in common with
 * 10^12. */
static uint64_t scatter(uint64_t number)
{
	return (uint64_t)((unsigned __int128)number * 618033988751 % 1000000000000);
}

/* Copies the request of an event without its signature. */
static void fill(const struct events *e, size_t index, char *out)
{
	const struct template *t = &e->templates[index % 2];
	uint64_t number = e->first + index;
	char digits[2][EVENTS_DIGITS + 1];

	snprintf(digits[0], sizeof digits[0], "%012" PRIu64, scatter(number / 2 - (index % 2) * PAYMENT_LAG));
	snprintf(digits[1], sizeof digits[1], "%012" PRIu64, scatter(number));
	memcpy(out, t->text, t->len);
	for (size_t i = 0; i < t->mark_count; i++)
		memcpy(out + t->marks[i].at, digits[t->marks[i].is_event], EVENTS_DIGITS);
}

static void sign(struct events *e, size_t index, const char *secret)
{
	char request[EVENTS_REQUEST_MAX];
	char text[EVENTS_REQUEST_MAX];
	const struct template *t = &e->templates[index % 2];
	size_t stamp = strlen(e->timestamp);

	fill(e, index, request);
	memcpy(text, e->timestamp, stamp);
	text[stamp] = '.';
	memcpy(text + stamp + 1, request + t->body_at, t->len - t->body_at);
	HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text,
		stamp + 1 + t->len - t->body_at, e->signatures[index], NULL);
}

struct events *events_new(
	const char *const files[2], const char *path, const char *secret, uint64_t first, size_t count)
{
	struct events *e = calloc(1, sizeof *e);

	if (e == NULL)
		return NULL;
	e->first = first;
	e->count = count;
	snprintf(e->timestamp, sizeof e->timestamp, "%010lld", (long long)time(NULL));
	e->signatures = calloc(count, sizeof *e->signatures);
	if (e->signatures == NULL)
		goto err;
	for (size_t i = 0; i < 2; i++)
		if (read_template(&e->templates[i], files[i], path, e->timestamp) != 0)
			goto err;
	for (size_t i = 0; i < count; i++)
		sign(e, i, secret);
	return e;
err:
	events_free(e);
	return NULL;
}

void events_free(struct events *e)
{
	if (e == NULL)
		return;
	free(e->signatures);
	free(e);
}

size_t events_request(const struct events *e, size_t index, char out[EVENTS_REQUEST_MAX])
{
	static const char hex[] = "0123456789abcdef";
	const struct template *t = &e->templates[index % 2];

	fill(e, index, out);
	for (size_t i = 0; i < SIGNATURE_BYTES; i++) {
		out[t->signature_at + 2 * i] = hex[e->signatures[index][i] >> 4];
		out[t->signature_at + 2 * i + 1] = hex[e->signatures[index][i] & 15];
	}
	return t->len;
}
