/* A growing byte buffer, and JSON text written into it.
 *
 * Failure is sticky: after an allocation failed, further writes do nothing, so that a
 * caller checks once, at the end, with buffer_failed(). Not for use by several threads
 * at once. */
#ifndef BAGELHOOK_BUFFER_H
#define BAGELHOOK_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buffer {
	char *data; /* NUL-terminated once anything was written; owned */
	size_t len; /* bytes before that NUL */
	size_t size;
	bool failed;
};

/* An empty buffer, without allocation. */
void buffer_init(struct buffer *);

/* Frees what the buffer owns and leaves it empty. */
void buffer_done(struct buffer *);

/* Forgets the content, keeps the memory. */
void buffer_clear(struct buffer *);

/* Forgets the content, and gives memory beyond so many bytes back. */
void buffer_recycle(struct buffer *, size_t most);

/* Returns true if any write since buffer_init() found no memory; the content is then cut. */
bool buffer_failed(const struct buffer *);

/* Makes room for so many more bytes and the NUL behind them; false without memory. Whoever
 * knows what will come saves growing step by step. */
bool buffer_reserve(struct buffer *, size_t more);

/* Appends len bytes. Inline, because most pieces are short and there are hundreds of them in an event. */
static inline void buffer_put(struct buffer *b, const void *bytes, size_t len)
{
	if (b->failed || (len >= b->size - b->len && !buffer_reserve(b, len)))
		return;
	if (len > 0)
		memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

/* Appends the text up to its NUL. */
static inline void buffer_puts(struct buffer *b, const char *text)
{
	buffer_put(b, text, strlen(text));
}

/* Appends a number in decimal digits. */
void buffer_put_size(struct buffer *, size_t number);

/* Appends as printf(3) would. */
void buffer_printf(struct buffer *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends len bytes of UTF-8 as a JSON string, quotes included. */
void buffer_put_json(struct buffer *, const char *text, size_t len);

/* Appends the text up to its NUL as a JSON string. */
void buffer_puts_json(struct buffer *, const char *text);

#endif
