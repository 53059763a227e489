/* The queue between requests, spool and committer: who gets which receipt, and when. The test is the submitters, the
 * watching thread and the committer in turn. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/queue.h"

#define TIMEOUT_MS 60000
#define MOST 8

/* What came back, in its order. */
struct seen {
	enum delivery_outcome outcomes[MOST];
	const struct receipt *receipts[MOST];
	size_t count;
};

static struct seen of_requests;
static struct seen of_spooled;
static struct receipt receipts[MOST];
static struct delivery *batch[MOST];

static void note(void *context, struct receipt *receipt)
{
	struct seen *seen = context;

	for (struct receipt *next; receipt != NULL; receipt = next) {
		next = receipt->next;
		ck_assert_uint_lt(seen->count, MOST);
		seen->receipts[seen->count] = receipt;
		seen->outcomes[seen->count++] = receipt->outcome;
		delivery_free(receipt->delivery);
	}
}

static struct queue *open_queue(size_t count, size_t bytes)
{
	const struct queue_limits limits = {count, bytes, TIMEOUT_MS};
	struct queue *queue = queue_new(&limits);

	ck_assert_ptr_nonnull(queue);
	memset(&of_requests, 0, sizeof of_requests);
	memset(&of_spooled, 0, sizeof of_spooled);
	queue_on_finish(queue, note, &of_requests);
	queue_on_finish_spooled(queue, note, &of_spooled);
	return queue;
}

static struct delivery *make(size_t len)
{
	unsigned char *body = calloc(1, len + 1);

	ck_assert_ptr_nonnull(body);
	struct delivery *delivery = delivery_new(body, len);
	ck_assert_ptr_nonnull(delivery);
	return delivery;
}

/* Submits a delivery of 1 byte under the receipt i; false where the queue is full. */
static bool submit(struct queue *queue, size_t i)
{
	struct delivery *delivery = make(1);
	const bool submitted = queue_submit(queue, delivery, &receipts[i]);

	if (!submitted)
		delivery_free(delivery);
	return submitted;
}

static void submit_spooled(struct queue *queue, size_t i)
{
	struct delivery *delivery = make(1);

	delivery->from_spool = true;
	queue_submit_spooled(queue, delivery, &receipts[i]);
}

/* Takes what there is, without waiting. */
static size_t take(struct queue *queue, size_t size)
{
	size_t count;

	queue_take(queue, batch, size, clock_ms(), false, &count);
	return count;
}

static void finish(struct queue *queue, size_t count, enum delivery_outcome outcome)
{
	for (size_t i = 0; i < count; i++)
		batch[i]->outcome = outcome;
	queue_finish(queue, batch, count);
}

START_TEST(in_turn)
{
	struct queue *queue = open_queue(MOST, 1000);

	for (size_t i = 0; i < 5; i++)
		ck_assert(submit(queue, i));
	ck_assert_uint_eq(take(queue, 3), 3);
	finish(queue, 3, DELIVERY_APPLIED);
	ck_assert_uint_eq(take(queue, 3), 2);
	finish(queue, 2, DELIVERY_IGNORED);
	ck_assert_uint_eq(of_requests.count, 5);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_ptr_eq(of_requests.receipts[i], &receipts[i]);
		ck_assert_int_eq(of_requests.outcomes[i], i < 3 ? DELIVERY_APPLIED : DELIVERY_IGNORED);
	}
	queue_free(queue);
}
END_TEST

/* By number, or by bytes. What the committer has taken does not count. */
START_TEST(full)
{
	struct queue *queue = _i == 0 ? open_queue(2, 1000) : open_queue(MOST, 2);

	/* Or it would seem stalled. */
	ck_assert_uint_eq(take(queue, 1), 0);
	ck_assert(submit(queue, 0));
	ck_assert(submit(queue, 1));
	ck_assert(!submit(queue, 2));
	ck_assert_uint_eq(take(queue, 1), 1);
	ck_assert(submit(queue, 2));
	ck_assert(!submit(queue, 3));
	finish(queue, 1, DELIVERY_APPLIED);
	ck_assert_uint_eq(take(queue, MOST), 2);
	finish(queue, 2, DELIVERY_APPLIED);
	ck_assert_uint_eq(of_requests.count, 3);
	queue_free(queue);
}
END_TEST

/* A full queue from which nothing is taken any more refuses as one without a database does: for the spool. */
START_TEST(stalled)
{
	struct queue *queue = open_queue(1, 1000);

	ck_assert(submit(queue, 0));
	ck_assert_uint_eq(take(queue, 1), 1);
	ck_assert(submit(queue, 1));
	while (!submit(queue, 2))
		;
	ck_assert_uint_eq(of_requests.count, 1);
	ck_assert_int_eq(of_requests.outcomes[0], DELIVERY_UNAVAILABLE);
	finish(queue, 1, DELIVERY_APPLIED);
	ck_assert_uint_eq(take(queue, 1), 1);
	finish(queue, 1, DELIVERY_APPLIED);
	queue_free(queue);
}
END_TEST

START_TEST(expires_while_it_waits)
{
	struct queue *queue = open_queue(MOST, 1000);
	const int64_t before_ms = clock_ms();

	ck_assert(submit(queue, 0));
	const int64_t next_ms = queue_expire(queue, before_ms);
	ck_assert_int_ge(next_ms, before_ms + TIMEOUT_MS);
	ck_assert_uint_eq(of_requests.count, 0);
	ck_assert_int_eq(queue_expire(queue, next_ms), INT64_MAX);
	ck_assert_uint_eq(of_requests.count, 1);
	ck_assert_int_eq(of_requests.outcomes[0], DELIVERY_UNAVAILABLE);
	ck_assert_uint_eq(take(queue, MOST), 0);
	queue_free(queue);
}
END_TEST

