/* Group commit over a store that does as it is told: which deliveries go into which transaction, and what
 * becomes of them. The store here takes the place of the program's; the committer's thread runs as in the
 * program. */
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
#define TIMEOUT_MS 60000

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
	bool interrupted;
	enum pg_state connects;
	bool held; /* transactions wait */
	/* What the transactions end with, in turn, then STORE_OK; or what each does that holds this delivery.
	 */
	enum store_result script[MOST];
	size_t scripted;
	unsigned char bad;
	enum store_result bad_result;
	struct attempt attempts[MOST];
	struct store_limits limits; /* of the last one */
	int64_t began_ms;
	size_t begun;
	size_t ended;
	size_t connections;
	size_t shrunk; /* how many transactions had ended when memory was given back */
};

static struct store *store;
static struct store *slow_store; /* NULL: there is no memory for one */

struct store *store_new(const char *conninfo)
{
	(void)conninfo;
	return NULL;
}

struct store *store_clone(const struct store *s)
{
	ck_assert_ptr_eq(s, store);
	return slow_store;
}

void store_free(struct store *s)
{
	(void)s;
}

enum pg_state store_connect(struct store *s, int timeout_ms)
{
	(void)timeout_ms;
	pthread_mutex_lock(&s->lock);
	const enum pg_state result = s->connects;
	s->connected = result == PG_READY;
	s->connections++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return result;
}

/* Only when nobody waits for an answer. */
void store_shrink(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->shrunk = s->ended;
	pthread_mutex_unlock(&s->lock);
}

