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
	return subject->order_id != NULL || subject->email != NULL || subject->customer_id != NULL
		|| subject->user_id != NULL || subject->product_id != NULL || subject->amount != NULL
		|| subject->mode != NULL || subject->units >= 0 || subject->metadata.count > 0;
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

/* The merchant's own name of an id stays: the provider's samples have both. */
static void set_metadata_id(struct change *change, const char *camel, const char *snake, const char *id)
{
	json_t *metadata = part(change, "metadata");
	const bool is_camel = has(metadata, camel);

	if (is_camel)
		set(change, metadata, camel, json_string(id));
	if (!is_camel || has(metadata, snake))
		set(change, metadata, snake, json_string(id));
}

static void set_metadata(struct change *change, const struct subject *subject)
{
	if (subject->order_id == NULL && subject->user_id == NULL && subject->metadata.count == 0)
		return;
	if (!json_is_object(part(change, "metadata")))
		set(change, change->object, "metadata", json_object());
	if (subject->order_id != NULL)
		set_metadata_id(change, "orderId", "order_id", subject->order_id);
	if (subject->user_id != NULL)
		set_metadata_id(change, "userId", "user_id", subject->user_id);
	if (!body_set_texts(part(change, "metadata"), &subject->metadata))
		change->failed = true;
}

/* Sets a member if the part has it, else says so. */
static void replace(
	struct change *change, const char *name, const char *member, json_t *value, const char *missing)
{
	if (has(part(change, name), member)) {
		set(change, part(change, name), member, value);
		return;
	}
	json_decref(value);
	complain(change->name, missing);
}

/* An order and a subscription may name the product, too. */
static void set_product(struct change *change, const char *product_id)
{
	static const char *const others[] = {"order", "subscription"};

	replace(change, "product", "product_id", json_string(product_id),
		"--product: the event has no product's id; sent without");
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (has(part(change, others[i]), "product_id"))
			set(change, part(change, others[i]), "product_id", json_string(product_id));
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
	set_metadata(change, subject);
	if (subject->email != NULL)
		replace(change, "customer", "email", json_string(subject->email),
			"--email: the event has no customer's e-mail; sent without");
	if (subject->customer_id != NULL)
		replace(change, "customer", "id", json_string(subject->customer_id),
			"--customer: the event has no customer's id; sent without");
	if (subject->product_id != NULL)
		set_product(change, subject->product_id);
	if (subject->units >= 0)
		replace(change, "subscription", "units", json_integer(subject->units),
			"--units: the event has no subscription's units; sent without");
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
