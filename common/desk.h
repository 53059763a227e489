/* A worker's file in memory, in which libfcgi finds a request; and the room in which the answer is made. Both
 * are kept from one request to the next. One thread. */
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

/* Writes a request to the file, from its beginning, and sees to it that libfcgi finds memory for it. Returns
 * false with errno. */
bool desk_lay_out(struct desk *, const struct records *);

/* Has libfcgi begin to read what was laid out: up to its parameters. The request is to be freed with
 * FCGX_Free(request, 0), which leaves the file open. False with errno where libfcgi does not take it, and
 * then holds nothing of it. */
bool desk_accept(struct desk *, FCGX_Request *);

#endif
