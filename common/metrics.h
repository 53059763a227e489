/* The responder's counters and gauges: one table for the whole process, which any
 * thread writes to and reads from without a lock. Nothing here blocks. */
#ifndef BAGELHOOK_METRICS_H
#define BAGELHOOK_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metrics_counter {
	METRICS_CONNECTIONS,         /* accepted from the web server */
	METRICS_CONNECTIONS_EVICTED, /* had to go for another one before their request was there */
	METRICS_CONNECTIONS_MALFORMED, /* closed because what came is no FastCGI request */
	METRICS_LEFT_TO_RETRIES,     /* answered 503, with nothing kept */
	METRICS_SIGNATURE_MISSING,
	METRICS_SIGNATURE_MALFORMED,
	METRICS_SIGNATURE_WRONG,
	METRICS_SIGNATURE_TOO_OLD,
	METRICS_SIGNATURE_MODE,
	METRICS_DATABASE_CONNECTED,
	METRICS_DATABASE_NOT_CONNECTED, /* attempts to connect that failed */
	METRICS_COMMITS,                /* and as many more as there are results of a commit */
	METRICS_COMMITS_LAST = METRICS_COMMITS + 7,
	METRICS_DEAD_LETTERS_INVALID,
	METRICS_DEAD_LETTERS_DATABASE,
	METRICS_DEAD_LETTERS_MODE,
	METRICS_SPOOL_WRITTEN,
	METRICS_SPOOL_REFUSED,
	METRICS_SPOOL_DRAINED,
	METRICS_SPOOL_LEFT,  /* tried, and left for a later pass */
	METRICS_LOG_DROPPED, /* records that standard error did not take */
	METRICS_COUNTERS
};

enum metrics_gauge {
	METRICS_STOPPING,
	METRICS_CONNECTIONS_OPEN,
	METRICS_DATABASE_UP,
	METRICS_QUEUE_EVENTS,
	METRICS_QUEUE_BYTES,
	METRICS_QUEUE_LIMIT_EVENTS,
	METRICS_QUEUE_LIMIT_BYTES,
	METRICS_SPOOL_SLOW,         /* events that were too slow, and are in the spool */
	METRICS_SPOOL_REFUSED_LAST, /* some of what it was given last */
	METRICS_CLOCK_DIFFERENCE_S, /* the provider's clock less ours */
	METRICS_LAST_LIVE_S,        /* when an event was last answered 200, in Unix time */
	METRICS_LAST_TEST_S,
	METRICS_STARTED_MS, /* in Unix time */
	METRICS_GAUGES
};

/* Event types that have names of their own, then those that do not, then what is no event. */
#define METRICS_EVENT_TYPES 9
/* live, test, and what is no event. */
#define METRICS_MODES 3
/* As many outcomes as a delivery may have, and that of those which are in the spool. */
#define METRICS_OUTCOMES 13
#define METRICS_OUTCOME_SPOOLED (METRICS_OUTCOMES - 1)
#define METRICS_STATUSES 7

extern const char *const metrics_event_types[METRICS_EVENT_TYPES];
extern const char *const metrics_modes[METRICS_MODES];
extern const int metrics_statuses[METRICS_STATUSES];

/* Upper bounds of all buckets but the last one, which has none; in what is observed. */
#define METRICS_BUCKETS_MAX 16
struct metrics_buckets {
	size_t count;
	uint64_t bounds[METRICS_BUCKETS_MAX];
};

enum metrics_histogram {
	METRICS_COMMIT_NS,    /* nanoseconds that a committed transaction took */
	METRICS_BATCH_EVENTS, /* how many events were in it */
	METRICS_HISTOGRAMS
};

extern const struct metrics_buckets metrics_buckets[METRICS_HISTOGRAMS];

/* A histogram as it was at one moment, about. */
struct metrics_observed {
	uint64_t buckets[METRICS_BUCKETS_MAX + 1]; /* each for itself, not added up */
	uint64_t sum;
};

/* Notes that the process has begun. */
void metrics_start(void);

/* Counts one more, or some more. */
void metrics_add(enum metrics_counter, uint64_t more);
void metrics_count(enum metrics_counter);

/* Sets a gauge. */
void metrics_set(enum metrics_gauge, int64_t value);

/* Counts a value in its bucket. */
void metrics_observe(enum metrics_histogram, uint64_t value);

/* Counts a request by the status of its answer. */
void metrics_count_request(int status);

/* Counts a correctly signed delivery. type and mode are an event's, or NULL for what is none; a type that
 * is not known has no series of its own, as there may be any number of those. outcome is less than
 * METRICS_OUTCOMES. */
void metrics_count_event(const char *type, const char *mode, unsigned outcome);

/* The name under which an event type is counted. */
const char *metrics_event_type(const char *type);

/* Read the figures. */
uint64_t metrics_counter(enum metrics_counter);
int64_t metrics_gauge(enum metrics_gauge);
uint64_t metrics_requests(size_t status);
uint64_t metrics_events(size_t type, size_t mode, size_t outcome);
void metrics_histogram(enum metrics_histogram, struct metrics_observed *);

#endif
