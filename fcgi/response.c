#include "config.h"

#include "response.h"

#include <stddef.h>

/* Seconds; the provider tries again after as many. */
#define RETRY_AFTER "60"

struct line {
	int status;
	const char *reason;
	const char *error; /* NULL: the body is that of a 200 */
};

const char *response_outcome_name(enum delivery_outcome outcome)
{
	static const char *const names[] = {
		[DELIVERY_PENDING] = "pending",
		[DELIVERY_APPLIED] = "applied",
		[DELIVERY_DUPLICATE] = "duplicate",
		[DELIVERY_IGNORED] = "ignored",
		[DELIVERY_UNMATCHED] = "unmatched",
		[DELIVERY_DEAD_LETTER] = "dead_letter",
		[DELIVERY_REFUSED] = "refused",
		[DELIVERY_UNAVAILABLE] = "unavailable",
		[DELIVERY_FAILED] = "failed",
		[DELIVERY_LOCKED] = "locked",
		[DELIVERY_UNKNOWN] = "unknown",
		[DELIVERY_QUEUE_FULL] = "queue_full",
	};

	return names[outcome];
}

static struct line delivery_line(enum delivery_outcome outcome)
{
	switch (outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_DUPLICATE:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
		return (struct line){200, "OK", NULL};
	case DELIVERY_DEAD_LETTER:
	case DELIVERY_REFUSED:
		return (struct line){400, "Bad Request", "Invalid request body"};
	case DELIVERY_LOCKED:
		return (struct line){503, "Service Unavailable", "Order is locked in the database"};
	case DELIVERY_QUEUE_FULL:
		return (struct line){503, "Service Unavailable", "Too many requests at once"};
	case DELIVERY_UNKNOWN:
		return (struct line){503, "Service Unavailable", "Outcome unknown"};
	case DELIVERY_PENDING:
	case DELIVERY_UNAVAILABLE:
	case DELIVERY_FAILED:
		break;
	}
	return (struct line){503, "Service Unavailable", "Database unavailable"};
}

static struct line request_line(enum request_result result)
{
	switch (result) {
	case REQUEST_WRONG_METHOD:
		return (struct line){405, "Method Not Allowed", "Method not allowed"};
	case REQUEST_NO_LENGTH:
		return (struct line){411, "Length Required", "Length required"};
	case REQUEST_TOO_LONG:
		return (struct line){413, "Content Too Large", "Request body too large"};
	case REQUEST_SHORT:
	case REQUEST_LONGER:
		return (struct line){400, "Bad Request", "Invalid request body"};
	case REQUEST_OK:
	case REQUEST_NO_MEMORY:
		break;
	}
	return (struct line){503, "Service Unavailable", "Out of memory"};
}

static struct line answer_line(const struct answer *answer)
{
	switch (answer->kind) {
	case ANSWER_DELIVERY:
		return delivery_line(answer->outcome);
	case ANSWER_REQUEST:
		return request_line(answer->request);
	case ANSWER_WRONG_SIGNATURE:
		return (struct line){401, "Unauthorized", "Invalid signature"};
	case ANSWER_BUSY:
		return delivery_line(DELIVERY_QUEUE_FULL);
	case ANSWER_LONG_HEAD:
		return (struct line){503, "Service Unavailable", "Request header fields too large"};
	case ANSWER_CANNOT_RUN:
		return (struct line){503, "Service Unavailable", "Not configured"};
	case ANSWER_NO_MEMORY:
		break;
	}
	return (struct line){503, "Service Unavailable", "Out of memory"};
}

/* The detail of a 400, or NULL. */
static const char *answer_detail(const struct answer *answer)
{
	if (answer->kind == ANSWER_DELIVERY)
		return answer->detail;
	switch (answer->request) {
	case REQUEST_SHORT:
		return "body: shorter than CONTENT_LENGTH";
	case REQUEST_LONGER:
		return "body: longer than CONTENT_LENGTH";
	default:
		return NULL;
	}
}

int response_status(const struct answer *answer)
{
	return answer_line(answer).status;
}

void response_format(const struct answer *answer, struct buffer *out)
{
	struct line line = answer_line(answer);

	buffer_puts(out, "Status: ");
	buffer_put_size(out, (size_t)line.status);
	buffer_puts(out, " ");
	buffer_puts(out, line.reason);
	buffer_puts(out, "\r\nContent-Type: application/json\r\n");
	if (line.status == 405)
		buffer_puts(out, "Allow: POST\r\n");
	if (line.status == 503)
		buffer_puts(out, "Retry-After: " RETRY_AFTER "\r\n");
	buffer_puts(out, "\r\n");
	if (line.error == NULL) {
		buffer_puts(out, "{\"message\":\"Success\",\"event_id\":");
		buffer_puts_json(out, answer->event_id);
		buffer_puts(out, ",\"outcome\":\"");
		buffer_puts(out, response_outcome_name(answer->outcome));
		buffer_puts(out, "\"}\n");
		return;
	}
	buffer_puts(out, "{\"error\":");
	buffer_puts_json(out, line.error);
	if (line.status == 400) {
		const char *detail = answer_detail(answer);

		if (detail != NULL) {
			buffer_puts(out, ",\"detail\":");
			buffer_puts_json(out, detail);
		}
	}
	if (line.status == 503)
		buffer_puts(out, answer->spooled ? ",\"spooled\":true" : ",\"spooled\":false");
	buffer_puts(out, "}\n");
}
