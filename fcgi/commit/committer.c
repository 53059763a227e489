#include "config.h"

#include "committer.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/thread.h"

#define CONNECT_TIMEOUT_MS 5000
/* How long connecting may take before the thread counts as stuck: name service has timeouts of its own. */
#define CONNECT_STUCK_MS 60000
/* How long deliveries wait for an attempt to connect. */
#define CONNECT_WAIT_MS 1000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 2000
/* How long a batch waits for a lock before its deliveries go one by one, and how long
 * each of these does: the others wait meanwhile. */
#define BATCH_LOCK_MS 100
#define SINGLE_LOCK_MS 25
/* How long a delivery whose order is locked is set aside, and how many can be; one more is
 * answered at once. Each is tried alone, which holds up all others. */
#define LOCKED_RETRY_MS 100
#define MAX_SET_ASIDE 16
#define MAX_TRIES 3
/* How long ingest() may take for a batch, and then for each delivery of one that took longer, but not more
 * than this part of --commit-timeout: so a slow one is found within a second, and then the others go on
 * without it. */
#define LIMIT_MS 300
#define LIMIT_SHARE 4
/* The same in the slow lane for one from the spool: it begins with twice --commit-timeout, and doubles up to
 * this. */
#define SLOW_LIMIT_MAX_MS 600000
/* How long it waits for a lock: longer, as only other slow ones wait meanwhile. */
#define SLOW_LOCK_MS 1000
/* How often the slow lane shows that it is not stuck. */
#define SLOW_LOOK_MS 5000
/* How often to look whether the connection is still there while nothing is to be committed. */
#define IDLE_LOOK_MS 1000

_Static_assert((int)METRICS_COMMITS + STORE_TOO_SLOW == METRICS_COMMITS_LAST, "a counter for each result");

/* A thread with a connection of its own. */
struct lane {
	struct committer *committer;
	struct store *store;
	struct thread thread;
};

struct committer {
	int timeout_ms;
	size_t batch_size;
	bool on_demand;
	struct queue *queue;
	struct lane main;
	struct lane slow; /* begun by the main one's thread; without a store until then */

	pthread_mutex_t lock; /* covers these */
	pthread_cond_t tried;
	bool is_tried;   /* the first attempt to connect has ended */
	bool is_awaited; /* somebody waits for that */
	enum pg_state first;
	char reported[STORE_ERROR_SIZE]; /* why the database is away, as was logged last */

	/* The main lane's thread's alone. */
	struct delivery **batch;
	struct delivery_list set_aside; /* by a lock that someone else holds, oldest first */
	int64_t connect_at_ms;
	int64_t backoff_ms;
	bool away; /* the last attempt to connect failed */
};

static void finish_all(
	struct committer *c, struct delivery *const batch[], size_t count, enum delivery_outcome outcome)
{
	for (size_t i = 0; i < count; i++)
		batch[i]->outcome = outcome;
	queue_finish(c->queue, batch, count);
}

/* Longer each time, and not the same for all who lost the same server. */
static int64_t take_backoff(struct committer *c)
{
	const int64_t half = c->backoff_ms / 2;
	uint32_t chance = 0;

	/* Without random bytes it is the same for all. */
	if (getentropy(&chance, sizeof chance) != 0)
		chance = 0;
	c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
	return half + (int64_t)(chance % (uint32_t)(half + 1));
}

/* Says why the database cannot be used, once for each reason; the first one not if that ends the process. */
static void report(struct committer *c, enum pg_state result)
{
	const char *reason = result == PG_READY ? "" : store_error(c->main.store);

	pthread_mutex_lock(&c->lock);
	const bool is_new = strcmp(c->reported, reason) != 0;
	const bool is_fatal = c->is_awaited && result == PG_UNUSABLE;
	snprintf(c->reported, sizeof c->reported, "%s", reason);
	if (!c->is_tried)
		c->first = result;
	c->is_tried = true;
	c->is_awaited = false;
	pthread_cond_signal(&c->tried);
	pthread_mutex_unlock(&c->lock);
	if (result == PG_READY)
		log_record(LOG_INFO, "connected to the database", NULL);
	else if (is_new && !is_fatal)
		log_record(LOG_ERROR, "the database cannot be used, answering 503 and trying again",
			LOG_PAIRS("reason", reason));
}

