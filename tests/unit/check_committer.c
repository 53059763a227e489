/* Group commit over a store that does as it is told: which deliveries go into which transaction, and what becomes of
 * them. The store here takes the place of the program's; the committer's thread runs as in the program. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/committer.h"

#define MOST 64
#define QUEUE 32
#define BATCH 8

/* --- the store ------------------------------------------------------------------------------------ */

/* The transactions that were asked for. */
struct attempt {
	size_t count;
	unsigned char first; /* the first body's only byte */
	bool is_dead_letter;
};

struct store {
	pthread_mutex_t lock; /* covers the rest */
	pthread_cond_t changed;
	bool connected;
	enum store_connect_result connects;
	bool held; /* transactions wait */
	/* What the transactions end with, in turn, then STORE_OK; or what each does that holds this delivery. */
	enum store_result script[MOST];
	size_t scripted;
	unsigned char bad;
	enum store_result bad_result;
	struct attempt attempts[MOST];
	size_t begun;
	size_t ended;
	size_t connections;
};

static struct store *store;

struct store *store_new(const char *conninfo)
{
	(void)conninfo;
	return NULL;
}

void store_free(struct store *s)
{
	(void)s;
}

enum store_connect_result store_connect(struct store *s, int timeout_ms)
{
	(void)timeout_ms;
	pthread_mutex_lock(&s->lock);
	const enum store_connect_result result = s->connects;
	s->connected = result == STORE_CONNECTED;
	s->connections++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return result;
}

void store_interrupt(struct store *s)
{
	(void)s;
}

bool store_connected(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	const bool connected = s->connected;
	pthread_mutex_unlock(&s->lock);
	return connected;
}

const char *store_error(const struct store *s)
{
	(void)s;
	return "as told";
}

const char *store_sqlstate(const struct store *s)
{
	(void)s;
	return "22P05";
}

enum store_result store_commit(
	struct store *s, struct delivery *const batch[], size_t count, const struct store_limits *limits)
{
	enum store_result result = STORE_OK;

	(void)limits;
	pthread_mutex_lock(&s->lock);
	ck_assert_uint_lt(s->begun, MOST);
	s->attempts[s->begun++] =
		(struct attempt){count, batch[0]->body[0], batch[0]->dead_letter != NULL};
	pthread_cond_broadcast(&s->changed);
	while (s->held)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->ended < s->scripted)
		result = s->script[s->ended];
	for (size_t i = 0; i < count; i++)
		if (s->bad != 0 && batch[i]->body[0] == s->bad && batch[i]->dead_letter == NULL)
			result = s->bad_result;
	if (result == STORE_UNKNOWN)
		s->connected = false;
	for (size_t i = 0; i < count && result == STORE_OK; i++)
		batch[i]->outcome = batch[i]->dead_letter == NULL ? DELIVERY_APPLIED : DELIVERY_DEAD_LETTER;
	s->ended++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return result;
}

