/* The names here are what people's alerts and dashboards rely on. Base units (seconds, bytes), and a
 * bounded number of series: no label has a value from outside. */
#include "config.h"

#include "exposition.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/metrics.h"
#include "common/thread.h"
#include "fcgi/commit/store.h"
#include "fcgi/response.h"

/* The system gives the lowest descriptors first, and connections are limited to fewer. */
#define DESCRIPTORS_MAX 4096

struct series {
	const char *name; /* NULL: another one of the family above */
	const char *labels;
	int which;
	const char *help;
};

static const struct series counters[] = {
	{"connections_total", "", METRICS_CONNECTIONS, "Connections accepted from the web server."},
	{"connections_evicted_total", "", METRICS_CONNECTIONS_EVICTED,
		"Connections that had to go for newer ones before their request was there."},
	{"connections_malformed_total", "", METRICS_CONNECTIONS_MALFORMED,
		"Connections closed because what came on them was no FastCGI request, such as HTTP."},
	{"left_to_retries_total", "", METRICS_LEFT_TO_RETRIES,
		"Requests answered 503 of which nothing was kept: it is the provider that has to try again."},
	{"signature_failures_total", "{reason=\"missing\"}", METRICS_SIGNATURE_MISSING,
		"Requests with an invalid signature (401), by reason."},
	{NULL, "{reason=\"malformed\"}", METRICS_SIGNATURE_MALFORMED, NULL},
	{NULL, "{reason=\"wrong\"}", METRICS_SIGNATURE_WRONG, NULL},
	{NULL, "{reason=\"too_old\"}", METRICS_SIGNATURE_TOO_OLD, NULL},
	{NULL, "{reason=\"mode\"}", METRICS_SIGNATURE_MODE, NULL},
	{"dead_letters_total", "{reason=\"invalid\"}", METRICS_DEAD_LETTERS_INVALID,
		"Correctly signed bodies committed as dead letters, each time they came, by reason. Another body "
		"under "
		"a known event id is not among them: it counts as a duplicate."},
	{NULL, "{reason=\"database\"}", METRICS_DEAD_LETTERS_DATABASE, NULL},
	{NULL, "{reason=\"mode\"}", METRICS_DEAD_LETTERS_MODE, NULL},
	{"database_connections_total", "", METRICS_DATABASE_CONNECTED, "Connections made to the database."},
	{"database_connection_failures_total", "", METRICS_DATABASE_NOT_CONNECTED,
		"Attempts to connect to the database, or to find a schema there that fits, that failed."},
	{"commits_total", "{result=\"committed\"}", METRICS_COMMITS + STORE_OK,
		"Transactions tried, by what became of them."},
	{NULL, "{result=\"refused\"}", METRICS_COMMITS + STORE_REFUSED, NULL},
	{NULL, "{result=\"failed\"}", METRICS_COMMITS + STORE_FAILED, NULL},
	{NULL, "{result=\"locked\"}", METRICS_COMMITS + STORE_LOCKED, NULL},
	{NULL, "{result=\"conflict\"}", METRICS_COMMITS + STORE_RETRY, NULL},
	{NULL, "{result=\"unavailable\"}", METRICS_COMMITS + STORE_UNAVAILABLE, NULL},
	{NULL, "{result=\"unknown\"}", METRICS_COMMITS + STORE_UNKNOWN, NULL},
	{NULL, "{result=\"too_slow\"}", METRICS_COMMITS + STORE_TOO_SLOW, NULL},
	{"log_records_dropped_total", "", METRICS_LOG_DROPPED,
		"Log records that were dropped because standard error did not take them."},
};

