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
#include "lane.h"

/* How long deliveries wait for an attempt to connect. */
#define CONNECT_WAIT_MS 1000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 2000
/* How often to look whether the connection is still there while nothing is to be committed. */
#define IDLE_LOOK_MS 1000

struct committer {
	size_t batch_size;
	struct lane main;
	struct lane slow;

	pthread_mutex_t lock; /* covers these */
	pthread_cond_t tried;
	bool is_tried;   /* the first attempt to connect has ended */
	bool is_awaited; /* somebody waits for that */
	enum pg_state first;
	char reported[STORE_ERROR_SIZE]; /* why the database is away, as was logged last */

	/* The main lane's thread's alone. */
	struct delivery **batch;
	int64_t connect_at_ms;
	int64_t backoff_ms;
	bool away; /* the last attempt to connect failed */
};

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
	thread_alive(LANE_CONNECT_STUCK_MS);
	if (!c->away)
		queue_set_away(c->main.queue, clock_ms() + CONNECT_WAIT_MS);
	const enum pg_state result = store_connect(c->main.store, LANE_CONNECT_MS);
	c->away = result != PG_READY;
	report(c, result);
	if (c->away) {
		metrics_count(METRICS_DATABASE_NOT_CONNECTED);
		queue_set_away(c->main.queue, 0);
		c->connect_at_ms = clock_ms() + take_backoff(c);
		return false;
	}
	c->backoff_ms = BACKOFF_FIRST_MS;
	metrics_count(METRICS_DATABASE_CONNECTED);
	metrics_set(METRICS_DATABASE_UP, 1);
	queue_set_away(c->main.queue, INT64_MAX);
	return true;
}

/* One of a batch is the reason that it failed: alone, each has its own outcome. */
static void commit_singly(struct committer *c, struct delivery *const batch[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!store_connected(c->main.store)) {
			lane_finish(&c->main, batch + i, count - i, DELIVERY_UNAVAILABLE);
			return;
		}
		lane_commit_one(&c->main, batch[i]);
	}
}

static void commit_batch(struct committer *c, struct delivery *const batch[], size_t count)
{
	if (!connect_if_due(c)) {
		lane_finish(&c->main, batch, count, DELIVERY_UNAVAILABLE);
		return;
	}
	if (count == 1) {
		lane_commit_one(&c->main, batch[0]);
		return;
	}
	enum store_result result = lane_try(&c->main, batch, count);
	switch (result) {
	case STORE_OK:
		queue_finish(c->main.queue, batch, count);
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
		lane_finish_uncommitted(&c->main, batch, count, result);
		break;
	}
}

/* Tries those again whose time has come, each alone, up to the first that is still
 * locked: whatever is queued behind them waits for one such attempt at most. */
static void commit_set_aside(struct committer *c)
{
	for (size_t left = c->main.set_aside.count; left > 0 && c->main.set_aside.first->retry_at_ms <= clock_ms();
		left--) {
		size_t others = c->main.set_aside.count - 1;

		lane_commit_one(&c->main, delivery_list_take(&c->main.set_aside));
		if (c->main.set_aside.count > others)
			return;
	}
}

/* When the thread has something to do though nothing is queued. */
static int64_t next_wake(struct committer *c)
{
	if (c->main.set_aside.count > 0)
		return c->main.set_aside.first->retry_at_ms;
	if (store_connected(c->main.store))
		return clock_ms() + IDLE_LOOK_MS;
	/* On demand it is due at once when a delivery comes, and again only after a failure. */
	return c->main.on_demand && c->connect_at_ms == 0 ? INT64_MAX : c->connect_at_ms;
}

static void run_main(void *argument)
{
	struct committer *c = argument;
	size_t count;

	if (!c->main.on_demand)
		connect_if_due(c);
	while (queue_take(c->main.queue, c->batch, c->batch_size, next_wake(c), c->main.set_aside.count > 0, &count)) {
		if (count > 0)
			commit_batch(c, c->batch, count);
		else
			connect_if_due(c);
		commit_set_aside(c);
		store_shrink(c->main.store);
		/* Before there is a delivery that would have to wait for it. */
		if (!c->main.on_demand)
			connect_if_due(c);
		thread_alive(THREAD_STUCK_MS);
	}
}

struct committer *committer_open(struct store *store, const struct committer_limits *limits)
{
	struct committer *c = calloc(1, sizeof *c);

	if (c == NULL)
		goto err0;
	c->batch_size = limits->batch;
	c->main = (struct lane){.store = store,
		.timeout_ms = limits->queue.timeout_ms,
		.on_demand = limits->on_demand,
		.slow = &c->slow};
	c->backoff_ms = BACKOFF_FIRST_MS;
	delivery_list_init(&c->main.set_aside);
	c->is_awaited = !limits->on_demand;
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		goto err1;
	if (pthread_cond_init(&c->tried, NULL) != 0)
		goto err2;
	c->batch = calloc(limits->batch,
		sizeof(struct delivery *)); /* NOLINT(bugprone-sizeof-expression): of pointers */
	if (c->batch == NULL)
		goto err3;
	c->main.queue = queue_new(&limits->queue);
	if (c->main.queue == NULL)
		goto err4;
	if (thread_start(&c->main.thread, "committer", run_main, c) != 0)
		goto err5;
	return c;
err5:
	queue_free(c->main.queue);
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
	queue_stop(c->main.queue);
	/* Requests have been answered; what is at the queue from the spool stays there. */
	store_interrupt(c->main.store);
	thread_join(&c->main.thread);
	if (c->slow.store != NULL) {
		store_interrupt(c->slow.store);
		thread_join(&c->slow.thread);
	}
	queue_free(c->main.queue);
	free(c->batch);
	pthread_cond_destroy(&c->tried);
	pthread_mutex_destroy(&c->lock);
	store_free(c->main.store);
	store_free(c->slow.store);
	free(c);
}

struct queue *committer_queue(struct committer *c)
{
	return c->main.queue;
}
