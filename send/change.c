#include "config.h"

#include "change.h"

#include <jansson.h>
#include <stdlib.h>

#include "print.h"

struct change {
	const char *name; /* of the file */
	json_t *event;
	json_t *object; /* the event's */
	bool failed;    /* without memory */
};

bool change_wanted(const struct subject *subject)
{
	return subject->order_id != NULL || subject->email != NULL || subject->amount != NULL
		|| subject->mode != NULL;
}

static json_t *part(const struct change *change, const char *name)
{
	return json_object_get(change->object, name);
}

static bool has(const json_t *part, const char *member)
{
	return json_object_get(part, member) != NULL;
}

static void set(struct change *change, json_t *part, const char *member, json_t *value)
{
	if (json_object_set_new(part, member, value) != 0)
		change->failed = true;
}

static void set_event_id(struct change *change)
{
	const bool older = !has(change->event, "event_id") && has(change->event, "id");

	set(change, change->event, older ? "id" : "event_id", json_string(body_new_id("evt_").text));
}

static void set_mode(struct change *change, const char *mode)
{
	json_t *const others[] = {
		change->event, part(change, "product"), part(change, "order"), part(change, "subscription")};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (has(others[i], "mode"))
			set(change, others[i], "mode", json_string(mode));
	set(change, change->object, "mode", json_string(mode));
}

/* The merchant's own name of it stays: the provider's samples have both. */
static void set_order_id(struct change *change, const char *order_id)
{
	const bool camel = has(part(change, "metadata"), "orderId");

	if (!json_is_object(part(change, "metadata")))
		set(change, change->object, "metadata", json_object());
	if (camel)
		set(change, part(change, "metadata"), "orderId", json_string(order_id));
	if (!camel || has(part(change, "metadata"), "order_id"))
		set(change, part(change, "metadata"), "order_id", json_string(order_id));
}

static void set_email(struct change *change, const char *email)
{
	if (has(part(change, "customer"), "email"))
		set(change, part(change, "customer"), "email", json_string(email));
	else
		complain(change->name, "--email: the event has no customer's e-mail; sent without");
}

static void set_amount(struct change *change, const char *amount)
{
	const struct {
		const json_t *part;
		const char *member;
		const char *note;
	} others[] = {{part(change, "order"), "refunded_amount",
			      "--amount: object.order.refunded_amount stays as it is"},
		{part(change, "refund"), "amount", "--amount: object.refund.amount stays as it is"},
		{change->object, "refund_amount", "--amount: object.refund_amount stays as it is"},
		{part(change, "subscription"), "billing_amount",
			"--amount: object.subscription.billing_amount stays as it is"}};

	if (!has(part(change, "order"), "amount")) {
		complain(change->name, "--amount: the event has no order's amount; sent without");
		return;
	}
	set(change, part(change, "order"), "amount", body_number(amount));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (has(others[i].part, others[i].member))
			complain(change->name, others[i].note);
}

static unsigned char *apply(struct change *change, const struct subject *subject, size_t *len)
{
	unsigned char *body;

	set_event_id(change);
	if (subject->mode != NULL)
		set_mode(change, subject->mode);
	if (subject->order_id != NULL)
		set_order_id(change, subject->order_id);
	if (subject->email != NULL)
		set_email(change, subject->email);
	if (subject->amount != NULL)
		set_amount(change, subject->amount);
	body = change->failed ? NULL : body_write(change->event, len);
	if (body == NULL)
		complain(change->name, "no memory to change it");
	return body;
}

unsigned char *change_body(const char *name, const struct subject *subject, unsigned char *bytes, size_t len,
	size_t *changed_len)
{
	json_error_t error;
	json_t *event = body_read((const char *)bytes, len, &error);
	struct change change = {name, event, json_object_get(event, "object"), false};
	unsigned char *body = NULL;

	if (event == NULL)
		complain(name, error.text);
	else if (!json_is_object(change.object))
		complain(name, "no event: it has no object that could be changed");
	else
		body = apply(&change, subject, changed_len);
	json_decref(event);
	free(bytes);
	return body;
}
