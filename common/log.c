#include "config.h"

#include "log.h"

#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "moment.h"

/* A value longer than this is cut: the log is for people. */
#define MAX_VALUE 512
/* Bytes of "YYYY-MM-DDTHH:MM:SS.fff". */
#define MILLISECONDS_LEN 23

static const char *const level_names[] = {"error", "warn", "info"};

static enum log_format format = LOG_LOGFMT;
static enum log_level wanted = LOG_INFO;

void log_configure(enum log_format as, enum log_level up_to)
{
	format = as;
	wanted = up_to;
}

bool log_wants(enum log_level level)
{
	return level <= wanted;
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

/* Where even the log cannot be written there is nobody left to tell. */
static void write_out(struct buffer *b)
{
	buffer_put(b, "\n", 1);
	if (!buffer_failed(b) && write(STDERR_FILENO, b->data, b->len) < 0) {
	}
	buffer_done(b);
}

void log_record(enum log_level level, const char *message, const char *const *pairs)
{
	const bool json = format == LOG_JSON;
	struct buffer b;
	char stamp[MOMENT_SIZE];

	if (!log_wants(level))
		return;
	buffer_init(&b);
	moment_print(clock_real_us(), stamp);
	buffer_puts(&b, json ? "{\"time\":\"" : "time=");
	buffer_put(&b, stamp, MILLISECONDS_LEN);
	buffer_puts(&b, json ? "Z\",\"level\":\"" : "Z level=");
	buffer_puts(&b, level_names[level]);
	buffer_puts(&b, json ? "\",\"msg\":" : " msg=");
	put_value(&b, message);
	for (; pairs != NULL && pairs[0] != NULL; pairs += 2) {
		if (pairs[1] == NULL)
			continue;
		buffer_puts(&b, json ? ",\"" : " ");
		buffer_puts(&b, pairs[0]);
		buffer_puts(&b, json ? "\":" : "=");
		put_value(&b, pairs[1]);
	}
	if (json)
		buffer_puts(&b, "}");
	write_out(&b);
}

void log_complaint(const char *program, const char *text)
{
	struct buffer b;

	buffer_init(&b);
	buffer_printf(&b, "%s: ", program);
	for (; *text != '\0'; text++)
		put_escaped(&b, *text);
	write_out(&b);
}
