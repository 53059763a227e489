#include "config.h"

#include "story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/text.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define PERIOD_DAYS 30
#define TRIAL_DAYS 7

/* The shapes of an event's object. checkout.completed, checkout.failed and checkout.cancel
 * each have two meanings, which differ in what they name. */
enum shape { ONE_TIME, SUBSCRIPTION, SUBSCRIPTION_PAYMENT };

struct step {
	const char *type;
	int day; /* since the beginning */
	enum shape shape;
	int payment; /* the number of the payment that it names; 0: none */
};

static const struct step trial[] = {
	{"subscription.trialing", 0, SUBSCRIPTION, 1},
	{"subscription.paid", TRIAL_DAYS, SUBSCRIPTION, 2},
};
static const struct step renewals[] = {
	{"checkout.completed", 0, SUBSCRIPTION_PAYMENT, 1},
	{"subscription.paid", 0, SUBSCRIPTION, 1},
	{"subscription.paid", PERIOD_DAYS, SUBSCRIPTION, 2},
	{"subscription.paid", 2 * PERIOD_DAYS, SUBSCRIPTION, 3},
};
static const struct step refund[] = {
	{"checkout.completed", 0, ONE_TIME, 1},
	{"refund.created", 3, ONE_TIME, 1},
};
static const struct step dispute[] = {
	{"checkout.completed", 0, ONE_TIME, 1},
	{"checkout.cancel", 20, ONE_TIME, 1},
};
static const struct step failed_renewal[] = {
	{"subscription.paid", 0, SUBSCRIPTION, 1},
	{"checkout.failed", PERIOD_DAYS, SUBSCRIPTION_PAYMENT, 2},
	{"subscription.canceled", PERIOD_DAYS + 3, SUBSCRIPTION, 0},
};

#define STEPS(steps) steps, sizeof(steps) / sizeof((steps)[0])
static const struct story {
	const char *name;
	const struct step *steps;
	size_t count;
} stories[] = {
	{"trial", STEPS(trial)},
	{"renewals", STEPS(renewals)},
	{"refund", STEPS(refund)},
	{"dispute", STEPS(dispute)},
	{"failed-renewal", STEPS(failed_renewal)},
};
const char story_names[] = "trial, renewals, refund, dispute, failed-renewal";

/* Those of the book name its payment, those of the club others: one payment is of one product. */
static const struct step single_events[] = {
	{"checkout.completed", 0, ONE_TIME, 1},
	{"checkout.failed", 0, ONE_TIME, 1},
	{"checkout.cancel", 0, ONE_TIME, 1},
	{"subscription.trialing", 0, SUBSCRIPTION, 2},
	{"subscription.paid", 0, SUBSCRIPTION, 3},
	{"subscription.canceled", 0, SUBSCRIPTION, 0},
	{"refund.created", 0, ONE_TIME, 1},
};
const char story_event_names[] =
	"checkout.completed, checkout.failed, checkout.cancel, subscription.trialing, "
	"subscription.paid, subscription.canceled, refund.created";

/* Values that the events of one life have in common. */
struct life {
	const struct subject *subject;
	const char *mode;
	const char *amount;
	char made_up_email[64];
	struct body_id made_up_order_id;
	struct body_id made_up_customer_id;
	const char *email; /* these three are the subject's, or made up */
	const char *order_id;
	const char *customer_id;
	struct body_id subscription_id;
	struct body_id life_id; /* payments are numbered within it */
};

/* Returns the customer id that follows from an e-mail, whose case does not matter. */
static struct body_id customer_id_of(const char *email)
{
	struct body_id id = body_new_id("cus_");
	char *lower = strdup(email);
	char hex[DIGEST_LEN + 1];

	for (char *c = lower; c != NULL && *c != '\0'; c++)
		*c = text_lower(*c);
	/* Without memory the event could not be made, either. */
	if (lower != NULL && digest_hex(lower, strlen(lower), "", 0, hex))
		snprintf(id.text, sizeof id.text, "cus_%.20s", hex);
	free(lower);
	return id;
}

static void make_up_email(struct life *life, size_t number)
{
	static const char *const names[] = {
		"ada", "grace", "alan", "barbara", "edsger", "frances", "donald", "margaret"};
	const size_t count = sizeof names / sizeof names[0];
	const size_t round = number / count + 1;
	char suffix[24] = "";

	if (round > 1)
		snprintf(suffix, sizeof suffix, "%zu", round);
	snprintf(life->made_up_email, sizeof life->made_up_email, "%s%s@example.com", names[number % count],
		suffix);
}

