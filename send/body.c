#include "config.h"

#include "body.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct body_id body_new_id(const char *prefix)
{
	struct body_id id;
	unsigned char random[10] = {0};
	size_t len = (size_t)snprintf(id.text, sizeof id.text, "%s", prefix);

	/* Not a secret: without randomness, ids are merely not unique. */
	if (RAND_bytes(random, (int)sizeof random) != 1)
		len += (size_t)snprintf(id.text + len, sizeof id.text - len, "0");
	for (size_t i = 0; i < sizeof random && len + 3 <= sizeof id.text; i++)
		len += (size_t)snprintf(id.text + len, sizeof id.text - len, "%02x", random[i]);
	return id;
}

bool body_set_texts(json_t *object, const struct argument_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		const size_t len = strcspn(texts->texts[i], "=");
		char *name = strndup(texts->texts[i], len);
		const bool done = name != NULL
			&& json_object_set_new(object, name, json_string(texts->texts[i] + len + 1)) == 0;

		free(name);
		if (!done)
			return false;
	}
	return true;
}

/* How a string begins that is a number. At random, so that no string of a body begins so. One thread. */
static const char *number_mark(void)
{
	static struct body_id mark;

	if (mark.text[0] == '\0')
		mark = body_new_id("number:");
	return mark.text;
}

json_t *body_number(const char *digits)
{
	return json_sprintf("%s%s", number_mark(), digits);
}

/* Returns how long the string is that begins the text. */
static size_t string_length(const char *text, size_t len)
{
	size_t n = 1;

	while (n < len && text[n] != '"')
		n += text[n] == '\\' ? 2 : 1;
	return n < len ? n + 1 : len;
}

static size_t number_length(const char *text, size_t len)
{
	static const char part_of_numbers[] = "-0123456789+.eE";
	size_t n = 0;

	while (n < len && memchr(part_of_numbers, text[n], sizeof part_of_numbers - 1) != NULL)
		n++;
	return n;
}

/* Makes a marked string of each number of JSON text. Returns the caller's text, or NULL without memory. */
static char *mark_numbers(const char *text, size_t len, size_t *marked_len)
{
	char *marked = NULL;
	FILE *out = open_memstream(&marked, marked_len);

	if (out == NULL)
		return NULL;
	for (size_t at = 0, n; at < len; at += n) {
		if (text[at] == '-' || (text[at] >= '0' && text[at] <= '9')) {
			n = number_length(text + at, len - at);
			fprintf(out, "\"%s%.*s\"", number_mark(), (int)n, text + at);
		} else {
			n = text[at] == '"' ? string_length(text + at, len - at) : 1;
			fwrite(text + at, 1, n, out);
		}
	}
	if (fclose(out) == 0)
		return marked;
	free(marked);
	return NULL;
}

json_t *body_read(const char *bytes, size_t len, json_error_t *error)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *event = json_loadb(bytes, len, flags | JSON_DECODE_INT_AS_REAL, error);
	size_t marked_len;

	/* The first call said what is wrong; from here on it is JSON. */
	if (event == NULL)
		return NULL;
	json_decref(event);
	snprintf(error->text, sizeof error->text, "no memory to change it");
	char *marked = mark_numbers(bytes, len, &marked_len);
	event = marked == NULL ? NULL : json_loadb(marked, marked_len, flags, NULL);
	free(marked);
	return event;
}

unsigned char *body_write(const json_t *event, size_t *len)
{
	char *text = json_dumps(event, JSON_INDENT(2));
	char *to = text;
	const char *from = text;

	if (text == NULL)
		return NULL;
	for (const char *mark; (mark = strstr(from, number_mark())) != NULL;) {
		const char *digits = mark + strlen(number_mark());
		const size_t digits_len = strcspn(digits, "\"");
		/* Without the quotation mark. */
		const size_t before = (size_t)(mark - 1 - from);

		memmove(to, from, before);
		memmove(to + before, digits, digits_len);
		to += before + digits_len;
		from = digits + digits_len + 1;
	}
	memmove(to, from, strlen(from) + 1);
	*len = strlen(text);
	return (unsigned char *)text;
}
