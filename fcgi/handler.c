#include "config.h"

#include "handler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/metrics.h"
#include "common/text.h"
#include "fcgi/event/event.h"

_Static_assert(DELIVERY_QUEUE_FULL < METRICS_OUTCOME_SPOOLED, "an outcome each, and one more");

struct handler {
	struct handler_limits limits;
	struct queue *queue;
	struct spooler *spooler;
	struct signature_verifier *verifier;
	struct log_limit refusal_limit;
};

struct handler *handler_open(struct queue *queue, struct spooler *spooler,
	struct signature_verifier *verifier, const struct handler_limits *limits)
{
	struct handler *h = calloc(1, sizeof *h);

	if (h == NULL)
		return NULL;
	h->limits = *limits;
	h->queue = queue;
	h->spooler = spooler;
	h->verifier = verifier;
	return h;
}

void handler_close(struct handler *h)
{
	free(h);
}

void handler_on_finish(struct handler *h, queue_finished *finished, void *context)
{
	spooler_on_finish(h->spooler, finished, context);
}

int64_t handler_expire(struct handler *h, int64_t now_ms)
{
	int64_t of_queue = queue_expire(h->queue, now_ms);
	int64_t of_spooler = spooler_expire(h->spooler, now_ms);

	return of_queue < of_spooler ? of_queue : of_spooler;
}

bool handler_receive(struct handler *h, FCGX_Request *fcgi, struct request *request, struct answer *answer)
{
	memset(answer, 0, sizeof *answer);
	answer->kind = ANSWER_REQUEST;
	answer->request = request_read(fcgi->in, fcgi->envp, h->limits.max_body, request);
	if (request->id != NULL && text_is_id(request->id, sizeof answer->request_id))
		memcpy(answer->request_id, request->id, strlen(request->id) + 1);
	return answer->request == REQUEST_OK;
}

/* The reason in the log, and the counter, for each kind of wrong signature. */
static const struct {
	const char *reason;
	enum metrics_counter counter;
} wrong_signatures[] = {
	[SIGNATURE_MISSING] = {"signature or timestamp header missing", METRICS_SIGNATURE_MISSING},
	[SIGNATURE_MALFORMED] = {"signature or timestamp header malformed", METRICS_SIGNATURE_MALFORMED},
	[SIGNATURE_WRONG] = {"the signature matches no secret", METRICS_SIGNATURE_WRONG},
};

static const char *request_id(const struct answer *answer)
{
	return answer->request_id[0] == '\0' ? NULL : answer->request_id;
}

/* Helps to connect the provider with this responder. Anybody can cause it, so it is limited to one a second, and
 * holds nothing of what was sent. */
static void log_refusal(struct handler *h, const struct answer *answer, const char *reason)
{
	if (log_may(&h->refusal_limit))
		log_record(LOG_WARN, "rejected: invalid signature",
			LOG_PAIRS("status", "401", "reason", reason, "request_id", request_id(answer)));
}

/* Checks the signature, unless that is switched off. Returns true if it is right; delivery then has what was signed. */
static bool check_signature(
	struct handler *h, const struct request *request, struct delivery *delivery, struct answer *answer)
{
	struct signature_match match;

	if (h->limits.without_signature)
		return true;
	const enum signature_result result = signature_verify(h->verifier, request->signature,
		request->timestamp, request->body, request->body_len, &match);
	if (result == SIGNATURE_FAILED) {
		answer->kind = ANSWER_NO_MEMORY;
		return false;
	}
	answer->kind = ANSWER_WRONG_SIGNATURE;
	if (result != SIGNATURE_OK) {
		metrics_count(wrong_signatures[result].counter);
		log_refusal(h, answer, wrong_signatures[result].reason);
		return false;
	}
	const int64_t difference = match.timestamp - (int64_t)time(NULL);
	metrics_set(METRICS_CLOCK_DIFFERENCE_S, difference);
	if (h->limits.max_age > 0 && -difference > h->limits.max_age) {
		metrics_count(METRICS_SIGNATURE_TOO_OLD);
		log_refusal(h, answer, "the signed timestamp is older than --max-age");
		return false;
	}
	delivery->timestamp = match.timestamp;
	delivery->modes = match.modes;
	/* Kept in one case, so that it can be compared. */
	for (size_t i = 0; i < SIGNATURE_LEN; i++)
		delivery->signature[i] = text_lower(request->signature[i]);
	return true;
}

