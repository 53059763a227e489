#include "config.h"

#include "log.h"

#include "buffer.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A value longer than this is cut: the log is for people. */
#define MAX_VALUE 512

static const char *const level_names[] = {"error", "warn", "info"};

/* Printable ASCII goes out as it is; all else, UTF-8 included, as \xHH, so that nothing
 * from outside can end a line, move a cursor or look like another field. */
static void put_value(struct buffer *b, const char *value)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = strnlen(value, MAX_VALUE);
	bool bare = len > 0;

	for (size_t i = 0; i < len && bare; i++) {
		unsigned char c = (unsigned char)value[i];
		bare = c > 0x20 && c < 0x7f && c != '"' && c != '=' && c != '\\';
	}
	if (bare) {
		buffer_put(b, value, len);
		return;
	}
	buffer_put(b, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c == '"' || c == '\\') {
			const char escape[2] = {'\\', (char)c};
			buffer_put(b, escape, sizeof escape);
		} else if (c >= 0x20 && c < 0x7f) {
			buffer_put(b, &value[i], 1);
		} else {
			const char escape[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
			buffer_put(b, escape, sizeof escape);
		}
	}
	buffer_put(b, "\"", 1);
}

void log_record(enum log_level level, const char *message, const char *const *pairs)
{
	struct buffer b;
	struct timespec now;
	struct tm utc;
	char stamp[32];

	buffer_init(&b);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
	buffer_printf(&b, "time=%s.%03ldZ level=%s msg=", stamp, now.tv_nsec / 1000000, level_names[level]);
	put_value(&b, message);
	for (; pairs != NULL && pairs[0] != NULL; pairs += 2) {
		if (pairs[1] == NULL)
			continue;
		buffer_printf(&b, " %s=", pairs[0]);
		put_value(&b, pairs[1]);
	}
	buffer_put(&b, "\n", 1);
	/* Where even the log cannot be written there is nobody left to tell. */
	if (!buffer_failed(&b) && write(STDERR_FILENO, b.data, b.len) < 0) {
	}
	buffer_done(&b);
}
