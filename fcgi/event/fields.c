#include "config.h"

#include "fields.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/moment.h"
#include "common/text.h"
#include "interval.h"
#include "json_text.h"
#include "number.h"

#define TEXT_MAX 255
#define EMAIL_MAX 320
#define TEXT_TOO_LONG "longer than 255 bytes"
#define UNITS_MAX 2147483647
#define PATH_SIZE 128

enum field_type {
	FIELD_TEXT,
	FIELD_ID, /* text, or a number whose value is an integer, taken as its digits */
	FIELD_BILLING_TYPE,
	FIELD_INTERVAL,
	FIELD_EMAIL,
	FIELD_CURRENCY,
	FIELD_AMOUNT,
	FIELD_UNITS,
	FIELD_BOOLEAN,
	FIELD_TIME
};

/* Objects with fields: the body's `object`; the same, but NULL unless it is a subscription; objects in it. */
enum parent { OBJECT, IF_SUBSCRIPTION, PRODUCT, ORDER, CUSTOMER, SUBSCRIPTION, REFUND, PARENTS };

/* The keys of those in `object`. */
static const char *const parent_names[PARENTS] = {
	NULL, NULL, "product", "order", "customer", "subscription", "refund"};

struct place {
	enum parent parent;
	const char *key; /* NULL ends a list of places */
};

/* The first usable value wins. */
#define MAX_PLACES 4

struct field {
	const char *name;
	enum field_type type;
	struct place places[MAX_PLACES];
};

#define OF_SUBSCRIPTION(key)                                                                                 \
	{SUBSCRIPTION, key},                                                                                 \
	{                                                                                                    \
		IF_SUBSCRIPTION, key                                                                         \
	}

static const struct field fields[] = {
	{"product_id", FIELD_ID,
		{{PRODUCT, "product_id"}, {ORDER, "product_id"}, {SUBSCRIPTION, "product_id"}}},
	{"product_name", FIELD_TEXT, {{PRODUCT, "name"}, {SUBSCRIPTION, "product_name"}}},
	{"billing_type", FIELD_BILLING_TYPE, {{PRODUCT, "billing_type"}}},
	{"customer_id", FIELD_ID, {{CUSTOMER, "id"}}},
	{"customer_email", FIELD_EMAIL, {{CUSTOMER, "email"}}},
	{"provider_order_id", FIELD_ID, {{ORDER, "order_id"}}},
	{"payment_id", FIELD_ID, {{OBJECT, "payment_id"}}},
	{"request_id", FIELD_ID, {{OBJECT, "request_id"}}},
	{"amount", FIELD_AMOUNT, {{ORDER, "amount"}}},
	{"tax_amount", FIELD_AMOUNT, {{ORDER, "tax_amount"}}},
	{"currency", FIELD_CURRENCY, {{ORDER, "currency"}, {PRODUCT, "currency"}}},
	{"subscription_id", FIELD_ID, {{SUBSCRIPTION, "id"}, {SUBSCRIPTION, "subscription_id"}}},
	{"processor_subscription_id", FIELD_ID, {{IF_SUBSCRIPTION, "id"}, {OBJECT, "subscription_id"}}},
	{"trial_start", FIELD_TIME, {OF_SUBSCRIPTION("trial_start")}},
	{"trial_end", FIELD_TIME, {OF_SUBSCRIPTION("trial_end")}},
	{"billing_period_start", FIELD_TIME, {OF_SUBSCRIPTION("billing_period_start")}},
	{"billing_period_end", FIELD_TIME, {OF_SUBSCRIPTION("billing_period_end")}},
	{"cancel_at", FIELD_TIME, {OF_SUBSCRIPTION("cancel_at")}},
	{"canceled_at", FIELD_TIME, {OF_SUBSCRIPTION("canceled_at")}},
	{"cancel_at_period_end", FIELD_BOOLEAN, {OF_SUBSCRIPTION("cancel_at_period_end")}},
	{"recurring_interval", FIELD_INTERVAL,
		{OF_SUBSCRIPTION("recurring_interval"), {PRODUCT, "recurring_interval"},
			{PRODUCT, "billing_period"}}},
	{"units", FIELD_UNITS, {OF_SUBSCRIPTION("units")}},
	{"payment_method", FIELD_TEXT, {OF_SUBSCRIPTION("payment_method")}},
	{"last4", FIELD_TEXT, {OF_SUBSCRIPTION("last4")}},
	{"billing_amount", FIELD_AMOUNT, {OF_SUBSCRIPTION("billing_amount")}},
	{"refund_id", FIELD_ID, {{REFUND, "id"}, {REFUND, "refund_id"}, {OBJECT, "refund_id"}}},
	{"refund_amount", FIELD_AMOUNT, {{REFUND, "amount"}, {OBJECT, "refund_amount"}}},
	{"refund_running_total", FIELD_AMOUNT, {{ORDER, "refunded_amount"}, {OBJECT, "refunded_amount"}}},
};

