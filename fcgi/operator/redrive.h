/* `bagelhook redrive`: dead letters are tried again, by what the program and the schema are now. */
#ifndef BAGELHOOK_REDRIVE_H
#define BAGELHOOK_REDRIVE_H

#include <stdint.h>

/* Tries the dead letter of this id, or with 0 all that are unresolved. Says of each what became
 * of it, one line on standard output, and sums up. Returns an exit status: 0 when all that were
 * tried are resolved. */
int redrive_run(const char *conninfo, int64_t id);

#endif
