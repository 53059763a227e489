#include "config.h"

#include "items.h"

#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "fcgi/event/json_text.h"
#include "fcgi/event/number.h"

#define TEXT_MAX_LEN 255
#define EMAIL_MAX_LEN 320
#define NAME_SIZE 64
#define UNREAD_SIZE 512

struct reader {
	const json_t *from; /* an object, or NULL */
	struct buffer *out;
	size_t members;
	char unread[UNREAD_SIZE];
};

/* Finds a member by its name in snake_case or in camelCase; NULL if there is none. One that is null is found
 * if the other is none. */
static const json_t *find_any(const json_t *object, const char *name)
{
	char camel[NAME_SIZE];
	size_t len = 0;
	const json_t *value = json_object_get(object, name);

	for (const char *c = name; *c != '\0' && len < sizeof camel - 1; c++) {
		camel[len] = *c;
		if (*c == '_' && c[1] != '\0')
			camel[len] = text_upper(*++c);
		len++;
	}
	camel[len] = '\0';
	if (value == NULL || json_is_null(value)) {
		const json_t *other = json_object_get(object, camel);

		value = other != NULL ? other : value;
	}
	return value;
}

/* The same, but NULL for null. */
static const json_t *find(const json_t *object, const char *name)
{
	const json_t *value = find_any(object, name);

	return json_is_null(value) ? NULL : value;
}

static void complain(struct reader *r, const char *name, const char *problem)
{
	const size_t used = strlen(r->unread);

	snprintf(r->unread + used, sizeof r->unread - used, "%s%s: %s", used > 0 ? "; " : "", name, problem);
}

static void put(struct reader *r, const char *name, const char *text, size_t len)
{
	buffer_puts(r->out, r->members++ > 0 ? "," : "{");
	buffer_puts_json(r->out, name);
	buffer_puts(r->out, ":");
	buffer_put_json(r->out, text, len);
}

/* How the text of a value is taken, and written. Returns the problem, or NULL. */
typedef const char *convert(
	const char *text, size_t len, enum json_text_kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len);

static const char *copy(
	const char *text, size_t len, size_t most, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	if (len > most)
		return "too long";
	memcpy(out, text, len);
	*out_len = len;
	return NULL;
}

static const char *as_text(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	char digits[INTEGER_SIZE];

	if (kind == JSON_TEXT_STRING)
		return copy(text, len, TEXT_MAX_LEN, out, out_len);
	if (kind != JSON_TEXT_NUMBER)
		return "not a text";
	const size_t digits_len = number_integer(text, len, digits);
	if (digits_len == 0 || digits_len >= INTEGER_SIZE)
		return "not a text";
	return copy(digits, digits_len, TEXT_MAX_LEN, out, out_len);
}

static const char *as_email(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	if (kind != JSON_TEXT_STRING)
		return "not a text";
	const char *problem = copy(text, len, EMAIL_MAX_LEN, out, out_len);
	for (size_t i = 0; problem == NULL && i < len; i++)
		out[i] = text_lower(out[i]);
	return problem;
}

static const char *as_amount(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	char digits[AMOUNT_SIZE];

	if ((kind != JSON_TEXT_NUMBER && kind != JSON_TEXT_STRING) || number_check(text, len) != NUMBER_OK)
		return "not a number";
	const char *problem = number_amount(text, len, digits);
	return problem != NULL ? problem : copy(digits, strlen(digits), TEXT_MAX_LEN, out, out_len);
}

static const char *as_units(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	char digits[INTEGER_SIZE];

	if ((kind != JSON_TEXT_NUMBER && kind != JSON_TEXT_STRING) || number_check(text, len) != NUMBER_OK)
		return "not a number";
	const size_t digits_len = number_integer(text, len, digits);
	if (digits_len == 0 || digits[0] == '-' || digits_len > 10
		|| (digits_len == 10 && memcmp(digits, "2147483647", 10) > 0))
		return "not an integer below 2^31";
	return copy(digits, digits_len, TEXT_MAX_LEN, out, out_len);
}

