#include "config.h"

#include "json_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "number.h"
#include "text.h"

/* What a number is replaced with: this, its text, a quote. */
#define NUMBER_TAG "\"\\u0000"

/* The pass over the bytes that comes before Jansson's. */
struct scan {
	const char *text;
	size_t len;
	size_t at;
	size_t depth;
	struct buffer *out;
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

/* Passes over an escape, as far as it is known to be inside of the text. Jansson refuses
 * lone surrogates as well, but does not tell them from what is not JSON at all. */
static void scan_escape(struct scan *s)
{
	int unit = code_unit(s, s->at);

	if (unit == 0) {
		s->problem = "\\u0000 in a string";
	} else if (is_low_surrogate(unit)
		|| (is_high_surrogate(unit) && !is_low_surrogate(code_unit(s, s->at + 6)))) {
		s->problem = "lone surrogate in a string";
	} else {
		s->at += is_high_surrogate(unit) ? 7 : 1;
	}
}

/* Copies a string, from its opening quote on. Where it never ends, Jansson says so. */
static void scan_string(struct scan *s)
{
	size_t start = s->at++;

	while (s->at < s->len && s->text[s->at] != '"') {
		if (s->text[s->at] == '\\') {
			scan_escape(s);
			if (s->problem != NULL)
				return;
		}
		if (s->at < s->len)
			s->at++;
	}
	if (s->at < s->len)
		s->at++;
	buffer_put(s->out, s->text + start, s->at - start);
}

static void scan_number(struct scan *s)
{
	size_t start = s->at;
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
	buffer_puts(s->out, NUMBER_TAG);
	buffer_put(s->out, s->text + start, end - start);
	buffer_put(s->out, "\"", 1);
	s->at = end;
}

/* Copies the text with tagged numbers into s->out, up to limit bytes of output: with the
 * position of an error in the output as the limit, s->at is its position in the body. */
static void scan(struct scan *s, size_t limit)
{
	while (s->at < s->len && s->problem == NULL && s->out->len < limit) {
		char c = s->text[s->at];

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
			size_t start = s->at++;
			while (s->at < s->len && s->text[s->at] == ' ')
				s->at++;
			buffer_put(s->out, s->text + start, s->at - start);
		}
	}
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

/* Where in the body an error stands that Jansson found in the tagged text. */
static size_t original_position(const unsigned char *body, size_t len, int position, struct buffer *out)
{
	struct scan s = {.text = (const char *)body, .len = len, .out = out};

	const size_t limit = position > 0 ? (size_t)position : 0;

	buffer_clear(out);
	scan(&s, limit);
	/* It stops behind a whole string or number, the end of which is copied as it is. */
	size_t beyond = out->len > limit ? out->len - limit : 0;
	return s.at > beyond ? s.at - beyond : 0;
}

enum json_text_result json_text_load(
	const unsigned char *body, size_t len, json_t **tree, char *error, size_t error_size)
{
	enum json_text_result result = JSON_TEXT_INVALID;
	json_error_t json_error;
	struct buffer tagged;

	*tree = NULL;
	buffer_init(&tagged);
	/* With room for the tags of a usual number of numbers. */
	buffer_reserve(&tagged, len + len / 8 + 64);
	/* Jansson passes over some NUL bytes between tokens. */
	const unsigned char *nul = len > 0 ? memchr(body, '\0', len) : NULL;
	if (nul != NULL) {
		snprintf(error, error_size, "not JSON at byte %zu", (size_t)(nul - body) + 1);
		goto done;
	}
	struct scan s = {.text = (const char *)body, .len = len, .out = &tagged};
	scan(&s, SIZE_MAX);
	if (s.problem != NULL) {
		snprintf(error, error_size, "%s at byte %zu", s.problem, s.at + 1);
		goto done;
	}
	if (buffer_failed(&tagged)) {
		result = JSON_TEXT_NO_MEMORY;
		goto done;
	}
	arena_begin();
	*tree = json_loadb(tagged.data == NULL ? "" : tagged.data, tagged.len,
		JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &json_error);
	if (*tree == NULL) {
		if (arena_failed())
			result = JSON_TEXT_NO_MEMORY;
		else
			snprintf(error, error_size, "%s at byte %zu", describe(&json_error),
				original_position(body, len, json_error.position, &tagged) + 1);
		goto done;
	}
	if (!json_is_object(*tree)) {
		snprintf(error, error_size, "must be a JSON object");
		goto done;
	}
	result = JSON_TEXT_OK;
done:
	if (result != JSON_TEXT_OK)
		json_text_done(tree);
	buffer_done(&tagged);
	return result;
}

void json_text_done(json_t **tree)
{
	*tree = NULL;
	arena_end();
}

enum json_text_kind json_text_kind(const json_t *value, const char **text, size_t *len)
{
	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
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

/* Recursion is bounded by JSON_TEXT_MAX_DEPTH. */
void json_text_write(const json_t *value, struct buffer *out) /* NOLINT(misc-no-recursion) */
{
	const char *text = NULL;
	const char *separator = "";
	size_t len = 0;

	switch (json_text_kind(value, &text, &len)) {
	case JSON_TEXT_ABSENT:
		buffer_puts(out, "null");
		break;
	case JSON_TEXT_STRING:
		buffer_put_json(out, text, len);
		break;
	case JSON_TEXT_NUMBER:
		/* PostgreSQL refuses a zero with a large exponent. */
		if (number_is_zero(text, len))
			buffer_puts(out, "0");
		else
			buffer_put(out, text, len);
		break;
	case JSON_TEXT_BOOLEAN:
		buffer_puts(out, json_is_true(value) ? "true" : "false");
		break;
	case JSON_TEXT_OBJECT: {
		/* Jansson's iterators take no const, though they change nothing. */
		json_t *object = (json_t *)(uintptr_t)value;

		buffer_puts(out, "{");
		for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
			const char *key = json_object_iter_key(i);

			buffer_puts(out, separator);
			buffer_puts_json(out, key);
			buffer_puts(out, ":");
			json_text_write(json_object_iter_value(i), out);
			separator = ",";
		}
		buffer_puts(out, "}");
		break;
	}
	case JSON_TEXT_ARRAY:
		buffer_puts(out, "[");
		for (size_t i = 0; i < json_array_size(value); i++) {
			buffer_puts(out, separator);
			json_text_write(json_array_get(value, i), out);
			separator = ",";
		}
		buffer_puts(out, "]");
		break;
	}
}
