/* Counting, and what is made of it where no end-to-end test could wait for it. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/metrics.h"
#include "common/thread.h"
#include "fcgi/watch/exposition.h"

/* A value at a bound belongs below it, and one beyond all bounds in the last bucket. */
START_TEST(buckets)
{
	const struct metrics_buckets *of = &metrics_buckets[_i];
	struct metrics_observed observed;
	uint64_t sum = 0;

	for (size_t i = 0; i < of->count; i++) {
		if (i > 0)
			ck_assert_uint_gt(of->bounds[i], of->bounds[i - 1]);
		metrics_observe((enum metrics_histogram)_i, of->bounds[i]);
		metrics_observe((enum metrics_histogram)_i, of->bounds[i] + 1);
		sum += 2 * of->bounds[i] + 1;
	}
	metrics_histogram((enum metrics_histogram)_i, &observed);
	ck_assert_uint_eq(observed.sum, sum);
	/* Of whole numbers, one more than a bound may be the next one. */
	uint64_t count = 0;
	for (size_t i = 0; i <= of->count; i++)
		count += observed.buckets[i];
	ck_assert_uint_eq(count, 2 * of->count);
	ck_assert_uint_eq(observed.buckets[of->count], 1);
	ck_assert_uint_eq(observed.buckets[0], 1);
}
END_TEST

START_TEST(unknown_types)
{
	ck_assert_str_eq(metrics_event_type("refund.created"), "refund.created");
	ck_assert_str_eq(metrics_event_type("refund.created "), "other");
	ck_assert_str_eq(metrics_event_type("none"), "other");
	ck_assert_str_eq(metrics_event_type(""), "other");
	ck_assert_str_eq(metrics_event_type(NULL), "none");
	metrics_count_event("made.up", "live", 3);
	metrics_count_event(NULL, NULL, METRICS_OUTCOME_SPOOLED);
	ck_assert_uint_eq(metrics_events(7, 0, 3), 1);
	ck_assert_uint_eq(metrics_events(8, 2, METRICS_OUTCOME_SPOOLED), 1);
	metrics_count_request(418);
	for (size_t i = 0; i < METRICS_STATUSES; i++)
		ck_assert_uint_eq(metrics_requests(i), 0);
}
END_TEST

struct steps {
	pthread_barrier_t step;
	int within_ms; /* what the thread says at each step; 0: it ends */
};

static void take_steps(void *argument)
{
	struct steps *steps = argument;

	for (;;) {
		pthread_barrier_wait(&steps->step);
		if (steps->within_ms == 0)
			return;
		thread_alive(steps->within_ms);
		pthread_barrier_wait(&steps->step);
	}
}

static void take_step(struct steps *steps, int within_ms)
{
	steps->within_ms = within_ms;
	pthread_barrier_wait(&steps->step);
	if (within_ms != 0)
		pthread_barrier_wait(&steps->step);
}

static void check_health(bool healthy, const char *text)
{
	struct buffer said;

	buffer_init(&said);
	ck_assert_int_eq(exposition_health(&said), healthy);
	ck_assert_str_eq(said.data, text);
	buffer_done(&said);
}

/* Time that has run out already is as good as a thread that hangs. */
START_TEST(health)
{
	struct steps one;
	struct steps other;
	struct thread threads[2] = {0};

	check_health(true, "alive\n");
	ck_assert_int_eq(pthread_barrier_init(&one.step, NULL, 2), 0);
	ck_assert_int_eq(pthread_barrier_init(&other.step, NULL, 2), 0);
	ck_assert_int_eq(thread_start(&threads[0], "one", take_steps, &one), 0);
	ck_assert_int_eq(thread_start(&threads[1], "other", take_steps, &other), 0);
	check_health(true, "alive\n");
	take_step(&one, 10000);
	take_step(&other, -10);
	check_health(false, "stuck: other\n");
	ck_assert_str_eq(thread_newly_stuck(), "other");
	ck_assert_ptr_null(thread_newly_stuck());
	take_step(&one, -10);
	check_health(false, "stuck: other\nstuck: one\n");
	ck_assert_str_eq(thread_newly_stuck(), "one");
	take_step(&other, 10000);
	check_health(false, "stuck: one\n");
	ck_assert_ptr_null(thread_newly_stuck());
	take_step(&other, -10);
	ck_assert_str_eq(thread_newly_stuck(), "other");
	take_step(&one, 0);
	take_step(&other, 0);
	thread_join(&threads[0]);
	thread_join(&threads[1]);
	check_health(true, "alive\n");
	thread_alive(-10);
	check_health(true, "alive\n");
	thread_watch_self(&threads[0], "self");
	thread_alive(-10);
	check_health(false, "stuck: self\n");
	thread_unwatch_self(&threads[0]);
	check_health(true, "alive\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tcase = tcase_create("metrics");

	tcase_add_loop_test(tcase, buckets, 0, METRICS_HISTOGRAMS);
	tcase_add_test(tcase, unknown_types);
	tcase_add_test(tcase, health);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
