/* Draining: what of a real spool goes to the queue, and what becomes of its files. The test is the committer. */
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

/* Steps as long as there is something to do now, and gives what comes to the queue this outcome. Returns how many came;
 * where in the order of their writing they were is in *first. */
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

int main(void)
{
	Suite *suite = suite_create("drain");
	TCase *drains = tcase_create("drains");

	tcase_set_timeout(drains, 60);
	tcase_add_checked_fixture(drains, set_up, tear_down);
	tcase_add_test(drains, empties);
	tcase_add_test(drains, chokes);
	tcase_add_test(drains, undeletable_file);
	suite_add_tcase(suite, drains);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
