/* Draining: what of a real spool goes to the queue, and what becomes of its files. The test is the committer.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/metrics.h"
#include "fcgi/spool/drain.h"

#define MOST 64

static char directory[] = "/tmp/check_drain_XXXXXX";
static struct spool *spool;
static struct queue *queue;
static struct drain *drain;
static bool undeletable;

int __real_unlinkat(int at, const char *name, int flags);
int __wrap_unlinkat(int at, const char *name, int flags);

/* NOLINTNEXTLINE(bugprone-reserved-identifier): the linker's names */
int __wrap_unlinkat(int at, const char *name, int flags)
{
	/* Not the trial in tmp/. */
	if (undeletable && name[0] >= '0' && name[0] <= '9') {
		errno = EROFS;
		return -1;
	}
	return __real_unlinkat(at, name, flags);
}

static void settle(void *context, struct receipt *receipts)
{
	(void)context;
	drain_settle(drain, receipts);
}

static void set_up(void)
{
	const struct queue_limits queue_limits = {MOST, 1000000, 60000};
	const struct spool_limits limits = {1000, 1000000, 0};
	char error[SPOOL_ERROR_SIZE];

	metrics_start();
	ck_assert_ptr_nonnull(mkdtemp(directory));
	spool = spool_open(directory, &limits, error);
	ck_assert_msg(spool != NULL, "%s", error);
	queue = queue_new(&queue_limits);
	drain = drain_new(queue, spool);
	ck_assert(queue != NULL && drain != NULL);
	queue_on_finish_spooled(queue, settle, NULL);
}

static void tear_down(void)
{
	char command[64];

	drain_free(drain);
	queue_free(queue);
	spool_close(spool);
	snprintf(command, sizeof command, "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static void fill(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *body = NULL;
		bool stored;
		const int len = asprintf(&body, "{\"n\":%zu}", i);

		ck_assert_int_gt(len, 0);
		struct delivery *delivery = delivery_new((unsigned char *)body, (size_t)len);
		ck_assert_ptr_nonnull(delivery);
		spool_write(spool, &delivery, 1, &stored);
		ck_assert(stored);
		delivery_free(delivery);
	}
}

/* Steps as long as there is something to do now, and gives what comes to the queue this outcome. Returns how
 * many came; where in the order of their writing they were is in *first. */
static size_t drain_all(enum delivery_outcome outcome, unsigned *first)
{
	struct delivery *batch[MOST];
	size_t total = 0;
	size_t count = 1;

	for (int64_t now_ms = clock_ms(); drain_is_due(drain, now_ms) || count > 0; now_ms = clock_ms()) {
		if (drain_is_due(drain, now_ms))
			drain_step(drain);
		queue_take(queue, batch, MOST, clock_ms(), false, &count);
		if (count > 0 && total == 0)
			sscanf((char *)batch[0]->body, "{\"n\":%u", first);
		for (size_t i = 0; i < count; i++)
			batch[i]->outcome = outcome;
		queue_finish(queue, batch, count);
		total += count;
	}
	return total;
}

