#include "config.h"

#include "answer_counts.h"

#include <stddef.h>
#include <string.h>

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

void answer_counts(const char *metrics, struct buffer *out)
{
	put_counts(metrics, "bagelhook_requests_total{status=\"", "answers", out);
	put_counts(metrics, "bagelhook_signature_failures_total{reason=\"", "not_authentic", out);
}
