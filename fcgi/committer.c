#include "config.h"

#include "committer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "log.h"

#define CONNECT_TIMEOUT_MS 5000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
/* How long a batch waits for a lock before its deliveries go one by one, and how long
 * each of these does: the others wait meanwhile. */
#define BATCH_LOCK_MS 100
#define SINGLE_LOCK_MS 25
/* How long a delivery whose order is locked is set aside, and how many can be: each holds
 * a worker, and one more is answered at once. */
#define LOCKED_RETRY_MS 100
#define MAX_SET_ASIDE 16
#define MAX_TRIES 3
/* A batch that has reached this gets no further delivery. PostgreSQL takes messages of up
 * to 1 GiB, and --max-body allows 64 MiB. */
#define MAX_BATCH_BYTES ((size_t)16 * 1024 * 1024)

struct committer {
	struct committer_limits limits;
	pthread_t thread;

	/* The thread's alone. */
	struct store *store;
	struct delivery **batch;
	struct delivery_list set_aside; /* by a lock that someone else holds, oldest first */
	int64_t connect_at_ms;
	int64_t backoff_ms;
	bool reported; /* that the database is away */

	committer_finished *finished;
	void *context;

	pthread_mutex_t lock; /* covers the rest, and the deliveries' own such members */
	pthread_cond_t work;
	struct delivery_list queue;
	size_t queued_bytes;
	struct delivery *oldest; /* of all that are submitted: by deadline, as all have the same */
	struct delivery *newest;
	bool idle; /* the thread waits for work */
	bool stopping;
};

static void add_submitted(struct committer *c, struct delivery *delivery)
{
	delivery->older = c->newest;
	delivery->newer = NULL;
	if (c->newest == NULL)
		c->oldest = delivery;
	else
		c->newest->newer = delivery;
	c->newest = delivery;
}

static void remove_submitted(struct committer *c, struct delivery *delivery)
{
	if (delivery->older == NULL)
		c->oldest = delivery->newer;
	else
		delivery->older->newer = delivery->newer;
	if (delivery->newer == NULL)
		c->newest = delivery->older;
	else
		delivery->newer->older = delivery->older;
}

/* Hands deliveries back that have their outcome; of a batch all in one go, so that
 * whoever answers wakes once, while the next batch is under way. */
static void finish(struct committer *c, struct delivery *const batch[], size_t count)
{
	struct receipt *first = NULL;
	struct receipt **end = &first;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < count; i++) {
		struct receipt *receipt = batch[i]->receipt;

		if (receipt == NULL) {
			/* It was given up, and is in no list but ours. */
			delivery_free(batch[i]);
			continue;
		}
		remove_submitted(c, batch[i]);
		receipt->delivery = batch[i];
		receipt->outcome = batch[i]->outcome;
		*end = receipt;
		end = &receipt->next;
	}
	*end = NULL;
	pthread_mutex_unlock(&c->lock);
	if (first != NULL)
		c->finished(c->context, first);
}

static void finish_all(
	struct committer *c, struct delivery *const batch[], size_t count, enum delivery_outcome outcome)
{
	for (size_t i = 0; i < count; i++)
		batch[i]->outcome = outcome;
	finish(c, batch, count);
}

/* Connects where that is due. Whether there is a connection afterwards. */
static bool connect_if_due(struct committer *c)
{
	if (store_connected(c->store))
		return true;
	int64_t now = clock_ms();
	if (now < c->connect_at_ms)
		return false;
	if (store_connect(c->store, now + CONNECT_TIMEOUT_MS) == STORE_CONNECTED) {
		log_record(LOG_INFO, "connected to the database", NULL);
		c->backoff_ms = BACKOFF_FIRST_MS;
		c->reported = false;
		return true;
	}
	if (!c->reported)
		log_record(LOG_ERROR, "the database cannot be used, answering 503 and trying again",
			LOG_PAIRS("reason", store_error(c->store)));
	c->reported = true;
	c->connect_at_ms = clock_ms() + c->backoff_ms;
	c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
	return false;
}

static enum store_result try_commit(
	struct committer *c, struct delivery *const batch[], size_t count, int lock_ms)
{
	enum store_result result = STORE_RETRY;
	int64_t deadline_ms = clock_ms() + c->limits.timeout_ms;

