/* Sends signed events over kept HTTP connections and measures the answers: one thread,
 * epoll(7), so that it costs little beside what it measures.
 *
 * Without --rate each connection sends its next event when the last one was answered
 * (closed loop: the most that gets through). With it, events are due at even intervals
 * whatever the answers do (open loop), and a latency counts from the moment that its event
 * was due: waiting for a free connection is part of it, as it would be for a sender. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define NS_PER_S 1000000000LL
#define RESPONSE_MAX 4096
#define MOST_UNANSWERED 1000
/* How long answers may stay out after the last event was sent. */
#define PATIENCE_NS (60 * NS_PER_S)

struct connection {
	int fd;
	bool busy;
	int64_t due_ns;
	size_t sent;
	size_t len;
	size_t got;
	char request[EVENTS_REQUEST_MAX];
	char response[RESPONSE_MAX + 1];
};

struct load {
	struct sockaddr_in address;
	struct events *events;
	size_t count;
	int64_t seconds;
	double rate; /* 0: closed loop */
	size_t connection_count;
	struct connection *connections;
	int epoll;

	int64_t start_ns;
	int64_t last_ns; /* of the last answer */
	int64_t cpu_ns;  /* that this process ran from the first event to the last answer */
	size_t next;     /* index of the next event */
	size_t answered;
	size_t good;
	size_t reconnects;
	size_t unanswered; /* connections closed in a row without an answer */
	uint32_t *latency_us;
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void connect_one(struct load *l, struct connection *c)
{
	const int on = 1;
	struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->address, sizeof l->address) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &wanted) != 0)
		die("epoll_ctl");
}

static void reconnect(struct load *l, struct connection *c)
{
	close(c->fd);
	l->reconnects++;
	connect_one(l, c);
}

static void send_request(struct connection *c)
{
	c->got = 0;
	for (c->sent = 0; c->sent < c->len;) {
		ssize_t n = send(c->fd, c->request + c->sent, c->len - c->sent, MSG_NOSIGNAL);

		/* A server may close a kept connection at any moment; the answer will tell. */
		if (n < 0)
			return;
		c->sent += (size_t)n;
	}
}

static int64_t due_at(const struct load *l, size_t index)
{
	return l->start_ns + (int64_t)((double)index * (double)NS_PER_S / l->rate);
}

static bool all_sent(const struct load *l, int64_t now)
{
	return l->next == l->count || now - l->start_ns >= l->seconds * NS_PER_S;
}

static void begin(struct load *l, struct connection *c, int64_t now)
{
	c->due_ns = l->rate > 0 ? due_at(l, l->next) : now;
	c->len = events_request(l->events, l->next++, c->request);
	c->busy = true;
	send_request(c);
}

/* Gives free connections what is due. */
static void begin_due(struct load *l, int64_t now)
{
	for (size_t i = 0; i < l->connection_count; i++) {
		if (all_sent(l, now) || (l->rate > 0 && due_at(l, l->next) > now))
			return;
		if (!l->connections[i].busy)
			begin(l, &l->connections[i], now);
	}
}

/* Whether a response is complete: its head, and a body of the length or the last chunk
 * that the head announces. */
static bool is_complete(const struct connection *c)
{
	const char *end = strstr(c->response, "\r\n\r\n");

	if (end == NULL)
		return false;
	const char *length = strcasestr(c->response, "\r\nContent-Length:");
	if (length != NULL && length < end)
		return c->got >= (size_t)(end + 4 - c->response) + strtoul(length + 17, NULL, 10);
	return c->got >= 5 && memcmp(c->response + c->got - 5, "0\r\n\r\n", 5) == 0;
}

static void finish(struct load *l, struct connection *c)
{
	l->last_ns = clock_ns(CLOCK_MONOTONIC);
	l->unanswered = 0;
	l->latency_us[l->answered++] = (uint32_t)((l->last_ns - c->due_ns) / 1000);
	l->good += strncmp(c->response, "HTTP/1.1 200", 12) == 0;
	c->busy = false;
	if (strcasestr(c->response, "\r\nConnection: close") != NULL)
		reconnect(l, c);
	/* Closed loop: this one goes on at once, without a look at all the others. */
	if (l->rate <= 0 && !all_sent(l, l->last_ns))
		begin(l, c, l->last_ns);
}

static void receive(struct load *l, struct connection *c)
{
	ssize_t n = recv(c->fd, c->response + c->got, RESPONSE_MAX - c->got, 0);

	if (n <= 0) {
		reconnect(l, c);
		if (c->busy && ++l->unanswered == MOST_UNANSWERED) {
			fprintf(stderr, "the server closes its connections without answers\n");
			exit(1);
		}
		if (c->busy)
			send_request(c);
		return;
	}
	c->got += (size_t)n;
	c->response[c->got] = '\0';
	if (c->busy && is_complete(c))
		finish(l, c);
	else if (c->got == RESPONSE_MAX) {
		fprintf(stderr, "an answer longer than %d bytes\n", RESPONSE_MAX);
		exit(1);
	}
}