static const char *as_currency(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	if (kind != JSON_TEXT_STRING || len != 3)
		return "not three letters";
	for (size_t i = 0; i < len; i++) {
		out[i] = text_upper(text[i]);
		if (out[i] < 'A' || out[i] > 'Z')
			return "not three letters";
	}
	*out_len = len;
	return NULL;
}

static const char *as_moment(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	char utc[MOMENT_SIZE];

	if (kind != JSON_TEXT_STRING && kind != JSON_TEXT_NUMBER)
		return "not a time";
	switch (moment_parse(text, len, utc)) {
	case MOMENT_UTC:
		return copy(utc, strlen(utc), TEXT_MAX_LEN, out, out_len);
	case MOMENT_LOCAL:
		return copy(text, len, TEXT_MAX_LEN, out, out_len);
	case MOMENT_INVALID:
		break;
	}
	return "not a time";
}

static const char *as_boolean(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	(void)text;
	(void)len;
	return kind == JSON_TEXT_BOOLEAN ? copy("true", 4, TEXT_MAX_LEN, out, out_len) : "not true or false";
}

static const char *as_status(
	const char *text, size_t len, enum json_text_kind kind, char out[EMAIL_MAX_LEN + 1], size_t *out_len)
{
	static const struct {
		const char *word;
		const char *status;
	} words[] = {{"trialing", "trialing"}, {"active", "active"}, {"paused", "paused"},
		{"canceled", "canceled"}, {"cancelled", "canceled"}};

	for (size_t i = 0; kind == JSON_TEXT_STRING && i < sizeof words / sizeof words[0]; i++)
		if (strlen(words[i].word) == len && memcmp(words[i].word, text, len) == 0)
			return copy(words[i].status, strlen(words[i].status), TEXT_MAX_LEN, out, out_len);
	return "none of trialing, active, paused, canceled";
}

/* What it means that a member is missing. */
enum need {
	NEED_NONE,   /* nothing: BagelPay may leave it out */
	NEED_MEMBER, /* it may have got another name, and is not compared; null means that there is none */
	NEED_VALUE   /* without a value, nothing can be compared */
};

/* A member of an item. */
struct field {
	const char *name;
	const char *written; /* NULL: as name */
	convert *convert;
	enum need need;
};

/* Reads a field, and writes it. Returns true if it is there and can be read. */
static bool read_field(struct reader *r, const struct field *field)
{
	char text[EMAIL_MAX_LEN + 1];
	const char *name = field->written != NULL ? field->written : field->name;
	const char *bytes = NULL;
	size_t len = 0;
	size_t out_len = 0;
	const json_t *value = find(r->from, field->name);
	const enum json_text_kind kind = json_text_kind(value, &bytes, &len);
	const char *problem = NULL;

	if (kind == JSON_TEXT_STRING)
		text_trim(&bytes, &len);
	if (kind == JSON_TEXT_ABSENT || (kind == JSON_TEXT_STRING && len == 0)) {
		if (field->need == NEED_VALUE
			|| (field->need == NEED_MEMBER && find_any(r->from, field->name) == NULL))
			complain(r, name, "missing");
		return false;
	}
	if (kind == JSON_TEXT_BOOLEAN && field->convert == as_boolean && json_is_false(value))
		return false;
	problem = field->convert(bytes, len, kind, text, &out_len);
	if (problem != NULL)
		complain(r, name, problem);
	else
		put(r, name, text, out_len);
	return problem == NULL;
}

static const struct field transaction_fields[] = {
	{"order_id", NULL, as_text, NEED_VALUE},
	{"transaction_id", NULL, as_text, NEED_NONE},
	{"amount", NULL, as_amount, NEED_VALUE},
	{"amount_paid", NULL, as_amount, NEED_NONE},
	{"discount_amount", NULL, as_amount, NEED_NONE},
	{"currency", NULL, as_currency, NEED_VALUE},
	{"refunded_amount", NULL, as_amount, NEED_MEMBER},
	{"type", NULL, as_text, NEED_NONE},
	{"created_at", NULL, as_moment, NEED_VALUE},
	{"updated_at", NULL, as_moment, NEED_NONE},
	{.name = NULL},
};

