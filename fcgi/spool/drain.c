/* A pass goes through the whole directory. What is committed is removed, and so is what the
 * database refuses for good, as it is a dead letter then. What it cannot take for a reason of its
 * own (a locked order) stays for a later pass, and holds up nothing behind it.
 *
 * When the database takes nothing, the pass is broken off and goes on with one delivery at a
 * time: with the oldest, but behind one that has just failed all alone, so that no single delivery
 * which the database chokes on can keep all others from it.
 *
 * What takes longer than it may among others is a slow event from then on. Passes leave it out. It is tried
 * in the committer's slow lane, with a limit that grows and less and less often, until it is committed. */
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

/* Read-ahead limits: number of files, and their total size in bytes. */
#define MAX_AT_QUEUE 64
#define MAX_BYTES ((size_t)16 * 1024 * 1024)
/* Names read from the directory at once, and files taken up in one step. */
#define NAMES 1024
#define STEP 16
/* Files that could not be removed, as far as they are remembered: others are committed again, as duplicates.
 */
#define MAX_STUCK 256
/* How long to wait: for an empty spool to fill; for another process to end that drains, and for a
 * database that takes nothing; after a pass that left something, longer if that goes on. */
#define IDLE_MS 1000
#define AWAY_MS 500
#define LEFT_MS 5000
#define LEFT_MAX_MS 300000
/* Slow events that are remembered, and for how long at most one waits for its next try. */
#define MAX_SLOW 16
#define SLOW_WAIT_MAX_MS 3600000

enum place_state {
	PLACE_FREE,
	PLACE_AT_QUEUE,
	PLACE_SLOW_WAITS, /* a slow event, in the spool until retry_ms */
	PLACE_SLOW_RUNS   /* a slow event in the slow lane */
};

/* A delivery at the queue, or a slow event. */
struct drained {
	struct receipt receipt; /* first, so that it can be found from it */
	enum place_state state;
	char name[SPOOL_NAME_SIZE];
	int limit_ms; /* of a slow event */
	int64_t wait_ms;
	int64_t retry_ms;
};

struct drain {
	struct queue *queue;
	struct spool *spool;
	struct drained drained[MAX_AT_QUEUE + MAX_SLOW];
	size_t at_queue; /* in PLACE_AT_QUEUE */
	size_t slow;     /* in one of PLACE_SLOW_… */
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

/* Returns true if the queue may get one more. */
static bool has_place(const struct drain *d)
{
	return d->broken_off ? d->at_queue == 0 : d->at_queue < d->allowed && d->bytes < MAX_BYTES;
}

/* Returns the slow event that is tried next, or NULL: there is none, or one is being tried, as they go one by
 * one. */
static struct drained *next_slow(struct drain *d)
{
	struct drained *next = NULL;