static void run(struct load *l)
{
	struct epoll_event ready[256];

	l->start_ns = clock_ns(CLOCK_MONOTONIC);
	l->cpu_ns = -clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	for (;;) {
		int64_t now = clock_ns(CLOCK_MONOTONIC);
		int64_t wait_ns = PATIENCE_NS;

		begin_due(l, now);
		if (all_sent(l, now)) {
			if (l->answered == l->next)
				break;
		} else if (l->rate > 0) {
			wait_ns = due_at(l, l->next) - now;
			wait_ns = wait_ns > 0 ? wait_ns : PATIENCE_NS;
		}
		struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
		int count = epoll_pwait2(l->epoll, ready, 256, &wait, NULL);
		if (count < 0 && errno != EINTR)
			die("epoll_pwait2");
		if (count == 0 && wait_ns == PATIENCE_NS) {
			fprintf(stderr, "no answer within 60 seconds\n");
			exit(1);
		}
		for (int i = 0; i < count; i++)
			receive(l, ready[i].data.ptr);
	}
	l->cpu_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(const struct load *l, double share)
{
	return l->answered == 0 ? 0 : l->latency_us[(size_t)(share * (double)(l->answered - 1))];
}

static void report(struct load *l)
{
	qsort(l->latency_us, l->answered, sizeof *l->latency_us, compare);
	printf("{\"sent\": %zu, \"good\": %zu, \"seconds\": %.6f, \"cpu_us\": %" PRId64
	       ", \"p50_us\": %" PRIu32 ", \"p90_us\": %" PRIu32 ", \"p99_us\": %" PRIu32
	       ", \"max_us\": %" PRIu32 ", \"reconnects\": %zu}\n",
		l->next, l->good, (double)(l->last_ns - l->start_ns) / (double)NS_PER_S, l->cpu_ns / 1000,
		percentile(l, 0.5), percentile(l, 0.9), percentile(l, 0.99), percentile(l, 1), l->reconnects);
}

static void usage(FILE *out)
{
	fputs("Usage: load --port N --secret TEXT [OPTIONS] CHECKOUT-TEMPLATE PAYMENT-TEMPLATE\n"
	      "Sends signed events to 127.0.0.1 and prints what came of it as one line of JSON.\n\n"
	      "  --path PATH        of the webhook (/webhooks/bagelpay)\n"
	      "  --connections N    kept open (64)\n"
	      "  --events N         how many at most (100000); they are signed beforehand\n"
	      "  --seconds N        stop sending after (3600)\n"
	      "  --rate N           events a second, open loop; without it closed loop\n"
	      "  --first N          number of the first event, at least 2000 (2000)\n",
		out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"port", 1, NULL, 'p'}, {"secret", 1, NULL, 's'},
		{"path", 1, NULL, 'u'}, {"connections", 1, NULL, 'c'}, {"events", 1, NULL, 'n'},
		{"seconds", 1, NULL, 't'}, {"rate", 1, NULL, 'r'}, {"first", 1, NULL, 'f'},
		{"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct load l = {.count = 100000, .seconds = 3600, .connection_count = 64};
	const char *path = "/webhooks/bagelpay";
	const char *secret = NULL;
	uint64_t first = 2000;
	int port = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			port = atoi(optarg);
			break;
		case 's':
			secret = optarg;
			break;
		case 'u':
			path = optarg;
			break;
		case 'c':
			l.connection_count = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			l.count = strtoul(optarg, NULL, 10);
			break;
		case 't':
			l.seconds = atoll(optarg);
			break;
		case 'r':
			l.rate = atof(optarg);
			break;
		case 'f':
			first = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (argc - optind != 2 || port <= 0 || secret == NULL || l.connection_count == 0 || l.count == 0
		|| first < 2000) {
		usage(stderr);
		return 2;
	}
	const char *const files[2] = {argv[optind], argv[optind + 1]};
	l.events = events_new(files, path, secret, first, l.count);
	l.latency_us = calloc(l.count, sizeof *l.latency_us);
	l.connections = calloc(l.connection_count, sizeof *l.connections);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l.events == NULL || l.latency_us == NULL || l.connections == NULL || l.epoll < 0)
		return 1;
	l.address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (size_t i = 0; i < l.connection_count; i++)
		connect_one(&l, &l.connections[i]);
	run(&l);
	report(&l);
	events_free(l.events);
	free(l.latency_us);
	free(l.connections);
	return 0;
}
