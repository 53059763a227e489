/* Bodies in files that an operator has: one JSON document a line, or one in all of the file. */
#ifndef BAGELHOOK_BODY_READER_H
#define BAGELHOOK_BODY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BODY_READER_ERROR_SIZE 512

enum body_reader_result {
	BODY_READER_BODY,
	BODY_READER_TOO_LONG, /* a line of more than 64 MiB, which was passed over */
	BODY_READER_END,
	BODY_READER_FAILED
};

/* One file. One thread. */
struct body_reader {
	const char *path; /* for messages */
	FILE *file;
	int64_t size;       /* bytes; 0 where it cannot be known beforehand */
	int64_t read;       /* bytes so far */
	unsigned long line; /* that the last body began in, from 1 */

	char *text; /* the line, or the document, that was read last */
	size_t text_len;
	size_t text_size;
	size_t at;           /* where the next line begins in a text that turned out to be many lines */
	unsigned long lines; /* begun so far */
	enum { READER_FIRST, READER_LINES, READER_TEXT, READER_DONE } state;
};

/* Opens a file, "-" for standard input. Returns 0, or -1 with the reason, one line, in error. The
 * path must outlive the reader. */
int body_reader_open(struct body_reader *, const char *path, char error[BODY_READER_ERROR_SIZE]);

/* The next body, without white space around it; it is the reader's, until the next call. Where
 * the first line that is not empty is a JSON document, or all of the file is none, each such line
 * is a body; otherwise all of the file is. Blocks on the file. */
enum body_reader_result body_reader_next(
	struct body_reader *, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE]);

/* Closes it, and frees what it holds. */
void body_reader_close(struct body_reader *);

#endif
