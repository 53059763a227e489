/* One thread does both, so that writing, which people wait for, comes first. Writing takes all
 * that has gathered since the last time, and syncs the directory once for it.
 *
 * Draining keeps a few deliveries at the queue, oldest first. A pass goes through the whole
 * directory: what the database refuses for good is removed as a dead letter, what it cannot take
 * for a reason of its own (a locked order) stays for the next pass, so that it holds up nothing
 * behind it. When the database is away the pass is broken off, and begins anew, with one
 * delivery, when it may be back. */
#include "config.h"

#include "spooler.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "log.h"

/* Bodies that wait to be written, before a further one is answered without. */
#define MAX_BYTES ((size_t)64 * 1024 * 1024)
/* Written with one sync of the directory. */
#define WRITE_BATCH 64
/* At the queue at once, and when they are large. */
#define DRAIN_BATCH 64
#define DRAIN_BYTES ((size_t)16 * 1024 * 1024)
/* Names read from the directory at once. */
#define NAMES 1024
/* How long to wait: for another process to end that drains, for an empty spool to fill, for a
 * database that was away, after a pass that left something. */
#define IDLE_MS 1000
#define AWAY_MS 500
#define LEFT_MS 5000

/* A delivery from the spool at the queue. */
struct drained {
	struct receipt receipt; /* first, so that it can be found from it */
	bool busy;
	char name[SPOOL_NAME_SIZE];
};

struct spooler {
	struct queue *queue;
	struct spool *spool;
	queue_finished *finished;
	void *context;
	pthread_t thread;

	pthread_mutex_t lock; /* covers these */
	pthread_cond_t work;
	struct receipt *first; /* to be written, oldest first */
	struct receipt **end;
	size_t bytes;         /* of these */
	struct receipt *came; /* from the queue, of deliveries from the spool */
	bool stopping;

	/* The thread's alone. */
	struct delivery *batch[WRITE_BATCH];
	bool stored[WRITE_BATCH];
	struct drained drained[DRAIN_BATCH];
	size_t at_queue;
	size_t bytes_at_queue;
	size_t allowed;  /* at the queue at once: 1 until the database is known to be back */
	bool broken_off; /* the pass: it begins anew when nothing is at the queue any more */
	char names[NAMES][SPOOL_NAME_SIZE];
	size_t count;
	size_t next;
	char after[SPOOL_NAME_SIZE]; /* where the pass goes on when the names are used up */
	int64_t drain_at_ms;
	uint64_t committed; /* in this pass */
	uint64_t left;
};

/* --- receipts ---------------------------------------------------------------------------------------- */

static bool is_for_spool(const struct spooler *s, enum delivery_outcome outcome)
{
	return s->spool != NULL
		&& (outcome == DELIVERY_UNAVAILABLE || outcome == DELIVERY_LOCKED
			|| outcome == DELIVERY_UNKNOWN);
}

