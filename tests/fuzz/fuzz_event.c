/* Bodies as a careless sender with the right secret might write them. */
#include "config.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "common/digest.h"
#include "fcgi/event/event.h"
#include "target.h"

const char fuzz_target_name[] = "event";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* One line of printable ASCII: it goes into an answer, a log and a table. */
static bool is_detail(const char *detail)
{
	size_t len = strnlen(detail, EVENT_DETAIL_SIZE);

	for (size_t i = 0; i < len; i++)
		if (detail[i] < 0x20 || detail[i] > 0x7e)
			return false;
	return len > 0 && len < EVENT_DETAIL_SIZE;
}

/* What is handed to the database is one flat JSON object, without U+0000, which Jansson refuses. */
static void check_members(const struct event *event, bool valid)
{
	char *text = malloc(event->members_len + 3);
	json_error_t error;

	MUST(text != NULL);
	text[0] = '{';
	memcpy(text + 1, event->members, event->members_len);
	memcpy(text + 1 + event->members_len, "}", 2);
	MUST(strlen(text) == event->members_len + 2);
	/* Integers of any length are in it, but no number that a double could not be near. */
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
	MUST(object != NULL);
	if (valid) {
		MUST(json_is_string(json_object_get(object, "event_type")));
		MUST(json_string_length(json_object_get(object, "digest")) == sizeof "\\x" - 1 + DIGEST_LEN);
		MUST(strcmp(json_string_value(json_object_get(object, "event_id")), event->id) == 0);
		MUST(strcmp(event->mode, "test") == 0 || strcmp(event->mode, "live") == 0);
	}
	json_decref(object);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char detail[EVENT_DETAIL_SIZE];
	struct event *event = NULL;

	enum event_result result = event_parse(data, size, &event, detail);
	switch (result) {
	case EVENT_OK:
		check_members(event, true);
		break;
	case EVENT_INVALID:
		MUST(is_detail(detail));
		if (event != NULL)
			check_members(event, false);
		break;
	case EVENT_NO_MEMORY:
		MUST(result != EVENT_NO_MEMORY);
		break;
	}
	event_free(event);
	return 0;
}
