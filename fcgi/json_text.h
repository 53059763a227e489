/* Bodies as JSON trees, stricter than Jansson alone and without its loss of digits.
 *
 * Jansson turns numbers into doubles and 64-bit integers. Here each number travels as a
 * string whose first byte is NUL, followed by the number's own text. No string of a body
 * can begin so, because a body that says \u0000 is refused. */
#ifndef BAGELHOOK_JSON_TEXT_H
#define BAGELHOOK_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* Levels of nesting, the outermost braces being the first. */
#define JSON_TEXT_MAX_DEPTH 64

enum json_text_result { JSON_TEXT_OK, JSON_TEXT_INVALID, JSON_TEXT_NO_MEMORY };

/* Reads a body that must be one JSON object: RFC 8259, and besides no duplicate keys, no
 * \u0000, no number beyond a double's range or of more than 1000 digits, no nesting
 * beyond JSON_TEXT_MAX_DEPTH. On success *tree lives until json_text_done(). On
 * JSON_TEXT_INVALID the reason, one line that quotes nothing of the body, is in error. Each
 * thread can have one tree at a time. */
enum json_text_result json_text_load(
	const unsigned char *body, size_t len, json_t **tree, char *error, size_t error_size);

/* Frees the tree of this thread, if there is one, as a whole (no json_decref()). */
void json_text_done(json_t **tree);

enum json_text_kind {
	JSON_TEXT_ABSENT, /* no value, or null */
	JSON_TEXT_STRING,
	JSON_TEXT_NUMBER,
	JSON_TEXT_BOOLEAN,
	JSON_TEXT_OBJECT,
	JSON_TEXT_ARRAY
};

/* What a value of such a tree is; NULL is absent. For strings and numbers, *text and *len
 * are its bytes, which the tree owns. */
enum json_text_kind json_text_kind(const json_t *value, const char **text, size_t *len);

/* Appends a value of such a tree as JSON, numbers with their own digits. */
void json_text_write(const json_t *value, struct buffer *);

#endif
