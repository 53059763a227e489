#include "config.h"

#include "dispatch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/text.h"
#include "input.h"
#include "print.h"
#include "report.h"

/* The provider tries six times after the first. */
#define RETRIES_MAX 6

struct delivery {
	const struct parcel *parcel;
	int tries;
	int64_t due_ms;
	bool settled;
};

struct dispatcher {
	const struct options *options;
	const struct post_target *target;
	struct report report;
	struct delivery *delivery;
	size_t count;
	double next_ms; /* no delivery before, as the rate has it */
	bool all_well;
};

/* The number of the signal that ended the deliveries early. */
static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = number;
}

/* The one that is due first; of equals, the first. NULL when all are settled. */
static struct delivery *find_next(const struct dispatcher *d)
{
	struct delivery *next = NULL;

	for (size_t i = 0; i < d->count; i++)
		if (!d->delivery[i].settled && (next == NULL || d->delivery[i].due_ms < next->due_ms))
			next = &d->delivery[i];
	return next;
}

/* As clock_ms(), with what is below a millisecond. */
static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
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
	delivery->settled = true;
	d->report.settled++;
	if (delivery->tries > 1)
		d->report.waiting--;
	if (!well)
		d->all_well = false;
}

/* Whether the other deliveries, or this one later, would only repeat the same line. */
static bool is_hopeless(const struct dispatcher *d, enum post_result result)
{
	return result == POST_IMPOSSIBLE || (result == POST_UNREACHABLE && !d->options->retries);
}

/* What became of a try. Returns false where nothing else need be tried. */
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
	delivery->due_ms = clock_ms() + d->options->retry_interval_ms;
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
		report_answer(&d->report, parcel->label, result, &answer);
	const bool go_on = judge(d, delivery, result, answer.status);
	post_answer_done(&answer);
	free(read);
	report_progress(&d->report);
	return go_on;
}

static void run(struct dispatcher *d)
{
	struct delivery *delivery;

	while (!interrupted && (delivery = find_next(d)) != NULL) {
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
		if (!deliver(d, delivery))
			break;
	}
}

/* The deliveries' parcels by their numbers: each as often as it is delivered, its duplicates behind it, or
 * all in an order that depends on the seed alone. The caller's to free. NULL without memory. */
static size_t *make_order(const struct options *options, size_t parcels, size_t *count)
{
	const size_t each = options->duplicates + 1;
	size_t *order = calloc(parcels * each + 1, sizeof *order);
	unsigned int state = options->seed;

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
	struct dispatcher d = {.options = options, .target = target, .all_well = true};
	/* A second signal ends the program, whatever it waits for. */
	const struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	size_t *order = make_order(options, parcels->count, &d.count);

	d.delivery = order == NULL ? NULL : calloc(d.count + 1, sizeof *d.delivery);
	if (d.delivery == NULL) {
		complain("no memory", "for the deliveries");
		free(order);
		return EXIT_NOT_ALL;
	}
	target->interrupted = &interrupted;
	for (size_t i = 0; i < d.count; i++)
		d.delivery[i].parcel = &parcels->parcel[order[i]];
	free(order);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	report_begin(&d.report, d.count, options->retries);
	if (options->shuffle)
		fprintf(stderr, "Shuffled; the same order again: --seed %u\n", options->seed);
	run(&d);
	report_end(&d.report);
	free(d.delivery);
	if (interrupted != 0)
		return EXIT_SIGNAL + interrupted;
	return d.all_well && d.report.settled == d.count ? EXIT_ALL : EXIT_NOT_ALL;
}
