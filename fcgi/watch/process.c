#include "config.h"

#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/metrics.h"

/* The system gives the lowest descriptors first, and connections are limited to fewer. */
#define DESCRIPTORS_MAX 4096

static void put(struct buffer *out, const char *name, const char *type, const char *help, double value)
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

	put(out, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (double)mapped * page);
	put(out, "resident_memory_bytes", "gauge", "Resident memory size in bytes.", (double)resident * page);
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
		put(out, "open_fds", "gauge", "Number of open file descriptors.", (double)open);
	}
	free(polled);
	put(out, "max_fds", "gauge", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

void process_metrics(struct buffer *out)
{
	struct timespec used;

	put(out, "start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
		(double)metrics_gauge(METRICS_STARTED_MS) / 1e3);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
		put(out, "cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
			(double)used.tv_sec + (double)used.tv_nsec / 1e9);
	put_memory(out);
	put_descriptors(out);
}
