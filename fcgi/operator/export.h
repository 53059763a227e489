/* `bagelhook export`: bodies of stored events, to be delivered or imported elsewhere. */
#ifndef BAGELHOOK_EXPORT_H
#define BAGELHOOK_EXPORT_H

#include "fcgi/options.h"

/* Writes the bodies that the options select to standard output, one a line, in the order of receipt; what
 * cannot be written is told on standard error. Returns an exit status: 0 when all are written. Blocks on the
 * database and on standard output; memory is that of one body. */
int export_run(const struct options *);

#endif
