#include "config.h"

#include "json_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "arena.h"
#include "number.h"

/* A number is replaced with this, its text, and a quote. */
#define NUMBER_TAG "\"\\u0000"

/* A value that Jansson does not see. In its place it gets the index in spans[], as an integer. */
struct span {
	const char *text; /* in the body */
	size_t len;
	enum json_text_kind kind;
};

/* Those of this thread's trees. A typical body has about 40 values. When the array is full, values are
 * copied. */
static _Thread_local struct span spans[256];
static _Thread_local size_t span_count;

/* The pass over the bytes that comes before Jansson's. */
struct scan {
	const char *text;
	size_t len;
	size_t at;
	size_t depth;
	struct buffer *out;
	size_t copied; /* bytes of text that are in out, as they are or replaced */
	bool refers;   /* values are replaced by their index in spans[] */
	bool nul_replaced;
	bool surrogate_replaced;
	/* Set with a problem: what it is; at is where. */
	const char *problem;
};

static bool starts_number(char c)
{
	return c == '-' || (c >= '0' && c <= '9');
}

/* Any byte that a number or a misspelt number can consist of. */
static bool within_number(char c)
{
	return starts_number(c) || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* The UTF-16 code unit that an escape \uXXXX gives; -1 where none stands at this place. */
static int code_unit(const struct scan *s, size_t at)
{
	int unit = 0;

	if (s->len - at < 6 || s->text[at] != '\\' || s->text[at + 1] != 'u')
		return -1;
	for (size_t i = at + 2; i < at + 6; i++) {
		int digit = text_hex_value(s->text[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

static bool is_high_surrogate(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The kinds of pieces of a string. */
enum piece {
	PIECE_PLAIN,       /* a byte or an escape that is copied */
	PIECE_REPLACEMENT, /* U+FFFD itself */
	PIECE_NUL,
	PIECE_SURROGATE /* a lone one */
};

/* Returns the kind of the piece that begins at this place in a string; *len is its length in bytes. */
static enum piece piece_at(const struct scan *s, size_t at, size_t *len)
{
	const size_t left = s->len - at;
	const int unit = code_unit(s, at);

	*len = 1;
	if (s->text[at] != '\\') {
		if (left < 3 || memcmp(s->text + at, JSON_TEXT_REPLACEMENT, 3) != 0)
			return PIECE_PLAIN;
		*len = 3;
		return PIECE_REPLACEMENT;
	}
	if (unit < 0) {
		*len = left < 2 ? left : 2;
		return PIECE_PLAIN;
	}
	*len = 6;
	if (unit == 0)
		return PIECE_NUL;
	if (unit == 0xfffd)
		return PIECE_REPLACEMENT;
	if (is_high_surrogate(unit) && is_low_surrogate(code_unit(s, at + 6))) {
		*len = 12;
		return PIECE_PLAIN;
	}
	return is_high_surrogate(unit) || is_low_surrogate(unit) ? PIECE_SURROGATE : PIECE_PLAIN;
}

/* A string that ends before this place is a key if a colon follows. */
static bool is_key(const struct scan *s, size_t at)
{
	while (at < s->len && text_is_space(s->text[at]))
		at++;
	return at < s->len && s->text[at] == ':';
}

/* Copies the text from s->copied to this place unchanged. */
static void copy_up_to(struct scan *s, size_t end)
{
	buffer_put(s->out, s->text + s->copied, end - s->copied);
	s->copied = end;
}

/* Copies a string with what has to be replaced in it, from start to s->at. */
static void copy_replaced(struct scan *s, size_t start)
{
	const bool key = is_key(s, s->at);
	size_t len;

	copy_up_to(s, start);
	for (size_t at = start; at < s->at; at += len) {
		const enum piece piece = piece_at(s, at, &len);

		if (piece == PIECE_PLAIN || (piece == PIECE_REPLACEMENT && !key)) {
			buffer_put(s->out, s->text + at, len);
			continue;
		}
		s->nul_replaced |= piece == PIECE_NUL;
		s->surrogate_replaced |= piece == PIECE_SURROGATE;
		buffer_puts(s->out, "\\ufffd");
		if (!key)
			continue;
		if (piece == PIECE_SURROGATE)
			buffer_printf(s->out, "%04x", (unsigned)code_unit(s, at));
		else
			buffer_puts(s->out, piece == PIECE_NUL ? "0" : " ");
	}
	s->copied = s->at;
}

/* Replaces the token from start to s->at by the index of its span. A token directly before a comma or a
 * closing bracket is a value or a syntax error, never a key, and the index cannot merge with digits behind
 * it. Returns false if the token must be copied. */
static bool refer(struct scan *s, size_t start, struct span span)
{
	if (!s->refers || span_count == sizeof spans / sizeof spans[0] || s->at == s->len
		|| (s->text[s->at] != ',' && s->text[s->at] != '}' && s->text[s->at] != ']'))
		return false;
	copy_up_to(s, start);
	buffer_put_size(s->out, span_count);
	spans[span_count++] = span;
	s->copied = s->at;
	return true;
}

/* Passes over a string, from its opening quote on. If it never ends, Jansson says so. */
static void scan_string(struct scan *s)
{
	const size_t start = s->at;
	size_t at = start + 1;
	bool ascii = true;
	bool replace = false;

	for (;;) {
		size_t len = 1;

		at += text_plain(s->text + at, s->len - at);
		if (at == s->len || s->text[at] == '"')
			break;
		ascii = false;
		if (s->text[at] == '\\' || s->text[at] == JSON_TEXT_REPLACEMENT[0])
			replace |= piece_at(s, at, &len) != PIECE_PLAIN;
		at += len;
	}
	s->at = at < s->len ? at + 1 : at;
	if (replace)
		copy_replaced(s, start);
	else if (ascii)
		refer(s, start, (struct span){s->text + start + 1, s->at - start - 2, JSON_TEXT_STRING});
}

static void scan_number(struct scan *s)
{
	const size_t start = s->at;
	size_t end = start;

	while (end < s->len && within_number(s->text[end]))
		end++;
	switch (number_check(s->text + start, end - start)) {
	case NUMBER_OK:
		break;
	case NUMBER_MALFORMED:
		s->problem = "malformed number";
		return;
	case NUMBER_LONG:
		s->problem = "number of more than 1000 digits";
		return;
	case NUMBER_OUT_OF_RANGE:
		s->problem = "number out of range";
		return;
	}
	s->at = end;
	if (refer(s, start, (struct span){s->text + start, end - start, JSON_TEXT_NUMBER}))
		return;
	copy_up_to(s, start);
	buffer_puts(s->out, NUMBER_TAG);
	copy_up_to(s, end);
	buffer_put(s->out, "\"", 1);
}

/* The length of the output once the text up to s->at is copied. */
static size_t output_len(const struct scan *s)
{
	return s->out->len + s->at - s->copied;
}

/* Copies the text into s->out, with everything replaced that has to be, up to limit bytes of output: with the
 * position of an error in the output as the limit, s->at is its position in the body. */
static void scan(struct scan *s, size_t limit)
{
	while (s->at < s->len && s->problem == NULL && output_len(s) < limit) {
		const char c = s->text[s->at];

		if (c == '"') {
			scan_string(s);
		} else if (starts_number(c)) {
			scan_number(s);
		} else {
			if (c == '{' || c == '[') {
				if (s->depth == JSON_TEXT_MAX_DEPTH) {
					s->problem = "nested deeper than 64 levels";
					return;
				}
				s->depth++;
			} else if ((c == '}' || c == ']') && s->depth > 0) {
				s->depth--;
			}
			s->at++;
		}
	}
	copy_up_to(s, s->at);
}

/* Jansson's own texts quote the body, which a log or an answer should not. */
static const char *describe(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_premature_end_of_input:
		return "ends too early";
	case json_error_end_of_input_expected:
		return "something follows the JSON object";
	case json_error_duplicate_key:
		return "duplicate key";
	case json_error_invalid_utf8:
		return "invalid UTF-8";
	case json_error_null_byte_in_key:
		return "a key is no string";
	default:
		return "not JSON";
	}
}

/* Where in the text an error stands that Jansson found in the tagged one: exactly, unless it is
 * within a key that has something replaced. */
static size_t original_position(const unsigned char *text, size_t len, int position, struct buffer *out)
{
	struct scan s = {.text = (const char *)text, .len = len, .out = out};

	const size_t limit = position > 0 ? (size_t)position : 0;

	buffer_clear(out);
	scan(&s, limit);
	/* It stops behind a whole string or number, the end of which is copied as it is. */
	size_t beyond = out->len > limit ? out->len - limit : 0;
	return s.at > beyond ? s.at - beyond : 0;
}

/* Reads the text into the arena of this thread. */
static enum json_text_result load(
	const unsigned char *text, size_t len, bool refers, struct json_text *json, struct buffer *tagged)
{
	json_error_t json_error;

	/* With room for the tags of a usual number of numbers. */
	buffer_clear(tagged);
	buffer_reserve(tagged, len + len / 8 + 64);
	/* Jansson passes over some NUL bytes between tokens. */
	const unsigned char *nul = len > 0 ? memchr(text, '\0', len) : NULL;
	if (nul != NULL) {
		snprintf(json->error, sizeof json->error, "not JSON at byte %zu", (size_t)(nul - text) + 1);
		return JSON_TEXT_INVALID;
	}
	struct scan s = {.text = (const char *)text, .len = len, .out = tagged, .refers = refers};
	scan(&s, SIZE_MAX);
	if (s.problem != NULL) {
		snprintf(json->error, sizeof json->error, "%s at byte %zu", s.problem, s.at + 1);
		return JSON_TEXT_INVALID;
	}
	if (buffer_failed(tagged))
		return JSON_TEXT_NO_MEMORY;
	json->nul_replaced = s.nul_replaced;
	json->surrogate_replaced = s.surrogate_replaced;
	json->tree = json_loadb(tagged->data == NULL ? "" : tagged->data, tagged->len,
		JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &json_error);
	if (json->tree == NULL && arena_failed())
		return JSON_TEXT_NO_MEMORY;
	/* The error, and its position, are reported as they are with the values in place. */
	if (json->tree == NULL && refers)
		return load(text, len, false, json, tagged);
	if (json->tree == NULL) {
		snprintf(json->error, sizeof json->error, "%s at byte %zu", describe(&json_error),
			original_position(text, len, json_error.position, tagged) + 1);
		return JSON_TEXT_INVALID;
	}
	if (!json_is_object(json->tree)) {
		json->tree = NULL;
		snprintf(json->error, sizeof json->error, "must be a JSON object");
		return JSON_TEXT_INVALID;
	}
	return JSON_TEXT_OK;
}

enum json_text_result json_text_load_inner(const unsigned char *text, size_t len, struct json_text *json)
{
	struct buffer tagged;

	memset(json, 0, sizeof *json);
	buffer_init(&tagged);
	enum json_text_result result = load(text, len, true, json, &tagged);
	buffer_done(&tagged);
	return result;
}

enum json_text_result json_text_load(const unsigned char *text, size_t len, struct json_text *json)
{
	arena_begin();
	span_count = 0;
	enum json_text_result result = json_text_load_inner(text, len, json);
	if (result != JSON_TEXT_OK)
		json_text_done();
	return result;
}

void json_text_done(void)
{
	arena_end();
}

enum json_text_kind json_text_kind(const json_t *value, const char **text, size_t *len)
{
	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
	case JSON_INTEGER: {
		const struct span *span = &spans[json_integer_value(value)];

		*text = span->text;
		*len = span->len;
		return span->kind;
	}
	case JSON_STRING:
		*text = json_string_value(value);
		*len = json_string_length(value);
		if (*len == 0 || (*text)[0] != '\0')
			return JSON_TEXT_STRING;
		++*text;
		--*len;
		return JSON_TEXT_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE:
		return JSON_TEXT_BOOLEAN;
	case JSON_OBJECT:
		return JSON_TEXT_OBJECT;
	case JSON_ARRAY:
		return JSON_TEXT_ARRAY;
	default:
		return JSON_TEXT_ABSENT;
	}
}
