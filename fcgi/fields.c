#include "config.h"

#include "fields.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "moment.h"
#include "number.h"
#include "text.h"

#define TEXT_MAX 255
#define EMAIL_MAX 320
#define TEXT_TOO_LONG "longer than 255 bytes"
#define UNITS_MAX 2147483647
#define PATH_SIZE 128

enum field_type {
	FIELD_TEXT,
	FIELD_ID, /* text, or an integer, taken as its digits */
	FIELD_EMAIL,
	FIELD_CURRENCY,
	FIELD_AMOUNT,
	FIELD_UNITS,
	FIELD_BOOLEAN,
	FIELD_TIME
};

/* Below `object`, the first usable wins. A path that begins with KIND_SUBSCRIPTION counts
 * only where the object itself is a subscription. */
#define KIND_SUBSCRIPTION '@'
#define MAX_PLACES 3

struct field {
	const char *name;
	enum field_type type;
	const char *places[MAX_PLACES];
};

#define OF_SUBSCRIPTION(field)                                                                               \
	{                                                                                                    \
		"subscription." field, "@" field, NULL                                                       \
	}

static const struct field fields[] = {
	{"product_id", FIELD_ID, {"product.product_id", "order.product_id", "subscription.product_id"}},
	{"product_name", FIELD_TEXT, {"product.name", "subscription.product_name", NULL}},
	{"billing_type", FIELD_TEXT, {"product.billing_type", NULL, NULL}},
	{"customer_id", FIELD_ID, {"customer.id", NULL, NULL}},
	{"customer_email", FIELD_EMAIL, {"customer.email", NULL, NULL}},
	{"provider_order_id", FIELD_ID, {"order.order_id", NULL, NULL}},
	{"payment_id", FIELD_ID, {"payment_id", NULL, NULL}},
	{"request_id", FIELD_ID, {"request_id", NULL, NULL}},
	{"amount", FIELD_AMOUNT, {"order.amount", NULL, NULL}},
	{"tax_amount", FIELD_AMOUNT, {"order.tax_amount", NULL, NULL}},
	{"currency", FIELD_CURRENCY, {"order.currency", "product.currency", NULL}},
	{"subscription_id", FIELD_ID, {"subscription.id", "subscription.subscription_id", NULL}},
	{"processor_subscription_id", FIELD_ID, {"@id", "subscription_id", NULL}},
	{"trial_start", FIELD_TIME, OF_SUBSCRIPTION("trial_start")},
	{"trial_end", FIELD_TIME, OF_SUBSCRIPTION("trial_end")},
	{"billing_period_start", FIELD_TIME, OF_SUBSCRIPTION("billing_period_start")},
	{"billing_period_end", FIELD_TIME, OF_SUBSCRIPTION("billing_period_end")},
	{"cancel_at", FIELD_TIME, OF_SUBSCRIPTION("cancel_at")},
	{"canceled_at", FIELD_TIME, OF_SUBSCRIPTION("canceled_at")},
	{"cancel_at_period_end", FIELD_BOOLEAN, OF_SUBSCRIPTION("cancel_at_period_end")},
	{"recurring_interval", FIELD_TEXT, OF_SUBSCRIPTION("recurring_interval")},
	{"units", FIELD_UNITS, OF_SUBSCRIPTION("units")},
	{"payment_method", FIELD_TEXT, OF_SUBSCRIPTION("payment_method")},
	{"last4", FIELD_TEXT, OF_SUBSCRIPTION("last4")},
	{"billing_amount", FIELD_AMOUNT, OF_SUBSCRIPTION("billing_amount")},
	{"refund_amount", FIELD_AMOUNT, {"refund.amount", "refund_amount", NULL}},
	{"refund_running_total", FIELD_AMOUNT, {"order.refunded_amount", "refunded_amount", NULL}},
};

/* Where a refund's label is looked for. */
static const char *const label_places[] = {"refund.status", "order.status", "status", "object"};
#define KIND_LABEL_PLACE 3

void normalised_name(struct buffer *members, const char *name)
{
	if (members->len > 0)
		buffer_puts(members, ",");
	buffer_puts_json(members, name);
	buffer_puts(members, ":");
}

void normalised_text(struct buffer *members, const char *name, const char *text, size_t len)
{
	normalised_name(members, name);
	buffer_put_json(members, text, len);
}

