#include "config.h"

#include "change.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "patch.h"
#include "print.h"

bool change_wanted(const struct subject *subject)
{
	return subject->order_id != NULL || subject->email != NULL || subject->amount != NULL
		|| subject->mode != NULL;
}

/* As JSON text, the caller's to free. NULL without memory. */
static char *quote(const char *text)
{
	json_t *string = json_string(text);
	char *quoted = json_dumps(string, JSON_ENCODE_ANY);

	json_decref(string);
	return quoted;
}

static bool set_event_id(struct patch *patch)
{
	static patch_path event_id = {"event_id", NULL};
	static patch_path id = {"id", NULL};
	const bool older = !patch_has(patch, event_id) && patch_has(patch, id);
	char *quoted = quote(body_new_id("evt_").text);
	const bool set = quoted != NULL && patch_set(patch, older ? id : event_id, quoted) != PATCH_NO_MEMORY;

	free(quoted);
	return set;
}

static bool set_mode(struct patch *patch, const char *mode)
{
	static patch_path paths[] = {{"mode", NULL}, {"object", "product", "mode", NULL},
		{"object", "order", "mode", NULL}, {"object", "subscription", "mode", NULL}};
	static patch_path object = {"object", "mode", NULL};
	const char *quoted = mode[0] == 't' ? "\"test\"" : "\"live\"";

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		if (patch_replace(patch, paths[i], quoted) == PATCH_NO_MEMORY)
			return false;
	return patch_set(patch, object, quoted) != PATCH_NO_MEMORY;
}

/* The merchant's own key for it stays: the provider's samples have both. */
static bool set_order_id(struct patch *patch, const char *order_id)
{
	static patch_path camel = {"object", "metadata", "orderId", NULL};
	static patch_path snake = {"object", "metadata", "order_id", NULL};
	static patch_path metadata = {"object", "metadata", NULL};
	char *quoted = quote(order_id);
	enum patch_result result = quoted == NULL ? PATCH_NO_MEMORY : patch_replace(patch, camel, quoted);

	if (result == PATCH_DONE)
		result = patch_replace(patch, snake, quoted);
	else if (result == PATCH_ABSENT && (result = patch_set(patch, snake, quoted)) == PATCH_ABSENT
		&& patch_set(patch, metadata, "{}") == PATCH_DONE)
		result = patch_set(patch, snake, quoted);
	free(quoted);
	return result != PATCH_NO_MEMORY;
}

static bool set_email(const char *name, struct patch *patch, const char *email)
{
	static patch_path path = {"object", "customer", "email", NULL};
	char *quoted = quote(email);
	const enum patch_result result =
		quoted == NULL ? PATCH_NO_MEMORY : patch_replace(patch, path, quoted);

	free(quoted);
	if (result == PATCH_ABSENT)
		complain(name, "--email: the event has no customer's e-mail; sent without");
	return result != PATCH_NO_MEMORY;
}

static bool set_amount(const char *name, struct patch *patch, const char *amount)
{
	static patch_path path = {"object", "order", "amount", NULL};
	static patch_path others[] = {{"object", "order", "refunded_amount", NULL},
		{"object", "refund", "amount", NULL}, {"object", "refund_amount", NULL},
		{"object", "subscription", "billing_amount", NULL}};
	static const char *const notes[] = {"--amount: object.order.refunded_amount stays as it is",
		"--amount: object.refund.amount stays as it is",
		"--amount: object.refund_amount stays as it is",
		"--amount: object.subscription.billing_amount stays as it is"};
	const enum patch_result result = patch_replace(patch, path, amount);

	if (result == PATCH_ABSENT)
		complain(name, "--amount: the event has no order's amount; sent without");
	for (size_t i = 0; result == PATCH_DONE && i < sizeof others / sizeof others[0]; i++)
		if (patch_has(patch, others[i]))
			complain(name, notes[i]);
	return result != PATCH_NO_MEMORY;
}

static bool change(const char *name, struct patch *patch, const struct subject *subject)
{
	return set_event_id(patch) && (subject->mode == NULL || set_mode(patch, subject->mode))
		&& (subject->order_id == NULL || set_order_id(patch, subject->order_id))
		&& (subject->email == NULL || set_email(name, patch, subject->email))
		&& (subject->amount == NULL || set_amount(name, patch, subject->amount));
}

unsigned char *change_body(const char *name, const struct subject *subject, unsigned char *bytes, size_t len,
	size_t *changed_len)
{
	struct patch patch = {(char *)bytes, len};
	bool changed = false;
	json_error_t error;
	/* Of its tree nothing is written, so that it need not know a number's digits. */
	json_t *event = json_loadb(
		patch.text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);

	if (event == NULL)
		complain(name, error.text);
	else if (!json_is_object(json_object_get(event, "object")))
		complain(name, "no event: it has no object that could be changed");
	else if (!(changed = change(name, &patch, subject)))
		complain(name, "no memory to change it");
	json_decref(event);
	if (!changed) {
		free(patch.text);
		return NULL;
	}
	*changed_len = patch.len;
	return (unsigned char *)patch.text;
}