/* Connects if that is due. Returns true if there is a connection afterwards. Deliveries wait for the first
 * attempt after a connection was lost, and not for long. */
static bool connect_if_due(struct committer *c)
{
	if (store_connected(c->main.store))
		return true;
	metrics_set(METRICS_DATABASE_UP, 0);
	if (clock_ms() < c->connect_at_ms)
		return false;
	thread_alive(CONNECT_STUCK_MS);
	if (!c->away)
		queue_set_away(c->queue, clock_ms() + CONNECT_WAIT_MS);
	const enum pg_state result = store_connect(c->main.store, CONNECT_TIMEOUT_MS);
	c->away = result != PG_READY;
	report(c, result);
	if (c->away) {
		metrics_count(METRICS_DATABASE_NOT_CONNECTED);
		queue_set_away(c->queue, 0);
		c->connect_at_ms = clock_ms() + take_backoff(c);
		return false;
	}
	c->backoff_ms = BACKOFF_FIRST_MS;
	metrics_count(METRICS_DATABASE_CONNECTED);
	metrics_set(METRICS_DATABASE_UP, 1);
	queue_set_away(c->queue, INT64_MAX);
	return true;
}

static void count_committed(struct delivery *const batch[], size_t count, int64_t took_ns)
{
	metrics_observe(METRICS_COMMIT_NS, (uint64_t)took_ns);
	metrics_observe(METRICS_BATCH_EVENTS, count);
	for (size_t i = 0; i < count; i++)
		if (batch[i]->dead_letter != NULL)
			metrics_count(batch[i]->wrong_mode        ? METRICS_DEAD_LETTERS_MODE
					: batch[i]->event == NULL ? METRICS_DEAD_LETTERS_INVALID
								  : METRICS_DEAD_LETTERS_DATABASE);
}

static struct store_limits limits_for(
	const struct lane *lane, struct delivery *const batch[], size_t count, int64_t now_ms)
{
	const struct committer *c = lane->committer;
	struct store_limits limits = {
		count > 1 ? BATCH_LOCK_MS : SINGLE_LOCK_MS, c->timeout_ms, now_ms + c->timeout_ms, false};

	if (lane == &c->main && (count > 1 || !c->on_demand)) {
		limits.ingest_ms /= LIMIT_SHARE;
		if (limits.ingest_ms > LIMIT_MS)
			limits.ingest_ms = LIMIT_MS;
	} else if (lane == &c->slow) {
		limits = (struct store_limits){SLOW_LOCK_MS, c->timeout_ms, batch[0]->deadline_ms, true};
		if (batch[0]->from_spool) {
			limits.ingest_ms = batch[0]->slow_limit_ms;
			limits.deadline_ms = now_ms + 2 * (int64_t)limits.ingest_ms;
		}
	}
	return limits;
}

static enum store_result try_commit(struct lane *lane, struct delivery *const batch[], size_t count)
{
	const struct committer *c = lane->committer;
	const int64_t now_ms = clock_ms();
	const struct store_limits limits = limits_for(lane, batch, count, now_ms);
	enum store_result result = STORE_RETRY;

	queue_set_committing(c->queue, batch, count, true);
	for (int tries = 0; result == STORE_RETRY && tries < MAX_TRIES; tries++) {
		const int64_t began_ns = clock_ns();

		thread_alive((int)(limits.deadline_ms - now_ms) + THREAD_STUCK_MS);
		result = store_commit(lane->store, batch, count, &limits);
		metrics_count(METRICS_COMMITS + result);
		if (result == STORE_OK)
			count_committed(batch, count, clock_ns() - began_ns);
	}
	if (result != STORE_OK && result != STORE_UNKNOWN)
		queue_set_committing(c->queue, batch, count, false);
	if (result == STORE_UNAVAILABLE || result == STORE_UNKNOWN || result == STORE_RETRY)
		log_record(LOG_ERROR,
			result == STORE_UNKNOWN ? "outcome of a commit is unknown" : "a commit failed",
			LOG_PAIRS("reason", store_error(lane->store)));
	return result;
}