	for (int tries = 0; result == STORE_RETRY && tries < MAX_TRIES; tries++)
		result = store_commit(c->store, batch, count, lock_ms, deadline_ms);
	if (result == STORE_UNAVAILABLE || result == STORE_UNKNOWN || result == STORE_RETRY)
		log_record(LOG_ERROR,
			result == STORE_UNKNOWN ? "outcome of a commit is unknown" : "a commit failed",
			LOG_PAIRS("reason", store_error(c->store)));
	return result;
}

static void finish_uncommitted(
	struct committer *c, struct delivery *const batch[], size_t count, enum store_result result)
{
	finish_all(c, batch, count, result == STORE_UNKNOWN ? DELIVERY_UNKNOWN : DELIVERY_UNAVAILABLE);
}

/* What the database refuses for good is kept as a dead letter, so that nothing authentic
 * is lost and nothing behind it waits. Of the reason only the SQLSTATE is passed on: the
 * server's words may quote the event. */
static void commit_refused(struct committer *c, struct delivery *delivery)
{
	char sqlstate[8];

	snprintf(sqlstate, sizeof sqlstate, "%s", store_sqlstate(c->store));
	delivery->dead_letter = "database";
	snprintf(delivery->detail, sizeof delivery->detail, "body: refused by the database with SQLSTATE %s",
		sqlstate);
	log_record(LOG_ERROR, "the database refuses an event for good, it is a dead letter now",
		LOG_PAIRS("sqlstate", sqlstate));
	enum store_result result = try_commit(c, &delivery, 1, SINGLE_LOCK_MS);
	if (result == STORE_OK)
		finish_all(c, &delivery, 1, DELIVERY_REFUSED);
	else
		finish_uncommitted(c, &delivery, 1, result);
}

static void commit_one(struct committer *c, struct delivery *delivery)
{
	enum store_result result = try_commit(c, &delivery, 1, SINGLE_LOCK_MS);

	switch (result) {
	case STORE_OK:
		finish(c, &delivery, 1);
		break;
	case STORE_REFUSED:
		if (delivery->dead_letter == NULL)
			commit_refused(c, delivery);
		else
			finish_all(c, &delivery, 1, DELIVERY_UNAVAILABLE);
		break;
	case STORE_LOCKED:
		delivery->retry_at_ms = clock_ms() + LOCKED_RETRY_MS;
		if (delivery->retry_at_ms < delivery->deadline_ms && c->set_aside.count < MAX_SET_ASIDE)
			delivery_list_add(&c->set_aside, delivery);
		else
			finish_all(c, &delivery, 1, DELIVERY_LOCKED);
		break;
	case STORE_FAILED:
		/* Not in the server's words, which may quote the event. */
		log_record(LOG_ERROR, "an event cannot be committed",
			LOG_PAIRS("sqlstate", store_sqlstate(c->store)));
		finish_uncommitted(c, &delivery, 1, result);
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
		if (!store_connected(c->store)) {
			finish_all(c, batch + i, count - i, DELIVERY_UNAVAILABLE);
			return;
		}
		commit_one(c, batch[i]);
	}
}

static void commit_batch(struct committer *c, struct delivery *const batch[], size_t count)
{
	if (!connect_if_due(c)) {
		finish_all(c, batch, count, DELIVERY_UNAVAILABLE);
		return;
	}
	if (count == 1) {
		commit_one(c, batch[0]);
		return;
	}
	enum store_result result = try_commit(c, batch, count, BATCH_LOCK_MS);
	switch (result) {
	case STORE_OK:
		finish(c, batch, count);
		break;
	case STORE_REFUSED:
	case STORE_FAILED:
	case STORE_LOCKED:
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

		commit_one(c, delivery_list_take(&c->set_aside));
		if (c->set_aside.count > others)
			return;
	}
}

/* When the thread has something to do though nothing is queued; INT64_MAX: never. */
static int64_t next_wake(struct committer *c)
{
	if (c->set_aside.count > 0)
		return c->set_aside.first->retry_at_ms;
	return store_connected(c->store) ? INT64_MAX : c->connect_at_ms;
}

/* Waits for deliveries and takes up to a batch of them. False when all is done and the
 * committer is to stop. */
