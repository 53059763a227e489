/* One request as FastCGI brings it: the parameters that matter, and a body of exactly the
 * length that was announced. */
#ifndef BAGELHOOK_REQUEST_H
#define BAGELHOOK_REQUEST_H

#include <fcgiapp.h>
#include <stddef.h>

enum request_result {
	REQUEST_OK,
	REQUEST_WRONG_METHOD, /* not POST */
	REQUEST_NO_LENGTH,    /* CONTENT_LENGTH absent, or not digits */
	REQUEST_TOO_LONG,     /* more than max_body bytes announced */
	REQUEST_SHORT,        /* fewer bytes came than were announced */
	REQUEST_LONGER,       /* more bytes came than were announced */
	REQUEST_NO_MEMORY
};

struct request {
	const char *signature; /* NULL where absent; the FastCGI request owns them */
	const char *timestamp;
	const char *id;      /* what the web server calls it */
	unsigned char *body; /* owned */
	size_t body_len;
};

/* Checks method and length, which is filled in. What is refused so needs no body. Does not block. */
enum request_result request_check_head(FCGX_ParamArray params, size_t max_body, size_t *length);

/* Checks method and length, then reads the body, in this order of cost; after the first
 * that fails nothing more is read. *request is to be freed with request_done() whatever
 * the result. Blocks as the stream does. */
enum request_result request_read(FCGX_Stream *in, FCGX_ParamArray params, size_t max_body, struct request *);

/* Frees the body. */
void request_done(struct request *);

#endif
