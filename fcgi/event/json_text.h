/* Bodies as JSON trees, stricter than Jansson alone and without its loss of digits.
 *
 * Jansson turns numbers into doubles and 64-bit integers, and takes some 150 instructions for each
 * byte of a string. So most values are replaced by small integers, by which json_text_kind() finds
 * them in the text. Exceptions are strings with escapes or non-ASCII bytes, values that no comma or
 * closing bracket follows directly, and values after the 256th. Of these, a number becomes a string of NUL
 * and the number's own text. No string of a body can begin so, because U+0000 is replaced with U+FFFD, as
 * are lone surrogates: PostgreSQL stores neither.
 *
 * Two keys may become equal by that. So in keys of a tree a code follows each U+FFFD that
 * says what stood there: a space for U+FFFD itself, 0 for U+0000, and the four hex digits of
 * a surrogate, which begin with d. json_write() leaves the codes out. */
#ifndef BAGELHOOK_JSON_TEXT_H
#define BAGELHOOK_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Levels of nesting, the outermost braces being the first. */
#define JSON_TEXT_MAX_DEPTH 64

/* U+FFFD, and the codes behind it in keys; that of a surrogate begins so. */
#define JSON_TEXT_REPLACEMENT "\xef\xbf\xbd"
#define JSON_TEXT_KEY_SURROGATE 'd'
#define JSON_TEXT_KEY_SURROGATE_LEN 4

#define JSON_TEXT_ERROR_SIZE 96

struct json_text {
	json_t *tree; /* an object, and NULL unless it was read */
	bool nul_replaced;
	bool surrogate_replaced;
	char error[JSON_TEXT_ERROR_SIZE];
};

enum json_text_result { JSON_TEXT_OK, JSON_TEXT_INVALID, JSON_TEXT_NO_MEMORY };

/* Reads a text that must be one JSON object: RFC 8259, and besides no duplicate keys, no
 * number beyond a double's range or of more than 1000 digits, no nesting beyond
 * JSON_TEXT_MAX_DEPTH. On JSON_TEXT_OK the tree lives until json_text_done(), and so must the
 * text. On JSON_TEXT_INVALID error has the reason, one line that quotes nothing of the text.
 * Each thread can have one such text at a time. */
enum json_text_result json_text_load(const unsigned char *text, size_t len, struct json_text *);

/* The same for a text within the one that this thread has loaded. Its tree lives as long. */
enum json_text_result json_text_load_inner(const unsigned char *text, size_t len, struct json_text *);

/* Frees the trees of this thread, if there are any, as a whole (no json_decref()). */
void json_text_done(void);

enum json_text_kind {
	JSON_TEXT_ABSENT, /* no value, or null */
	JSON_TEXT_STRING,
	JSON_TEXT_NUMBER,
	JSON_TEXT_BOOLEAN,
	JSON_TEXT_OBJECT,
	JSON_TEXT_ARRAY
};

/* Returns the kind of a value of such a tree of this thread; NULL is absent. For strings and numbers, *text
 * and *len are its bytes, which live as long as the tree. */
enum json_text_kind json_text_kind(const json_t *value, const char **text, size_t *len);

#endif
