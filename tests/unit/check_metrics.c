/* Counting, and what is made of it where no end-to-end test could wait for it. */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/metrics.h"
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

/* A watching thread that hangs would end no test in good time. */
START_TEST(health)
{
	struct buffer text;

	buffer_init(&text);
	metrics_set(METRICS_TURNED_MS, clock_ms() - 5000);
	ck_assert(exposition_health(&text));
	ck_assert_str_eq(text.data, "alive\n");
	buffer_clear(&text);
	metrics_set(METRICS_TURNED_MS, clock_ms() - 10001);
	ck_assert(!exposition_health(&text));
	ck_assert_str_eq(text.data, "the watching thread hangs\n");
	buffer_done(&text);
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
