/* Where a worker puts a request for libfcgi to read, and where libfcgi puts the answer: a file in
 * memory, kept from one request to the next. One thread. */
#ifndef BAGELHOOK_DESK_H
#define BAGELHOOK_DESK_H

#include <fcgiapp.h>
#include <stdbool.h>

#include "buffer.h"
#include "records.h"

/* The longest answer as records: an event id of 255 bytes may be escaped to six times that. */
#define DESK_ANSWER_SIZE 8192

struct desk {
	int file;
	struct buffer records;
	struct buffer out;
};

/* Makes the file, and room for an answer. False with errno where that cannot be; nothing can be laid out
 * then. */
bool desk_open(struct desk *);

/* Frees what it owns. */
void desk_close(struct desk *);

/* Makes a request the content of the file, from its beginning, and sees to it that libfcgi finds memory for
 * it. False with errno. */
bool desk_lay_out(struct desk *, const struct records *);

/* Has libfcgi begin to read what was laid out: up to its parameters. False where it does not
 * take it, and then holds nothing of it. */
bool desk_accept(struct desk *, FCGX_Request *);

/* Ends what libfcgi holds of a request, which may have been read on another desk. What there is of
 * the answer is in the file then, unless it is false. */
bool desk_finish(struct desk *, FCGX_Request *);

#endif
