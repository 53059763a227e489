/* `bagelhook status`: whether all is well, and what a person should look at. */
#ifndef BAGELHOOK_STATUS_H
#define BAGELHOOK_STATUS_H

#include "fcgi/options.h"

/* Asks the database, and a responder if the options name one, and prints what they say: in some lines, in
 * one, or as metrics. Returns an exit status: 0, 3 if something needs a person (0 with metrics), 1 if it
 * could not look. Reads only; blocks on the database for a minute at most for each of four questions, and on
 * the responder for a second. */
int status_run(const struct options *);

#endif