	for (size_t i = 0; d->slow > 0 && i < MAX_AT_QUEUE + MAX_SLOW; i++) {
		struct drained *one = &d->drained[i];

		if (one->state == PLACE_SLOW_RUNS)
			return NULL;
		if (one->state == PLACE_SLOW_WAITS && (next == NULL || one->retry_ms < next->retry_ms))
			next = one;
	}
	return next;
}

static void count_slow(struct drain *d, int more)
{
	d->slow += (size_t)more;
	metrics_set(METRICS_SPOOL_SLOW, (int64_t)d->slow);
}

int64_t drain_next_ms(struct drain *d, int64_t now_ms)
{
	const struct drained *slow = next_slow(d);
	/* Where the queue has all that it may, there will be a receipt. */
	const int64_t due_ms = has_place(d) ? d->due_ms : now_ms + IDLE_MS;

	return slow != NULL && slow->retry_ms < due_ms ? slow->retry_ms : due_ms;
}

bool drain_is_due(struct drain *d, int64_t now_ms)
{
	return now_ms >= drain_next_ms(d, now_ms);
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

/* Returns true if a file is committed already; then removes it, if that can be done now. */
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

/* Says why an event stays in the spool, and for how long. */
static void report_slow(const struct drained *one)
{
	char limit[24];
	char wait[24];

	snprintf(limit, sizeof limit, "%g", one->limit_ms / 1e3);
	snprintf(wait, sizeof wait, "%" PRId64, one->wait_ms / 1000);
	log_record(LOG_WARN,
		"an event takes longer than its time limit, trying again later with a longer one",
		LOG_PAIRS("event_id", delivery_loggable_id(one->receipt.delivery), "file", one->name,
			"limit_s", limit, "next_try_s", wait));
}

static bool is_committed(enum delivery_outcome outcome)
{
	return outcome >= DELIVERY_APPLIED && outcome <= DELIVERY_REFUSED;
}

/* Takes note of the outcome of a slow event. */
static void settle_slow(struct drain *d, struct drained *one)
{
	const int64_t now_ms = clock_ms();
	const int limit_ms = one->receipt.delivery->slow_limit_ms;

	if (is_committed(one->receipt.outcome)) {
		remove_committed(d, one->name);
		/* Others of its order may have waited for it. */
		d->due_ms = now_ms;
	} else {
		metrics_count(METRICS_SPOOL_LEFT);
	}
	/* An event that fails for another reason is tried again by passes. */
	if (is_committed(one->receipt.outcome) || limit_ms == 0) {
		one->state = PLACE_FREE;
		count_slow(d, -1);
		return;
	}
	one->state = PLACE_SLOW_WAITS;
	one->retry_ms = now_ms + LEFT_MS;
	if (one->receipt.outcome != DELIVERY_FAILED)
		return;
	one->wait_ms = one->wait_ms * 2 > limit_ms ? one->wait_ms * 2 : limit_ms;
	if (one->wait_ms > SLOW_WAIT_MAX_MS)
		one->wait_ms = SLOW_WAIT_MAX_MS;
	one->retry_ms = now_ms + one->wait_ms;
	report_slow(one);
	one->limit_ms = limit_ms;
}

/* Returns true if the event is a slow one from now on. */
static bool become_slow(struct drain *d, struct drained *one)
{
	const int limit_ms = one->receipt.delivery->slow_limit_ms;

	if (limit_ms == 0 || d->slow == MAX_SLOW)
		return false;
	one->state = PLACE_SLOW_WAITS;
	one->limit_ms = limit_ms;
	one->wait_ms = 0;
	one->retry_ms = clock_ms();
	count_slow(d, 1);
	return true;
}

/* Takes note of the outcome of one delivery. */
static void settle(struct drain *d, struct drained *one)
{
	const enum delivery_outcome outcome = one->receipt.outcome;
	const bool alone = d->allowed == 1 && d->at_queue == 1;

	one->state = PLACE_FREE;
	if (is_committed(outcome)) {
		remove_committed(d, one->name);
		d->allowed = d->allowed * 2 < MAX_AT_QUEUE ? d->allowed * 2 : MAX_AT_QUEUE;
	} else if (outcome == DELIVERY_UNAVAILABLE || outcome == DELIVERY_UNKNOWN) {
		if (alone)
			memcpy(d->from, one->name, sizeof d->from);
		d->broken_off = true;
		d->allowed = 1;
		/* To wait for an answer that does not come costs requests as much time. */
		d->due_ms = clock_ms() + (outcome == DELIVERY_UNKNOWN ? LEFT_MS : AWAY_MS);
	} else {
		/* Others of its batch had to go one by one for it. */
		metrics_count(METRICS_SPOOL_LEFT);
		d->allowed = 1;
		d->left += !become_slow(d, one);
	}
	d->bytes -= one->receipt.delivery->body_len;
	d->at_queue--;
}

void drain_settle(struct drain *d, struct receipt *receipts)
{
	for (struct receipt *next; receipts != NULL; receipts = next) {
		struct drained *one = (struct drained *)receipts;

		next = receipts->next;
		if (one->state == PLACE_SLOW_RUNS)
			settle_slow(d, one);
		else
			settle(d, one);
		delivery_free(one->receipt.delivery);
	}
}

/* Reads and parses a file; *delivery is what it holds. */
static enum spool_read_result read_delivery(struct drain *d, const char *name, struct delivery **delivery)
{
	const enum spool_read_result result = spool_read(d->spool, name, delivery);

	if (result != SPOOL_READ_OK)
		return result;
	(*delivery)->from_spool = true;
	if (delivery_parse(*delivery) != EVENT_NO_MEMORY)
		return SPOOL_READ_OK;
	delivery_free(*delivery);
	return SPOOL_READ_LEFT;
}

static bool is_slow(const struct drain *d, const char *name)
{
	for (size_t i = 0; d->slow > 0 && i < MAX_AT_QUEUE + MAX_SLOW; i++)
		if (d->drained[i].state >= PLACE_SLOW_WAITS && strcmp(d->drained[i].name, name) == 0)
			return true;
	return false;
}

/* Reads one file and hands it to the queue. */
static void take_up(struct drain *d, const char *name)
{
	struct drained *place = d->drained;
	struct delivery *delivery = NULL;

	if (is_slow(d, name) || is_stuck(d, name))
		return;
	switch (read_delivery(d, name, &delivery)) {
	case SPOOL_READ_OK:
		break;
	case SPOOL_READ_NONE:
		return;
	case SPOOL_READ_LEFT:
		d->left++;
		return;
	}
	while (place->state != PLACE_FREE)
		place++;
	place->state = PLACE_AT_QUEUE;
	memcpy(place->name, name, sizeof place->name);
	d->at_queue++;
	d->bytes += delivery->body_len;
	queue_submit_spooled(d->queue, delivery, &place->receipt);
}

/* Hands a slow event to the slow lane. */
static void retry_slow(struct drain *d, struct drained *one)
{
	struct delivery *delivery = NULL;

	switch (read_delivery(d, one->name, &delivery)) {
	case SPOOL_READ_OK:
		one->state = PLACE_SLOW_RUNS;
		delivery->slow_limit_ms = one->limit_ms;
		queue_submit_spooled(d->queue, delivery, &one->receipt);
		break;
	case SPOOL_READ_NONE:
		one->state = PLACE_FREE;
		count_slow(d, -1);
		break;
	case SPOOL_READ_LEFT:
		one->retry_ms = clock_ms() + LEFT_MS;
		break;
	}
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
	struct drained *slow = next_slow(d);
	const int64_t now_ms = clock_ms();

	if (!spool_lock(d->spool) || queue_is_away(d->queue)) {
		d->due_ms = now_ms + AWAY_MS;
		if (slow != NULL && slow->retry_ms < d->due_ms)
			slow->retry_ms = d->due_ms;
		return;
	}
	if (slow != NULL && now_ms >= slow->retry_ms)
		retry_slow(d, slow);
	if (!has_place(d) || now_ms < d->due_ms)
		return;
	if (d->broken_off)
		begin_pass(d);
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