static void finish_uncommitted(
	struct committer *c, struct delivery *const batch[], size_t count, enum store_result result)
{
	finish_all(c, batch, count, result == STORE_UNKNOWN ? DELIVERY_UNKNOWN : DELIVERY_UNAVAILABLE);
}

/* An event that the database rejects becomes a dead letter, so that nothing correctly signed
 * is lost and nothing behind it waits; a dead letter without what could be read of it. Of the
 * reason only the SQLSTATE is passed on: the server's words may quote the event. */
static void commit_refused(struct lane *lane, struct delivery *delivery)
{
	struct committer *c = lane->committer;
	const bool is_event = delivery->dead_letter == NULL;
	char sqlstate[8];

	snprintf(sqlstate, sizeof sqlstate, "%s", store_sqlstate(lane->store));
	if (is_event) {
		delivery->dead_letter = "database";
		snprintf(delivery->detail, sizeof delivery->detail,
			"body: refused by the database with SQLSTATE %s", sqlstate);
	}
	event_free(delivery->traces);
	delivery->traces = NULL;
	log_record(LOG_ERROR,
		is_event ? "the database refuses an event for good, it is a dead letter now"
			 : "the database refuses what could be read of a dead letter, kept without",
		LOG_PAIRS("sqlstate", sqlstate));
	enum store_result result = try_commit(lane, &delivery, 1);
	if (result == STORE_OK)
		finish_all(c, &delivery, 1, is_event ? DELIVERY_REFUSED : DELIVERY_DEAD_LETTER);
	else
		finish_uncommitted(c, &delivery, 1, result);
}

/* Not in the server's words, which may quote the event. */
static void finish_failed(struct lane *lane, struct delivery *delivery)
{
	log_record(LOG_ERROR, "an event cannot be committed",
		LOG_PAIRS(
			"sqlstate", store_sqlstate(lane->store), "event_id", delivery_loggable_id(delivery)));
	delivery->slow_limit_ms = 0;
	finish_all(lane->committer, &delivery, 1, DELIVERY_FAILED);
}

static void run_slow(void *argument);

/* Returns true if there is a slow lane now. The main lane's thread. */
static bool begin_slow_lane(struct committer *c)
{
	if (c->slow.store != NULL)
		return true;
	c->slow.store = c->on_demand ? NULL : store_clone(c->main.store);
	if (c->slow.store == NULL)
		return false;
	if (thread_start(&c->slow.thread, "slow lane", run_slow, &c->slow) == 0)
		return true;
	store_free(c->slow.store);
	c->slow.store = NULL;
	return false;
}

/* One from the spool comes back for the slow lane, with a longer limit: until it is tried again, its place at
 * the queue is for others. */
static void finish_too_slow(struct lane *lane, struct delivery *delivery)
{
	struct committer *c = lane->committer;
	const bool has_lane = lane == &c->slow || begin_slow_lane(c);
	int limit_ms = delivery->slow_limit_ms > 0 ? delivery->slow_limit_ms : c->timeout_ms;

	if (has_lane && delivery->from_spool) {
		if (limit_ms < SLOW_LIMIT_MAX_MS)
			limit_ms = limit_ms * 2 < SLOW_LIMIT_MAX_MS ? limit_ms * 2 : SLOW_LIMIT_MAX_MS;
		delivery->slow_limit_ms = limit_ms;
		finish_all(c, &delivery, 1, DELIVERY_FAILED);
	} else if (has_lane && lane == &c->main) {
		queue_pass_to_slow(c->queue, delivery);
	} else {
		finish_failed(lane, delivery);
	}
}