/* Fills in what the events of a life have in common; number is its number among those of the command line,
 * from 0. */
static void begin_life(struct life *life, const struct subject *subject, size_t number)
{
	*life = (struct life){
		.subject = subject,
		.mode = subject_mode(subject),
		.amount = subject->amount != NULL ? subject->amount : "10.00",
		.made_up_order_id = body_new_id("order_"),
		.subscription_id = body_new_id("sub_"),
		.life_id = body_new_id(""),
	};
	/* One customer has one e-mail. */
	make_up_email(life, subject->customer_id != NULL ? 0 : number);
	life->email = subject->email != NULL ? subject->email : life->made_up_email;
	life->made_up_customer_id = customer_id_of(life->email);
	life->order_id = subject->order_id != NULL ? subject->order_id : life->made_up_order_id.text;
	life->customer_id =
		subject->customer_id != NULL ? subject->customer_id : life->made_up_customer_id.text;
}

struct moment_text {
	char text[32];
};

/* With its zone, so that it is the same moment whatever the database's settings are. */
static struct moment_text moment(int64_t ms)
{
	struct moment_text out;
	struct tm fields;
	time_t seconds = (time_t)(ms / 1000);
	char date[24];

	gmtime_r(&seconds, &fields);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &fields);
	snprintf(out.text, sizeof out.text, "%s.%03dZ", date, (int)(ms % 1000));
	return out;
}

static bool is(const struct step *step, const char *type)
{
	return strcmp(step->type, type) == 0;
}

static json_t *make_order(const struct life *life, const struct step *step, const char *at)
{
	const bool refunded = is(step, "refund.created");
	const bool paid = refunded || is(step, "checkout.completed") || is(step, "subscription.paid");
	const bool free_of_charge = is(step, "subscription.trialing");
	char number[64];

	snprintf(number, sizeof number, "ORD_%s_%d", life->life_id.text, step->payment);
	return json_pack("{s:s, s:s, s:s, s:o, s:i, s:s, s:s, s:s, s:o*}", "object", "order", "order_id",
		number, "status",
		refunded                         ? "refunded"
			: paid || free_of_charge ? "paid"
						 : "canceled",
		"amount", free_of_charge ? json_integer(0) : body_number(life->amount), "tax_amount", 0,
		"currency", "usd", "created_at", at, "updated_at", at, "refunded_amount",
		refunded ? body_number(life->amount) : NULL);
}

static json_t *make_product(const struct life *life, const struct step *step)
{
	const bool one_time = step->shape == ONE_TIME;

	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s}", "object", "product", "mode", life->mode,
		"product_id",
		life->subject->product_id != NULL ? life->subject->product_id
			: one_time                ? "prod_book"
						  : "prod_club",
		"name", one_time ? "Book" : "Club", "price", body_number(life->amount), "currency", "USD",
		"billing_type", one_time ? "single_payment" : "subscription");
}

static json_t *make_subscription(const struct life *life, const struct step *step, int64_t at_ms)
{
	const struct moment_text at = moment(at_ms);
	const bool trialing = is(step, "subscription.trialing");
	const bool canceled = is(step, "subscription.canceled");
	const bool paid = is(step, "subscription.paid");
	const struct moment_text trial_end = moment(at_ms + TRIAL_DAYS * DAY_MS);
	const struct moment_text period_end = moment(at_ms + PERIOD_DAYS * DAY_MS);

	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:s*, s:s*, s:s*, s:s*, s:s*, s:b}", "id",
		life->subscription_id.text, "mode", life->mode, "status",
		trialing           ? "trialing"
			: canceled ? "canceled"
				   : "active",
		"units", life->subject->units >= 0 ? (int)life->subject->units : 1, "recurring_interval",
		"monthly", "billing_amount", body_number(life->amount), "trial_start",
		trialing ? at.text : NULL, "trial_end", trialing ? trial_end.text : NULL,
		"billing_period_start", paid ? at.text : NULL, "billing_period_end",
		paid ? period_end.text : NULL, "canceled_at", canceled ? at.text : NULL,
		"cancel_at_period_end", 0);
}

