/* The records of the FastCGI requests of a connection, one request after the other, as they come off
 * a socket piece by piece: checked, bounded, and kept until all of them are there. libfcgi, which trusts
 * lengths and reads with blocking calls, reads a request from memory only.
 * By FastCGI Specification 1.0, sections 3 to 6. No I/O; one thread at a time. */
#ifndef BAGELHOOK_RECORDS_H
#define BAGELHOOK_RECORDS_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Bytes of an FCGI_GET_VALUES that are read: many times what there is to be asked for. */
#define RECORDS_MANAGEMENT_SIZE 256

struct records_limits {
	size_t params; /* bytes of names and values with their lengths */
	size_t body;   /* bytes; a longer one is complete, for us, one byte later */
	size_t connections; /* that are served at once: what FCGI_GET_VALUES is told */
};

enum records_result {
	RECORDS_MORE,
	RECORDS_HEAD,     /* the parameters are there; the body may follow */
	RECORDS_COMPLETE,
	RECORDS_MANAGEMENT,  /* a management record: to be answered with records_put_values() */
	RECORDS_MULTIPLEXED, /* a second request begins before this one is complete; refused_id is set */
	RECORDS_ABORTED,     /* the web server does not want it any more */
	RECORDS_WRONG_ROLE,  /* a request for an authorizer or a filter; id is set */
	RECORDS_INVALID,     /* no FastCGI, or none of ours: several requests at once, wrong lengths */
	RECORDS_TOO_LONG,    /* more parameters than the limit */
	RECORDS_NO_MEMORY
};

struct records {
	const struct records_limits *limits;
	uint16_t id;         /* of the request; before its first record, of the one before it, or 0 */
	uint16_t refused_id; /* of the last request that was refused as multiplexed, or 0 */
	struct buffer params; /* from RECORDS_HEAD on the texts that envp points to */
	struct buffer body;
	char **envp; /* "NAME=value" each, NULL behind the last; owned; NULL before RECORDS_HEAD */
	size_t envp_size; /* bytes */

	enum { RECORDS_BEGIN, RECORDS_PARAMS, RECORDS_STDIN } state;
	unsigned char header[8]; /* of the record that is being read */
	size_t header_len;
	size_t content_left;
	size_t padding_left;
	bool skipped; /* it belongs to a request that is not, or no longer, served */
	bool ended;   /* the body has come to its end, or that of the request before was never to come */
	unsigned char begin[8];
	size_t begin_len;
	unsigned char management[RECORDS_MANAGEMENT_SIZE]; /* the content of a management record */
	size_t management_len;
};

/* Initialises the first request of a connection, empty; the limits must outlive it. */
void records_init(struct records *, const struct records_limits *);

/* Frees what it holds, and makes it the connection's next request, empty. What still comes of a body that has not
 * ended is passed over. */
void records_next(struct records *);

/* Frees what it holds. The id stays, for records_put_answer() and records_next(). */
void records_done(struct records *);

/* Takes bytes in, up to the end of the request; *taken says how many. The rest, behind a complete
 * request, belongs to the next one. After RECORDS_HEAD, RECORDS_MANAGEMENT and RECORDS_MULTIPLEXED it is to be
 * called again with the rest, after other results than these and RECORDS_MORE only behind records_next(). */
enum records_result records_feed(struct records *, const unsigned char *bytes, size_t len, size_t *taken);

/* Returns the reason for RECORDS_INVALID or RECORDS_WRONG_ROLE, a literal. */
const char *records_fault(const struct records *);

/* Returns true if the web server wants the connection to stay open behind the answer
 * (FCGI_KEEP_CONN). For a complete request. */
bool records_keep(const struct records *);

/* Returns true if nothing of the next request has come yet. */
bool records_idle(const struct records *);

/* Bytes that it holds. */
size_t records_size(const struct records *);

/* Makes a request, from RECORDS_HEAD on, what libfcgi's functions read: envp, and in over what there is of
 * the body. Nothing of it is to be freed; it lives as long as what the records hold and the stream. */
void records_open(struct records *, FCGX_Request *, FCGX_Stream *in);

/* Makes a stream that libfcgi's functions read len bytes from; they must outlive it. */
void records_open_stream(FCGX_Stream *, void *bytes, size_t len);

/* Appends the answer to the management record that has come: FCGI_GET_VALUES_RESULT, or FCGI_UNKNOWN_TYPE. */
void records_put_values(const struct records *, struct buffer *);

/* Appends an answer to the request, as a responder's records. */
void records_put_answer(const struct records *, const void *answer, size_t len, struct buffer *);

#endif