static void commit_one(struct lane *lane, struct delivery *delivery)
{
	struct committer *c = lane->committer;

	/* It is in the spool, or the provider will bring it again, and others wait. */
	if (queue_is_given_up(c->queue, delivery))
		return;
	enum store_result result = try_commit(lane, &delivery, 1);

	switch (result) {
	case STORE_OK:
		queue_finish(c->queue, &delivery, 1);
		break;
	case STORE_REFUSED:
		if (delivery->dead_letter == NULL || delivery->traces != NULL)
			commit_refused(lane, delivery);
		else
			finish_failed(lane, delivery);
		break;
	case STORE_LOCKED:
		delivery->retry_at_ms = clock_ms() + LOCKED_RETRY_MS;
		/* One from the spool can wait there. */
		if (lane == &c->main && !delivery->from_spool && delivery->retry_at_ms < delivery->deadline_ms
			&& c->set_aside.count < MAX_SET_ASIDE)
			delivery_list_add(&c->set_aside, delivery);
		else
			finish_all(c, &delivery, 1, DELIVERY_LOCKED);
		break;
	case STORE_FAILED:
		finish_failed(lane, delivery);
		break;
	case STORE_TOO_SLOW:
		finish_too_slow(lane, delivery);
		break;
	case STORE_RETRY:
	case STORE_UNAVAILABLE:
	case STORE_UNKNOWN:
		finish_uncommitted(c, &delivery, 1, result);
		break;
	}
}

/* One of a batch is the reason that it failed: alone, each has its own outcome. */
static void commit_singly(struct committer *c, struct delivery *const batch[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!store_connected(c->main.store)) {
			finish_all(c, batch + i, count - i, DELIVERY_UNAVAILABLE);
			return;
		}
		commit_one(&c->main, batch[i]);
	}
}

static void commit_batch(struct committer *c, struct delivery *const batch[], size_t count)
{
	if (!connect_if_due(c)) {
		finish_all(c, batch, count, DELIVERY_UNAVAILABLE);
		return;
	}
	if (count == 1) {
		commit_one(&c->main, batch[0]);
		return;
	}
	enum store_result result = try_commit(&c->main, batch, count);
	switch (result) {
	case STORE_OK:
		queue_finish(c->queue, batch, count);
		break;
	case STORE_REFUSED:
	case STORE_FAILED:
	case STORE_LOCKED:
	case STORE_TOO_SLOW:
		commit_singly(c, batch, count);
		break;
	case STORE_RETRY:
	case STORE_UNAVAILABLE:
	case STORE_UNKNOWN:
		finish_uncommitted(c, batch, count, result);
		break;
	}
}

/* Tries those again whose time has come, each alone, up to the first that is still
 * locked: whatever is queued behind them waits for one such attempt at most. */
static void commit_set_aside(struct committer *c)
{
	for (size_t left = c->set_aside.count; left > 0 && c->set_aside.first->retry_at_ms <= clock_ms();
		left--) {
		size_t others = c->set_aside.count - 1;

		commit_one(&c->main, delivery_list_take(&c->set_aside));
		if (c->set_aside.count > others)
			return;
	}
}

/* When the thread has something to do though nothing is queued. */
static int64_t next_wake(struct committer *c)
{
	if (c->set_aside.count > 0)
		return c->set_aside.first->retry_at_ms;
	if (store_connected(c->main.store))
		return clock_ms() + IDLE_LOOK_MS;
	/* On demand it is due at once when a delivery comes, and again only after a failure. */
	return c->on_demand && c->connect_at_ms == 0 ? INT64_MAX : c->connect_at_ms;
}

static void run_main(void *argument)
{
	struct lane *lane = argument;
	struct committer *c = lane->committer;
	size_t count;

	if (!c->on_demand)
		connect_if_due(c);
	while (queue_take(c->queue, c->batch, c->batch_size, next_wake(c), c->set_aside.count > 0, &count)) {
		if (count > 0)
			commit_batch(c, c->batch, count);
		else
			connect_if_due(c);
		commit_set_aside(c);
		store_shrink(c->main.store);
		/* Before there is a delivery that would have to wait for it. */
		if (!c->on_demand)
			connect_if_due(c);
		thread_alive(THREAD_STUCK_MS);
	}
}

