/* Memory for one JSON tree a thread, taken in pieces and given back as a whole: Jansson
 * allocates each node by itself, which costs more than parsing. */
#ifndef BAGELHOOK_ARENA_H
#define BAGELHOOK_ARENA_H

#include <stdbool.h>

/* From now on, what Jansson allocates in this thread comes from the thread's arena. */
void arena_begin(void);

/* Returns true if an allocation since arena_begin() found no memory: Jansson does not tell that from
 * a syntax error, and a correctly signed event must not become a dead letter for want of memory. */
bool arena_failed(void);

/* Gives back all that Jansson allocated in this thread since arena_begin(). Without an
 * arena_begin() it does nothing. */
void arena_end(void);

#endif