static const struct field subscription_fields[] = {
	{"subscription_id", NULL, as_text, NEED_VALUE},
	{"status", NULL, as_status, NEED_VALUE},
	{"product_id", NULL, as_text, NEED_VALUE},
	{"units", NULL, as_units, NEED_MEMBER},
	{"billing_period_start", NULL, as_moment, NEED_NONE},
	{"billing_period_end", NULL, as_moment, NEED_MEMBER},
	{"cancel_at", NULL, as_moment, NEED_NONE},
	{"canceled_at", NULL, as_moment, NEED_NONE},
	{"cancel_at_period_end", NULL, as_boolean, NEED_NONE},
	{"trial_end", NULL, as_moment, NEED_NONE},
	{"created_at", NULL, as_moment, NEED_NONE},
	{"updated_at", NULL, as_moment, NEED_NONE},
	{.name = NULL},
};

static void read_customer(struct reader *r, const json_t *item)
{
	static const struct field apart[] = {
		{"customer_id", NULL, as_text, NEED_NONE}, {"customer_email", NULL, as_email, NEED_NONE}};
	static const struct field within[] = {
		{"id", "customer_id", as_text, NEED_NONE}, {"email", "customer_email", as_email, NEED_NONE}};
	const json_t *customer = find(item, "customer");
	bool known = false;

	r->from = json_is_object(customer) ? customer : item;
	for (size_t i = 0; i < 2; i++)
		known |= read_field(r, json_is_object(customer) ? &within[i] : &apart[i]);
	if (!known)
		complain(r, "customer", "missing");
}

/* Returns true if the item says that it is of another mode than the one asked for. */
static bool is_of_other_mode(const json_t *item, const char *mode)
{
	const char *text = NULL;
	size_t len = 0;

	return json_text_kind(find(item, "mode"), &text, &len) == JSON_TEXT_STRING && len > 0
		&& (len != strlen(mode) || memcmp(text, mode, len) != 0);
}

/* Sets what tells the item from others: its own id, else all that was read of it. */
static void identify(
	enum item_kind kind, const json_t *value, const struct buffer *out, size_t from, struct item *item)
{
	const char *const name = kind == ITEM_TRANSACTION ? "transaction_id" : "subscription_id";
	const char *text = NULL;
	size_t len = 0;
	const enum json_text_kind known = json_text_kind(find(value, name), &text, &len);

	if ((known != JSON_TEXT_STRING && known != JSON_TEXT_NUMBER) || len == 0) {
		text = buffer_failed(out) ? "" : out->data + from;
		len = buffer_failed(out) ? 0 : out->len - from;
	}
	if (!digest_hex(text, len, "", 0, item->identity))
		item->identity[0] = '\0';
}

static void note_creation(const json_t *value, struct item *item)
{
	const char *text = NULL;
	size_t len = 0;
	const enum json_text_kind kind = json_text_kind(find(value, "created_at"), &text, &len);

	if (kind == JSON_TEXT_STRING)
		text_trim(&text, &len);
	if ((kind != JSON_TEXT_STRING && kind != JSON_TEXT_NUMBER)
		|| !moment_read(text, len, false, item->created_at))
		item->created_at[0] = '\0';
}

void item_read(
	enum item_kind kind, const json_t *value, const char *mode, struct buffer *out, struct item *item)
{
	struct reader r = {.from = json_is_object(value) ? value : NULL, .out = out};
	const size_t from = out->len;
	const struct field *field = kind == ITEM_TRANSACTION ? transaction_fields : subscription_fields;

	memset(item, 0, sizeof *item);
	if (r.from == NULL)
		complain(&r, "item", "not an object");
	else if (is_of_other_mode(value, mode)) {
		item->other_mode = true;
		read_field(&r, field);
		complain(&r, "mode", "is another than the one asked for");
	} else {
		note_creation(value, item);
		for (; field->name != NULL; field++)
			read_field(&r, field);
		read_customer(&r, value);
	}
	if (r.unread[0] != '\0')
		put(&r, "unread", r.unread, strlen(r.unread));
	buffer_puts(out, r.members > 0 ? "}" : "{}");
	identify(kind, value, out, from, item);
}
