/* The format of a spool file: one correctly signed delivery, exactly as it came, in a form that
 * shows whether it is whole. */
#ifndef BAGELHOOK_SPOOL_FILE_H
#define BAGELHOOK_SPOOL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "fcgi/commit/delivery.h"

/* Bytes that a file has beside the body, at most. */
#define SPOOL_FILE_HEAD_MAX 256
#define SPOOL_FILE_REASON_SIZE 80

enum spool_file_result {
	SPOOL_FILE_OK,
	SPOOL_FILE_CORRUPT, /* not such a file, or not all of it */
	SPOOL_FILE_NO_MEMORY
};

/* Replaces the buffer's content with what stands before the body in the file of a delivery:
 *
 *     bagelhook-spool 2
 *     sha256 <64 hex digits, of all bytes behind this line>
 *     received <microseconds since 1970-01-01 00:00 UTC>
 *     timestamp <as signed; the line is absent where none was>
 *     signature <64 hex digits; likewise>
 *     mode <live or test, of a secret that vouches for one of them only; likewise>
 *     length <of the body, in bytes>
 *     <empty line>
 *
 * False without memory. Does not block; any thread. */
bool spool_file_head(const struct delivery *, struct buffer *head);

/* Makes a delivery, without its event, of a file's bytes. Files of format 1, which have no
 * `received`, are read, too: changed_us, when the file was written, stands in. On SPOOL_FILE_OK the
 * caller owns the delivery; on SPOOL_FILE_CORRUPT reason says what is wrong. Does not block; any
 * thread. */
enum spool_file_result spool_file_parse(const unsigned char *file, size_t len, int64_t changed_us,
	struct delivery **delivery, char reason[SPOOL_FILE_REASON_SIZE]);

#endif
