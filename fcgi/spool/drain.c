/* A pass goes through the whole directory. What is committed is removed, and so is what the
 * database refuses for good, as it is a dead letter then. What it cannot take for a reason of its
 * own (a locked order) stays for a later pass, and holds up nothing behind it.
 *
 * When the database takes nothing, the pass is broken off and goes on with one delivery at a
 * time: with the oldest, but behind one that has just failed all alone, so that no single delivery
 * which the database chokes on can keep all others from it. */
#include "config.h"

#include "drain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/text.h"
#include "fcgi/event/event.h"

/* At the queue at once, and when they are large. */
#define MAX_AT_QUEUE 64
#define MAX_BYTES ((size_t)16 * 1024 * 1024)
/* Names read from the directory at once, and files taken up in one step. */
#define NAMES 1024
#define STEP 16
/* Files that could not be removed, as far as they are remembered: others are committed again, as duplicates. */
#define MAX_STUCK 256
/* How long to wait: for an empty spool to fill; for another process to end that drains, and for a
 * database that takes nothing; after a pass that left something, longer if that goes on. */
#define IDLE_MS 1000
#define AWAY_MS 500
#define LEFT_MS 5000
#define LEFT_MAX_MS 300000

/* A delivery at the queue. */
struct drained {
	struct receipt receipt; /* first, so that it can be found from it */
	bool busy;
	char name[SPOOL_NAME_SIZE];
};

struct drain {
	struct queue *queue;
	struct spool *spool;
	struct drained drained[MAX_AT_QUEUE];
	size_t at_queue;
	size_t bytes;    /* of these */
	size_t allowed;  /* at the queue at once: few while something is wrong */
	int64_t due_ms;  /* when to go on */
	int64_t left_ms; /* how long to wait after a pass that leaves something */

	/* Committed files that could not be removed, sorted. */
	char stuck[MAX_STUCK][SPOOL_NAME_SIZE];
	size_t stuck_count;

	/* The pass. */
	char names[NAMES][SPOOL_NAME_SIZE];
	size_t count;
	size_t next;
	char after[SPOOL_NAME_SIZE]; /* where it goes on when the names are used up */
	char from[SPOOL_NAME_SIZE];  /* where the next one begins; "": with the oldest */
	bool broken_off;             /* the next one begins when nothing is at the queue any more */
	int64_t began_ms;
	uint64_t committed;
	uint64_t left;
};

struct drain *drain_new(struct queue *queue, struct spool *spool)
{
	struct drain *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->queue = queue;
	d->spool = spool;
	d->allowed = 1;
	d->left_ms = LEFT_MS;
	d->due_ms = d->began_ms = clock_ms();
	return d;
}

static void report_pass(const struct drain *d)
{
	char committed[24];
	char left[24];

	if (d->committed == 0)
		return;
	snprintf(committed, sizeof committed, "%" PRIu64, d->committed);
	snprintf(left, sizeof left, "%" PRIu64, d->left);
	log_record(LOG_INFO, "drained the spool", LOG_PAIRS("committed", committed, "left", left));
}

void drain_free(struct drain *d)
{
	if (d == NULL)
		return;
	report_pass(d);
	free(d);
}

static void begin_pass(struct drain *d)
{
	report_pass(d);
	if (d->left == 0 || d->committed > 0)
		d->left_ms = LEFT_MS;
	else
		d->left_ms = d->left_ms * 2 < LEFT_MAX_MS ? d->left_ms * 2 : LEFT_MAX_MS;
	d->committed = d->left = 0;
	d->count = d->next = 0;
	memcpy(d->after, d->from, sizeof d->after);
	d->from[0] = '\0';
	d->broken_off = false;
	d->began_ms = clock_ms();
}

/* Whether the queue may get one more. */
static bool has_place(const struct drain *d)
{
	return d->broken_off ? d->at_queue == 0 : d->at_queue < d->allowed && d->bytes < MAX_BYTES;
}

bool drain_is_due(const struct drain *d, int64_t now_ms)
{
	return has_place(d) && now_ms >= d->due_ms;
}

int64_t drain_next_ms(const struct drain *d, int64_t now_ms)
{
	/* Where the queue has all that it may, there will be a receipt. */
	return has_place(d) ? d->due_ms : now_ms + IDLE_MS;
}

/* A file whose delivery is committed. */
static void remove_committed(struct drain *d, const char *name)
{
	metrics_count(METRICS_SPOOL_DRAINED);
	if (spool_remove(d->spool, name)) {
		d->committed++;
		return;
	}
	log_record(LOG_ERROR, "cannot remove a committed file from the spool, trying again from time to time",
		LOG_PAIRS("file", name, "reason", text_error(errno)));
	d->left++;
	if (d->stuck_count < MAX_STUCK)
		d->stuck_count = spool_name_insert(d->stuck, d->stuck_count, MAX_STUCK, name);
}

