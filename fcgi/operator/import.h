/* `bagelhook import`: bodies that an operator got by other means than the provider's deliveries. */
#ifndef BAGELHOOK_IMPORT_H
#define BAGELHOOK_IMPORT_H

#include <stddef.h>

/* Commits the bodies in files, "-" for standard input. What is no valid event is named on standard
 * error, by file and line, and passed over. Sums up on standard output, and shows on a terminal how
 * far it is. Returns an exit status: 0 when all bodies are committed. */
int import_run(const char *conninfo, char *const files[], size_t count);

#endif