static const struct series gauges[] = {
	{"connections_open", "", METRICS_CONNECTIONS_OPEN, "Connections of the web server that are open."},
	{"database_up", "", METRICS_DATABASE_UP,
		"Whether there is a connection to a database that takes events, and whose schema fits."},
	{"queue_events", "", METRICS_QUEUE_EVENTS, "Events that wait for the database."},
	{"queue_bytes", "", METRICS_QUEUE_BYTES, "Bytes of the events that wait for the database."},
	{"queue_limit_events", "", METRICS_QUEUE_LIMIT_EVENTS, "How many events may wait (--queue)."},
	{"queue_limit_bytes", "", METRICS_QUEUE_LIMIT_BYTES, "How many bytes of them may wait."},
	{"last_event_timestamp_seconds", "{mode=\"live\"}", METRICS_LAST_LIVE_S,
		"When an event was last answered 200, in Unix time; 0: not yet."},
	{NULL, "{mode=\"test\"}", METRICS_LAST_TEST_S, NULL},
	{"provider_clock_difference_seconds", "", METRICS_CLOCK_DIFFERENCE_S,
		"How far the signed timestamp of the last correctly signed request was ahead of our clock; also "
		"below 0 where the provider signed it earlier. 0 before the first."},
};

static const struct series spool_counters[] = {
	{"spool_written_total", "", METRICS_SPOOL_WRITTEN, "Events written to the spool."},
	{"spool_refused_total", "", METRICS_SPOOL_REFUSED,
		"Events that the spool could not take: at a limit, or for an error of the disk."},
	{"spool_drained_total", "", METRICS_SPOOL_DRAINED, "Events from the spool that were committed."},
	{"spool_left_total", "", METRICS_SPOOL_LEFT,
		"Events from the spool that could not be committed for a reason of their own, and stay."},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void put_family(struct buffer *out, const char *name, const char *type, const char *help)
{
	buffer_printf(out, "# HELP bagelhook_%s %s\n# TYPE bagelhook_%s %s\n", name, help, name, type);
}

static void put_counters(struct buffer *out, const struct series *series, size_t count)
{
	const char *name = "";

	for (size_t i = 0; i < count; i++) {
		if (series[i].name != NULL) {
			name = series[i].name;
			put_family(out, name, "counter", series[i].help);
		}
		buffer_printf(out, "bagelhook_%s%s %" PRIu64 "\n", name, series[i].labels,
			metrics_counter((enum metrics_counter)series[i].which));
	}
}

static void put_gauges(struct buffer *out)
{
	const char *name = "";

	for (size_t i = 0; i < COUNT(gauges); i++) {
		if (gauges[i].name != NULL) {
			name = gauges[i].name;
			put_family(out, name, "gauge", gauges[i].help);
		}
		buffer_printf(out, "bagelhook_%s%s %" PRId64 "\n", name, gauges[i].labels,
			metrics_gauge((enum metrics_gauge)gauges[i].which));
	}
}

static void put_gauge(struct buffer *out, const char *name, const char *help, double value)
{
	put_family(out, name, "gauge", help);
	buffer_printf(out, "bagelhook_%s %.15g\n", name, value);
}

static void put_requests(struct buffer *out)
{
	put_family(out, "requests_total", "counter", "Requests answered, by status.");
	for (size_t i = 0; i < METRICS_STATUSES; i++)
		buffer_printf(out, "bagelhook_requests_total{status=\"%d\"} %" PRIu64 "\n",
			metrics_statuses[i], metrics_requests(i));
}

/* Only what there was of each: hundreds could be. */
static void put_events(struct buffer *out)
{
	put_family(out, "events_total", "counter",
		"Correctly signed deliveries answered, by event type, mode, outcome and status. Where the outcome "
		"is "
		"spooled, the event is committed later, and not counted again.");
	for (size_t type = 0; type < METRICS_EVENT_TYPES; type++)
		for (size_t mode = 0; mode < METRICS_MODES; mode++)
			for (size_t outcome = 0; outcome < METRICS_OUTCOMES; outcome++) {
				const bool spooled = outcome == METRICS_OUTCOME_SPOOLED;
				const struct answer answer = {.kind = ANSWER_DELIVERY,
					.outcome = spooled ? DELIVERY_UNAVAILABLE
							   : (enum delivery_outcome)outcome};
				const uint64_t count = metrics_events(type, mode, outcome);

				if (count == 0)
					continue;
				buffer_printf(out,
					"bagelhook_events_total{event_type=\"%s\",mode=\"%s\",outcome=\"%s\","
					"status=\"%d\"} %" PRIu64 "\n",
					metrics_event_types[type], metrics_modes[mode],
					spooled ? "spooled" : response_outcome_name(answer.outcome),
					response_status(&answer), count);
			}
}

static void put_matches(struct buffer *out, struct signature_verifier *verifier)
{
	uint64_t matches[SECRETS_MAX];
	const size_t count = signature_matches(verifier, matches);

	put_family(out, "secret_matches_total", "counter",
		"Signatures that a secret has matched, by its position in the file, from 1.");
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "bagelhook_secret_matches_total{position=\"%zu\"} %" PRIu64 "\n", i + 1,
			matches[i]);
}