static json_t *make_metadata(const struct life *life)
{
	json_t *metadata =
		json_pack("{s:s, s:s*}", "order_id", life->order_id, "user_id", life->subject->user_id);

	if (metadata != NULL && !body_set_texts(metadata, &life->subject->metadata)) {
		json_decref(metadata);
		metadata = NULL;
	}
	return metadata;
}

static json_t *make_object(const struct life *life, const struct step *step, int64_t at_ms)
{
	const struct moment_text at = moment(at_ms);
	/* The provider tells neither of a failed payment's customer nor of a canceled
	 * subscription's order. */
	const bool has_customer = !is(step, "checkout.failed");
	const bool has_order = !is(step, "subscription.canceled");
	char payment_id[64];

	snprintf(payment_id, sizeof payment_id, "ch_%s_%d", life->life_id.text, step->payment);
	return json_pack("{s:s, s:s, s:o, s:o, s:o*, s:o*, s:o*, s:s*}", "object",
		step->shape == SUBSCRIPTION ? "subscription" : "checkout", "mode", life->mode, "metadata",
		make_metadata(life), "product", make_product(life, step), "order",
		has_order ? make_order(life, step, at.text) : NULL, "customer",
		has_customer ? json_pack("{s:s, s:s}", "id", life->customer_id, "email", life->email) : NULL,
		"subscription", step->shape == SUBSCRIPTION ? make_subscription(life, step, at_ms) : NULL,
		"payment_id", step->payment > 0 ? payment_id : NULL);
}

static bool add_step(const struct life *life, const struct step *step, int64_t at_ms, struct parcels *parcels)
{
	json_t *event = json_pack("{s:s, s:s, s:s, s:o}", "event_id", body_new_id("evt_").text, "event_type",
		step->type, "created_at", moment(at_ms).text, "object", make_object(life, step, at_ms));
	size_t len = 0;
	unsigned char *body = event == NULL ? NULL : body_write(event, &len);

	json_decref(event);
	return body != NULL && parcels_add(parcels, step->type, life->order_id, body, len);
}

static const struct story *find_story(const char *name)
{
	for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++)
		if (strcmp(stories[i].name, name) == 0)
			return &stories[i];
	return NULL;
}

static const struct step *find_event(const char *name)
{
	for (size_t i = 0; i < sizeof single_events / sizeof single_events[0]; i++)
		if (strcmp(single_events[i].type, name) == 0)
			return &single_events[i];
	return NULL;
}

bool story_known(const char *name)
{
	return find_story(name) != NULL;
}

bool story_event_known(const char *name)
{
	return find_event(name) != NULL;
}

static bool tell_story(const struct life *life, const char *name, int64_t end_ms, struct parcels *parcels)
{
	const struct story *story = find_story(name);
	if (story == NULL)
		return false;
	const int64_t began_ms = end_ms - story->steps[story->count - 1].day * DAY_MS;

	for (size_t i = 0; i < story->count; i++)
		if (!add_step(life, &story->steps[i], began_ms + story->steps[i].day * DAY_MS, parcels))
			return false;
	return true;
}

static bool tell_events(
	const struct life *life, const struct argument_texts *names, int64_t end_ms, struct parcels *parcels)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct step *step = find_event(names->texts[i]);
		if (step == NULL
			|| !add_step(life, step, end_ms - (int64_t)(names->count - 1 - i) * 1000, parcels))
			return false;
	}
	return true;
}

/* Returns a moment as moment_read() writes it, in milliseconds since 1970-01-01 00:00 UTC. */
static int64_t unix_ms(const char *moment)
{
	struct tm fields = {0};
	const char *fraction = strptime(moment, "%Y-%m-%d %H:%M:%S.", &fields);

	return (int64_t)timegm(&fields) * 1000 + (fraction == NULL ? 0 : strtol(fraction, NULL, 10) / 1000);
}

bool story_tell(const struct options *options, struct parcels *parcels)
{
	const int64_t end_ms = options->at[0] != '\0' ? unix_ms(options->at) : clock_real_us() / 1000;

	for (size_t i = 0; i < (size_t)options->count; i++) {
		struct life life;

		begin_life(&life, &options->subject, i);
		if (!tell_events(&life, &options->events, end_ms, parcels)
			|| (options->stories.count > 0
				&& !tell_story(&life, options->stories.texts[0], end_ms, parcels)))
			return false;
	}
	return true;
}