static void hold(bool held)
{
	pthread_mutex_lock(&store->lock);
	store->held = held;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

/* Until so many transactions have begun. */
static void await_begun(size_t count)
{
	pthread_mutex_lock(&store->lock);
	while (store->begun < count)
		pthread_cond_wait(&store->changed, &store->lock);
	pthread_mutex_unlock(&store->lock);
}

/* --- deliveries and receipts ---------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers these */
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static enum delivery_outcome outcomes[256]; /* by the body's only byte */
static size_t outcome_count;

static struct receipt receipts[256];
static struct committer *committer;

static void note(void *context, struct receipt *receipt)
{
	(void)context;
	pthread_mutex_lock(&lock);
	for (struct receipt *next; receipt != NULL; receipt = next) {
		next = receipt->next;
		outcomes[receipt->delivery->body[0]] = receipt->outcome;
		outcome_count++;
		delivery_free(receipt->delivery);
	}
	pthread_cond_broadcast(&finished);
	pthread_mutex_unlock(&lock);
}

static void await_outcomes(size_t count)
{
	pthread_mutex_lock(&lock);
	while (outcome_count < count)
		pthread_cond_wait(&finished, &lock);
	ck_assert_uint_eq(outcome_count, count);
	pthread_mutex_unlock(&lock);
}

static enum delivery_outcome outcome_of(unsigned char number)
{
	pthread_mutex_lock(&lock);
	const enum delivery_outcome outcome = outcomes[number];
	pthread_mutex_unlock(&lock);
	return outcome;
}

static void submit(unsigned char number, bool from_spool)
{
	unsigned char *body = malloc(1);

	ck_assert_ptr_nonnull(body);
	body[0] = number;
	struct delivery *delivery = delivery_new(body, 1);
	ck_assert_ptr_nonnull(delivery);
	delivery->from_spool = from_spool;
	if (from_spool)
		queue_submit_spooled(committer_queue(committer), delivery, &receipts[number]);
	else
		ck_assert(queue_submit(committer_queue(committer), delivery, &receipts[number]));
}

static void open_committer(enum store_connect_result connects)
{
	static struct store of_test;
	const struct committer_limits limits = {{QUEUE, 1000, 60000}, BATCH, false};

	memset(&of_test, 0, sizeof of_test);
	pthread_mutex_init(&of_test.lock, NULL);
	pthread_cond_init(&of_test.changed, NULL);
	of_test.connected = connects == STORE_CONNECTED;
	of_test.connects = connects;
	store = &of_test;
	outcome_count = 0;
	committer = committer_open(store, &limits);
	ck_assert_ptr_nonnull(committer);
	queue_on_finish(committer_queue(committer), note, NULL);
	queue_on_finish_spooled(committer_queue(committer), note, NULL);
}

/* One delivery in a transaction that is held, so that the rest gathers behind it. */
static void begin_held(void)
{
	hold(true);
	submit(1, false);
	await_begun(1);
}

/* --- tests ---------------------------------------------------------------------------------------- */

/* A lone delivery waits for nothing; what gathers meanwhile shares the next transaction, up to --batch. */
START_TEST(groups)
{
	open_committer(STORE_CONNECTED);
	begin_held();
	for (unsigned char i = 2; i <= 11; i++)
		submit(i, false);
	hold(false);
	await_outcomes(11);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, 3);
	ck_assert_uint_eq(store->attempts[0].count, 1);
	ck_assert_uint_eq(store->attempts[1].count, BATCH);
	ck_assert_uint_eq(store->attempts[2].count, 2);
	for (unsigned char i = 1; i <= 11; i++)
		ck_assert_int_eq(outcome_of(i), DELIVERY_APPLIED);
}
END_TEST

static const struct {
	enum store_result result;
	enum delivery_outcome outcome;
	size_t attempts; /* after the batch's: of each alone, and of the dead letter */
} bad_ones[] = {
	{STORE_FAILED, DELIVERY_FAILED, 3},
	{STORE_TOO_SLOW, DELIVERY_FAILED, 3},
	{STORE_REFUSED, DELIVERY_REFUSED, 4},
};

/* One delivery of a batch costs only itself. */
START_TEST(bad_one)
{
	open_committer(STORE_CONNECTED);
	begin_held();
	for (unsigned char i = 2; i <= 4; i++)
		submit(i, false);
	pthread_mutex_lock(&store->lock);
	store->bad = 3;
	store->bad_result = bad_ones[_i].result;
	pthread_mutex_unlock(&store->lock);
	hold(false);
	await_outcomes(4);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, 2 + bad_ones[_i].attempts);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	ck_assert_int_eq(outcome_of(3), bad_ones[_i].outcome);
	ck_assert_int_eq(outcome_of(4), DELIVERY_APPLIED);
	ck_assert_int_eq(store->attempts[4].is_dead_letter, bad_ones[_i].result == STORE_REFUSED);
}
END_TEST

/* A dead letter that is refused, too, is not lost: it is for the spool. */
START_TEST(refused_twice)
{
	open_committer(STORE_CONNECTED);
	store->script[0] = store->script[1] = STORE_REFUSED;
	store->scripted = 2;
	submit(1, false);
	await_outcomes(1);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, 2);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNAVAILABLE);
}
END_TEST