/* Where a refund's label is looked for. */
static const struct place label_places[] = {
	{REFUND, "status"}, {ORDER, "status"}, {OBJECT, "status"}, {OBJECT, "object"}};
#define KIND_LABEL_PLACE 3

/* The result of json_text_kind() for a value, without white space around a string. */
static enum json_text_kind trimmed(const json_t *value, const char **text, size_t *len)
{
	const enum json_text_kind kind = json_text_kind(value, text, len);

	if (kind == JSON_TEXT_STRING)
		text_trim(text, len);
	return kind;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* Each take_… adds the normalised field and returns NULL, or returns what keeps it from
 * being used. The text is trimmed and not empty. */

static const char *take_text(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	if (len > TEXT_MAX)
		return TEXT_TOO_LONG;
	normalised_text(n, field->name, text, len);
	return NULL;
}

static const char *take_interval(
	const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char interval[INTERVAL_SIZE];

	if (!interval_parse(text, len, interval))
		return "not an interval";
	normalised_text(n, field->name, interval, strlen(interval));
	return NULL;
}

static const char *take_email(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char lower[EMAIL_MAX];

	if (len > EMAIL_MAX)
		return "longer than 320 bytes";
	for (size_t i = 0; i < len; i++)
		lower[i] = text_lower(text[i]);
	normalised_text(n, field->name, lower, len);
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
	normalised_text(n, field->name, upper, len);
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
		normalised_text(n, field->name, amount, strlen(amount));
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
	normalised_literal(n, field->name, value);
	return NULL;
}

static const char *take_time(const struct field *field, const char *text, size_t len, struct normalised *n)
{
	char utc[MOMENT_SIZE];

	switch (moment_parse(text, len, utc)) {
	case MOMENT_UTC:
		normalised_text(n, field->name, utc, strlen(utc));
		return NULL;
	case MOMENT_LOCAL:
		normalised_local_time(n, field->name, text, len);
		return NULL;
	case MOMENT_INVALID:
		break;
	}
	return "not a time";
}

/* Booleans are taken from JSON's only; other types from strings, and some from numbers as well. */
static bool takes_numbers(enum field_type type)
{
	return type == FIELD_ID || type == FIELD_AMOUNT || type == FIELD_UNITS || type == FIELD_TIME;
}

/* Tries one place. *used: whether the field is settled. Returns a warning or NULL. */
static const char *take(const struct field *field, const json_t *value, struct normalised *n, bool *used)
{
	const char *text = NULL;
	size_t len = 0;
	char digits[INTEGER_SIZE];
	enum json_text_kind kind = trimmed(value, &text, &len);
	const char *wrong = NULL;

	*used = false;
	if (kind == JSON_TEXT_ABSENT)
		return NULL;
	if (kind == JSON_TEXT_BOOLEAN && field->type == FIELD_BOOLEAN) {
		normalised_literal(n, field->name, json_is_true(value) ? "true" : "false");
		*used = true;
		return NULL;
	}
	if (kind == JSON_TEXT_STRING && len == 0)
		return NULL;
	if (!(kind == JSON_TEXT_STRING && field->type != FIELD_BOOLEAN)
		&& !(kind == JSON_TEXT_NUMBER && takes_numbers(field->type)))
		return "of a wrong type";
	if (kind == JSON_TEXT_STRING && field->type != FIELD_EMAIL && len > TEXT_MAX)
		return TEXT_TOO_LONG;

	switch (field->type) {
	case FIELD_ID:
		if (kind == JSON_TEXT_NUMBER) {
			len = number_integer(text, len, digits);
			text = digits;
		}
		wrong = len == 0 ? "neither text nor an integer" : take_text(field, text, len, n);
		break;
	case FIELD_TEXT:
	case FIELD_BILLING_TYPE:
		wrong = take_text(field, text, len, n);
		break;
	case FIELD_INTERVAL:
		wrong = take_interval(field, text, len, n);
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
	if (*used && field->type == FIELD_BILLING_TYPE && !is_word(text, len, "subscription")
		&& !is_word(text, len, "single_payment"))
		return "neither subscription nor single_payment, counts as none";
	return wrong;
}

/* A warning about a place below the body's `object`. */
static void warn(struct normalised *n, const struct place *place, const char *what)
{
	const char *parent = parent_names[place->parent];
	char path[PATH_SIZE];

	if (parent == NULL)
		snprintf(path, sizeof path, "object.%s", place->key);
	else
		snprintf(path, sizeof path, "object.%s.%s", parent, place->key);
	normalised_warning(n, path, what);
}

/* Looks up all parents; those that are missing become NULL. */
static void find_parents(const json_t *object, const json_t *parents[PARENTS])
{
	const char *text = NULL;
	size_t len = 0;
	const bool is_subscription =
		trimmed(json_object_get(object, "object"), &text, &len) == JSON_TEXT_STRING
		&& is_word(text, len, "subscription");

	for (size_t i = 0; i < PARENTS; i++)
		parents[i] = parent_names[i] == NULL ? object : json_object_get(object, parent_names[i]);
	if (!is_subscription)
		parents[IF_SUBSCRIPTION] = NULL;
}

static void normalise_field(
	const struct field *field, const json_t *const parents[PARENTS], struct normalised *n)
{
	for (size_t i = 0; i < MAX_PLACES && field->places[i].key != NULL; i++) {
		const struct place *place = &field->places[i];
		bool used;
		const char *wrong =
			take(field, json_object_get(parents[place->parent], place->key), n, &used);

		if (wrong != NULL)
			warn(n, place, wrong);
		if (used)
			return;
	}
}

static void normalise_refund_label(const json_t *const parents[PARENTS], struct normalised *n)
{
	for (size_t i = 0; i < sizeof label_places / sizeof label_places[0]; i++) {
		const struct place *place = &label_places[i];
		const char *text = NULL;
		size_t len = 0;
		enum json_text_kind kind =
			trimmed(json_object_get(parents[place->parent], place->key), &text, &len);

		if (kind == JSON_TEXT_STRING && is_word(text, len, "refunded")) {
			normalised_text(n, "refund_label", "full", 4);
			return;
		}
		if (kind == JSON_TEXT_STRING
			&& (is_word(text, len, "partial_refund")
				|| is_word(text, len, "partially_refunded"))) {
			normalised_text(n, "refund_label", "partial", 7);
			return;
		}
		/* Other words are other statuses, and no fault. */
		if (i == KIND_LABEL_PLACE) /* warned about as a field of its own */
			continue;
		if (kind != JSON_TEXT_ABSENT && kind != JSON_TEXT_STRING)
			warn(n, place, "of a wrong type");
		else if (len > TEXT_MAX)
			warn(n, place, TEXT_TOO_LONG);
	}
}

void fields_normalise(const json_t *object, struct normalised *n)
{
	static const struct field kind = {"kind", FIELD_TEXT, {{OBJECT, "object"}}};
	const json_t *parents[PARENTS];

	find_parents(object, parents);
	normalise_field(&kind, parents, n);
	if (json_is_object(parents[SUBSCRIPTION]))
		normalised_literal(n, "has_subscription", "true");
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		normalise_field(&fields[i], parents, n);
	normalise_refund_label(parents, n);
	normalised_metadata(n, json_object_get(object, "metadata"));
}

void fields_normalise_traces(const json_t *object, struct normalised *n)
{
	const json_t *parents[PARENTS];

	find_parents(object, parents);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (strcmp(fields[i].name, "customer_email") == 0
			|| strcmp(fields[i].name, "request_id") == 0)
			normalise_field(&fields[i], parents, n);
	normalised_metadata(n, json_object_get(object, "metadata"));
}
