#include "config.h"

#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "metrics.h"
#include "moment.h"
#include "thread.h"

/* How often log_may() allows a record. */
#define LIMIT_MS 1000
/* A value longer than this is cut: the log is for people. */
#define MAX_VALUE 512
/* Bytes of "YYYY-MM-DDTHH:MM:SS.fff". */
#define MILLISECONDS_LEN 23
/* Records that wait for the reader of standard error, some thousand; further ones are dropped. */
#define WAITING_BYTES ((size_t)256 * 1024)
/* How long a record waits for others that come with it. */
#define GATHER_MS 2L
/* How long the last records may take when the program ends. */
#define LAST_MS 2000

static const char *const level_names[] = {"error", "warn", "info"};

static enum log_format format = LOG_LOGFMT;
static enum log_level wanted = LOG_INFO;

static struct thread writer;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers these; not held while the thread writes */
static char waiting[2][WAITING_BYTES]; /* one is filled while the thread writes the other one */
static char *filling = waiting[0];
static size_t filled;
static bool running; /* the thread */
static bool stopping;
/* Standard error took what was written last. The thread's alone while it runs. */
static bool well = true;

void log_configure(enum log_format as, enum log_level up_to)
{
	format = as;
	wanted = up_to;
}

bool log_wants(enum log_level level)
{
	return level <= wanted;
}

bool log_may(struct log_limit *limit)
{
	const int64_t now = clock_ms();
	int64_t last = atomic_load(&limit->last_ms);

	return (last == 0 || now - last >= LIMIT_MS) && atomic_compare_exchange_strong(&limit->last_ms, &last, now);
}

static bool is_printable(char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* Printable ASCII goes out as it is; all else, UTF-8 included, as \xHH, so that nothing
 * from outside can end a line, move a cursor or look like another field. It is the same in JSON,
 * whose own \u00HH would be another character. */
static void put_escaped(struct buffer *b, char c)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char byte = (unsigned char)c;

	if (is_printable(c)) {
		buffer_put(b, &c, 1);
	} else {
		const char escape[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
		buffer_put(b, escape, sizeof escape);
	}
}

static void put_value(struct buffer *b, const char *value)
{
	size_t len = strnlen(value, MAX_VALUE);
	bool bare = len > 0 && format == LOG_LOGFMT;

	for (size_t i = 0; i < len && bare; i++)
		bare = is_printable(value[i]) && value[i] != ' ' && value[i] != '"' && value[i] != '='
			&& value[i] != '\\';
	if (bare) {
		buffer_put(b, value, len);
		return;
	}
	buffer_put(b, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '"' || value[i] == '\\' || (format == LOG_JSON && !is_printable(value[i])))
			buffer_put(b, "\\", 1);
		put_escaped(b, value[i]);
	}
	buffer_put(b, "\"", 1);
}

static void format_record(
	struct buffer *b, enum log_level level, const char *message, const char *const *pairs)
{
	const bool json = format == LOG_JSON;
	char stamp[MOMENT_SIZE];

	buffer_init(b);
	moment_print(clock_real_us(), stamp);
	buffer_puts(b, json ? "{\"time\":\"" : "time=");
	buffer_put(b, stamp, MILLISECONDS_LEN);
	buffer_puts(b, json ? "Z\",\"level\":\"" : "Z level=");
	buffer_puts(b, level_names[level]);
	buffer_puts(b, json ? "\",\"msg\":" : " msg=");
	put_value(b, message);
	for (; pairs != NULL && pairs[0] != NULL; pairs += 2) {
		if (pairs[1] == NULL)
			continue;
		buffer_puts(b, json ? ",\"" : " ");
		buffer_puts(b, pairs[0]);
		buffer_puts(b, json ? "\":" : "=");
		put_value(b, pairs[1]);
	}
	buffer_puts(b, json ? "}\n" : "\n");
}

static void drop(const char *records, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (records[i] == '\n')
			metrics_count(METRICS_LOG_DROPPED);
}

/* Returns how many bytes to write at once: whole records, and few enough for a pipe to take them in one
 * piece, so that those of several processes do not mix. */
static size_t portion(const char *records, size_t len)
{
	const char *end;

	if (len <= PIPE_BUF)
		return len;
	end = memrchr(records, '\n', PIPE_BUF);
	if (end == NULL)
		end = memchr(records, '\n', len);
	return (size_t)(end + 1 - records);
}

/* Writes records to standard error. Waits at most wait_ms (-1: for ever) until it takes more, and drops them
 * if it refuses them. *done is how many bytes are not to be written any more. Returns false if some were
 * dropped. One thread at a time. */
