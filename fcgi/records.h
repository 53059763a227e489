/* The records of one FastCGI request, as they come off a socket piece by piece: checked, bounded,
 * and kept until all of them are there, so that libfcgi, which trusts lengths and reads with
 * blocking calls, never sees anything else than a whole and well-formed request.
 * By FastCGI Specification 1.0, sections 3 to 6. No I/O; one thread at a time. */
#ifndef BAGELHOOK_RECORDS_H
#define BAGELHOOK_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct records_limits {
	size_t params; /* bytes of names and values with their lengths */
	size_t body;   /* bytes; a longer one is complete, for us, one byte later */
};

enum records_result {
	RECORDS_MORE,
	RECORDS_COMPLETE,
	RECORDS_ABORTED,    /* the web server does not want it any more */
	RECORDS_WRONG_ROLE, /* a request for an authorizer or a filter; id is set */
	RECORDS_INVALID,    /* no FastCGI, or none of ours: several requests at once, wrong lengths */
	RECORDS_TOO_LONG,   /* more parameters than the limit */
	RECORDS_NO_MEMORY
};

struct records {
	const struct records_limits *limits;
	uint16_t id; /* of the request */
	struct buffer params;
	struct buffer body;

	enum { RECORDS_BEGIN, RECORDS_PARAMS, RECORDS_STDIN } state;
	unsigned char header[8]; /* of the record that is being read */
	size_t header_len;
	size_t content_left;
	size_t padding_left;
	unsigned char begin[8];
	size_t begin_len;
};

/* An empty request; the limits must outlive it. */
void records_init(struct records *, const struct records_limits *);

/* Frees what it holds. */
void records_done(struct records *);

/* Takes bytes in, up to the end of the request. After anything but RECORDS_MORE it is not to be
 * called again. */
enum records_result records_feed(struct records *, const unsigned char *bytes, size_t len);

/* Bytes that it holds. */
size_t records_size(const struct records *);

/* Appends the request, as records of our own making. */
void records_put(const struct records *, struct buffer *);

/* Appends an answer to the request, as a responder's records. */
void records_put_answer(const struct records *, const void *answer, size_t len, struct buffer *);

#endif
