#include "config.h"

#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define FIRST_SIZE 1024

void buffer_init(struct buffer *b)
{
	memset(b, 0, sizeof *b);
}

void buffer_done(struct buffer *b)
{
	free(b->data);
	buffer_init(b);
}

void buffer_clear(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void buffer_recycle(struct buffer *b, size_t most)
{
	buffer_clear(b);
	if (b->size <= most)
		return;
	char *data = realloc(b->data, most);
	if (data == NULL)
		return;
	b->data = data;
	b->size = most;
}

bool buffer_failed(const struct buffer *b)
{
	return b->failed;
}

bool buffer_reserve(struct buffer *b, size_t more)
{
	if (b->failed)
		return false;
	if (more >= SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	size_t needed = b->len + more + 1;
	if (needed <= b->size)
		return true;
	size_t size = b->size == 0 ? FIRST_SIZE : b->size;
	while (size < needed)
		size *= 2;
	char *data = realloc(b->data, size);
	if (data == NULL) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void buffer_put_size(struct buffer *b, size_t number)
{
	char digits[3 * sizeof number];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	buffer_put(b, digits + at, sizeof digits - at);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;
	char small[256];

	va_start(args, format);
	int len = vsnprintf(small, sizeof small, format, args);
	va_end(args);
	if (len < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)len < sizeof small) {
		buffer_put(b, small, (size_t)len);
		return;
	}
	if (!buffer_reserve(b, (size_t)len))
		return;
	va_start(args, format);
	vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
	va_end(args);
	b->len += (size_t)len;
}

void buffer_put_json(struct buffer *b, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t start = 0;

	buffer_put(b, "\"", 1);
	for (size_t i = text_plain(text, len); i < len; i += text_plain(text + i, len - i)) {
		const unsigned char c = (unsigned char)text[i++];

		if (c >= 0x80)
			continue;
		buffer_put(b, text + start, i - 1 - start);
		start = i;
		if (c == '"' || c == '\\') {
			const char escape[2] = {'\\', (char)c};
			buffer_put(b, escape, sizeof escape);
		} else {
			const char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
			buffer_put(b, escape, sizeof escape);
		}
	}
	buffer_put(b, text + start, len - start);
	buffer_put(b, "\"", 1);
}

void buffer_puts_json(struct buffer *b, const char *text)
{
	buffer_put_json(b, text, strlen(text));
}
