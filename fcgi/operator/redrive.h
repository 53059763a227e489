/* `bagelhook redrive`: dead letters, or ignored events, are tried again with the present program and schema.
 */
#ifndef BAGELHOOK_REDRIVE_H
#define BAGELHOOK_REDRIVE_H

#include <stdint.h>

enum redrive_what {
	REDRIVE_LETTER,  /* the dead letter of an id */
	REDRIVE_LETTERS, /* all that are unresolved, except those with the reason mode */
	REDRIVE_IGNORED  /* events of types that were unknown when they came, and are known now */
};

/* Tries them; id is 0 except with REDRIVE_LETTER. Prints for each what became of it, one line on standard
 * output, and sums up. Returns an exit status: 0 when all that were tried are resolved. */
int redrive_run(const char *conninfo, enum redrive_what, int64_t id);

#endif