/* It is set aside, others pass, and it is tried again until its lock is free. */
START_TEST(locked)
{
	open_committer(STORE_CONNECTED);
	pthread_mutex_lock(&store->lock);
	store->bad = 1;
	store->bad_result = STORE_LOCKED;
	pthread_mutex_unlock(&store->lock);
	submit(1, false);
	await_begun(2);
	submit(2, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	pthread_mutex_lock(&store->lock);
	store->bad = 0;
	pthread_mutex_unlock(&store->lock);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(1), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

/* Where the spool has it already, it waits there. */
START_TEST(locked_from_spool)
{
	open_committer(STORE_CONNECTED);
	store->bad = 1;
	store->bad_result = STORE_LOCKED;
	submit(1, true);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_LOCKED);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, 1);
}
END_TEST

/* Deadlocks are tried again at once, but not for ever. */
START_TEST(retries)
{
	open_committer(STORE_CONNECTED);
	for (int i = 0; i < _i; i++)
		store->script[i] = STORE_RETRY;
	store->scripted = (size_t)_i;
	submit(1, false);
	await_outcomes(1);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, _i < 3 ? (size_t)_i + 1 : 3);
	ck_assert_int_eq(outcome_of(1), _i < 3 ? DELIVERY_APPLIED : DELIVERY_UNAVAILABLE);
}
END_TEST

/* The connection is lost around the COMMIT: the outcome is unknown, and the next one gets a new connection. */
START_TEST(lost)
{
	open_committer(STORE_CONNECTED);
	store->script[0] = STORE_UNKNOWN;
	store->scripted = 1;
	submit(1, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNKNOWN);
	submit(2, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	ck_assert_uint_eq(store->connections, 1);
	committer_close(committer);
}
END_TEST

/* What waits for the first attempt to connect is told at once when it fails, and so is what comes later, until
 * the database is back. */
START_TEST(away)
{
	open_committer(STORE_UNREACHABLE);
	while (!queue_is_away(committer_queue(committer)))
		;
	submit(1, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNAVAILABLE);
	ck_assert_uint_eq(store->begun, 0);
	pthread_mutex_lock(&store->lock);
	store->connects = STORE_CONNECTED;
	pthread_mutex_unlock(&store->lock);
	while (queue_is_away(committer_queue(committer)))
		;
	submit(2, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

static void *close_it(void *unused)
{
	(void)unused;
	committer_close(committer);
	return NULL;
}

/* Requests that were taken on are committed before the end; one that is locked is waited for. */
START_TEST(ends)
{
	pthread_t thread;

	open_committer(STORE_CONNECTED);
	begin_held();
	for (unsigned char i = 2; i <= 4; i++)
		submit(i, false);
	if (_i == 1) {
		pthread_mutex_lock(&store->lock);
		store->bad = 1;
		store->bad_result = STORE_LOCKED;
		pthread_mutex_unlock(&store->lock);
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, close_it, NULL), 0);
	hold(false);
	if (_i == 1) {
		await_outcomes(3);
		pthread_mutex_lock(&store->lock);
		store->bad = 0;
		pthread_mutex_unlock(&store->lock);
	}
	pthread_join(thread, NULL);
	await_outcomes(4);
	for (unsigned char i = 1; i <= 4; i++)
		ck_assert_int_eq(outcome_of(i), DELIVERY_APPLIED);
}
END_TEST

/* Given up while its transaction is under way: whoever waited knows that the outcome is unknown, and the committer
 * ends its transaction in peace. */
START_TEST(given_up)
{
	open_committer(STORE_CONNECTED);
	begin_held();
	queue_expire(committer_queue(committer), clock_ms() + 120000);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNKNOWN);
	hold(false);
	submit(2, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("committer");
	TCase *commits = tcase_create("commits");

	tcase_set_timeout(commits, 60);
	tcase_add_test(commits, groups);
	tcase_add_loop_test(commits, bad_one, 0, sizeof bad_ones / sizeof bad_ones[0]);
	tcase_add_test(commits, refused_twice);
	tcase_add_test(commits, locked);
	tcase_add_test(commits, locked_from_spool);
	tcase_add_loop_test(commits, retries, 0, 5);
	tcase_add_test(commits, lost);
	tcase_add_test(commits, away);
	tcase_add_loop_test(commits, ends, 0, 2);
	tcase_add_test(commits, given_up);
	suite_add_tcase(suite, commits);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
