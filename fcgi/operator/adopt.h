/* `bagelhook adopt`: what a shop's existing customers have becomes grants. */
#ifndef BAGELHOOK_ADOPT_H
#define BAGELHOOK_ADOPT_H

#include "fcgi/options.h"

/* Reads the file of the options, and grants what its lines say, in one transaction if none is wrong; with
 * keep_going, the others in transactions of some hundred. Names what is wrong on standard error, and sums up
 * on standard output. Returns an exit status: 0 when all lines are granted. Blocks on the file and the
 * database; holds all of the file. */
int adopt_run(const struct options *);

#endif
