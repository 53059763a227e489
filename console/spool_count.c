#include "config.h"

#include "spool_count.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/admin_client.h"
#include "common/clock.h"
#include "answer_counts.h"

#define FRESH_MS 2000

static void put_unknown(struct buffer *out, const char *why)
{
	buffer_puts(out, "\"known\":false,\"why\":");
	buffer_puts_json(out, why);
}

static void write_unknown(struct buffer *out, const char *why)
{
	buffer_puts(out, "{");
	put_unknown(out, why);
	buffer_puts(out, "}");
}

static void put_figures(const char *metrics, struct buffer *out)
{
	int64_t files;
	int64_t bytes;
	int64_t oldest;
	int64_t corrupt;
	int64_t limit;

	if (!admin_client_figure(metrics, "bagelhook_spool_limit_files", &limit)) {
		put_unknown(out, "the responder has no spool");
		return;
	}
	if (!admin_client_figure(metrics, "bagelhook_spool_files", &files)
		|| !admin_client_figure(metrics, "bagelhook_spool_bytes", &bytes)
		|| !admin_client_figure(metrics, "bagelhook_spool_oldest_age_seconds", &oldest)
		|| !admin_client_figure(metrics, "bagelhook_spool_corrupt_files", &corrupt)) {
		put_unknown(out, "the responder cannot read its spool; its log says why");
		return;
	}
	buffer_printf(
		out, "\"known\":true,\"files\":%" PRId64 ",\"bytes\":%" PRId64 ",\"oldest\":", files, bytes);
	if (files == 0)
		buffer_puts(out, "null");
	else
		buffer_printf(out, "%" PRId64, oldest);
	buffer_printf(out, ",\"corrupt\":%" PRId64, corrupt);
}

static void ask(const char *admin, struct buffer *out)
{
	char error[ADMIN_CLIENT_ERROR_SIZE];
	struct buffer metrics;

	buffer_init(&metrics);
	if (admin_client_get(admin, "/metrics", &metrics, error) != 0) {
		write_unknown(out, error);
	} else {
		const char *text = metrics.data == NULL ? "" : metrics.data;

		buffer_puts(out, "{");
		answer_counts(text, out);
		put_figures(text, out);
		buffer_puts(out, "}");
	}
	buffer_done(&metrics);
}

void spool_count(const char *admin, struct buffer *out)
{
	/* What was said last, and when; whoever asks does so without the lock. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct buffer last;
	static int64_t asked_ms = INT64_MIN / 2;
	static bool asking;

	if (admin == NULL) {
		write_unknown(out, "not told whom to ask (--admin)");
		return;
	}
	pthread_mutex_lock(&lock);
	if (!asking && clock_ms() - asked_ms > FRESH_MS) {
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
	if (buffer_failed(&last))
		write_unknown(out, "out of memory");
	else if (last.len == 0)
		write_unknown(out, "it is being asked");
	else
		buffer_put(out, last.data, last.len);
	pthread_mutex_unlock(&lock);
}