static bool write_records(const char *records, size_t len, int wait_ms, size_t *done)
{
	static bool broken; /* the last record was written in part */
	struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
	size_t at = 0;

	while (at < len && poll(&output, 1, wait_ms) != 0) {
		if (broken && write(STDERR_FILENO, "\n", 1) == 1)
			broken = false;
		const ssize_t written = write(STDERR_FILENO, records + at, portion(records + at, len - at));
		if (written < 0 && errno != EINTR && errno != EAGAIN) {
			broken = at > 0 && records[at - 1] != '\n';
			drop(records + at, len - at);
			*done = len;
			return false;
		}
		at += written > 0 ? (size_t)written : 0;
	}
	*done = at;
	return true;
}

/* Adds a record to those that are to be written, and frees it. Returns false if there was no room, or no
 * memory to make it. With the lock. */
static bool add(struct buffer *b)
{
	const bool room = !buffer_failed(b) && filled + b->len <= WAITING_BYTES;

	if (room) {
		memcpy(filling + filled, b->data, b->len);
		filled += b->len;
	}
	buffer_done(b);
	return room;
}

/* Says how many records were dropped, if that has become more. With the lock; the writing thread. */
static void add_notice(void)
{
	static uint64_t told;
	const uint64_t dropped = metrics_counter(METRICS_LOG_DROPPED);
	char total[24];
	struct buffer b;

	if (dropped == told)
		return;
	snprintf(total, sizeof total, "%" PRIu64, dropped);
	format_record(&b, LOG_WARN, "log records were dropped", LOG_PAIRS("total", total));
	if (add(&b))
		told = dropped;
}

/* Lets a moment pass: to wake this thread for each record would cost a busy responder more than to write it.
 * With the lock, which it gives up meanwhile. */
static void gather(void)
{
	const struct timespec moment = {.tv_nsec = GATHER_MS * 1000000};

	pthread_mutex_unlock(&lock);
	nanosleep(&moment, NULL);
	pthread_mutex_lock(&lock);
}

static void write_waiting(void *unused)
{
	size_t done;

	(void)unused;
	pthread_mutex_lock(&lock);
	while (filled > 0 || !stopping) {
		if (filled == 0) {
			pthread_cond_wait(&changed, &lock);
			gather();
			continue;
		}
		const char *records = filling;
		const size_t len = filled;
		filling = filling == waiting[0] ? waiting[1] : waiting[0];
		filled = 0;
		/* The first in the other buffer, and so where they are missing. But not while each
		 * notice is refused like the others: it would count itself. */
		if (well)
			add_notice();
		pthread_mutex_unlock(&lock);
		well = write_records(records, len, -1, &done);
		pthread_mutex_lock(&lock);
		if (well)
			add_notice();
	}
	running = false;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

int log_start(void)
{
	running = true;
	if (thread_start(&writer, "log", write_waiting, NULL) == 0)
		return 0;
	running = false;
	return -1;
}

void log_stop(void)
{
	const struct timespec until = clock_timespec(clock_ms() + LAST_MS);

	pthread_mutex_lock(&lock);
	const bool started = running;
	stopping = true;
	pthread_cond_signal(&changed);
	while (running && pthread_cond_clockwait(&changed, &lock, CLOCK_MONOTONIC, &until) == 0)
		;
	const bool ended = !running;
	pthread_mutex_unlock(&lock);
	if (started && ended)
		thread_join(&writer);
	else if (started)
		/* It still waits for standard error, and ends with the process. */
		pthread_detach(writer.id);
}

/* Has a record written: by the thread, if it runs; else at once, but for what would have to wait longer. */
static void write_out(struct buffer *b, int wait_ms)
{
	size_t done;

	pthread_mutex_lock(&lock);
	if (!add(b))
		metrics_count(METRICS_LOG_DROPPED);
	if (running) {
		pthread_cond_signal(&changed);
	} else {
		well = write_records(filling, filled, wait_ms, &done);
		filled -= done;
		memmove(filling, filling + done, filled);
	}
	pthread_mutex_unlock(&lock);
}

void log_record(enum log_level level, const char *message, const char *const *pairs)
{
	struct buffer b;

	if (!log_wants(level))
		return;
	format_record(&b, level, message, pairs);
	write_out(&b, 0);
}

void log_complaint(const char *program, const char *text)
{
	struct buffer b;

	buffer_init(&b);
	buffer_printf(&b, "%s: ", program);
	for (; *text != '\0'; text++)
		put_escaped(&b, *text);
	buffer_puts(&b, "\n");
	write_out(&b, -1);
}