/* unit: how much of what was observed is one of what is told. */
static void put_histogram(
	struct buffer *out, const char *name, const char *help, enum metrics_histogram which, double unit)
{
	const struct metrics_buckets *buckets = &metrics_buckets[which];
	struct metrics_observed observed;
	uint64_t count = 0;

	metrics_histogram(which, &observed);
	put_family(out, name, "histogram", help);
	for (size_t i = 0; i < buckets->count; i++) {
		count += observed.buckets[i];
		buffer_printf(out, "bagelhook_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
			(double)buckets->bounds[i] / unit, count);
	}
	count += observed.buckets[buckets->count];
	buffer_printf(out,
		"bagelhook_%s_bucket{le=\"+Inf\"} %" PRIu64
		"\nbagelhook_%s_sum %.15g\nbagelhook_%s_count %" PRIu64 "\n",
		name, count, name, (double)observed.sum / unit, name, count);
}

static void put_spool(struct buffer *out, const struct exposition_sources *sources)
{
	struct spool_contents contents;

	put_counters(out, spool_counters, COUNT(spool_counters));
	put_gauge(out, "spool_limit_files", "How many files may be in the spool (--spool-files).",
		(double)sources->spool_limits.files);
	put_gauge(out, "spool_limit_bytes", "How many bytes may be in the spool (--spool-bytes).",
		(double)sources->spool_limits.bytes);
	put_gauge(out, "spool_slow_events",
		"Events in the spool that took longer than their time limit, and are tried less and less often.",
		(double)metrics_gauge(METRICS_SPOOL_SLOW));
	/* Better no figure than a wrong one. */
	if (!spool_look(sources->spool, &contents))
		return;
	put_gauge(out, "spool_files", "Events in the spool, whoever has put them there.",
		(double)contents.files);
	put_gauge(out, "spool_bytes", "Bytes in the spool.", (double)contents.bytes);
	put_gauge(out, "spool_oldest_age_seconds",
		"For how long the oldest event in the spool has been there; 0 with none.", contents.oldest_s);
	put_gauge(out, "spool_corrupt_files", "Files in the spool's corrupt/, for people to look at.",
		(double)contents.corrupt);
}

/* Writes a figure that the system has of this process, under the name that Prometheus's own libraries use. */
static void put_of_process(
	struct buffer *out, const char *name, const char *type, const char *help, double value)
{
	buffer_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.15g\n", name, help, name,
		type, name, value);
}

