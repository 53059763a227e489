#include "config.h"

#include "queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/metrics.h"

/* A batch that has reached this gets no further delivery. PostgreSQL takes messages of up
 * to 1 GiB, and --max-body allows 64 MiB. */
#define MAX_BATCH_BYTES ((size_t)16 * 1024 * 1024)
/* A full queue that has come no further for so long is not merely full: the database does not
 * take what there is. */
#define STALLED_MS 1000

struct receiver {
	queue_finished *finished;
	void *context;
};

struct queue {
	struct queue_limits limits;
	struct receiver of_requests;
	struct receiver of_spooled;

	pthread_mutex_t lock; /* covers the rest, and the deliveries' own such members */
	pthread_cond_t work;
	struct delivery_list waiting;
	size_t bytes;                 /* of those that wait */
	struct delivery_list spooled; /* those from the spool that wait */
	pthread_cond_t slow_work;
	struct delivery_list slow; /* those of both kinds that wait for the slow lane */
	struct delivery *oldest;   /* of all that are submitted: by deadline, as all have the same */
	struct delivery *newest;
	int64_t progress_ms; /* when the committer last took or finished something */
	bool idle;           /* the committer waits for work */
	int64_t away_ms;     /* from when on the database counts as away */
	bool spooled_first;  /* the last batch began with one from the spool, if there was any */
	bool stopping;
};

struct queue *queue_new(const struct queue_limits *limits)
{
	struct queue *q = calloc(1, sizeof *q);

	if (q == NULL)
		return NULL;
	q->limits = *limits;
	q->away_ms = INT64_MAX;
	metrics_set(METRICS_QUEUE_LIMIT_EVENTS, (int64_t)limits->count);
	metrics_set(METRICS_QUEUE_LIMIT_BYTES, (int64_t)limits->bytes);
	delivery_list_init(&q->waiting);
	delivery_list_init(&q->spooled);
	delivery_list_init(&q->slow);
	if (pthread_mutex_init(&q->lock, NULL) != 0)
		goto err1;
	if (pthread_cond_init(&q->work, NULL) != 0)
		goto err2;
	if (pthread_cond_init(&q->slow_work, NULL) != 0)
		goto err3;
	return q;
err3:
	pthread_cond_destroy(&q->work);
err2:
	pthread_mutex_destroy(&q->lock);
err1:
	free(q);
	return NULL;
}

void queue_free(struct queue *q)
{
	struct delivery *delivery;

	if (q == NULL)
		return;
	while ((delivery = delivery_list_take(&q->spooled)) != NULL)
		delivery_free(delivery);
	while ((delivery = delivery_list_take(&q->slow)) != NULL)
		delivery_free(delivery);
	pthread_cond_destroy(&q->slow_work);
	pthread_cond_destroy(&q->work);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void queue_on_finish(struct queue *q, queue_finished *finished, void *context)
{
	q->of_requests = (struct receiver){finished, context};
}

void queue_on_finish_spooled(struct queue *q, queue_finished *finished, void *context)
{
	q->of_spooled = (struct receiver){finished, context};
}

/* Receipts on their way, a list that grows at its end. */
struct receipts {
	struct receipt *first;
	struct receipt **end;
};

static void add_receipt(struct receipts *receipts, struct receipt *receipt)
{
	if (receipts->first == NULL)
		receipts->end = &receipts->first;
	receipt->next = NULL;
	*receipts->end = receipt;
	receipts->end = &receipt->next;
}

static void hand_over(const struct receiver *receiver, const struct receipts *receipts)
{
	if (receipts->first != NULL)
		receiver->finished(receiver->context, receipts->first);
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

/* How much waits, for those who watch. */
static void tell(const struct queue *q)
{
	metrics_set(METRICS_QUEUE_EVENTS, (int64_t)q->waiting.count);
	metrics_set(METRICS_QUEUE_BYTES, (int64_t)q->bytes);
}

/* DELIVERY_PENDING if there is a place, else the outcome of one more delivery. A queue that is stalled refuses as one without a database does. */
static enum delivery_outcome admit(const struct queue *q, int64_t now_ms)
{
	if (now_ms >= q->away_ms)
		return DELIVERY_UNAVAILABLE;
	if (q->waiting.count < q->limits.count && q->bytes < q->limits.bytes)
		return DELIVERY_PENDING;
	return now_ms - q->progress_ms > STALLED_MS ? DELIVERY_UNAVAILABLE : DELIVERY_QUEUE_FULL;
}

bool queue_submit(struct queue *q, struct delivery *delivery, struct receipt *receipt)
{
	const int64_t now_ms = clock_ms();
	struct receipts refused = {0};
	bool wake = false;

	delivery->receipt = receipt;
	delivery->bytes = delivery_size(delivery);
	delivery->deadline_ms = now_ms + q->limits.timeout_ms;
	receipt->spooled = false;
	pthread_mutex_lock(&q->lock);
	/* A committer that waits for work is not stalled. */
	if (q->idle)
		q->progress_ms = now_ms;
	enum delivery_outcome admitted = admit(q, now_ms);
	if (admitted == DELIVERY_PENDING) {
		/* One wake-up is enough, whatever else comes before it is heeded. */
		wake = q->idle;
		q->idle = false;
		delivery->queued = true;
		q->bytes += delivery->bytes;
		delivery_list_add(&q->waiting, delivery);
		add_submitted(q, delivery);
		tell(q);
	}
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->work);
	if (admitted == DELIVERY_UNAVAILABLE) {
		receipt->delivery = delivery;
		receipt->outcome = admitted;
		add_receipt(&refused, receipt);
		hand_over(&q->of_requests, &refused);
	}
	return admitted != DELIVERY_QUEUE_FULL;
}

void queue_submit_spooled(struct queue *q, struct delivery *delivery, struct receipt *receipt)
{
	struct receipts refused = {0};

	delivery->receipt = receipt;
	delivery->bytes = delivery_size(delivery);
	delivery->deadline_ms = INT64_MAX;
	pthread_mutex_lock(&q->lock);
	const bool away = clock_ms() >= q->away_ms;
	const bool slow = delivery->slow_limit_ms > 0;
	bool wake = !away && !slow && q->idle;
	if (away) {
		receipt->delivery = delivery;
		receipt->outcome = DELIVERY_UNAVAILABLE;
		add_receipt(&refused, receipt);
	} else if (slow) {
		delivery_list_add(&q->slow, delivery);
		pthread_cond_signal(&q->slow_work);
	} else {
		q->idle = false;
		delivery_list_add(&q->spooled, delivery);
	}
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->work);
	hand_over(&q->of_spooled, &refused);
}