/* Whether a file is committed already; then it is removed, if that can be done now. */
static bool is_stuck(struct drain *d, const char *name)
{
	size_t i = 0;

	while (i < d->stuck_count && strcmp(d->stuck[i], name) != 0)
		i++;
	if (i == d->stuck_count)
		return false;
	if (!spool_remove(d->spool, name)) {
		d->left++;
		return true;
	}
	d->committed++;
	d->stuck_count--;
	memmove(d->stuck[i], d->stuck[i + 1], (d->stuck_count - i) * sizeof d->stuck[0]);
	return true;
}

/* What became of one delivery. */
static void settle(struct drain *d, struct drained *one)
{
	const bool alone = d->allowed == 1 && d->at_queue == 1;

	switch (one->receipt.outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_DUPLICATE:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
	case DELIVERY_DEAD_LETTER:
	case DELIVERY_REFUSED:
		remove_committed(d, one->name);
		d->allowed = d->allowed * 2 < MAX_AT_QUEUE ? d->allowed * 2 : MAX_AT_QUEUE;
		break;
	case DELIVERY_UNAVAILABLE:
	case DELIVERY_UNKNOWN:
		if (alone)
			memcpy(d->from, one->name, sizeof d->from);
		d->broken_off = true;
		d->allowed = 1;
		/* To wait for an answer that does not come costs requests as much time. */
		d->due_ms = clock_ms() + (one->receipt.outcome == DELIVERY_UNKNOWN ? LEFT_MS : AWAY_MS);
		break;
	case DELIVERY_FAILED:
	case DELIVERY_LOCKED:
	case DELIVERY_QUEUE_FULL:
	case DELIVERY_PENDING:
		/* Others of its batch had to go one by one for it. */
		metrics_count(METRICS_SPOOL_LEFT);
		d->left++;
		d->allowed = 1;
		break;
	}
	d->bytes -= one->receipt.delivery->body_len;
	delivery_free(one->receipt.delivery);
	one->busy = false;
	d->at_queue--;
}

void drain_settle(struct drain *d, struct receipt *receipts)
{
	for (struct receipt *next; receipts != NULL; receipts = next) {
		next = receipts->next;
		settle(d, (struct drained *)receipts);
	}
}

static void submit(struct drain *d, const char *name, struct delivery *delivery)
{
	struct drained *place = d->drained;

	while (place->busy)
		place++;
	place->busy = true;
	memcpy(place->name, name, sizeof place->name);
	d->at_queue++;
	d->bytes += delivery->body_len;
	queue_submit_spooled(d->queue, delivery, &place->receipt);
}

/* Reads one file and hands it to the queue. */
static void take_up(struct drain *d, const char *name)
{
	struct delivery *delivery = NULL;

	if (is_stuck(d, name))
		return;
	switch (spool_read(d->spool, name, &delivery)) {
	case SPOOL_READ_OK:
		break;
	case SPOOL_READ_NONE:
		return;
	case SPOOL_READ_LEFT:
		d->left++;
		return;
	}
	delivery->from_spool = true;
	if (delivery_parse(delivery) != EVENT_NO_MEMORY) {
		submit(d, name, delivery);
		return;
	}
	delivery_free(delivery);
	d->left++;
}

/* The end of the directory. What is still at the queue belongs to this pass. */
static void end_pass(struct drain *d)
{
	d->due_ms = clock_ms() + (d->left > 0 ? d->left_ms : IDLE_MS);
	if (d->at_queue == 0)
		begin_pass(d);
}

void drain_step(struct drain *d)
{
	if (d->broken_off)
		begin_pass(d);
	if (!spool_lock(d->spool) || queue_is_away(d->queue)) {
		d->due_ms = clock_ms() + AWAY_MS;
		return;
	}
	/* While files come as fast as they go there is no end, but what was left has its turn. */
	if (d->left > 0 && clock_ms() - d->began_ms > d->left_ms) {
		d->broken_off = true;
		return;
	}
	for (int i = 0; i < STEP && has_place(d); i++) {
		if (d->next == d->count) {
			d->count = spool_list(d->spool, d->after, d->names, NAMES);
			d->next = 0;
		}
		if (d->count == 0) {
			end_pass(d);
			return;
		}
		memcpy(d->after, d->names[d->next], sizeof d->after);
		take_up(d, d->names[d->next++]);
	}
}