void normalised_warning(struct normalised *n, const char *path, const char *what)
{
	char warning[PATH_SIZE + 128];

	snprintf(warning, sizeof warning, "%s: %s", path, what);
	if (n->warnings.len > 0)
		buffer_puts(&n->warnings, ",");
	buffer_puts_json(&n->warnings, warning);
}

const json_t *fields_at(const json_t *object, const char *path)
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

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Narrows a text to what is left without ASCII white space at its ends. */
static void trim(const char **text, size_t *len)
{
	while (*len > 0 && is_space((*text)[0])) {
		++*text;
		--*len;
	}
	while (*len > 0 && is_space((*text)[*len - 1]))
		--*len;
}

static bool is_word(const json_t *value, const char *word)
{
	const char *text = NULL;
	size_t len = 0;

	if (json_text_kind(value, &text, &len) != JSON_TEXT_STRING)
		return false;
	trim(&text, &len);
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* Each take_… appends the normalised field and returns NULL, or returns what keeps it from
 * being used. The text is trimmed and not empty. */

static const char *take_text(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	if (len > TEXT_MAX)
		return TEXT_TOO_LONG;
	normalised_text(&n->members, field->name, text, len);
	return NULL;
}

static const char *take_email(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char lower[EMAIL_MAX];

	if (len > EMAIL_MAX)
		return "longer than 320 bytes";
	for (size_t i = 0; i < len; i++)
		lower[i] = text_lower(text[i]);
	normalised_text(&n->members, field->name, lower, len);
	return NULL;
}

static const char *take_currency(
	const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char upper[3];

	if (len != sizeof upper)
		return "not three letters";
	for (size_t i = 0; i < len; i++) {
		upper[i] = text_upper(text[i]);
		if (upper[i] < 'A' || upper[i] > 'Z')
			return "not three letters";
	}
	normalised_text(&n->members, field->name, upper, len);
	return NULL;
}

static const char *take_amount(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char amount[AMOUNT_SIZE];

	switch (number_check(text, len)) {
	case NUMBER_OK:
		break;
	case NUMBER_LONG:
		return "more than 1000 digits";
	case NUMBER_OUT_OF_RANGE:
		return "number out of range";
	case NUMBER_MALFORMED:
		return "not a number";
	}
	const char *wrong = number_amount(text, len, amount);
	if (wrong == NULL)
		normalised_text(&n->members, field->name, amount, strlen(amount));
	return wrong;
}

static const char *take_units(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char value[AMOUNT_SIZE];

	if (number_check(text, len) != NUMBER_OK)
		return "not an integer";
	const char *wrong = number_amount(text, len, value);
	if (wrong != NULL || strtoll(value, NULL, 10) > UNITS_MAX)
		return "not an integer from 0 to 2147483647";
	if (strchr(value, '.') != NULL)
		return "not an integer";
	normalised_name(&n->members, field->name);
	buffer_puts(&n->members, value);
	return NULL;
}

static const char *take_time(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char utc[MOMENT_SIZE];

	switch (moment_parse(text, len, utc)) {
	case MOMENT_UTC:
		normalised_text(&n->members, field->name, utc, strlen(utc));
		return NULL;
	case MOMENT_LOCAL:
		normalised_text(&n->local_times, field->name, text, len);
		return NULL;
	case MOMENT_INVALID:
		break;
	}
	return "not a time";
}

/* Whether the type takes its values from JSON strings, and from JSON numbers. */
static bool takes_strings(enum field_type type)
{
	return type != FIELD_BOOLEAN;
}

static bool takes_numbers(enum field_type type)
{
	return type == FIELD_ID || type == FIELD_AMOUNT || type == FIELD_UNITS || type == FIELD_TIME;
}

/* Tries one place. *used: whether the field is settled. Returns a warning or NULL. */
static const char *take(const struct field *field, const json_t *value, struct normalised *n, bool *used)
{
	const char *text = NULL;
	size_t len = 0;
	enum json_text_kind kind = json_text_kind(value, &text, &len);
	const char *wrong = NULL;

	*used = false;
	if (kind == JSON_TEXT_ABSENT)
		return NULL;
	if (kind == JSON_TEXT_BOOLEAN && field->type == FIELD_BOOLEAN) {
		normalised_name(&n->members, field->name);
		buffer_puts(&n->members, json_is_true(value) ? "true" : "false");
		*used = true;
		return NULL;
	}
	if (kind == JSON_TEXT_STRING)
		trim(&text, &len);
	if (kind == JSON_TEXT_STRING && len == 0)
		return NULL;
	if (!(kind == JSON_TEXT_STRING && takes_strings(field->type))
		&& !(kind == JSON_TEXT_NUMBER && takes_numbers(field->type)))
		return "of a wrong type";
	if (kind == JSON_TEXT_NUMBER && field->type == FIELD_ID && !number_is_integer(text, len))
		return "neither text nor an integer";
	if (kind == JSON_TEXT_STRING && field->type != FIELD_EMAIL && len > TEXT_MAX)
		return TEXT_TOO_LONG;

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_ID:
		wrong = take_text(field, text, len, n);
		break;
	case FIELD_EMAIL:
		wrong = take_email(field, text, len, n);
		break;
	case FIELD_CURRENCY:
		wrong = take_currency(field, text, len, n);
		break;
	case FIELD_AMOUNT:
		wrong = take_amount(field, text, len, n);
		break;
	case FIELD_UNITS:
		wrong = take_units(field, text, len, n);
		break;
	case FIELD_TIME:
		wrong = take_time(field, text, len, n);
		break;
	case FIELD_BOOLEAN:
		break;
	}
	*used = wrong == NULL;
	return wrong;
}

