#include "config.h"

#include "patch.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value's or a member name's bytes. begin is NULL where there is none. */
struct span {
	const char *begin;
	const char *end;
};

/* The first character from at on that is part of a token. */
static const char *skip_space(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n,:", *at) != NULL)
		at++;
	return at;
}

static const char *skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at < end ? at + 1 : end;
}

/* Behind the value at at. Strings apart, brackets come in pairs. */
static const char *skip_value(const char *at, const char *end)
{
	size_t depth = 0;

	while (at < end) {
		const char c = *at;

		if (c == '"') {
			at = skip_string(at, end);
		} else if (c == '{' || c == '[') {
			depth++;
			at++;
		} else if (c == '}' || c == ']') {
			depth--;
			at++;
		} else if (strchr(" \t\r\n,:", c) != NULL) {
			at++;
			continue;
		} else {
			while (at < end && strchr(" \t\r\n,:]}", *at) == NULL)
				at++;
		}
		if (depth == 0)
			break;
	}
	return at;
}

/* A name can be written with escapes. */
static bool is_name(struct span written, const char *name)
{
	const size_t len = (size_t)(written.end - written.begin);

	if (memchr(written.begin, '\\', len) == NULL)
		return len == strlen(name) + 2 && memcmp(written.begin + 1, name, len - 2) == 0;
	json_t *string = json_loadb(written.begin, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	const bool same = json_string_length(string) == strlen(name)
		&& memcmp(json_string_value(string), name, strlen(name)) == 0;
	json_decref(string);
	return same;
}

static struct span find_member(struct span object, const char *name)
{
	const struct span none = {NULL, NULL};

	if (object.begin == NULL || *object.begin != '{')
		return none;
	const char *at = skip_space(object.begin + 1, object.end);
	while (at < object.end && *at == '"') {
		const struct span written = {at, skip_string(at, object.end)};
		const char *value = skip_space(written.end, object.end);
		const char *value_end = skip_value(value, object.end);

		if (is_name(written, name))
			return (struct span){value, value_end};
		at = skip_space(value_end, object.end);
	}
	return none;
}

/* The value at the first count names of a path. */
static struct span find(const struct patch *patch, patch_path path, size_t count)
{
	const char *end = patch->text + patch->len;
	const char *begin = skip_space(patch->text, end);
	struct span found = {begin, end};

	for (size_t i = 0; i < count; i++)
		found = find_member(found, path[i]);
	return found;
}

static size_t path_length(patch_path path)
{
	size_t count = 0;

	while (path[count] != NULL)
		count++;
	return count;
}

/* Puts three texts in the place of a span. */
static enum patch_result put(struct patch *patch, struct span place, const char *const texts[3])
{
	const size_t before = (size_t)(place.begin - patch->text);
	const size_t after = (size_t)(patch->text + patch->len - place.end);
	size_t len = before;
	char *out = malloc(before + strlen(texts[0]) + strlen(texts[1]) + strlen(texts[2]) + after + 1);

	if (out == NULL)
		return PATCH_NO_MEMORY;
	memcpy(out, patch->text, before);
	for (size_t i = 0; i < 3; i++) {
		memcpy(out + len, texts[i], strlen(texts[i]));
		len += strlen(texts[i]);
	}
	memcpy(out + len, place.end, after);
	free(patch->text);
	patch->text = out;
	patch->len = len + after;
	return PATCH_DONE;
}

bool patch_has(const struct patch *patch, patch_path path)
{
	return find(patch, path, path_length(path)).begin != NULL;
}

enum patch_result patch_replace(struct patch *patch, patch_path path, const char *value)
{
	const struct span found = find(patch, path, path_length(path));
	const char *const texts[3] = {"", value, ""};

	return found.begin == NULL ? PATCH_ABSENT : put(patch, found, texts);
}

enum patch_result patch_set(struct patch *patch, patch_path path, const char *value)
{
	const size_t count = path_length(path);
	const enum patch_result replaced = patch_replace(patch, path, value);
	const struct span object = find(patch, path, count - 1);
	char name[64];

	if (replaced != PATCH_ABSENT)
		return replaced;
	if (object.begin == NULL || *object.begin != '{' || strlen(path[count - 1]) > sizeof name - 5)
		return PATCH_ABSENT;
	snprintf(name, sizeof name, "\"%s\": ", path[count - 1]);
	const struct span place = {object.begin + 1, object.begin + 1};
	const bool empty = *skip_space(place.begin, object.end) == '}';
	const char *const texts[3] = {name, value, empty ? "" : ", "};
	return put(patch, place, texts);
}
