#include "config.h"

#include "dispatch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "change.h"
#include "common/clock.h"
#include "common/text.h"
#include "input.h"
#include "print.h"
#include "report.h"

/* The provider tries six times after the first. */
#define RETRIES_MAX 6

struct delivery {
	const struct parcel *parcel;
	struct parcel line; /* the parcel, if it was read from standard input; owned */
	int tries;
	int64_t due_ms;
	struct delivery *next;
};

/* Each is due when the one before it is, or later. */
struct delivery_list {
	struct delivery *first;
	struct delivery **end;
};

struct dispatcher {
	const struct options *options;
	const struct post_target *target;
	struct report report;
	struct delivery_list fresh;
	struct delivery_list waiting; /* for their next try */
	bool lines;                   /* standard input may have more */
	unsigned long line;           /* lines read so far */
	double next_ms;               /* no delivery before, as the rate has it */
	bool all_well;
};

/* The number of the signal that ended the deliveries early. */
static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = number;
}

static void add(struct delivery_list *list, struct delivery *delivery)
{
	delivery->next = NULL;
	*list->end = delivery;
	list->end = &delivery->next;
}

static struct delivery *take(struct delivery_list *list)
{
	struct delivery *delivery = list->first;

	list->first = delivery->next;
	if (list->first == NULL)
		list->end = &list->first;
	return delivery;
}

/* Frees a delivery that was read from standard input; the others are in one piece. */
static void free_line(struct delivery *delivery)
{
	if (delivery->parcel != &delivery->line)
		return;
	parcel_free(&delivery->line);
	free(delivery);
}

/* Adds a delivery of a line, which it copies. Returns false without memory. */
static bool add_line(struct dispatcher *d, const unsigned char *body, size_t len)
{
	char label[32];
	struct delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery == NULL)
		return false;
	snprintf(label, sizeof label, "-:%lu", d->line);
	delivery->parcel = &delivery->line;
	delivery->line = (struct parcel){.label = strdup(label), .body = malloc(len + 1), .len = len};
	if (delivery->line.label == NULL || delivery->line.body == NULL) {
		free_line(delivery);
		return false;
	}
	memcpy(delivery->line.body, body, len);
	add(&d->fresh, delivery);
	d->report.expected++;
	return true;
}

/* Adds the deliveries of the next line of standard input, if there is one. */
static void read_line(struct dispatcher *d)
{
	size_t len = 0;
	unsigned char *body = input_line(&d->line, &len);
	bool well = body != NULL || errno == 0 || interrupted;

	d->lines = body != NULL;
	if (!well)
		complain("-", text_error(errno));
	if (body != NULL && change_wanted(&d->options->subject)) {
		body = change_body("-", &d->options->subject, body, len, &len);
		well = body != NULL;
	}
	for (size_t i = 0; body != NULL && i <= (size_t)d->options->duplicates; i++)
		if (!add_line(d, body, len)) {
			complain("no memory", "for the deliveries");
			d->lines = well = false;
			break;
		}
	free(body);
	d->all_well = d->all_well && well;
}

/* The list of which the first is next; NULL when all are settled. */
static struct delivery_list *next_list(struct dispatcher *d)
{
	while (d->fresh.first == NULL && d->lines
		&& (d->waiting.first == NULL || d->waiting.first->due_ms > clock_ms()))
		read_line(d);
	if (d->fresh.first != NULL)
		return &d->fresh;
	return d->waiting.first != NULL ? &d->waiting : NULL;
}

/* As clock_ms(), with what is below a millisecond. */
static double now_ms(void)
{
	return (double)clock_ns() / 1e6;
}

static void wait_until(double ms)
{
	const struct timespec moment = {.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)((ms - (double)(time_t)(ms / 1000) * 1000) * 1e6)};

	while (!interrupted && now_ms() < ms)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

static void settle(struct dispatcher *d, struct delivery *delivery, bool well)
{
	d->report.settled++;
	if (delivery->tries > 1)
		d->report.waiting--;
	if (!well)
		d->all_well = false;
	free_line(delivery);
}

/* Returns true if the other deliveries, or this one later, would only repeat the same line. */
static bool is_hopeless(const struct dispatcher *d, enum post_result result)
{
	return result == POST_IMPOSSIBLE || (result == POST_UNREACHABLE && !d->options->retries);
}