/* Whoever waited is told that the outcome is not known; then the committer's own hold ends. */
START_TEST(expires_in_a_transaction)
{
	struct queue *queue = open_queue(MOST, 1000);

	ck_assert(submit(queue, 0));
	ck_assert_uint_eq(take(queue, 1), 1);
	queue_set_committing(queue, batch, 1, true);
	queue_expire(queue, clock_ms() + 2 * TIMEOUT_MS);
	ck_assert_uint_eq(of_requests.count, 1);
	ck_assert_int_eq(of_requests.outcomes[0], DELIVERY_UNKNOWN);
	finish(queue, 1, DELIVERY_APPLIED);
	ck_assert_uint_eq(of_requests.count, 1);
	queue_free(queue);
}
END_TEST

/* Between two transactions, such as one whose order is locked. */
START_TEST(expires_set_aside)
{
	struct queue *queue = open_queue(MOST, 1000);

	ck_assert(submit(queue, 0));
	ck_assert(submit(queue, 1));
	ck_assert_uint_eq(take(queue, 2), 2);
	queue_set_committing(queue, batch, 2, true);
	queue_set_committing(queue, batch, 1, false);
	queue_expire(queue, clock_ms() + 2 * TIMEOUT_MS);
	ck_assert_uint_eq(of_requests.count, 2);
	ck_assert_int_eq(of_requests.outcomes[0], DELIVERY_UNAVAILABLE);
	ck_assert_int_eq(of_requests.outcomes[1], DELIVERY_UNKNOWN);
	ck_assert(queue_is_given_up(queue, batch[0]));
	ck_assert(queue_is_given_up(queue, batch[1]));
	queue_free(queue);
}
END_TEST

START_TEST(database_away)
{
	struct queue *queue = open_queue(MOST, 1000);

	ck_assert(submit(queue, 0));
	submit_spooled(queue, 1);
	queue_set_away(queue, 0);
	ck_assert(queue_is_away(queue));
	ck_assert(submit(queue, 2));
	submit_spooled(queue, 3);
	ck_assert_uint_eq(of_requests.count, 2);
	ck_assert_uint_eq(of_spooled.count, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(of_requests.outcomes[i], DELIVERY_UNAVAILABLE);
		ck_assert_int_eq(of_spooled.outcomes[i], DELIVERY_UNAVAILABLE);
	}
	queue_set_away(queue, INT64_MAX);
	ck_assert(submit(queue, 4));
	ck_assert_uint_eq(take(queue, MOST), 1);
	finish(queue, 1, DELIVERY_APPLIED);
	ck_assert_uint_eq(of_requests.count, 3);
	queue_free(queue);
}
END_TEST

/* Requests come first, but every other batch begins with one from the spool. */
START_TEST(spool_has_its_turn)
{
	struct queue *queue = open_queue(MOST, 1000);

	for (size_t i = 0; i < 3; i++)
		ck_assert(submit(queue, i));
	for (size_t i = 3; i < 6; i++)
		submit_spooled(queue, i);
	size_t from_spool[6];
	for (size_t i = 0; i < 6; i++) {
		ck_assert_uint_eq(take(queue, 1), 1);
		from_spool[i] = batch[0]->from_spool;
		finish(queue, 1, DELIVERY_APPLIED);
	}
	for (size_t i = 1; i < 6; i++)
		ck_assert_uint_ne(from_spool[i], from_spool[i - 1]);
	ck_assert_uint_eq(of_requests.count, 3);
	ck_assert_uint_eq(of_spooled.count, 3);
	queue_free(queue);
}
END_TEST

/* What came from the spool stays there. */
START_TEST(stops)
{
	struct queue *queue = open_queue(MOST, 1000);
	size_t count;

	ck_assert(submit(queue, 0));
	submit_spooled(queue, 1);
	queue_stop(queue);
	ck_assert(queue_take(queue, batch, MOST, INT64_MAX, false, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert(!batch[0]->from_spool);
	finish(queue, 1, DELIVERY_APPLIED);
	/* The committer has set something aside. */
	ck_assert(queue_take(queue, batch, MOST, clock_ms(), true, &count));
	ck_assert_uint_eq(count, 0);
	ck_assert(!queue_take(queue, batch, MOST, INT64_MAX, false, &count));
	queue_free(queue);
}
END_TEST

static void *take_one(void *queue)
{
	struct delivery *one;
	size_t count;

	queue_take(queue, &one, 1, INT64_MAX, false, &count);
	if (count == 1) {
		one->outcome = DELIVERY_APPLIED;
		queue_finish(queue, &one, 1);
	}
	return NULL;
}

/* A committer that waits is woken, whatever comes, at whatever moment. */
START_TEST(wakes)
{
	struct queue *queue = open_queue(MOST, 1000);
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, take_one, queue), 0);
	if (_i == 0)
		ck_assert(submit(queue, 0));
	else if (_i == 1)
		submit_spooled(queue, 0);
	else
		queue_stop(queue);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(of_requests.count, _i == 0);
	ck_assert_uint_eq(of_spooled.count, _i == 1);
	queue_free(queue);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue");
	TCase *queue = tcase_create("queue");

	tcase_set_timeout(queue, 60);
	tcase_add_test(queue, in_turn);
	tcase_add_loop_test(queue, full, 0, 2);
	tcase_add_test(queue, stalled);
	tcase_add_test(queue, expires_while_it_waits);
	tcase_add_test(queue, expires_in_a_transaction);
	tcase_add_test(queue, expires_set_aside);
	tcase_add_test(queue, database_away);
	tcase_add_test(queue, spool_has_its_turn);
	tcase_add_test(queue, stops);
	tcase_add_loop_test(queue, wakes, 0, 3);
	suite_add_tcase(suite, queue);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
