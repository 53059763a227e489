/* Comma-separated values as RFC 4180 has them: quotes around a field, doubled quotes in it, lines that end
 * with LF or CRLF; also a UTF-8 BOM at the start, and empty lines, which are no records. */
#ifndef BAGELHOOK_CSV_H
#define BAGELHOOK_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/buffer.h"

#define CSV_FIELDS_MAX 64
#define CSV_RECORD_MAX ((size_t)1024 * 1024)

enum csv_result {
	CSV_RECORD,
	CSV_WRONG, /* error says why; the next record begins on the next line */
	CSV_END,
	CSV_FAILED /* errno says why */
};

/* One file, for one thread. Begins as zeros but for file, which stays the caller's. */
struct csv {
	FILE *file;
	unsigned long line; /* that the last record begins on, from 1 */
	size_t count;       /* of its fields */
	const char *error;  /* a literal */

	unsigned long lines; /* read so far */
	struct buffer text;  /* the fields, each with a NUL behind it */
	size_t starts[CSV_FIELDS_MAX];
};

/* Reads the next record. Blocks on the file. */
enum csv_result csv_next(struct csv *);

/* Returns a field of the last record, from 0, which is the caller's to change, until the next call. */
char *csv_field(const struct csv *, size_t number);

/* Frees what it owns. */
void csv_done(struct csv *);

#endif