static bool take_batch(struct committer *c, size_t *count)
{
	int64_t wake = next_wake(c);
	struct timespec until = clock_timespec(wake);
	size_t bytes = 0;
	int waited = 0;

	*count = 0;
	pthread_mutex_lock(&c->lock);
	c->idle = true;
	while (c->queue.count == 0 && waited == 0 && (!c->stopping || c->set_aside.count > 0))
		waited = wake == INT64_MAX ? pthread_cond_wait(&c->work, &c->lock)
					   : pthread_cond_timedwait(&c->work, &c->lock, &until);
	c->idle = false;
	while (*count < c->limits.batch && c->queue.count > 0 && bytes < MAX_BATCH_BYTES) {
		struct delivery *delivery = delivery_list_take(&c->queue);

		delivery->queued = false;
		c->queued_bytes -= delivery->body_len;
		bytes += delivery->body_len;
		c->batch[(*count)++] = delivery;
	}
	bool more = *count > 0 || !c->stopping || c->set_aside.count > 0;
	pthread_mutex_unlock(&c->lock);
	return more;
}

static void *run(void *argument)
{
	struct committer *c = argument;
	size_t count;

	while (take_batch(c, &count)) {
		if (count > 0)
			commit_batch(c, c->batch, count);
		else
			connect_if_due(c);
		commit_set_aside(c);
	}
	return NULL;
}

struct committer *committer_open(struct store *store, const struct committer_limits *limits)
{
	pthread_condattr_t attributes;
	struct committer *c = calloc(1, sizeof *c);

	if (c == NULL)
		goto err0;
	c->limits = *limits;
	c->store = store;
	c->backoff_ms = BACKOFF_FIRST_MS;
	delivery_list_init(&c->queue);
	delivery_list_init(&c->set_aside);
	c->batch = calloc(limits->batch,
		sizeof(struct delivery *)); /* NOLINT(bugprone-sizeof-expression): of pointers */
	if (c->batch == NULL)
		goto err1;
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		goto err1;
	if (pthread_condattr_init(&attributes) != 0)
		goto err2;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&c->work, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		goto err2;
	if (pthread_create(&c->thread, NULL, run, c) != 0)
		goto err3;
	return c;
err3:
	pthread_cond_destroy(&c->work);
err2:
	pthread_mutex_destroy(&c->lock);
err1:
	free(c->batch);
	free(c);
err0:
	store_free(store);
	return NULL;
}

void committer_close(struct committer *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
	free(c->batch);
	store_free(c->store);
	free(c);
}

void committer_on_finish(struct committer *c, committer_finished *finished, void *context)
{
	c->finished = finished;
	c->context = context;
}

bool committer_submit(struct committer *c, struct delivery *delivery, struct receipt *receipt)
{
	delivery->receipt = receipt;
	delivery->deadline_ms = clock_ms() + c->limits.timeout_ms;
	pthread_mutex_lock(&c->lock);
	bool accepted = c->queue.count < c->limits.queue && c->queued_bytes < c->limits.bytes;
	bool wake = accepted && c->idle;
	if (accepted) {
		delivery->queued = true;
		c->queued_bytes += delivery->body_len;
		delivery_list_add(&c->queue, delivery);
		add_submitted(c, delivery);
		/* One wake-up is enough, whatever else comes before it is heeded. */
		c->idle = false;
	}
	pthread_mutex_unlock(&c->lock);
	if (wake)
		pthread_cond_signal(&c->work);
	return accepted;
}

int64_t committer_expire(struct committer *c, int64_t now_ms)
{
	struct receipt *first = NULL;
	struct receipt **end = &first;

	pthread_mutex_lock(&c->lock);
	while (c->oldest != NULL && c->oldest->deadline_ms <= now_ms) {
		struct delivery *delivery = c->oldest;
		struct receipt *receipt = delivery->receipt;

		remove_submitted(c, delivery);
		delivery->receipt = NULL;
		receipt->delivery = NULL;
		receipt->outcome = DELIVERY_UNKNOWN;
		/* The queue is in the order of submission, too: it is the first there. */
		if (delivery->queued) {
			delivery_list_take(&c->queue);
			c->queued_bytes -= delivery->body_len;
			receipt->delivery = delivery;
			receipt->outcome = DELIVERY_UNAVAILABLE;
		}
		*end = receipt;
		end = &receipt->next;
	}
	*end = NULL;
	int64_t next = c->oldest == NULL ? INT64_MAX : c->oldest->deadline_ms;
	pthread_mutex_unlock(&c->lock);
	if (first != NULL)
		c->finished(c->context, first);
	return next;
}