void store_disconnect(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->connected = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void store_interrupt(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->interrupted = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
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

	pthread_mutex_lock(&s->lock);
	ck_assert_uint_lt(s->begun, MOST);
	s->limits = *limits;
	s->began_ms = clock_ms();
	s->attempts[s->begun++] = (struct attempt){count, batch[0]->body[0], batch[0]->dead_letter != NULL};
	pthread_cond_broadcast(&s->changed);
	while (s->held && !(limits->interruptible && s->interrupted))
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->held)
		result = STORE_UNKNOWN;
	else if (s->ended < s->scripted)
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

static void hold(struct store *s, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->held = held;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Until so many transactions have begun. */
static void await_begun(struct store *s, size_t count)
{
	pthread_mutex_lock(&s->lock);
	while (s->begun < count)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* From now on, each transaction that holds this delivery ends so; 0: none. */
static void make_bad(struct store *s, unsigned char bad, enum store_result result)
{
	pthread_mutex_lock(&s->lock);
	s->bad = bad;
	s->bad_result = result;
	pthread_mutex_unlock(&s->lock);
}

/* --- deliveries and receipts ---------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers these */
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static enum delivery_outcome outcomes[256]; /* by the body's only byte */
static int slow_limits_ms[256];
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
		slow_limits_ms[receipt->delivery->body[0]] = receipt->delivery->slow_limit_ms;
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

/* slow_limit_ms: of one from the spool. */
static void submit_limited(unsigned char number, bool from_spool, int slow_limit_ms)
{
	unsigned char *body = malloc(1);

	ck_assert_ptr_nonnull(body);
	body[0] = number;
	struct delivery *delivery = delivery_new(body, 1);
	ck_assert_ptr_nonnull(delivery);
	delivery->from_spool = from_spool;
	delivery->slow_limit_ms = slow_limit_ms;
	if (from_spool)
		queue_submit_spooled(committer_queue(committer), delivery, &receipts[number]);
	else
		ck_assert(queue_submit(committer_queue(committer), delivery, &receipts[number]));
}

static void submit(unsigned char number, bool from_spool)
{
	submit_limited(number, from_spool, 0);
}

static struct store *open_store(struct store *s, enum pg_state connects)
{
	memset(s, 0, sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->connects = connects;
	return s;
}

static void open_committer(enum pg_state connects)
{
	static struct store stores[2];
	const struct committer_limits limits = {{QUEUE, 1000, TIMEOUT_MS}, BATCH, false};

	store = open_store(&stores[0], connects);
	store->connected = connects == PG_READY;
	slow_store = open_store(&stores[1], PG_READY);
	outcome_count = 0;
	committer = committer_open(store, &limits);
	ck_assert_ptr_nonnull(committer);
	queue_on_finish(committer_queue(committer), note, NULL);
	queue_on_finish_spooled(committer_queue(committer), note, NULL);
}

/* One delivery in a transaction that is held, so that the rest gathers behind it. */
static void begin_held(void)
{
	hold(store, true);
	submit(1, false);
	await_begun(store, 1);
}

/* --- tests ---------------------------------------------------------------------------------------- */

/* A lone delivery waits for nothing; what gathers meanwhile shares the next transaction, up to --batch. */
START_TEST(groups)
{
	open_committer(PG_READY);
	begin_held();
	for (unsigned char i = 2; i <= 11; i++)
		submit(i, false);
	hold(store, false);
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
	{STORE_TOO_SLOW, DELIVERY_APPLIED, 3},
	{STORE_REFUSED, DELIVERY_REFUSED, 4},
};

/* One delivery of a batch costs only itself. */
START_TEST(bad_one)
{
	open_committer(PG_READY);
	begin_held();
	for (unsigned char i = 2; i <= 4; i++)
		submit(i, false);
	make_bad(store, 3, bad_ones[_i].result);
	hold(store, false);
	await_outcomes(4);
	committer_close(committer);
	ck_assert_uint_eq(store->begun, 2 + bad_ones[_i].attempts);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	ck_assert_int_eq(outcome_of(3), bad_ones[_i].outcome);
	ck_assert_int_eq(outcome_of(4), DELIVERY_APPLIED);
	ck_assert_int_eq(store->attempts[4].is_dead_letter, bad_ones[_i].result == STORE_REFUSED);
	ck_assert_uint_eq(slow_store->begun, bad_ones[_i].result == STORE_TOO_SLOW);
}
END_TEST

/* A dead letter that is refused, too, is not lost: it is for the spool. */
START_TEST(refused_twice)
{
	open_committer(PG_READY);
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
	open_committer(PG_READY);
	make_bad(store, 1, STORE_LOCKED);
	submit(1, false);
	await_begun(store, 2);
	submit(2, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	make_bad(store, 0, STORE_OK);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(1), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

/* Where the spool has it already, it waits there. */
START_TEST(locked_from_spool)
{
	open_committer(PG_READY);
	make_bad(store, 1, STORE_LOCKED);
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
	open_committer(PG_READY);
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

/* The connection is lost around the COMMIT: the outcome is unknown, and the next one gets a new connection.
 */
START_TEST(lost)
{
	open_committer(PG_READY);
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

/* What waits for the first attempt to connect is told at once when it fails, and so is what comes later,
 * until the database is back. */
START_TEST(away)
{
	open_committer(PG_AWAY);
	while (!queue_is_away(committer_queue(committer)))
		;
	submit(1, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNAVAILABLE);
	ck_assert_uint_eq(store->begun, 0);
	pthread_mutex_lock(&store->lock);
	store->connects = PG_READY;
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

	open_committer(PG_READY);
	begin_held();
	for (unsigned char i = 2; i <= 4; i++)
		submit(i, false);
	if (_i == 1)
		make_bad(store, 1, STORE_LOCKED);
	ck_assert_int_eq(pthread_create(&thread, NULL, close_it, NULL), 0);
	hold(store, false);
	if (_i == 1) {
		await_outcomes(3);
		make_bad(store, 0, STORE_OK);
	}
	pthread_join(thread, NULL);
	await_outcomes(4);
	for (unsigned char i = 1; i <= 4; i++)
		ck_assert_int_eq(outcome_of(i), DELIVERY_APPLIED);
}
END_TEST

/* Given up while its transaction is under way: whoever waited knows that the outcome is unknown, and the
 * committer ends its transaction in peace. */
START_TEST(given_up)
{
	open_committer(PG_READY);
	begin_held();
	queue_expire(committer_queue(committer), clock_ms() + 120000);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNKNOWN);
	hold(store, false);
	submit(2, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

/* A request's delivery that takes long: others go on while it is committed on a connection of its own. */
START_TEST(slow)
{
	open_committer(PG_READY);
	hold(slow_store, true);
	make_bad(store, 1, STORE_TOO_SLOW);
	submit(1, false);
	await_begun(slow_store, 1);
	ck_assert_int_le(store->limits.ingest_ms, 500);
	for (unsigned char i = 2; i <= 4; i++)
		submit(i, false);
	await_outcomes(3);
	ck_assert_int_eq(slow_store->limits.ingest_ms, TIMEOUT_MS);
	ck_assert_int_le(slow_store->limits.deadline_ms, slow_store->began_ms + TIMEOUT_MS);
	hold(slow_store, false);
	await_outcomes(4);
	for (unsigned char i = 1; i <= 4; i++)
		ck_assert_int_eq(outcome_of(i), DELIVERY_APPLIED);
	pthread_mutex_lock(&slow_store->lock);
	while (slow_store->connected)
		pthread_cond_wait(&slow_store->changed, &slow_store->lock);
	pthread_mutex_unlock(&slow_store->lock);
	ck_assert_uint_eq(slow_store->connections, 1);
	committer_close(committer);
}
END_TEST

static const struct {
	enum pg_state connects;
	enum store_result result;
	enum delivery_outcome outcome;
} slow_ones[] = {
	{PG_READY, STORE_TOO_SLOW, DELIVERY_FAILED},
	{PG_READY, STORE_FAILED, DELIVERY_FAILED},
	{PG_READY, STORE_LOCKED, DELIVERY_LOCKED},
	{PG_READY, STORE_UNKNOWN, DELIVERY_UNKNOWN},
	{PG_READY, STORE_REFUSED, DELIVERY_REFUSED},
	{PG_AWAY, STORE_OK, DELIVERY_UNAVAILABLE},
};

/* What may become of it there. The database counts as away for nobody else. */
START_TEST(slow_fails)
{
	open_committer(PG_READY);
	slow_store->connects = slow_ones[_i].connects;
	make_bad(slow_store, 1, slow_ones[_i].result);
	make_bad(store, 1, STORE_TOO_SLOW);
	submit(1, false);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), slow_ones[_i].outcome);
	submit(2, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(2), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

/* Without memory for it, all is as if there were none. */
START_TEST(no_slow_lane)
{
	open_committer(PG_READY);
	slow_store = NULL;
	make_bad(store, 1, STORE_TOO_SLOW);
	submit(1, _i == 1);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_FAILED);
	ck_assert_int_eq(slow_limits_ms[1], 0);
	committer_close(committer);
}
END_TEST

/* One from the spool comes back at once, to be submitted again with a limit, which grows. */
START_TEST(slow_from_spool)
{
	int limit_ms = 0;

	open_committer(PG_READY);
	make_bad(store, 1, STORE_TOO_SLOW);
	make_bad(slow_store, 1, STORE_TOO_SLOW);
	for (size_t i = 1; i <= 6; i++) {
		submit_limited(1, true, limit_ms);
		await_outcomes(i);
		ck_assert_int_eq(outcome_of(1), DELIVERY_FAILED);
		ck_assert_int_eq(slow_limits_ms[1], i < 4 ? TIMEOUT_MS << i : 600000);
		ck_assert_int_eq(limit_ms, i == 1 ? 0 : slow_store->limits.ingest_ms);
		limit_ms = slow_limits_ms[1];
	}
	ck_assert_uint_eq(store->begun, 1);
	make_bad(slow_store, 1, STORE_FAILED);
	submit_limited(1, true, limit_ms);
	await_outcomes(7);
	ck_assert_int_eq(slow_limits_ms[1], 0);
	make_bad(slow_store, 0, STORE_OK);
	submit_limited(1, true, limit_ms);
	await_outcomes(8);
	ck_assert_int_eq(outcome_of(1), DELIVERY_APPLIED);
	committer_close(committer);
}
END_TEST

/* The end does not wait for what may take minutes. */
START_TEST(slow_ends)
{
	open_committer(PG_READY);
	make_bad(store, 1, STORE_TOO_SLOW);
	submit(1, true);
	await_outcomes(1);
	hold(slow_store, true);
	submit_limited(1, true, slow_limits_ms[1]);
	await_begun(slow_store, 1);
	/* This one is not even taken. */
	submit_limited(2, true, 1000);
	committer_close(committer);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNKNOWN);
	ck_assert_uint_eq(slow_store->begun, 1);
}
END_TEST

/* A request's is given up at its deadline. */
START_TEST(slow_given_up)
{
	open_committer(PG_READY);
	hold(slow_store, true);
	make_bad(store, 1, STORE_TOO_SLOW);
	submit(1, false);
	await_begun(slow_store, 1);
	queue_expire(committer_queue(committer), clock_ms() + 2 * (int64_t)TIMEOUT_MS);
	await_outcomes(1);
	ck_assert_int_eq(outcome_of(1), DELIVERY_UNKNOWN);
	hold(slow_store, false);
	make_bad(store, 0, STORE_OK);
	submit(1, false);
	await_outcomes(2);
	ck_assert_int_eq(outcome_of(1), DELIVERY_APPLIED);
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
	tcase_add_test(commits, slow);
	tcase_add_loop_test(commits, slow_fails, 0, sizeof slow_ones / sizeof slow_ones[0]);
	tcase_add_loop_test(commits, no_slow_lane, 0, 2);
	tcase_add_test(commits, slow_from_spool);
	tcase_add_test(commits, slow_ends);
	tcase_add_test(commits, slow_given_up);
	suite_add_tcase(suite, commits);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
