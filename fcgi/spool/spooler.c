/* One thread does both, so that writing, which people wait for, comes first. Writing takes all
 * that has gathered since the last time, and syncs the directory once for it. */
#include "config.h"

#include "spooler.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/thread.h"
#include "drain.h"

/* Bodies that wait to be written, before a further one is answered without. */
#define MAX_BYTES ((size_t)64 * 1024 * 1024)
/* Written with one sync of the directory. */
#define WRITE_BATCH 64
/* How long to wait while there is nothing to be done, and nothing will be by itself. */
#define WAIT_MAX_MS 1000
/* How long a disk may take for a file before the request is answered without. */
#define WRITE_MS 10000
/* How long a turn may take before the thread counts as stuck: many files may have to be synced. */
#define DISK_STUCK_MS 30000

struct spooler {
	struct queue *queue;
	struct spool *spool;
	queue_finished *finished;
	void *context;
	struct thread thread;

	pthread_mutex_t lock; /* covers these */
	pthread_cond_t work;
	struct receipt *first; /* to be written, oldest first */
	struct receipt **end;
	struct receipt *writing; /* being written, oldest first; without those given up meanwhile */
	size_t bytes;            /* of all these */
	struct receipt *came;    /* from the queue, of deliveries from the spool, oldest first */
	struct receipt **came_end;
	bool drains;
	bool stopping;

	/* The thread's alone. */
	struct delivery *batch[WRITE_BATCH]; /* that is written, each held: its receipt may be gone */
	bool stored[WRITE_BATCH];
	struct drain *drain;
};

/* --- receipts ---------------------------------------------------------------------------------------- */

static bool is_for_spool(const struct spooler *s, enum delivery_outcome outcome)
{
	switch (outcome) {
	case DELIVERY_UNAVAILABLE:
	case DELIVERY_FAILED:
	case DELIVERY_LOCKED:
	case DELIVERY_UNKNOWN:
		return s->spool != NULL;
	default:
		return false;
	}
}

