#include "config.h"

#include "body.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jansson's numbers are doubles, which do not keep digits. So amounts are strings that nobody
 * would write, until the tree has become text. */
#define AMOUNT_MARK                                                                                          \
	"\x01"                                                                                               \
	"amount"                                                                                             \
	"\x01"
#define AMOUNT_MARK_WRITTEN "\"\\u0001amount\\u0001\""

bool subject_is_set(const struct subject *subject)
{
	return subject->order_id != NULL || subject->email != NULL || subject->amount != NULL
		|| subject->mode != NULL;
}

json_t *body_amount(void)
{
	return json_string(AMOUNT_MARK);
}

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

/* Replaces a member where there is one. */
static bool replace(json_t *object, const char *name, const char *text)
{
	return json_object_get(object, name) == NULL
		|| json_object_set_new(object, name, json_string(text)) == 0;
}

static bool set_mode(json_t *event, json_t *object, const char *mode)
{
	static const char *const parts[] = {"product", "order", "subscription"};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (!replace(json_object_get(object, parts[i]), "mode", mode))
			return false;
	return replace(event, "mode", mode) && json_object_set_new(object, "mode", json_string(mode)) == 0;
}

static bool set_order_id(json_t *object, const char *order_id)
{
	json_t *metadata = json_object_get(object, "metadata");

	if (!json_is_object(metadata)) {
		metadata = json_object();
		if (json_object_set_new(object, "metadata", metadata) != 0)
			return false;
	}
	json_object_del(metadata, "orderId");
	return json_object_set_new(metadata, "order_id", json_string(order_id)) == 0;
}

static bool set_amount(json_t *object)
{
	json_t *order = json_object_get(object, "order");

	return json_object_get(order, "amount") == NULL
		|| json_object_set_new(order, "amount", body_amount()) == 0;
}

bool body_change(json_t *event, const struct subject *subject)
{
	json_t *object = json_object_get(event, "object");
	const char *id_name =
		json_object_get(event, "event_id") == NULL && json_object_get(event, "id") != NULL
		? "id"
		: "event_id";

	if (!json_is_object(object))
		return false;
	return json_object_set_new(event, id_name, json_string(body_new_id("evt_").text)) == 0
		&& (subject->mode == NULL || set_mode(event, object, subject->mode))
		&& (subject->order_id == NULL || set_order_id(object, subject->order_id))
		&& (subject->email == NULL
			|| replace(json_object_get(object, "customer"), "email", subject->email))
		&& (subject->amount == NULL || set_amount(object));
}

/* Replaces every mark in the text. NULL without memory. */
static char *put_amount(const char *text, const char *amount)
{
	const size_t mark_len = sizeof AMOUNT_MARK_WRITTEN - 1;
	size_t marks = 0;

	for (const char *at = text; (at = strstr(at, AMOUNT_MARK_WRITTEN)) != NULL; at += mark_len)
		marks++;
	char *out = malloc(strlen(text) + marks * strlen(amount) + 1);
	if (out == NULL)
		return NULL;
	char *end = out;
	for (const char *at; (at = strstr(text, AMOUNT_MARK_WRITTEN)) != NULL; text = at + mark_len)
		end += sprintf(end, "%.*s%s", (int)(at - text), text, amount);
	strcpy(end, text);
	return out;
}

unsigned char *body_write(const json_t *event, const char *amount, size_t *len)
{
	char *text = json_dumps(event, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	char *body = text == NULL ? NULL : put_amount(text, amount);

	free(text);
	*len = body == NULL ? 0 : strlen(body);
	return (unsigned char *)body;
}
