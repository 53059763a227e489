#include "config.h"

#include "event.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/moment.h"
#include "fields.h"
#include "json_text.h"
#include "number.h"

#define CREATED_AT_RAW_MAX 255
#define PATH_SIZE 128

/* Paths from the body's root. */
static const char *const id_places[] = {"event_id", "id"};
static const char *const mode_places[] = {
	"object.mode", "mode", "object.product.mode", "object.order.mode", "object.subscription.mode"};
static const char *const time_places[] = {"created_at", "object.order.updated_at", "object.order.created_at",
	"object.subscription.updated_at", "object.subscription.created_at", "object.canceled_at",
	"object.created_at"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool fail(char detail[EVENT_DETAIL_SIZE], const char *path, const char *what)
{
	snprintf(detail, EVENT_DETAIL_SIZE, "%s: %s", path, what);
	return false;
}

/* Returns the value at a path of keys joined by points; NULL if a step is missing or is no object. */
static const json_t *find(const json_t *object, const char *path)
{
	char key[PATH_SIZE];

	while (object != NULL) {
		size_t len = strcspn(path, ".");

		memcpy(key, path, len);
		key[len] = '\0';
		object = json_object_get(object, key);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return object;
}

/* Without an event_id, the event is named by the digest of its content. */
static void take_id(const json_t *body, struct event *event, struct normalised *n)
{
	for (size_t i = 0; i < COUNT(id_places); i++) {
		const char *text = NULL;
		size_t len = 0;
		char digits[INTEGER_SIZE];
		enum json_text_kind kind = json_text_kind(find(body, id_places[i]), &text, &len);

		if (kind == JSON_TEXT_ABSENT)
			continue;
		if (kind == JSON_TEXT_NUMBER) {
			len = number_integer(text, len, digits);
			text = digits;
		}
		if (kind == JSON_TEXT_STRING && len == 0)
			normalised_warning(n, id_places[i], "empty, not taken as the event's id");
		else if ((kind != JSON_TEXT_STRING && kind != JSON_TEXT_NUMBER) || len == 0)
			normalised_warning(
				n, id_places[i], "neither text nor an integer, not taken as the event's id");
		else if (len > EVENT_ID_MAX)
			normalised_warning(
				n, id_places[i], "longer than 255 bytes, not taken as the event's id");
		else {
			memcpy(event->id, text, len);
			return;
		}
	}
}

static bool take_type(
	const json_t *body, struct event *event, struct normalised *n, char detail[EVENT_DETAIL_SIZE])
{
	const char *text = NULL;
	size_t len = 0;

	switch (json_text_kind(json_object_get(body, "event_type"), &text, &len)) {
	case JSON_TEXT_ABSENT:
		return fail(detail, "event_type", "missing");
	case JSON_TEXT_STRING:
		break;
	default:
		return fail(detail, "event_type", "must be a string");
	}
	if (len == 0)
		return fail(detail, "event_type", "empty");
	if (len > EVENT_TYPE_MAX)
		return fail(detail, "event_type", "longer than 64 bytes");
	memcpy(event->type, text, len);
	event->type[len] = '\0';
	normalised_text(n, "event_type", text, len);
	return true;
}

/* A live purchase must not come from a body that says test anywhere. */
static bool take_mode(
	const json_t *body, struct event *event, struct normalised *n, char detail[EVENT_DETAIL_SIZE])
{
	const char *mode = NULL;

	for (size_t i = 0; i < COUNT(mode_places); i++) {
		const char *text = NULL;
		size_t len = 0;
		enum json_text_kind kind = json_text_kind(find(body, mode_places[i]), &text, &len);

		if (kind == JSON_TEXT_ABSENT)
			continue;
		if (kind == JSON_TEXT_STRING && len == 4 && memcmp(text, "test", 4) == 0)
			mode = "test";
		else if (kind == JSON_TEXT_STRING && len == 4 && memcmp(text, "live", 4) == 0)
			mode = mode == NULL ? "live" : mode;
		else
			return fail(detail, mode_places[i], "must be \"test\" or \"live\"");
	}
	if (mode == NULL)
		return fail(detail, "object.mode", "missing");
	memcpy(event->mode, mode, sizeof event->mode);
	normalised_text(n, "mode", mode, 4);
	return true;
}

static void take_created_at_raw(const json_t *body, struct normalised *n)
{
	const char *text = NULL;
	size_t len = 0;
	enum json_text_kind kind = json_text_kind(json_object_get(body, "created_at"), &text, &len);

	if ((kind == JSON_TEXT_STRING || kind == JSON_TEXT_NUMBER) && len <= CREATED_AT_RAW_MAX)
		normalised_text(n, "created_at_raw", text, len);
}

static bool take_occurred_at(const json_t *body, struct normalised *n, char detail[EVENT_DETAIL_SIZE])
{
	const char *unusable = NULL;

	for (size_t i = 0; i < COUNT(time_places); i++) {
		const char *text = NULL;
		size_t len = 0;
		char utc[MOMENT_SIZE];
		enum json_text_kind kind = json_text_kind(find(body, time_places[i]), &text, &len);

		if (kind == JSON_TEXT_ABSENT)
			continue;
		if (kind == JSON_TEXT_STRING || kind == JSON_TEXT_NUMBER) {
			switch (moment_parse(text, len, utc)) {
			case MOMENT_UTC:
				normalised_text(n, "occurred_at", utc, strlen(utc));
				return true;
			case MOMENT_LOCAL:
				normalised_local_time(n, "occurred_at", text, len);
				return true;
			case MOMENT_INVALID:
				break;
			}
		}
		if (unusable == NULL)
			unusable = time_places[i];
		normalised_warning(n, time_places[i], "not a time, not taken as the event's");
	}
	if (unusable != NULL)
		return fail(detail, unusable, "not a time");
	return fail(detail, "created_at", "missing");
}

static bool take_all(
	const json_t *body, struct event *event, struct normalised *n, char detail[EVENT_DETAIL_SIZE])
{
	const json_t *object = json_object_get(body, "object");

	take_id(body, event, n);
	if (!take_type(body, event, n, detail))
		return false;
	if (object == NULL || json_is_null(object))
		return fail(detail, "object", "missing");
	if (!json_is_object(object))
		return fail(detail, "object", "must be a JSON object");
	if (!take_mode(body, event, n, detail) || !take_occurred_at(body, n, detail))
		return false;
	take_created_at_raw(body, n);
	fields_normalise(object, n);
	return true;
}

/* By what else a body that is no event may be known. */
static void take_traces(const json_t *body, struct event *event, struct normalised *n)
{
	char unused[EVENT_DETAIL_SIZE];

	event->type[0] = '\0';
	if (event->id[0] != '\0')
		normalised_text(n, "event_id", event->id, strlen(event->id));
	take_mode(body, event, n, unused);
	fields_normalise_traces(json_object_get(body, "object"), n);
}

enum event_result event_parse(
	const unsigned char *body, size_t len, struct event **out, char detail[EVENT_DETAIL_SIZE])
{
	enum event_result result = EVENT_NO_MEMORY;
	struct normalised n;
	struct normalised traces;
	struct normalised *taken = &n;
	struct json_text json;

	*out = NULL;
	detail[0] = '\0';
	normalised_init(&n);
	normalised_init(&traces);
	struct event *event = calloc(1, sizeof *event);
	if (event == NULL)
		goto done;
	switch (json_text_load(body, len, &json)) {
	case JSON_TEXT_OK:
		break;
	case JSON_TEXT_INVALID:
		fail(detail, "body", json.error);
		result = EVENT_INVALID;
		goto done;
	case JSON_TEXT_NO_MEMORY:
		goto done;
	}
	normalised_replacements(&n, "body", &json);
	if (take_all(json.tree, event, &n, detail)) {
		if (!normalised_finish(&n, event->id, sizeof event->id))
			goto done;
		result = EVENT_OK;
	} else {
		taken = &traces;
		take_traces(json.tree, event, taken);
		if (normalised_failed(&n) || normalised_failed(taken))
			goto done;
		result = EVENT_INVALID;
		if (taken->members.len == 0)
			goto done;
	}
	event->members = taken->members.data;
	event->members_len = taken->members.len;
	buffer_init(&taken->members); /* the event owns it now */
	*out = event;
	event = NULL;
done:
	event_free(event);
	json_text_done();
	normalised_done(&n);
	normalised_done(&traces);
	return result;
}

void event_free(struct event *event)
{
	if (event == NULL)
		return;
	free(event->members);
	free(event);
}
