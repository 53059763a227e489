/* Relaxed atomics: each figure is right by itself, and none says anything about another. */
#include "config.h"

#include "metrics.h"

#include <stdatomic.h>
#include <string.h>

#include "clock.h"

#define EVENT_TYPE_OTHER (METRICS_EVENT_TYPES - 2)
#define EVENT_TYPE_NONE (METRICS_EVENT_TYPES - 1)
#define MODE_NONE (METRICS_MODES - 1)

const char *const metrics_event_types[METRICS_EVENT_TYPES] = {"checkout.completed", "checkout.failed",
	"checkout.cancel", "subscription.trialing", "subscription.paid", "subscription.canceled",
	"refund.created", "other", "none"};
const char *const metrics_modes[METRICS_MODES] = {"live", "test", "none"};
const int metrics_statuses[METRICS_STATUSES] = {200, 400, 401, 405, 411, 413, 503};

#define US(us) ((uint64_t)(us)*1000)
#define MS(ms) US((ms)*1000)

const struct metrics_buckets metrics_buckets[METRICS_HISTOGRAMS] = {
	[METRICS_COMMIT_NS] = {15,
		{US(250), US(500), MS(1), US(2500), MS(5), MS(10), MS(25), MS(50), MS(100), MS(250), MS(500),
			MS(1000), MS(2500), MS(5000), MS(10000)}},
	[METRICS_BATCH_EVENTS] = {11, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000}},
};

struct histogram {
	_Atomic uint64_t buckets[METRICS_BUCKETS_MAX + 1];
	_Atomic uint64_t sum;
};

static _Atomic uint64_t counters[METRICS_COUNTERS];
static _Atomic int64_t gauges[METRICS_GAUGES];
static _Atomic uint64_t requests[METRICS_STATUSES];
static _Atomic uint64_t events[METRICS_EVENT_TYPES][METRICS_MODES][METRICS_OUTCOMES];
static struct histogram histograms[METRICS_HISTOGRAMS];

void metrics_start(void)
{
	metrics_set(METRICS_STARTED_MS, clock_real_us() / 1000);
}

void metrics_add(enum metrics_counter counter, uint64_t more)
{
	atomic_fetch_add_explicit(&counters[counter], more, memory_order_relaxed);
}

void metrics_count(enum metrics_counter counter)
{
	metrics_add(counter, 1);
}

void metrics_set(enum metrics_gauge gauge, int64_t value)
{
	atomic_store_explicit(&gauges[gauge], value, memory_order_relaxed);
}

void metrics_observe(enum metrics_histogram which, uint64_t value)
{
	const struct metrics_buckets *buckets = &metrics_buckets[which];
	size_t i = 0;

	while (i < buckets->count && value > buckets->bounds[i])
		i++;
	atomic_fetch_add_explicit(&histograms[which].buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histograms[which].sum, value, memory_order_relaxed);
}

void metrics_count_request(int status)
{
	for (size_t i = 0; i < METRICS_STATUSES; i++)
		if (metrics_statuses[i] == status)
			atomic_fetch_add_explicit(&requests[i], 1, memory_order_relaxed);
}

static size_t find_type(const char *type)
{
	size_t i = 0;

	if (type == NULL)
		return EVENT_TYPE_NONE;
	while (i < EVENT_TYPE_OTHER && strcmp(type, metrics_event_types[i]) != 0)
		i++;
	return i;
}

const char *metrics_event_type(const char *type)
{
	return metrics_event_types[find_type(type)];
}

void metrics_count_event(const char *type, const char *mode, unsigned outcome)
{
	size_t m = 0;

	while (m < MODE_NONE && (mode == NULL || strcmp(mode, metrics_modes[m]) != 0))
		m++;
	atomic_fetch_add_explicit(&events[find_type(type)][m][outcome], 1, memory_order_relaxed);
}

uint64_t metrics_counter(enum metrics_counter counter)
{
	return atomic_load_explicit(&counters[counter], memory_order_relaxed);
}

int64_t metrics_gauge(enum metrics_gauge gauge)
{
	return atomic_load_explicit(&gauges[gauge], memory_order_relaxed);
}

uint64_t metrics_requests(size_t status)
{
	return atomic_load_explicit(&requests[status], memory_order_relaxed);
}

uint64_t metrics_events(size_t type, size_t mode, size_t outcome)
{
	return atomic_load_explicit(&events[type][mode][outcome], memory_order_relaxed);
}

void metrics_histogram(enum metrics_histogram which, struct metrics_observed *observed)
{
	for (size_t i = 0; i <= metrics_buckets[which].count; i++)
		observed->buckets[i] =
			atomic_load_explicit(&histograms[which].buckets[i], memory_order_relaxed);
	observed->sum = atomic_load_explicit(&histograms[which].sum, memory_order_relaxed);
}
