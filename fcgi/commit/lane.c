/* A lane commits what it is given, and what fails alone has its own outcome. Two lanes are alike but for their limits: the
 * slow one takes what takes longer than it may among others. */
#include "config.h"

#include "lane.h"

#include <stdbool.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

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

_Static_assert((int)METRICS_COMMITS + STORE_TOO_SLOW == METRICS_COMMITS_LAST, "a counter for each result");

void lane_finish(
	struct lane *lane, struct delivery *const batch[], size_t count, enum delivery_outcome outcome)
{
	for (size_t i = 0; i < count; i++)
		batch[i]->outcome = outcome;
	queue_finish(lane->queue, batch, count);
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
	struct store_limits limits = {
		count > 1 ? BATCH_LOCK_MS : SINGLE_LOCK_MS, lane->timeout_ms, now_ms + lane->timeout_ms, false};

	if (lane->slow != NULL && (count > 1 || !lane->on_demand)) {
		limits.ingest_ms /= LIMIT_SHARE;
		if (limits.ingest_ms > LIMIT_MS)
			limits.ingest_ms = LIMIT_MS;
	} else if (lane->slow == NULL) {
		limits = (struct store_limits){SLOW_LOCK_MS, lane->timeout_ms, batch[0]->deadline_ms, true};
		if (batch[0]->from_spool) {
			limits.ingest_ms = batch[0]->slow_limit_ms;
			limits.deadline_ms = now_ms + 2 * (int64_t)limits.ingest_ms;
		}
	}
	return limits;
}

enum store_result lane_try(struct lane *lane, struct delivery *const batch[], size_t count)
{
	const int64_t now_ms = clock_ms();
	const struct store_limits limits = limits_for(lane, batch, count, now_ms);
	enum store_result result = STORE_RETRY;

	queue_set_committing(lane->queue, batch, count, true);
	for (int tries = 0; result == STORE_RETRY && tries < MAX_TRIES; tries++) {
		const int64_t began_ns = clock_ns();

		thread_alive((int)(limits.deadline_ms - now_ms) + THREAD_STUCK_MS);
		result = store_commit(lane->store, batch, count, &limits);
		metrics_count(METRICS_COMMITS + result);
		if (result == STORE_OK)
			count_committed(batch, count, clock_ns() - began_ns);
	}
	if (result != STORE_OK && result != STORE_UNKNOWN)
		queue_set_committing(lane->queue, batch, count, false);
	if (result == STORE_UNAVAILABLE || result == STORE_UNKNOWN || result == STORE_RETRY)
		log_record(LOG_ERROR,
			result == STORE_UNKNOWN ? "outcome of a commit is unknown" : "a commit failed",
			LOG_PAIRS("reason", store_error(lane->store)));
	return result;
}

void lane_finish_uncommitted(
	struct lane *lane, struct delivery *const batch[], size_t count, enum store_result result)
{
	lane_finish(lane, batch, count, result == STORE_UNKNOWN ? DELIVERY_UNKNOWN : DELIVERY_UNAVAILABLE);
}

/* An event that the database rejects becomes a dead letter, so that nothing correctly signed
 * is lost and nothing behind it waits; a dead letter without what could be read of it. Of the
 * reason only the SQLSTATE is passed on: the server's words may quote the event. */
static void commit_refused(struct lane *lane, struct delivery *delivery)
{
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
	enum store_result result = lane_try(lane, &delivery, 1);
	if (result == STORE_OK)
		lane_finish(lane, &delivery, 1, is_event ? DELIVERY_REFUSED : DELIVERY_DEAD_LETTER);
	else
		lane_finish_uncommitted(lane, &delivery, 1, result);
}

