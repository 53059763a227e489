/* How much the responder's spool holds, by its own word, as nobody but its user may look into it; and what it
 * answered. */
#ifndef BAGELHOOK_SPOOL_COUNT_H
#define BAGELHOOK_SPOOL_COUNT_H

#include "common/buffer.h"

/* Writes a JSON object: {"known":true,"files":…,"bytes":…,"oldest":seconds or null,"corrupt":…}, or
 * {"known":false,"why":…} where admin, the responder's --admin-listen, is NULL or does not say. Where they are known,
 * either has counts since the responder's start, too: "answers", by status, and "not_authentic", those with 401 by
 * reason. Asks it not more often than every two seconds, one thread for all, which blocks for as long as
 * admin_client_get() does; the others are given what was said before. Any thread. */
void spool_count(const char *admin, struct buffer *out);

#endif