static void put_memory(struct buffer *out)
{
	char text[128];
	const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	const ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	char *end;

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return;
	text[len] = '\0';
	/* In pages: all that is mapped, then what of it is in memory. */
	const unsigned long mapped = strtoul(text, &end, 10);
	const unsigned long resident = strtoul(end, NULL, 10);
	const double page = (double)sysconf(_SC_PAGESIZE);

	put_of_process(
		out, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (double)mapped * page);
	put_of_process(out, "resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		(double)resident * page);
}

/* poll(2) says which descriptors are not open, of all at once, without /proc. */
static void put_descriptors(struct buffer *out)
{
	struct rlimit limit;
	size_t open = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	const nfds_t count = limit.rlim_cur < DESCRIPTORS_MAX ? (nfds_t)limit.rlim_cur : DESCRIPTORS_MAX;
	struct pollfd *polled = calloc(count, sizeof *polled);
	if (polled == NULL)
		return;
	for (nfds_t i = 0; i < count; i++)
		polled[i].fd = (int)i;
	if (poll(polled, count, 0) >= 0) {
		for (nfds_t i = 0; i < count; i++)
			open += (polled[i].revents & POLLNVAL) == 0;
		put_of_process(out, "open_fds", "gauge", "Number of open file descriptors.", (double)open);
	}
	free(polled);
	put_of_process(
		out, "max_fds", "gauge", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

static void put_process(struct buffer *out)
{
	struct timespec used;

	put_of_process(out, "start_time_seconds", "gauge",
		"Start time of the process since unix epoch in seconds.",
		(double)metrics_gauge(METRICS_STARTED_MS) / 1e3);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
		put_of_process(out, "cpu_seconds_total", "counter",
			"Total user and system CPU time spent in seconds.",
			(double)used.tv_sec + (double)used.tv_nsec / 1e9);
	put_memory(out);
	put_descriptors(out);
}

void exposition_metrics(const struct exposition_sources *sources, struct buffer *out)
{
	put_family(out, "build_info", "gauge", "The version that runs; always 1.");
	buffer_puts(out, "bagelhook_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
	put_requests(out);
	put_events(out);
	put_counters(out, counters, COUNT(counters));
	put_matches(out, sources->verifier);
	put_gauges(out);
	put_gauge(out, "threads_stuck", "Threads that have made no progress for too long.",
		(double)thread_stuck(NULL, NULL));
	put_histogram(out, "commit_duration_seconds",
		"How long transactions took that were committed, from BEGIN to the answer to COMMIT.",
		METRICS_COMMIT_NS, 1e9);
	put_histogram(out, "commit_batch_events", "How many events were in them.", METRICS_BATCH_EVENTS, 1);
	if (sources->spool != NULL)
		put_spool(out, sources);
	put_process(out);
}

static void put_stuck(void *context, const char *thread)
{
	buffer_printf(context, "stuck: %s\n", thread);
}

bool exposition_health(struct buffer *out)
{
	const bool healthy = thread_stuck(put_stuck, out) == 0;

	if (healthy)
		buffer_puts(out, "alive\n");
	return healthy;
}

bool exposition_readiness(const struct exposition_sources *sources, struct buffer *out)
{
	const bool stopping = metrics_gauge(METRICS_STOPPING) != 0;
	const bool up = metrics_gauge(METRICS_DATABASE_UP) != 0;
	const bool room = metrics_gauge(METRICS_QUEUE_EVENTS) < metrics_gauge(METRICS_QUEUE_LIMIT_EVENTS)
		&& metrics_gauge(METRICS_QUEUE_BYTES) < metrics_gauge(METRICS_QUEUE_LIMIT_BYTES);
	const bool ready = !stopping && up && room;

	buffer_puts(out, ready ? "ready\n" : stopping ? "stopping\n" : "not ready\n");
	buffer_printf(out, "database: %s\n", up ? "up, its schema and settings fit" : "away");
	buffer_printf(out, "queue: %s\n", room ? "below its bound" : "full");
	buffer_printf(out, "spool: %s\n",
		sources->spool == NULL                                   ? "none"
			: metrics_gauge(METRICS_SPOOL_REFUSED_LAST) != 0 ? "refused the last event"
									 : "takes events");
	return ready;
}