/* A warning about a place below the body's `object`. */
static void warn(struct normalised *n, const char *place, const char *what)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof path, "object.%s", place);
	normalised_warning(n, path, what);
}

static void normalise_field(
	const struct field *field, const json_t *object, bool is_subscription, struct normalised *n)
{
	for (size_t i = 0; i < MAX_PLACES && field->places[i] != NULL; i++) {
		const char *place = field->places[i];
		bool used;

		if (place[0] == KIND_SUBSCRIPTION) {
			if (!is_subscription)
				continue;
			place++;
		}
		const char *wrong = take(field, fields_at(object, place), n, &used);
		if (used)
			return;
		if (wrong != NULL)
			warn(n, place, wrong);
	}
}

static void normalise_refund_label(const json_t *object, struct normalised *n)
{
	for (size_t i = 0; i < sizeof label_places / sizeof label_places[0]; i++) {
		const json_t *value = fields_at(object, label_places[i]);
		const char *text = NULL;
		size_t len = 0;

		if (is_word(value, "refunded")) {
			normalised_text(&n->members, "refund_label", "full", 4);
			return;
		}
		if (is_word(value, "partial_refund") || is_word(value, "partially_refunded")) {
			normalised_text(&n->members, "refund_label", "partial", 7);
			return;
		}
		/* Other words are other statuses, and no fault. */
		enum json_text_kind kind = json_text_kind(value, &text, &len);
		if (kind == JSON_TEXT_STRING)
			trim(&text, &len);
		if (i == KIND_LABEL_PLACE) /* warned about as a field of its own */
			continue;
		if (kind != JSON_TEXT_ABSENT && kind != JSON_TEXT_STRING)
			warn(n, label_places[i], "of a wrong type");
		else if (len > TEXT_MAX)
			warn(n, label_places[i], TEXT_TOO_LONG);
	}
}

void fields_normalise(const json_t *object, struct normalised *n)
{
	static const struct field kind = {"kind", FIELD_TEXT, {"object", NULL, NULL}};
	const json_t *metadata = json_object_get(object, "metadata");
	bool is_subscription = is_word(json_object_get(object, "object"), "subscription");

	normalise_field(&kind, object, is_subscription, n);
	if (json_is_object(json_object_get(object, "subscription"))) {
		normalised_name(&n->members, "has_subscription");
		buffer_puts(&n->members, "true");
	}
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		normalise_field(&fields[i], object, is_subscription, n);
	normalise_refund_label(object, n);
	if (json_is_object(metadata)) {
		normalised_name(&n->members, "metadata");
		json_text_write(metadata, &n->members);
	} else if (metadata != NULL && !json_is_null(metadata)) {
		normalised_warning(n, "object.metadata", "of a wrong type");
	}
}