/* The first of those that wait. */
static struct delivery *take_waiting(struct queue *q)
{
	struct delivery *delivery = delivery_list_take(&q->waiting);

	delivery->queued = false;
	q->bytes -= delivery->bytes;
	tell(q);
	return delivery;
}

/* Gives a delivery back, with the committer's hold of it. */
static void give_back(
	struct queue *q, struct delivery *delivery, struct receipts *requests, struct receipts *spooled)
{
	struct receipt *receipt = delivery->receipt;

	if (receipt == NULL) {
		/* It was given up, and whoever waited for it holds it, too. */
		delivery_free(delivery);
		return;
	}
	receipt->delivery = delivery;
	receipt->outcome = delivery->outcome;
	if (delivery->from_spool) {
		add_receipt(spooled, receipt);
		return;
	}
	remove_submitted(q, delivery);
	add_receipt(requests, receipt);
}

/* Gives back all that waits, if the database is away by now. */
static void give_back_waiting(
	struct queue *q, int64_t now_ms, struct receipts *requests, struct receipts *spooled)
{
	while (now_ms >= q->away_ms && (q->waiting.count > 0 || q->spooled.count > 0)) {
		struct delivery *delivery =
			q->waiting.count > 0 ? take_waiting(q) : delivery_list_take(&q->spooled);

		delivery->outcome = DELIVERY_UNAVAILABLE;
		give_back(q, delivery, requests, spooled);
	}
}

/* Returns true if there is something to take. */
static bool has_work(const struct queue *q)
{
	return q->waiting.count > 0 || (q->spooled.count > 0 && !q->stopping);
}

int64_t queue_expire(struct queue *q, int64_t now_ms)
{
	struct receipts expired = {0};
	struct receipts spooled = {0};

	pthread_mutex_lock(&q->lock);
	while (q->oldest != NULL
		&& (q->oldest->deadline_ms <= now_ms || (q->away_ms <= now_ms && !q->oldest->committing))) {
		struct delivery *delivery = q->oldest;
		struct receipt *receipt = delivery->receipt;

		remove_submitted(q, delivery);
		delivery->receipt = NULL;
		receipt->outcome = delivery->committing ? DELIVERY_UNKNOWN : DELIVERY_UNAVAILABLE;
		/* Those that wait are in the order of submission, too: it is the first of them. Of
		 * what the committer works on there are two holders from now on. */
		receipt->delivery = delivery->queued ? take_waiting(q) : delivery_hold(delivery);
		add_receipt(&expired, receipt);
	}
	give_back_waiting(q, now_ms, &expired, &spooled);
	int64_t next = q->oldest == NULL ? INT64_MAX : q->oldest->deadline_ms;
	if ((q->oldest != NULL || q->spooled.count > 0) && q->away_ms > now_ms && q->away_ms < next)
		next = q->away_ms;
	pthread_mutex_unlock(&q->lock);
	hand_over(&q->of_requests, &expired);
	hand_over(&q->of_spooled, &spooled);
	return next;
}