/* One record, whose words are ours: an event may name its own type, and anything an id. */
static void log_answer(const struct answer *answer, const struct delivery *delivery)
{
	char status[16];
	const struct event *event = delivery->event;
	const char *event_id = answer->event_id[0] != '\0' ? answer->event_id
		: event == NULL                            ? ""
							   : event->id;
	const enum log_level level = response_status(answer) == 200 ? LOG_INFO : LOG_WARN;

	if (!log_wants(level))
		return;
	snprintf(status, sizeof status, "%d", response_status(answer));
	log_record(level, level == LOG_INFO ? "accepted" : "not accepted",
		LOG_PAIRS("status", status, "outcome", response_outcome_name(answer->outcome), "detail",
			answer->detail[0] == '\0' ? NULL : answer->detail, "spooled",
			answer->spooled ? "yes" : NULL, "event_id",
			text_is_id(event_id, sizeof answer->event_id) ? event_id : NULL, "event_type",
			event == NULL ? NULL : metrics_event_type(event->type), "mode",
			event == NULL ? NULL : event->mode, "request_id", request_id(answer)));
}

static void count_answer(const struct answer *answer, const struct delivery *delivery)
{
	const struct event *event = delivery->event;

	metrics_count_event(event == NULL ? NULL : event->type, event == NULL ? NULL : event->mode,
		answer->spooled ? METRICS_OUTCOME_SPOOLED : (unsigned)answer->outcome);
	if (event != NULL && response_status(answer) == 200)
		metrics_set(event->mode[0] == 'l' ? METRICS_LAST_LIVE_S : METRICS_LAST_TEST_S, time(NULL));
}

bool handler_submit(
	struct handler *h, struct request *request, struct answer *answer, struct receipt *receipt)
{
	struct delivery *delivery = delivery_new(request->body, request->body_len);

	if (delivery == NULL) {
		answer->kind = ANSWER_NO_MEMORY;
		return false;
	}
	/* The delivery owns the body now; what is checked and what is stored is the same. */
	struct request checked = *request;
	request->body = NULL;
	if (!check_signature(h, &checked, delivery, answer))
		goto answered;

	if (delivery_parse(delivery) == EVENT_NO_MEMORY) {
		answer->kind = ANSWER_NO_MEMORY;
		goto answered;
	}
	answer->kind = ANSWER_DELIVERY;
	if (queue_submit(h->queue, delivery, receipt))
		return true;
	answer->outcome = DELIVERY_QUEUE_FULL;
	count_answer(answer, delivery);
	log_answer(answer, delivery);
answered:
	delivery_free(delivery);
	return false;
}

void handler_complete(struct receipt *receipt, struct answer *answer)
{
	answer->outcome = receipt->outcome;
	answer->spooled = receipt->spooled;
	/* The committer may still be writing these if the delivery was given up. */
	if (response_status(answer) != 503) {
		memcpy(answer->event_id, receipt->delivery->event_id, sizeof answer->event_id);
		memcpy(answer->detail, receipt->delivery->detail, sizeof answer->detail);
		/* Its dead letter is for us; whoever signed it has the wrong secret. */
		if (receipt->delivery->wrong_mode)
			answer->kind = ANSWER_WRONG_SIGNATURE;
	}
	if (answer->kind == ANSWER_WRONG_SIGNATURE)
		metrics_count(METRICS_SIGNATURE_MODE);
	else
		count_answer(answer, receipt->delivery);
}

void handler_finish(struct receipt *receipt, const struct answer *answer)
{
	log_answer(answer, receipt->delivery);
	delivery_free(receipt->delivery);
	receipt->delivery = NULL;
}
