/* The environment is the parameters of a FastCGI request, and what is read its body, so that the handler sees the
 * same as with a responder. */
#include "config.h"

#include "cgi.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/records.h"
#include "common/signals.h"
#include "common/text.h"

struct visit {
	struct receipt receipt;
	atomic_bool came; /* the receipt */
};

bool cgi_is_request(void)
{
	/* Only the main thread runs yet. */
	return getenv("GATEWAY_INTERFACE") != NULL  /* NOLINT(concurrency-mt-unsafe) */
		&& getenv("REQUEST_METHOD") != NULL /* NOLINT(concurrency-mt-unsafe) */
		&& !listener_is_inherited();
}

/* Reads until the body is whole, standard input ends, or the deadline comes. */
static void read_body(struct buffer *body, size_t length, int64_t deadline_ms)
{
	char bytes[16384];

	while (body->len < length && !buffer_failed(body)) {
		const size_t wanted = length - body->len < sizeof bytes ? length - body->len : sizeof bytes;
		const int64_t left_ms = deadline_ms - clock_ms();
		struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

		if (left_ms <= 0)
			return;
		if (poll(&input, 1, (int)left_ms) <= 0)
			continue;
		const ssize_t got = read(STDIN_FILENO, bytes, wanted);
		if (got > 0)
			buffer_put(body, bytes, (size_t)got);
		else if (got == 0 || (errno != EINTR && errno != EAGAIN))
			return;
	}
}

static void write_answer(const struct answer *answer)
{
	struct buffer out;
	size_t at = 0;

	buffer_init(&out);
	response_format(answer, &out);
	while (!buffer_failed(&out) && at < out.len) {
		const ssize_t written = write(STDOUT_FILENO, out.data + at, out.len - at);

		if (written < 0 && errno != EINTR)
			break;
		at += written > 0 ? (size_t)written : 0;
	}
	buffer_done(&out);
}

/* The web server waits for the end of standard output, which is not to last as long as what still has to be committed or
 * drained. Nothing else may get its number. Standard input stays open: some web servers fail if they cannot send the rest
 * of a body that nobody wants. */
static void give_answer(const struct answer *answer)
{
	const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	write_answer(answer);
	if (nothing < 0 || dup2(nothing, STDOUT_FILENO) < 0)
		log_record(LOG_WARN, "the answer stays open until the process ends",
			LOG_PAIRS("reason", text_error(errno)));
	if (nothing > STDERR_FILENO)
		close(nothing);
}

void cgi_apologise(void)
{
	give_answer(&(struct answer){.kind = ANSWER_CANNOT_RUN});
}

static void receive(void *context, struct receipt *receipts)
{
	struct visit *visit = context;

	(void)receipts;
	atomic_store(&visit->came, true);
	signals_wake();
}

/* At the latest then it is looked again how long a delivery may wait: less, if the database is found to be away. */
#define LOOK_MS 1000

/* Waits as long as deliveries may: handler_expire() ends it. */
static void wait_for_receipt(struct handler *handler, struct visit *visit)
{
	while (!atomic_load(&visit->came)) {
		const int64_t left_ms = handler_expire(handler, clock_ms()) - clock_ms();
		struct pollfd wake = {.fd = signals_fd(), .events = POLLIN};

		if (poll(&wake, 1, left_ms < 0 ? 0 : left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) > 0)
			signals_empty();
	}
}

static void serve(struct handler *handler, struct spooler *spooler, FCGX_Request *fcgi)
{
	struct answer answer = {.kind = ANSWER_NO_MEMORY};
	struct request request;
	struct visit visit = {0};
	bool submitted = false;

	handler_on_finish(handler, receive, &visit);
	if (handler_receive(handler, fcgi, &request, &answer))
		submitted = handler_submit(handler, &request, &answer, &visit.receipt);
	request_done(&request);
	if (submitted) {
		/* Not before: a stranger is to cost no work of the database. */
		spooler_drain(spooler);
		wait_for_receipt(handler, &visit);
		handler_complete(&visit.receipt, &answer);
	}
	give_answer(&answer);
	if (submitted)
		handler_finish(&visit.receipt, &answer);
}

void cgi_serve(struct handler *handler, struct spooler *spooler, const struct cgi_limits *limits)
{
	FCGX_Stream in;
	FCGX_Request fcgi = {.role = FCGI_RESPONDER, .in = &in, .envp = environ, .ipcFd = -1};
	struct buffer body;
	size_t length;

	buffer_init(&body);
	/* Standard input need not end with the body (section 4.2). Nothing is read of what will be refused anyway.
	 */
	if (request_check_head(environ, limits->max_body, &length) == REQUEST_OK)
		read_body(&body, length, clock_ms() + limits->read_timeout_ms);
	if (buffer_failed(&body)) {
		give_answer(&(struct answer){.kind = ANSWER_NO_MEMORY});
		log_record(LOG_ERROR, "cannot serve a request", LOG_PAIRS("reason", text_error(ENOMEM)));
	} else {
		records_open_stream(&in, body.data, body.len);
		serve(handler, spooler, &fcgi);
	}
	buffer_done(&body);
}
