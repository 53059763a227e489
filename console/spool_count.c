#include "config.h"

#include "spool_count.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/admin_client.h"
#include "common/clock.h"

#define FRESH_MS 2000
#define LABEL_MAX 32
/* More digits need not be a whole number that JavaScript can tell from the next one. */
#define DIGITS_MAX 15

/* Writes the samples of a metric, each of which begins with start, as an object: label → count. */
static void put_counts(const char *metrics, const char *start, const char *member, struct buffer *out)
{
	const size_t len = strlen(start);
	int count = 0;

	for (const char *line = metrics; line != NULL; line = strchr(line, '\n')) {
		line += line[0] == '\n';
		if (strncmp(line, start, len) != 0)
			continue;
		const char *label = line + len;
		const size_t label_len = strspn(label, "abcdefghijklmnopqrstuvwxyz_0123456789");
		if (label_len == 0 || label_len > LABEL_MAX || strncmp(label + label_len, "\"} ", 3) != 0)
			continue;
		const char *digits = label + label_len + 3;
		const size_t digits_len = strspn(digits, "0123456789");
		/* JSON has no number that begins with a zero, but zero. */
		if (digits_len == 0 || digits_len > DIGITS_MAX || digits[digits_len] != '\n'
			|| (digits[0] == '0' && digits_len > 1))
			continue;
		buffer_puts(out, count++ == 0 ? "\"" : ",\"");
		if (count == 1) {
			buffer_puts(out, member);
			buffer_puts(out, "\":{\"");
		}
		buffer_put(out, label, label_len);
		buffer_puts(out, "\":");
		buffer_put(out, digits, digits_len);
	}
	if (count > 0)
		buffer_puts(out, "},");
}

static void put_unknown(struct buffer *out, const char *why)
{
	buffer_puts(out, "\"known\":false,\"why\":");
	buffer_puts_json(out, why);
}

static void put_figures(const char *metrics, struct buffer *out)
{
	struct admin_client_spool spool;

	if (!admin_client_spool(metrics, &spool)) {
		put_unknown(out, "the responder cannot read its spool; its log says why");
		return;
	}
	if (!spool.exists) {
		put_unknown(out, "the responder has no spool");
		return;
	}
	buffer_printf(out, "\"known\":true,\"files\":%" PRId64 ",\"bytes\":%" PRId64 ",\"oldest\":", spool.files,
		spool.bytes);
	if (spool.files == 0)
		buffer_puts(out, "null");
	else
		buffer_printf(out, "%" PRId64, spool.oldest_s);
	buffer_printf(out, ",\"corrupt\":%" PRId64, spool.corrupt);
}

static void ask(const char *admin, struct buffer *out)
{
	char error[ADMIN_CLIENT_ERROR_SIZE];
	struct buffer metrics;

	buffer_init(&metrics);
	if (admin_client_get(admin, "/metrics", &metrics, error) != 0) {
		put_unknown(out, error);
	} else {
		const char *text = metrics.data == NULL ? "" : metrics.data;

		put_counts(text, "bagelhook_requests_total{status=\"", "answers", out);
		put_counts(text, "bagelhook_signature_failures_total{reason=\"", "not_authentic", out);
		put_figures(text, out);
	}
	buffer_done(&metrics);
}

void spool_count(const char *admin, struct buffer *out)
{
	/* The last answer, and when it came; the thread that asks does so without the lock. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct buffer last;
	static int64_t asked_ms = INT64_MIN / 2;
	static bool asking;

	buffer_puts(out, "{");
	pthread_mutex_lock(&lock);
	if (admin != NULL && !asking && clock_ms() - asked_ms > FRESH_MS) {
		struct buffer said;

		asking = true;
		pthread_mutex_unlock(&lock);
		buffer_init(&said);
		ask(admin, &said);
		pthread_mutex_lock(&lock);
		buffer_done(&last);
		last = said;
		asked_ms = clock_ms();
		asking = false;
	}
	if (admin == NULL)
		put_unknown(out, "not told whom to ask (--admin)");
	else if (buffer_failed(&last))
		put_unknown(out, "out of memory");
	else if (last.len == 0)
		put_unknown(out, "it is being asked");
	else
		buffer_put(out, last.data, last.len);
	pthread_mutex_unlock(&lock);
	buffer_puts(out, "}");
}