/* The queue's receipts of requests. */
static void receive(void *context, struct receipt *receipts)
{
	struct spooler *s = context;
	struct receipt *passed = NULL;
	struct receipt **passed_end = &passed;
	const int64_t spool_by_ms = clock_ms() + WRITE_MS;
	bool wake = false;

	pthread_mutex_lock(&s->lock);
	for (struct receipt *next; receipts != NULL; receipts = next) {
		next = receipts->next;
		receipts->next = NULL;
		if (is_for_spool(s, receipts->outcome) && s->bytes < MAX_BYTES) {
			s->bytes += receipts->delivery->body_len;
			receipts->spool_by_ms = spool_by_ms;
			*s->end = receipts;
			s->end = &receipts->next;
			wake = true;
		} else {
			*passed_end = receipts;
			passed_end = &receipts->next;
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (wake)
		pthread_cond_signal(&s->work);
	if (passed != NULL)
		s->finished(s->context, passed);
}

/* The queue's receipts of deliveries from the spool. */
static void receive_drained(void *context, struct receipt *receipts)
{
	struct spooler *s = context;

	pthread_mutex_lock(&s->lock);
	*s->came_end = receipts;
	while (*s->came_end != NULL)
		s->came_end = &(*s->came_end)->next;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_signal(&s->work);
}

/* --- writing ----------------------------------------------------------------------------------------- */

/* Takes some of the deliveries that are to be written into the batch; returns how many. */
static size_t take_batch(struct spooler *s)
{
	struct receipt **end = &s->first;
	size_t count = 0;

	for (; count < WRITE_BATCH && *end != NULL; count++) {
		s->batch[count] = delivery_hold((*end)->delivery);
		end = &(*end)->next;
	}
	if (count == 0)
		return 0;
	s->writing = s->first;
	s->first = *end;
	if (s->first == NULL)
		s->end = &s->first;
	*end = NULL;
	return count;
}

/* Takes the first of a list's receipts that have waited too long, and adds them to the end of another
 * list, whose new end it returns. */
static struct receipt **take_overdue(
	struct spooler *s, struct receipt **first, int64_t now_ms, struct receipt **end)
{
	while (*first != NULL && (*first)->spool_by_ms <= now_ms) {
		*end = *first;
		*first = (*end)->next;
		s->bytes -= (*end)->delivery->body_len;
		end = &(*end)->next;
	}
	*end = NULL;
	return end;
}

int64_t spooler_expire(struct spooler *s, int64_t now_ms)
{
	struct receipt *expired = NULL;

	pthread_mutex_lock(&s->lock);
	struct receipt **end = take_overdue(s, &s->writing, now_ms, &expired);
	take_overdue(s, &s->first, now_ms, end);
	if (s->first == NULL)
		s->end = &s->first;
	const struct receipt *oldest = s->writing != NULL ? s->writing : s->first;
	int64_t next = oldest == NULL ? INT64_MAX : oldest->spool_by_ms;
	pthread_mutex_unlock(&s->lock);
	if (expired != NULL)
		s->finished(s->context, expired);
	return next;
}

static void write_batch(struct spooler *s, size_t count)
{
	size_t i = 0;

	spool_write(s->spool, s->batch, count, s->stored);
	pthread_mutex_lock(&s->lock);
	struct receipt *written = s->writing;
	s->writing = NULL;
	for (struct receipt *one = written; one != NULL; one = one->next) {
		while (s->batch[i] != one->delivery)
			i++;
		one->spooled = s->stored[i];
		s->bytes -= one->delivery->body_len;
	}
	pthread_mutex_unlock(&s->lock);
	if (written != NULL)
		s->finished(s->context, written);
	for (i = 0; i < count; i++)
		delivery_free(s->batch[i]);
}

/* --- the thread -------------------------------------------------------------------------------------- */

static bool may_drain(const struct spooler *s)
{
	return s->drains && drain_is_due(s->drain, clock_ms());
}

static void wait_for_work(struct spooler *s)
{
	const int64_t now = clock_ms();
	const bool drains = s->drains;
	const int64_t drain_ms = drains ? drain_next_ms(s->drain, now) : INT64_MAX;
	const int64_t next_ms = drain_ms < now + WAIT_MAX_MS ? drain_ms : now + WAIT_MAX_MS;
	const struct timespec until = clock_timespec(next_ms);

	while (s->first == NULL && s->came == NULL && !s->stopping && s->drains == drains
		&& pthread_cond_clockwait(&s->work, &s->lock, CLOCK_MONOTONIC, &until) == 0)
		;
}

static void run(void *argument)
{
	struct spooler *s = argument;
	bool stopped = false;

	while (!stopped) {
		thread_alive(DISK_STUCK_MS);
		pthread_mutex_lock(&s->lock);
		if (s->stopping || !may_drain(s))
			wait_for_work(s);
		size_t count = take_batch(s);
		struct receipt *came = s->came;
		s->came = NULL;
		s->came_end = &s->came;
		bool stopping = s->stopping;
		bool drains = s->drains;
		pthread_mutex_unlock(&s->lock);
		drain_settle(s->drain, came);
		/* Draining only when nobody waits for a file to be written. */
		if (count > 0)
			write_batch(s, count);
		else if (stopping)
			stopped = true;
		else if (drains && drain_is_due(s->drain, clock_ms()))
			drain_step(s->drain);
	}
}

struct spooler *spooler_open(struct queue *queue, struct spool *spool, bool drains)
{
	struct spooler *s = calloc(1, sizeof *s);

	if (s == NULL)
		goto err0;
	s->queue = queue;
	s->spool = spool;
	s->end = &s->first;
	s->came_end = &s->came;
	s->drains = drains;
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		goto err1;
	if (pthread_cond_init(&s->work, NULL) != 0)
		goto err2;
	s->drain = spool == NULL ? NULL : drain_new(queue, spool);
	if (spool != NULL && s->drain == NULL)
		goto err3;
	queue_on_finish(queue, receive, s);
	queue_on_finish_spooled(queue, receive_drained, s);
	if (spool != NULL && thread_start(&s->thread, "spooler", run, s) != 0)
		goto err3;
	return s;
err3:
	drain_free(s->drain);
	pthread_cond_destroy(&s->work);
err2:
	pthread_mutex_destroy(&s->lock);
err1:
	free(s);
err0:
	spool_close(spool);
	return NULL;
}

void spooler_on_finish(struct spooler *s, queue_finished *finished, void *context)
{
	s->finished = finished;
	s->context = context;
}

void spooler_drain(struct spooler *s)
{
	pthread_mutex_lock(&s->lock);
	s->drains = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

void spooler_stop(struct spooler *s)
{
	if (s == NULL || s->spool == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	thread_join(&s->thread);
}

void spooler_close(struct spooler *s)
{
	if (s == NULL)
		return;
	if (s->drain != NULL)
		drain_settle(s->drain, s->came);
	drain_free(s->drain);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	spool_close(s->spool);
	free(s);
}