/* Takes note of the result of a try. Returns false if nothing else need be tried. */
static bool judge(struct dispatcher *d, struct delivery *delivery, enum post_result result, long status)
{
	const bool well = result == POST_ANSWERED && status == (d->options->corrupt ? 401 : 200);
	const bool hopeless = is_hopeless(d, result);

	if (well || hopeless || !d->options->retries || delivery->tries > RETRIES_MAX) {
		settle(d, delivery, well);
		return !hopeless;
	}
	if (delivery->tries == 1)
		d->report.waiting++;
	delivery->due_ms = clock_ms() + (int64_t)(d->options->retry_interval_s * 1000);
	add(&d->waiting, delivery);
	return true;
}

static bool deliver(struct dispatcher *d, struct delivery *delivery)
{
	const struct parcel *parcel = delivery->parcel;
	struct post_answer answer;
	unsigned char *read = NULL;
	size_t len = parcel->len;
	char now[24];

	delivery->tries++;
	if (parcel->body == NULL && (read = input_body(parcel->label, &len)) == NULL) {
		complain(parcel->label, text_error(errno));
		settle(d, delivery, false);
		return true;
	}
	snprintf(now, sizeof now, "%lld", (long long)time(NULL));
	enum post_result result =
		post_body(d->target, d->options->timestamp != NULL ? d->options->timestamp : now,
			read != NULL ? read : parcel->body, len, &answer);
	if (is_hopeless(d, result))
		complain(d->target->url, answer.reason);
	else
		report_answer(&d->report, parcel, result, &answer);
	const bool go_on = judge(d, delivery, result, answer.status);
	post_answer_done(&answer);
	free(read);
	report_progress(&d->report);
	return go_on;
}

static void run(struct dispatcher *d)
{
	struct delivery_list *list;

	while (!interrupted && (list = next_list(d)) != NULL) {
		const struct delivery *delivery = list->first;

		if (delivery->due_ms > clock_ms()) {
			d->report.next_try = time(NULL) + (delivery->due_ms - clock_ms() + 999) / 1000;
			report_progress(&d->report);
		}
		wait_until((double)delivery->due_ms > d->next_ms ? (double)delivery->due_ms : d->next_ms);
		if (interrupted)
			break;
		if (d->options->rate > 0) {
			/* From now, not from when it was due: what a slow answer cost is not caught up. */
			d->next_ms = now_ms() + 1000 / d->options->rate;
		}
		if (!deliver(d, take(list)))
			break;
	}
}

/* The deliveries' parcels by their numbers: each as often as it is delivered, its duplicates behind it, or
 * all in an order that depends on the seed alone. The caller's to free. NULL without memory. */
static size_t *make_order(const struct options *options, size_t parcels, size_t *count)
{
	const size_t each = (size_t)options->duplicates + 1;
	size_t *order = calloc(parcels * each + 1, sizeof *order);
	unsigned int state = (unsigned int)options->seed;

	if (order == NULL)
		return NULL;
	*count = parcels * each;
	for (size_t i = 0; i < *count; i++)
		order[i] = i / each;
	for (size_t i = *count; options->shuffle && i > 1; i--) {
		size_t other = (size_t)rand_r(&state) % i;
		size_t number = order[i - 1];

		order[i - 1] = order[other];
		order[other] = number;
	}
	return order;
}

int dispatch(const struct options *options, const struct parcels *parcels, struct post_target *target)
{
	struct dispatcher d = {
		.options = options, .target = target, .lines = options->lines, .all_well = true};
	/* A second signal ends the program, whatever it waits for. */
	const struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	size_t count;
	size_t *order = make_order(options, parcels->count, &count);
	struct delivery *deliveries = order == NULL ? NULL : calloc(count + 1, sizeof *deliveries);

	if (deliveries == NULL) {
		complain("no memory", "for the deliveries");
		free(order);
		return EXIT_NOT_ALL;
	}
	target->interrupted = &interrupted;
	d.fresh.end = &d.fresh.first;
	d.waiting.end = &d.waiting.first;
	for (size_t i = 0; i < count; i++) {
		deliveries[i].parcel = &parcels->parcel[order[i]];
		add(&d.fresh, &deliveries[i]);
	}
	free(order);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	report_begin(&d.report, count, options);
	if (options->shuffle)
		fprintf(stderr, "Shuffled; the same order again: --seed %ld\n", options->seed);
	run(&d);
	report_end(&d.report);
	while (d.fresh.first != NULL)
		free_line(take(&d.fresh));
	while (d.waiting.first != NULL)
		free_line(take(&d.waiting));
	free(deliveries);
	if (interrupted != 0)
		return EXIT_SIGNAL + interrupted;
	return d.all_well && d.report.settled == d.report.expected ? EXIT_ALL : EXIT_NOT_ALL;
}
