#include "config.h"

#include "normalised.h"

#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/text.h"
#include "json_write.h"

#define WARNING_SIZE 256
#define METADATA_PATH "object.metadata"
#define ID_OF_DIGEST "sha256:"

void normalised_init(struct normalised *n)
{
	buffer_init(&n->members);
	buffer_init(&n->local_times);
	buffer_init(&n->warnings);
	buffer_init(&n->content);
}

void normalised_done(struct normalised *n)
{
	buffer_done(&n->members);
	buffer_done(&n->local_times);
	buffer_done(&n->warnings);
	buffer_done(&n->content);
}

bool normalised_failed(const struct normalised *n)
{
	return buffer_failed(&n->members) || buffer_failed(&n->local_times) || buffer_failed(&n->warnings)
		|| buffer_failed(&n->content);
}

/* Appends the name of a member, which needs no escapes; the value is the caller's to append. */
static void put_name(struct buffer *members, const char *name)
{
	buffer_puts(members, members->len > 0 ? ",\"" : "\"");
	buffer_puts(members, name);
	buffer_puts(members, "\":");
}

static void put_content(struct normalised *n, const char *name, const char *value, size_t len)
{
	buffer_puts(&n->content, name);
	buffer_put(&n->content, " ", 1);
	buffer_put_size(&n->content, len);
	buffer_put(&n->content, ":", 1);
	buffer_put(&n->content, value, len);
	buffer_put(&n->content, "\n", 1);
}

void normalised_text(struct normalised *n, const char *name, const char *text, size_t len)
{
	put_name(&n->members, name);
	buffer_put_json(&n->members, text, len);
	put_content(n, name, text, len);
}

void normalised_literal(struct normalised *n, const char *name, const char *literal)
{
	put_name(&n->members, name);
	buffer_puts(&n->members, literal);
	put_content(n, name, literal, strlen(literal));
}

void normalised_local_time(struct normalised *n, const char *name, const char *text, size_t len)
{
	/* As the column's value, which PostgreSQL reads in the zone of the settings, and to be read again when
	 * that changes. */
	put_name(&n->members, name);
	buffer_put_json(&n->members, text, len);
	put_name(&n->local_times, name);
	buffer_put_json(&n->local_times, text, len);
	buffer_puts(&n->content, "local_times.");
	put_content(n, name, text, len);
}

static void put_metadata(struct normalised *n, const json_t *object)
{
	struct buffer canonical;

	put_name(&n->members, "metadata");
	if (!json_write(object, JSON_WRITE_OWN_DIGITS, &n->members))
		normalised_warning(
			n, METADATA_PATH, "keys that are equal with U+FFFD in them, one of each is stored");
	buffer_init(&canonical);
	json_write(object, JSON_WRITE_CANONICAL, &canonical);
	if (buffer_failed(&canonical))
		n->content.failed = true;
	else
		put_content(n, "metadata", canonical.data, canonical.len);
	buffer_done(&canonical);
}

static void put_metadata_text(struct normalised *n, const char *text, size_t len)
{
	char wrong[sizeof "not the text of a JSON object: " + JSON_TEXT_ERROR_SIZE];
	struct json_text inner;

	switch (json_text_load_inner((const unsigned char *)text, len, &inner)) {
	case JSON_TEXT_OK:
		normalised_replacements(n, METADATA_PATH, &inner);
		put_metadata(n, inner.tree);
		break;
	case JSON_TEXT_INVALID:
		snprintf(wrong, sizeof wrong, "not the text of a JSON object: %s", inner.error);
		normalised_warning(n, METADATA_PATH, wrong);
		break;
	case JSON_TEXT_NO_MEMORY:
		n->members.failed = true;
		break;
	}
}

void normalised_metadata(struct normalised *n, const json_t *metadata)
{
	const char *text = NULL;
	size_t len = 0;

	switch (json_text_kind(metadata, &text, &len)) {
	case JSON_TEXT_ABSENT:
		break;
	case JSON_TEXT_OBJECT:
		put_metadata(n, metadata);
		break;
	case JSON_TEXT_STRING:
		text_trim(&text, &len);
		if (len > 0)
			put_metadata_text(n, text, len);
		break;
	default:
		normalised_warning(n, METADATA_PATH, "of a wrong type");
		break;
	}
}

void normalised_warning(struct normalised *n, const char *path, const char *what)
{
	char warning[WARNING_SIZE];

	snprintf(warning, sizeof warning, "%s: %s", path, what);
	if (n->warnings.len > 0)
		buffer_puts(&n->warnings, ",");
	buffer_puts_json(&n->warnings, warning);
}

void normalised_replacements(struct normalised *n, const char *path, const struct json_text *json)
{
	if (json->nul_replaced)
		normalised_warning(n, path, "\\u0000 in a string, stored as U+FFFD");
	if (json->surrogate_replaced)
		normalised_warning(n, path, "lone surrogate in a string, stored as U+FFFD");
}

/* Adds a member that is a list; nothing if it is empty. */
static void put_list(struct buffer *members, const char *name, const char *open, const struct buffer *list,
	const char *close)
{
	if (list->len == 0)
		return;
	put_name(members, name);
	buffer_puts(members, open);
	buffer_put(members, list->data, list->len);
	buffer_puts(members, close);
}

bool normalised_finish(struct normalised *n, char *id, size_t size)
{
	char digest[DIGEST_LEN + 1];

	if (normalised_failed(n) || !digest_hex(n->content.data, n->content.len, "", 0, digest))
		return false;
	if (id[0] == '\0')
		snprintf(id, size, ID_OF_DIGEST "%s", digest);
	put_list(&n->members, "local_times", "{", &n->local_times, "}");
	put_list(&n->members, "warnings", "[", &n->warnings, "]");
	put_name(&n->members, "digest");
	buffer_puts(&n->members, "\"\\\\x");
	buffer_puts(&n->members, digest);
	buffer_puts(&n->members, "\"");
	put_name(&n->members, "event_id");
	buffer_puts_json(&n->members, id);
	return !normalised_failed(n);
}
