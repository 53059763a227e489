/* --check: looks at everything that a start would need, and leaves nothing behind. */
#ifndef BAGELHOOK_CHECK_H
#define BAGELHOOK_CHECK_H

#include "options.h"

/* Prints one line per part: on standard output those that are fine, on standard error those that are not,
 * with the remedy. Returns the exit status: 0 if all is fine, 3 if only the database is unreachable, else 1.
 * Blocks on the file system and, for seconds, on the database. The main thread, before any other runs. */
int check_run(const struct options *);

#endif