/* Takes what goes into the next transaction. Requests come first, but when there are many for
 * long, the spool must not wait for ever: every other batch begins with one of its deliveries. */
static size_t take_batch(struct queue *q, struct delivery *batch[], size_t size)
{
	size_t bytes = 0;
	size_t count = 0;

	q->spooled_first = !q->spooled_first;
	if (q->spooled_first && q->spooled.count > 0 && !q->stopping) {
		batch[count] = delivery_list_take(&q->spooled);
		bytes += batch[count++]->bytes;
	}
	while (count < size && q->waiting.count > 0 && bytes < MAX_BATCH_BYTES) {
		batch[count] = take_waiting(q);
		bytes += batch[count++]->bytes;
	}
	while (count < size && q->spooled.count > 0 && bytes < MAX_BATCH_BYTES && !q->stopping) {
		batch[count] = delivery_list_take(&q->spooled);
		bytes += batch[count++]->bytes;
	}
	return count;
}

bool queue_take(
	struct queue *q, struct delivery *batch[], size_t size, int64_t wake_ms, bool pending, size_t *count)
{
	struct timespec until = clock_timespec(wake_ms);
	int waited = 0;

	pthread_mutex_lock(&q->lock);
	while (!has_work(q) && waited == 0 && (!q->stopping || pending)) {
		/* Anew each time: what it was woken for may have been given up meanwhile. */
		q->idle = true;
		waited = wake_ms == INT64_MAX
			? pthread_cond_wait(&q->work, &q->lock)
			: pthread_cond_clockwait(&q->work, &q->lock, CLOCK_MONOTONIC, &until);
	}
	q->idle = false;
	*count = take_batch(q, batch, size);
	q->progress_ms = clock_ms();
	bool more = *count > 0 || !q->stopping || pending;
	pthread_mutex_unlock(&q->lock);
	return more;
}

void queue_pass_to_slow(struct queue *q, struct delivery *delivery)
{
	pthread_mutex_lock(&q->lock);
	delivery_list_add(&q->slow, delivery);
	pthread_cond_signal(&q->slow_work);
	pthread_mutex_unlock(&q->lock);
}

bool queue_take_slow(struct queue *q, int64_t wake_ms, struct delivery **delivery)
{
	const struct timespec until = clock_timespec(wake_ms);

	pthread_mutex_lock(&q->lock);
	while (q->slow.count == 0 && !q->stopping
		&& pthread_cond_clockwait(&q->slow_work, &q->lock, CLOCK_MONOTONIC, &until) == 0)
		;
	const bool more = !q->stopping;
	*delivery = more ? delivery_list_take(&q->slow) : NULL;
	pthread_mutex_unlock(&q->lock);
	return more;
}

/* A whole batch at once, so that whoever answers wakes once, while the next batch is
 * under way. */
void queue_finish(struct queue *q, struct delivery *const batch[], size_t count)
{
	struct receipts requests = {0};
	struct receipts spooled = {0};

	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < count; i++)
		give_back(q, batch[i], &requests, &spooled);
	q->progress_ms = clock_ms();
	pthread_mutex_unlock(&q->lock);
	hand_over(&q->of_requests, &requests);
	hand_over(&q->of_spooled, &spooled);
}

void queue_set_away(struct queue *q, int64_t from_ms)
{
	struct receipts requests = {0};
	struct receipts spooled = {0};

	pthread_mutex_lock(&q->lock);
	q->away_ms = from_ms;
	give_back_waiting(q, clock_ms(), &requests, &spooled);
	pthread_mutex_unlock(&q->lock);
	hand_over(&q->of_requests, &requests);
	hand_over(&q->of_spooled, &spooled);
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

bool queue_is_away(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	bool away = clock_ms() >= q->away_ms;
	pthread_mutex_unlock(&q->lock);
	return away;
}

void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	pthread_cond_signal(&q->work);
	pthread_cond_signal(&q->slow_work);
	pthread_mutex_unlock(&q->lock);
}