/* The queue's receipts of requests. */
static void receive(void *context, struct receipt *receipts)
{
	struct spooler *s = context;
	struct receipt *passed = NULL;
	struct receipt **passed_end = &passed;
	bool wake = false;

	pthread_mutex_lock(&s->lock);
	for (struct receipt *next; receipts != NULL; receipts = next) {
		next = receipts->next;
		receipts->next = NULL;
		if (is_for_spool(s, receipts->outcome) && s->bytes < MAX_BYTES) {
			s->bytes += receipts->delivery->body_len;
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
	struct receipt *last = receipts;

	while (last->next != NULL)
		last = last->next;
	pthread_mutex_lock(&s->lock);
	last->next = s->came;
	s->came = receipts;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_signal(&s->work);
}

/* --- writing ----------------------------------------------------------------------------------------- */

/* Takes some of the receipts that are to be written; NULL without any. */
static struct receipt *take_receipts(struct spooler *s, size_t *count)
{
	struct receipt *taken = s->first;
	struct receipt **end = &taken;

	for (*count = 0; *count < WRITE_BATCH && *end != NULL; ++*count) {
		s->bytes -= (*end)->delivery->body_len;
		end = &(*end)->next;
	}
	s->first = *end;
	if (s->first == NULL)
		s->end = &s->first;
	*end = NULL;
	return taken;
}

static void write_receipts(struct spooler *s, struct receipt *receipts, size_t count)
{
	size_t i = 0;

	for (struct receipt *one = receipts; one != NULL; one = one->next)
		s->batch[i++] = one->delivery;
	spool_write(s->spool, s->batch, count, s->stored);
	i = 0;
	for (struct receipt *one = receipts; one != NULL; one = one->next)
		one->spooled = s->stored[i++];
	s->finished(s->context, receipts);
}

/* --- draining ---------------------------------------------------------------------------------------- */

/* What became of one delivery from the spool. */
static void settle(struct spooler *s, struct drained *one)
{
	switch (one->receipt.outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_DUPLICATE:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
	case DELIVERY_DEAD_LETTER:
	case DELIVERY_REFUSED:
		spool_remove(s->spool, one->name);
		s->committed++;
		s->allowed = DRAIN_BATCH;
		break;
	case DELIVERY_UNAVAILABLE:
	case DELIVERY_UNKNOWN:
		s->broken_off = true;
		s->allowed = 1;
		s->drain_at_ms = clock_ms() + AWAY_MS;
		break;
	case DELIVERY_LOCKED:
	case DELIVERY_QUEUE_FULL:
	case DELIVERY_PENDING:
		s->left++;
		break;
	}
	s->bytes_at_queue -= one->receipt.delivery->body_len;
	delivery_free(one->receipt.delivery);
	one->busy = false;
	s->at_queue--;
}

static void settle_all(struct spooler *s, struct receipt *came)
{
	for (struct receipt *next; came != NULL; came = next) {
		next = came->next;
		settle(s, (struct drained *)came);
	}
}

/* Reads one file and hands it to the queue. */
static void drain_one(struct spooler *s, const char *name)
{
	struct delivery *delivery = spool_read(s->spool, name);
	struct drained *place = s->drained;

	if (delivery == NULL)
		return;
	delivery->from_spool = true;
	switch (event_parse(delivery->body, delivery->body_len, &delivery->event, delivery->detail)) {
	case EVENT_OK:
		break;
	case EVENT_INVALID:
		delivery->dead_letter = "invalid";
		break;
	case EVENT_NO_MEMORY:
		delivery_free(delivery);
		s->left++;
		return;
	}
	while (place->busy)
		place++;
	place->busy = true;
	memcpy(place->name, name, sizeof place->name);
	s->at_queue++;
	s->bytes_at_queue += delivery->body_len;
	queue_submit_spooled(s->queue, delivery, &place->receipt);
}

static void report_pass(struct spooler *s)
{
	char committed[24];
	char left[24];

	if (s->committed > 0) {
		snprintf(committed, sizeof committed, "%" PRIu64, s->committed);
		snprintf(left, sizeof left, "%" PRIu64, s->left);
		log_record(LOG_INFO, "drained the spool", LOG_PAIRS("committed", committed, "left", left));
	}
	s->committed = s->left = 0;
}

/* The next pass begins with the oldest file. */
static void begin_pass(struct spooler *s)
{
	report_pass(s);
	s->count = s->next = 0;
	s->after[0] = '\0';
	s->broken_off = false;
}

/* Whether the queue may get one more. */
static bool has_place(const struct spooler *s)
{
	return s->broken_off ? s->at_queue == 0 : s->at_queue < s->allowed && s->bytes_at_queue < DRAIN_BYTES;
}

/* Goes on with the pass as far as the queue may take more. */
static void drain(struct spooler *s)
{
	if (s->broken_off)
		begin_pass(s);
	if (!spool_lock(s->spool) || queue_is_away(s->queue)) {
		s->drain_at_ms = clock_ms() + AWAY_MS;
		return;
	}
	while (has_place(s)) {
		if (s->next == s->count) {
			s->count = spool_list(s->spool, s->after, s->names, NAMES);
			s->next = 0;
		}
		if (s->count == 0) {
			s->drain_at_ms = clock_ms() + (s->left > 0 ? LEFT_MS : IDLE_MS);
			/* What is still at the queue belongs to this pass. */
			if (s->at_queue == 0)
				begin_pass(s);
			return;
		}
		memcpy(s->after, s->names[s->next], sizeof s->after);
		drain_one(s, s->names[s->next++]);
	}
}

/* --- the thread -------------------------------------------------------------------------------------- */

/* Whether there is room and time for draining. */
static bool may_drain(const struct spooler *s)
{
	return !s->stopping && has_place(s) && clock_ms() >= s->drain_at_ms;
}

static void wait_for_work(struct spooler *s)
{
	/* Where the queue has all that it may, there will be a receipt. */
	struct timespec until = clock_timespec(has_place(s) ? s->drain_at_ms : clock_ms() + IDLE_MS);

	while (s->first == NULL && s->came == NULL && !s->stopping
		&& pthread_cond_timedwait(&s->work, &s->lock, &until) == 0)
		;
}

static void *run(void *argument)
{
	struct spooler *s = argument;
	bool stopped = false;

	while (!stopped) {
		size_t count;

		pthread_mutex_lock(&s->lock);
		if (!may_drain(s))
			wait_for_work(s);
		struct receipt *receipts = take_receipts(s, &count);
		struct receipt *came = s->came;
		s->came = NULL;
		stopped = s->stopping && receipts == NULL;
		bool drains = receipts == NULL && may_drain(s);
		pthread_mutex_unlock(&s->lock);
		if (receipts != NULL)
			write_receipts(s, receipts, count);
		settle_all(s, came);
		/* Again only when nobody waits for a file to be written. */
		if (drains)
			drain(s);
	}
	return NULL;
}

static bool start(struct spooler *s)
{
	sigset_t all;
	sigset_t old;

	/* Signals are the watching thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	bool started = pthread_create(&s->thread, NULL, run, s) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return started;
}

struct spooler *spooler_open(struct queue *queue, struct spool *spool)
{
	pthread_condattr_t attributes;
	struct spooler *s = calloc(1, sizeof *s);

	if (s == NULL)
		goto err0;
	s->queue = queue;
	s->spool = spool;
	s->end = &s->first;
	s->allowed = 1;
	s->drain_at_ms = clock_ms();
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		goto err1;
	if (pthread_condattr_init(&attributes) != 0)
		goto err2;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&s->work, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		goto err2;
	queue_on_finish(queue, receive, s);
	queue_on_finish_spooled(queue, receive_drained, s);
	if (spool != NULL && !start(s))
		goto err3;
	return s;
err3:
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

void spooler_stop(struct spooler *s)
{
	if (s == NULL || s->spool == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

void spooler_close(struct spooler *s)
{
	if (s == NULL)
		return;
	if (s->spool != NULL) {
		settle_all(s, s->came);
		report_pass(s);
	}
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	spool_close(s->spool);
	free(s);
}
