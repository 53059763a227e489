/* Bytes from files. */
#ifndef BAGELHOOK_INPUT_H
#define BAGELHOOK_INPUT_H

#include <stddef.h>

/* Reads a file whole, "-" being standard input; at most 64 MiB. Returns its bytes, the caller's
 * to free, never NULL for an empty one; NULL with errno, EFBIG where it is longer. Blocks. */
unsigned char *input_body(const char *name, size_t *len);

/* Reads the next line of standard input that is not empty. Returns its bytes without the line feed, the
 * caller's to free, and counts the lines read in *number; NULL at the end with errno 0, or with the reason.
 * Blocks. */
unsigned char *input_line(unsigned long *number, size_t *len);

/* Reads the first secret of a file as bagelhook --secret-file takes it. Returns its bytes, the caller's to
 * cleanse and free; NULL after a complaint. Blocks. */
unsigned char *input_secret(const char *name, size_t *len);

#endif
