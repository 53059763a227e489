#include "config.h"

#include "responder.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/signals.h"
#include "fcgi/watch/admin.h"

/* A request between being read and being answered. */
struct exchange {
	struct receipt receipt;
	struct peer *peer;
	struct answer answer;
};

struct responder {
	struct handler *handler;
	struct rotation *rotation;
	struct server *server;
	size_t max_body;
	struct peers_owner owner;
};

static void put_answer(const struct answer *answer, struct buffer *out)
{
	const int status = response_status(answer);

	metrics_count_request(status);
	if (status == 503 && !answer->spooled)
		metrics_count(METRICS_LEFT_TO_RETRIES);
	response_format(answer, out);
}

static bool wants_body(void *context, char **envp)
{
	const struct responder *r = context;
	size_t length;

	return request_check_head(envp, r->max_body, &length) == REQUEST_OK;
}

static void refuse(void *context, enum refusal why, struct buffer *out)
{
	const enum answer_kind kind = why == REFUSAL_MEMORY ? ANSWER_NO_MEMORY
		: why == REFUSAL_PARAMS                     ? ANSWER_LONG_HEAD
							    : ANSWER_BUSY;

	(void)context;
	put_answer(&(struct answer){.kind = kind}, out);
}

static bool serve(void *context, void *worker, FCGX_Request *fcgi, struct peer *peer, struct buffer *out)
{
	struct responder *r = context;
	struct exchange *exchange = calloc(1, sizeof *exchange);
	struct request request;
	bool submitted = false;

	(void)worker;
	if (exchange == NULL) {
		peers_refuse(&r->owner, REFUSAL_MEMORY, out);
		return true;
	}
	exchange->peer = peer;
	peer->exchange = exchange;
	if (handler_receive(r->handler, fcgi, &request, &exchange->answer)) {
		/* It has been copied. */
		buffer_done(&peer->records.body);
		submitted = handler_submit(r->handler, &request, &exchange->answer, &exchange->receipt);
	}
	/* From here on another worker may already have answered it, and freed the exchange. */
	request_done(&request);
	if (submitted)
		return false;
	put_answer(&exchange->answer, out);
	peer->exchange = NULL;
	free(exchange);
	return true;
}

static void answer(void *context, struct peer *peer, struct buffer *out)
{
	struct exchange *exchange = peer->exchange;

	(void)context;
	handler_complete(&exchange->receipt, &exchange->answer);
	put_answer(&exchange->answer, out);
}

static void finish(void *argument)
{
	struct exchange *exchange = argument;

	handler_finish(&exchange->receipt, &exchange->answer);
	free(exchange);
}

/* The queue's receipts: their connections are to be answered. */
static void receive_receipts(void *context, struct receipt *receipts)
{
	struct responder *r = context;
	struct peer *first = NULL;
	struct peer **end = &first;

	for (struct receipt *receipt = receipts; receipt != NULL; receipt = receipt->next) {
		struct exchange *exchange =
			(struct exchange *)((char *)receipt - offsetof(struct exchange, receipt));

		*end = exchange->peer;
		end = &exchange->peer->next;
	}
	*end = NULL;
	server_answer(r->server, first);
}

static int64_t turn(void *context)
{
	struct responder *r = context;

	rotation_watch(r->rotation, signals_hangup());
	return handler_expire(r->handler, clock_ms());
}

struct server_limits responder_limits(const struct options *options)
{
	return (struct server_limits){
		.threads = (size_t)options->threads,
		.max_body = (size_t)options->max_body,
		.read_timeout_ms = (int)options->read_timeout * 1000,
		.other_descriptors = options->admin_listen == NULL ? 0 : ADMIN_DESCRIPTORS,
	};
}

int responder_run(struct listener *listener, struct handler *handler, const struct server_limits *limits,
	struct rotation *rotation)
{
	struct responder r = {.handler = handler, .rotation = rotation, .max_body = limits->max_body};

	r.owner = (struct peers_owner){&r, wants_body, refuse};
	const struct server_service service = {
		.peers = r.owner, .serve = serve, .answer = answer, .finish = finish, .turn = turn};

	r.server = server_new(listener, limits, &service);
	if (r.server == NULL)
		return -1;
	handler_on_finish(handler, receive_receipts, &r);
	const int status = server_run(r.server);
	server_free(r.server);
	return status;
}