/* Not in the server's words, which may quote the event. */
static void finish_failed(struct lane *lane, struct delivery *delivery)
{
	log_record(LOG_ERROR, "an event cannot be committed",
		LOG_PAIRS(
			"sqlstate", store_sqlstate(lane->store), "event_id", delivery_loggable_id(delivery)));
	delivery->slow_limit_ms = 0;
	lane_finish(lane, &delivery, 1, DELIVERY_FAILED);
}

static void run_slow(void *argument);

/* Returns true if there is a slow lane now. The main lane's thread. */
static bool begin_slow(struct lane *lane)
{
	struct lane *slow = lane->slow;

	if (slow->store != NULL)
		return true;
	*slow = (struct lane){.queue = lane->queue, .timeout_ms = lane->timeout_ms};
	slow->store = lane->on_demand ? NULL : store_clone(lane->store);
	if (slow->store == NULL)
		return false;
	if (thread_start(&slow->thread, "slow lane", run_slow, slow) == 0)
		return true;
	store_free(slow->store);
	slow->store = NULL;
	return false;
}

/* One from the spool comes back for the slow lane, with a longer limit: until it is tried again, its place at
 * the queue is for others. */
static void finish_too_slow(struct lane *lane, struct delivery *delivery)
{
	const bool has_lane = lane->slow == NULL || begin_slow(lane);
	int limit_ms = delivery->slow_limit_ms > 0 ? delivery->slow_limit_ms : lane->timeout_ms;

	if (has_lane && delivery->from_spool) {
		if (limit_ms < SLOW_LIMIT_MAX_MS)
			limit_ms = limit_ms * 2 < SLOW_LIMIT_MAX_MS ? limit_ms * 2 : SLOW_LIMIT_MAX_MS;
		delivery->slow_limit_ms = limit_ms;
		lane_finish(lane, &delivery, 1, DELIVERY_FAILED);
	} else if (has_lane && lane->slow != NULL) {
		queue_pass_to_slow(lane->queue, delivery);
	} else {
		finish_failed(lane, delivery);
	}
}

void lane_commit_one(struct lane *lane, struct delivery *delivery)
{
	/* It is in the spool, or the provider will bring it again, and others wait. */
	if (queue_is_given_up(lane->queue, delivery))
		return;
	enum store_result result = lane_try(lane, &delivery, 1);

	switch (result) {
	case STORE_OK:
		queue_finish(lane->queue, &delivery, 1);
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
		if (lane->slow != NULL && !delivery->from_spool && delivery->retry_at_ms < delivery->deadline_ms
			&& lane->set_aside.count < MAX_SET_ASIDE)
			delivery_list_add(&lane->set_aside, delivery);
		else
			lane_finish(lane, &delivery, 1, DELIVERY_LOCKED);
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
		lane_finish_uncommitted(lane, &delivery, 1, result);
		break;
	}
}

/* Its connection lasts for one delivery: to connect takes less time than what comes here. */
static void commit_slowly(struct lane *lane, struct delivery *delivery)
{
	thread_alive(LANE_CONNECT_STUCK_MS);
	if (store_connect(lane->store, LANE_CONNECT_MS) == PG_READY) {
		metrics_count(METRICS_DATABASE_CONNECTED);
		lane_commit_one(lane, delivery);
	} else {
		metrics_count(METRICS_DATABASE_NOT_CONNECTED);
		log_record(LOG_ERROR, "no second connection to the database for an event that takes long",
			LOG_PAIRS("reason", store_error(lane->store), "event_id",
				delivery_loggable_id(delivery)));
		lane_finish(lane, &delivery, 1, DELIVERY_UNAVAILABLE);
	}
	store_shrink(lane->store);
	store_disconnect(lane->store);
}

static void run_slow(void *argument)
{
	struct lane *lane = argument;
	struct delivery *delivery;

	while (queue_take_slow(lane->queue, clock_ms() + SLOW_LOOK_MS, &delivery)) {
		if (delivery != NULL)
			commit_slowly(lane, delivery);
		thread_alive(THREAD_STUCK_MS);
	}
}