static void await_due(void)
{
	while (!drain_is_due(drain, clock_ms())) {
		const struct timespec until = clock_timespec(drain_next_ms(drain, clock_ms()));

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
}

static long files(void)
{
	struct spool_contents contents;

	ck_assert(spool_look(spool, &contents));
	return contents.files;
}

/* Steps until the slow lane gets a delivery; which one in the order of their writing is in *number. What else
 * comes to the queue is committed. */
static struct delivery *await_slow(unsigned *number)
{
	struct delivery *delivery = NULL;
	unsigned first;

	while (delivery == NULL) {
		await_due();
		drain_all(DELIVERY_APPLIED, &first);
		ck_assert(queue_take_slow(queue, clock_ms(), &delivery));
	}
	sscanf((char *)delivery->body, "{\"n\":%u", number);
	return delivery;
}

static void finish_slow(struct delivery *delivery, enum delivery_outcome outcome, int slow_limit_ms)
{
	delivery->outcome = outcome;
	delivery->slow_limit_ms = slow_limit_ms;
	queue_finish(queue, &delivery, 1);
}

/* Lets the first event turn out to be too slow, and the others be committed. */
static void find_slow(int slow_limit_ms)
{
	struct delivery *delivery;
	size_t count;
	unsigned first;

	await_due();
	drain_step(drain);
	queue_take(queue, &delivery, 1, clock_ms(), false, &count);
	ck_assert_uint_eq(count, 1);
	finish_slow(delivery, DELIVERY_FAILED, slow_limit_ms);
	drain_all(DELIVERY_APPLIED, &first);
	ck_assert_int_eq(files(), 1);
}

START_TEST(empties)
{
	unsigned first = 99;

	fill(100);
	ck_assert_uint_eq(drain_all(DELIVERY_APPLIED, &first), 100);
	ck_assert_uint_eq(first, 0);
	ck_assert_int_eq(files(), 0);
}
END_TEST

/* What the database takes nothing of begins with the next one after it failed alone. */
START_TEST(chokes)
{
	unsigned first = 99;

	fill(3);
	ck_assert_uint_eq(drain_all(DELIVERY_UNAVAILABLE, &first), 1);
	ck_assert_uint_eq(first, 0);
	await_due();
	ck_assert_uint_eq(drain_all(DELIVERY_UNAVAILABLE, &first), 1);
	ck_assert_uint_eq(first, 1);
	ck_assert_int_eq(files(), 3);
}
END_TEST

/* It is committed once, and removed when that can be done again. */
START_TEST(undeletable_file)
{
	unsigned first;

	fill(2);
	undeletable = true;
	ck_assert_uint_eq(drain_all(DELIVERY_APPLIED, &first), 2);
	ck_assert_int_eq(files(), 2);
	await_due();
	ck_assert_uint_eq(drain_all(DELIVERY_DUPLICATE, &first), 0);
	ck_assert_int_eq(files(), 2);
	undeletable = false;
	await_due();
	ck_assert_uint_eq(drain_all(DELIVERY_DUPLICATE, &first), 0);
	ck_assert_int_eq(files(), 0);
}
END_TEST

/* It is tried in the slow lane at once, and then later and later, with the limit that it came back with. */
START_TEST(slow)
{
	struct delivery *delivery;
	unsigned number = 99;
	int64_t failed_ms = 0;

	fill(3);
	find_slow(50);
	for (int limit_ms = 50; limit_ms <= 200; limit_ms *= 2) {
		delivery = await_slow(&number);
		ck_assert_uint_eq(number, 0);
		ck_assert_int_eq(delivery->slow_limit_ms, limit_ms);
		ck_assert_int_eq(metrics_gauge(METRICS_SPOOL_SLOW), 1);
		/* For as long as it may take now. */
		ck_assert(failed_ms == 0 || clock_ms() - failed_ms >= limit_ms);
		failed_ms = clock_ms();
		finish_slow(delivery, DELIVERY_FAILED, 2 * limit_ms);
	}
	finish_slow(await_slow(&number), DELIVERY_APPLIED, 400);
	ck_assert_int_eq(metrics_gauge(METRICS_SPOOL_SLOW), 0);
	ck_assert_int_eq(files(), 0);
}
END_TEST

/* Others are drained while it is tried, and one slow event after the other. */
START_TEST(slow_alone)
{
	struct delivery *slow_one;
	struct delivery *none;
	unsigned number;
	unsigned first;

	fill(1);
	find_slow(50);
	slow_one = await_slow(&number);
	fill(3);
	/* The first of these turns out to be slow, too. */
	await_due();
	drain_step(drain);
	size_t count;
	queue_take(queue, &none, 1, clock_ms(), false, &count);
	ck_assert_uint_eq(count, 1);
	finish_slow(none, DELIVERY_FAILED, 50);
	drain_all(DELIVERY_APPLIED, &first);
	ck_assert_int_eq(files(), 2);
	ck_assert_int_eq(metrics_gauge(METRICS_SPOOL_SLOW), 2);
	ck_assert(queue_take_slow(queue, clock_ms(), &none));
	ck_assert_ptr_null(none);
	finish_slow(slow_one, DELIVERY_DUPLICATE, 50);
	finish_slow(await_slow(&number), DELIVERY_REFUSED, 50);
	ck_assert_int_eq(files(), 0);
}
END_TEST

/* A database that is away makes it neither slower nor less slow. */
START_TEST(slow_while_away)
{
	unsigned number;

	fill(1);
	find_slow(50);
	queue_set_away(queue, 0);
	await_due();
	drain_step(drain);
	ck_assert(!drain_is_due(drain, clock_ms()));
	queue_set_away(queue, INT64_MAX);
	struct delivery *delivery = await_slow(&number);
	ck_assert_int_eq(delivery->slow_limit_ms, 50);
	finish_slow(delivery, DELIVERY_LOCKED, 50);
	ck_assert_int_eq(metrics_gauge(METRICS_SPOOL_SLOW), 1);
	delivery = await_slow(&number);
	ck_assert_int_eq(delivery->slow_limit_ms, 50);
	/* What fails for another reason is not a slow one any more. */
	finish_slow(delivery, DELIVERY_FAILED, 0);
	ck_assert_int_eq(metrics_gauge(METRICS_SPOOL_SLOW), 0);
	await_due();
	ck_assert_uint_eq(drain_all(DELIVERY_APPLIED, &number), 1);
	ck_assert_int_eq(files(), 0);
}
END_TEST

/* Only so many are remembered; further ones are tried among the others. */
START_TEST(many_slow)
{
	struct delivery *delivery;
	unsigned first;
	size_t count;
	unsigned slow_ones = 0;

	fill(20);
	for (int i = 0; i < 20; i++) {
		await_due();
		while (drain_is_due(drain, clock_ms()))
			drain_step(drain);
		queue_take(queue, &delivery, 1, clock_ms(), false, &count);
		ck_assert_uint_eq(count, 1);
		finish_slow(delivery, DELIVERY_FAILED, 50);
	}
	slow_ones = (unsigned)metrics_gauge(METRICS_SPOOL_SLOW);
	ck_assert_uint_lt(slow_ones, 20);
	await_due();
	while (files() > slow_ones) {
		await_due();
		drain_all(DELIVERY_APPLIED, &first);
	}
	while (files() > 0) {
		if (queue_take_slow(queue, clock_ms(), &delivery) && delivery != NULL)
			finish_slow(delivery, DELIVERY_APPLIED, 50);
		await_due();
		drain_all(DELIVERY_APPLIED, &first);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("drain");
	TCase *drains = tcase_create("drains");

	tcase_set_timeout(drains, 60);
	tcase_add_checked_fixture(drains, set_up, tear_down);
	tcase_add_test(drains, empties);
	tcase_add_test(drains, chokes);
	tcase_add_test(drains, undeletable_file);
	tcase_add_test(drains, slow);
	tcase_add_test(drains, slow_alone);
	tcase_add_test(drains, slow_while_away);
	tcase_add_test(drains, many_slow);
	suite_add_tcase(suite, drains);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
