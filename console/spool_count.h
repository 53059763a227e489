/* How much the responder's spool holds, seen from outside. */
#ifndef BAGELHOOK_SPOOL_COUNT_H
#define BAGELHOOK_SPOOL_COUNT_H

#include "buffer.h"

/* Writes a JSON object: {"known":true,"files":…,"bytes":…,"oldest":seconds or null,"corrupt":…}, or
 * {"known":false,"why":…} where directory is NULL or cannot be read. Counts the files, but not more
 * often than every two seconds for all threads together. Any thread. */
void spool_count(const char *directory, struct buffer *out);

#endif