/* Its connection lasts for one delivery: to connect takes less time than what comes here. */
static void commit_slowly(struct lane *lane, struct delivery *delivery)
{
	thread_alive(CONNECT_STUCK_MS);
	if (store_connect(lane->store, CONNECT_TIMEOUT_MS) == PG_READY) {
		metrics_count(METRICS_DATABASE_CONNECTED);
		commit_one(lane, delivery);
	} else {
		metrics_count(METRICS_DATABASE_NOT_CONNECTED);
		log_record(LOG_ERROR, "no second connection to the database for an event that takes long",
			LOG_PAIRS("reason", store_error(lane->store), "event_id",
				delivery_loggable_id(delivery)));
		finish_all(lane->committer, &delivery, 1, DELIVERY_UNAVAILABLE);
	}
	store_shrink(lane->store);
	store_disconnect(lane->store);
}

static void run_slow(void *argument)
{
	struct lane *lane = argument;
	struct delivery *delivery;

	while (queue_take_slow(lane->committer->queue, clock_ms() + SLOW_LOOK_MS, &delivery)) {
		if (delivery != NULL)
			commit_slowly(lane, delivery);
		thread_alive(THREAD_STUCK_MS);
	}
}

struct committer *committer_open(struct store *store, const struct committer_limits *limits)
{
	struct committer *c = calloc(1, sizeof *c);

	if (c == NULL)
		goto err0;
	c->timeout_ms = limits->queue.timeout_ms;
	c->batch_size = limits->batch;
	c->on_demand = limits->on_demand;
	c->main.committer = c->slow.committer = c;
	c->main.store = store;
	c->backoff_ms = BACKOFF_FIRST_MS;
	delivery_list_init(&c->set_aside);
	c->is_awaited = !limits->on_demand;
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		goto err1;
	if (pthread_cond_init(&c->tried, NULL) != 0)
		goto err2;
	c->batch = calloc(limits->batch,
		sizeof(struct delivery *)); /* NOLINT(bugprone-sizeof-expression): of pointers */
	if (c->batch == NULL)
		goto err3;
	c->queue = queue_new(&limits->queue);
	if (c->queue == NULL)
		goto err4;
	if (thread_start(&c->main.thread, "committer", run_main, &c->main) != 0)
		goto err5;
	return c;
err5:
	queue_free(c->queue);
err4:
	free(c->batch);
err3:
	pthread_cond_destroy(&c->tried);
err2:
	pthread_mutex_destroy(&c->lock);
err1:
	free(c);
err0:
	store_free(store);
	return NULL;
}

enum pg_state committer_await(struct committer *c, int timeout_ms, char reason[STORE_ERROR_SIZE])
{
	const struct timespec until = clock_timespec(clock_ms() + timeout_ms);

	pthread_mutex_lock(&c->lock);
	while (!c->is_tried && pthread_cond_clockwait(&c->tried, &c->lock, CLOCK_MONOTONIC, &until) == 0)
		;
	c->is_awaited = false;
	const enum pg_state first = c->is_tried ? c->first : PG_AWAY;
	snprintf(reason, STORE_ERROR_SIZE, "%s", c->reported);
	pthread_mutex_unlock(&c->lock);
	return first;
}

void committer_close(struct committer *c)
{
	if (c == NULL)
		return;
	queue_stop(c->queue);
	/* Requests have been answered; what is at the queue from the spool stays there. */
	store_interrupt(c->main.store);
	thread_join(&c->main.thread);
	if (c->slow.store != NULL) {
		store_interrupt(c->slow.store);
		thread_join(&c->slow.thread);
	}
	queue_free(c->queue);
	free(c->batch);
	pthread_cond_destroy(&c->tried);
	pthread_mutex_destroy(&c->lock);
	store_free(c->main.store);
	store_free(c->slow.store);
	free(c);
}

struct queue *committer_queue(struct committer *c)
{
	return c->queue;
}
