#include "config.h"

#include "json_write.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "number.h"

struct member {
	const char *key; /* as in the tree */
	const json_t *value;
};

static bool is_replaced(const char *at)
{
	return strncmp(at, JSON_TEXT_REPLACEMENT, sizeof JSON_TEXT_REPLACEMENT - 1) == 0;
}

/* The place behind U+FFFD and the code that follows it in the keys of a tree. */
static const char *behind(const char *at)
{
	at += sizeof JSON_TEXT_REPLACEMENT - 1;
	return at + (*at == JSON_TEXT_KEY_SURROGATE ? JSON_TEXT_KEY_SURROGATE_LEN : 1);
}

/* Compares keys as they are written. */
static int compare_written(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		const bool both = is_replaced(a) && is_replaced(b);

		a = both ? behind(a) : a + 1;
		b = both ? behind(b) : b + 1;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

static int compare_members(const void *a, const void *b)
{
	const char *left = ((const struct member *)a)->key;
	const char *right = ((const struct member *)b)->key;
	const int written = compare_written(left, right);

	return written != 0 ? written : strcmp(left, right);
}

/* The members of an object that has some, sorted; the caller's to free. NULL without memory. */
static struct member *sort_members(const json_t *value, size_t count)
{
	/* Jansson's iterators take no const, though they change nothing. */
	json_t *object = (json_t *)(uintptr_t)value;
	struct member *members = calloc(count, sizeof *members);
	struct member *next = members;

	if (members == NULL)
		return NULL;
	for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i))
		*next++ = (struct member){json_object_iter_key(i), json_object_iter_value(i)};
	qsort(members, count, sizeof *members, compare_members);
	return members;
}

static void write_key(const char *key, struct buffer *out)
{
	struct buffer written;

	if (strstr(key, JSON_TEXT_REPLACEMENT) == NULL) {
		buffer_puts_json(out, key);
		return;
	}
	buffer_init(&written);
	while (*key != '\0') {
		if (is_replaced(key)) {
			buffer_puts(&written, JSON_TEXT_REPLACEMENT);
			key = behind(key);
		} else {
			buffer_put(&written, key++, 1);
		}
	}
	if (buffer_failed(&written))
		out->failed = true;
	else
		buffer_put_json(out, written.data, written.len);
	buffer_done(&written);
}

static bool write_object(const json_t *object, enum json_write_numbers numbers, struct buffer *out)
{
	const size_t count = json_object_size(object);
	struct member *members = count == 0 ? NULL : sort_members(object, count);
	bool all = true;

	if (count > 0 && members == NULL) {
		out->failed = true;
		return true;
	}
	buffer_puts(out, "{");
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && compare_written(members[i - 1].key, members[i].key) == 0) {
			all = false;
			continue;
		}
		if (i > 0)
			buffer_puts(out, ",");
		write_key(members[i].key, out);
		buffer_puts(out, ":");
		all = json_write(members[i].value, numbers, out) && all;
	}
	buffer_puts(out, "}");
	free(members);
	return all;
}

static bool write_array(const json_t *array, enum json_write_numbers numbers, struct buffer *out)
{
	bool all = true;

	buffer_puts(out, "[");
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (i > 0)
			buffer_puts(out, ",");
		all = json_write(json_array_get(array, i), numbers, out) && all;
	}
	buffer_puts(out, "]");
	return all;
}

static void write_number(const char *text, size_t len, enum json_write_numbers numbers, struct buffer *out)
{
	char canonical[NUMBER_CANONICAL_SIZE];

	if (numbers == JSON_WRITE_CANONICAL)
		buffer_put(out, canonical, number_canonical(text, len, canonical));
	else if (number_is_zero(text, len))
		buffer_puts(out, "0"); /* PostgreSQL refuses a zero with a large exponent. */
	else
		buffer_put(out, text, len);
}

/* Recursion is bounded by JSON_TEXT_MAX_DEPTH. */
bool json_write(const json_t *value, enum json_write_numbers numbers, struct buffer *out)
{
	const char *text = NULL;
	size_t len = 0;

	switch (json_text_kind(value, &text, &len)) {
	case JSON_TEXT_ABSENT:
		buffer_puts(out, "null");
		break;
	case JSON_TEXT_STRING:
		buffer_put_json(out, text, len);
		break;
	case JSON_TEXT_NUMBER:
		write_number(text, len, numbers, out);
		break;
	case JSON_TEXT_BOOLEAN:
		buffer_puts(out, json_is_true(value) ? "true" : "false");
		break;
	case JSON_TEXT_OBJECT:
		return write_object(value, numbers, out);
	case JSON_TEXT_ARRAY:
		return write_array(value, numbers, out);
	}
	return true;
}
