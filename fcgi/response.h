/* From what became of a request to its HTTP answer: the only place that knows status
 * codes. */
#ifndef BAGELHOOK_RESPONSE_H
#define BAGELHOOK_RESPONSE_H

#include <fcgiapp.h>
#include <stdbool.h>

#include "common/buffer.h"
#include "fcgi/commit/delivery.h"
#include "request.h"

/* Bytes of what the web server calls a request, and NUL. */
#define ANSWER_REQUEST_ID_SIZE 65

enum answer_kind {
	ANSWER_DELIVERY,    /* correctly signed; outcome, event_id and detail say the rest */
	ANSWER_REQUEST,     /* refused before the signature was looked at; request says why */
	ANSWER_WRONG_SIGNATURE, /* signature or timestamp missing, malformed, wrong or too old; or the secret does not
				   cover the event's mode */
	ANSWER_BUSY,        /* too many requests at once: no place or no memory for it, or no worker in time */
	ANSWER_LONG_HEAD,   /* more bytes of parameters than are gathered */
	ANSWER_CANNOT_RUN,  /* the configuration does not allow to look at it */
	ANSWER_NO_MEMORY
};

struct answer {
	enum answer_kind kind;
	enum request_result request;
	enum delivery_outcome outcome;
	bool spooled; /* with a 503: it is on disk, and will be committed without another delivery */
	char request_id[ANSWER_REQUEST_ID_SIZE]; /* for the log; "" where there is none */
	char event_id[DELIVERY_ID_SIZE];
	char detail[EVENT_DETAIL_SIZE];
};

/* The HTTP status code of an answer. */
int response_status(const struct answer *);

/* Appends the CGI response: header fields, an empty line, the body. */
void response_format(const struct answer *, struct buffer *);

/* The word for an outcome, as the answer and the log say it. */
const char *response_outcome_name(enum delivery_outcome);

#endif
