#include "config.h"

#include "queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

/* A batch that has reached this gets no further delivery. PostgreSQL takes messages of up
 * to 1 GiB, and --max-body allows 64 MiB. */
#define MAX_BATCH_BYTES ((size_t)16 * 1024 * 1024)

struct queue {
	struct queue_limits limits;
	queue_finished *finished;
	void *context;

	pthread_mutex_t lock; /* covers the rest, and the deliveries' own such members */
	pthread_cond_t work;
	struct delivery_list waiting;
	size_t bytes;            /* of those that wait */
	struct delivery *oldest; /* of all that are submitted: by deadline, as all have the same */
	struct delivery *newest;
	bool idle; /* the committer waits for work */
	bool stopping;
};

struct queue *queue_new(const struct queue_limits *limits)
{
	pthread_condattr_t attributes;
	struct queue *q = calloc(1, sizeof *q);

	if (q == NULL)
		return NULL;
	q->limits = *limits;
	delivery_list_init(&q->waiting);
	if (pthread_mutex_init(&q->lock, NULL) != 0)
		goto err1;
	if (pthread_condattr_init(&attributes) != 0)
		goto err2;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&q->work, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		goto err2;
	return q;
err2:
	pthread_mutex_destroy(&q->lock);
err1:
	free(q);
	return NULL;
}

void queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	pthread_cond_destroy(&q->work);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void queue_on_finish(struct queue *q, queue_finished *finished, void *context)
{
	q->finished = finished;
	q->context = context;
}

static void add_submitted(struct queue *q, struct delivery *delivery)
{
	delivery->older = q->newest;
	delivery->newer = NULL;
	if (q->newest == NULL)
		q->oldest = delivery;
	else
		q->newest->newer = delivery;
	q->newest = delivery;
}

static void remove_submitted(struct queue *q, struct delivery *delivery)
{
	if (delivery->older == NULL)
		q->oldest = delivery->newer;
	else
		delivery->older->newer = delivery->newer;
	if (delivery->newer == NULL)
		q->newest = delivery->older;
	else
		delivery->newer->older = delivery->older;
}

bool queue_submit(struct queue *q, struct delivery *delivery, struct receipt *receipt)
{
	delivery->receipt = receipt;
	delivery->bytes = delivery->body_len + (delivery->event == NULL ? 0 : delivery->event->members_len);
	delivery->deadline_ms = clock_ms() + q->limits.timeout_ms;
	pthread_mutex_lock(&q->lock);
	bool accepted = q->waiting.count < q->limits.count && q->bytes < q->limits.bytes;
	bool wake = accepted && q->idle;
	if (accepted) {
		delivery->queued = true;
		q->bytes += delivery->bytes;
		delivery_list_add(&q->waiting, delivery);
		add_submitted(q, delivery);
		/* One wake-up is enough, whatever else comes before it is heeded. */
		q->idle = false;
	}
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->work);
	return accepted;
}

/* The first of those that wait. */
static struct delivery *take_waiting(struct queue *q)
{
	struct delivery *delivery = delivery_list_take(&q->waiting);

	delivery->queued = false;
	q->bytes -= delivery->bytes;
	return delivery;
}

int64_t queue_expire(struct queue *q, int64_t now_ms)
{
	struct receipt *first = NULL;
	struct receipt **end = &first;

	pthread_mutex_lock(&q->lock);
	while (q->oldest != NULL && q->oldest->deadline_ms <= now_ms) {
		struct delivery *delivery = q->oldest;
		struct receipt *receipt = delivery->receipt;

		remove_submitted(q, delivery);
		delivery->receipt = NULL;
		receipt->outcome = delivery->committing ? DELIVERY_UNKNOWN : DELIVERY_UNAVAILABLE;
		/* Those that wait are in the order of submission, too: it is the first of them. */
		receipt->delivery = delivery->queued ? take_waiting(q) : NULL;
		*end = receipt;
		end = &receipt->next;
	}
	*end = NULL;
	int64_t next = q->oldest == NULL ? INT64_MAX : q->oldest->deadline_ms;
	pthread_mutex_unlock(&q->lock);
	if (first != NULL)
		q->finished(q->context, first);
	return next;
}

bool queue_take(
	struct queue *q, struct delivery *batch[], size_t size, int64_t wake_ms, bool pending, size_t *count)
{
	struct timespec until = clock_timespec(wake_ms);
	size_t bytes = 0;
	int waited = 0;

	*count = 0;
	pthread_mutex_lock(&q->lock);
	while (q->waiting.count == 0 && waited == 0 && (!q->stopping || pending)) {
		/* Anew each time: what it was woken for may have been given up meanwhile. */
		q->idle = true;
		waited = wake_ms == INT64_MAX ? pthread_cond_wait(&q->work, &q->lock)
					      : pthread_cond_timedwait(&q->work, &q->lock, &until);
	}
	q->idle = false;
	while (*count < size && q->waiting.count > 0 && bytes < MAX_BATCH_BYTES) {
		batch[*count] = take_waiting(q);
		bytes += batch[*count]->bytes;
		++*count;
	}
	bool more = *count > 0 || !q->stopping || pending;
	pthread_mutex_unlock(&q->lock);
	return more;
}

/* Of a batch all in one go, so that whoever answers wakes once, while the next batch is
 * under way. */
void queue_finish(struct queue *q, struct delivery *const batch[], size_t count)
{
	struct receipt *first = NULL;
	struct receipt **end = &first;

	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < count; i++) {
		struct receipt *receipt = batch[i]->receipt;

		if (receipt == NULL) {
			/* It was given up, and is in no list but the caller's. */
			delivery_free(batch[i]);
			continue;
		}
		remove_submitted(q, batch[i]);
		receipt->delivery = batch[i];
		receipt->outcome = batch[i]->outcome;
		*end = receipt;
		end = &receipt->next;
	}
	*end = NULL;
	pthread_mutex_unlock(&q->lock);
	if (first != NULL)
		q->finished(q->context, first);
}

void queue_set_committing(struct queue *q, struct delivery *const batch[], size_t count, bool committing)
{
	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < count; i++)
		batch[i]->committing = committing;
	pthread_mutex_unlock(&q->lock);
}

bool queue_is_given_up(struct queue *q, struct delivery *delivery)
{
	pthread_mutex_lock(&q->lock);
	bool given_up = delivery->receipt == NULL;
	pthread_mutex_unlock(&q->lock);
	if (given_up)
		delivery_free(delivery);
	return given_up;
}

void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_signal(&q->work);
	pthread_mutex_unlock(&q->lock);
}
