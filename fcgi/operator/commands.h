/* The operator's commands. Each runs by its options, blocks on files, standard streams and the database, says on standard
 * error what went wrong, and returns an exit status: 0 if all that it was to do is done, else 1. */
#ifndef BAGELHOOK_COMMANDS_H
#define BAGELHOOK_COMMANDS_H

#include "common/log.h"
#include "fcgi/options.h"

#define EXIT_NOT_ALL 1

/* `bagelhook redrive`: tries dead letters, or ignored events, again with the present program and schema. Prints for each
 * what became of it, one line on standard output, and sums up. */
int redrive_run(const struct options *);

/* `bagelhook import`: commits bodies that an operator got by other means than the provider's deliveries. Names what is no
 * valid event on standard error, by file and line, and passes it over. Sums up on standard output. */
int import_run(const struct options *);

/* `bagelhook export`: writes the bodies of stored events to standard output, one a line, in the order of receipt. Memory is
 * that of one body. */
int export_run(const struct options *);

/* `bagelhook adopt`: makes grants of what a shop's existing customers have, as the lines of a file say, in one transaction
 * if none is wrong; with keep_going, the others in transactions of some hundred. Sums up on standard output. Holds all of
 * the file. */
int adopt_run(const struct options *);

/* `bagelhook status`: asks the database, and a responder if the options name one, and prints what they say: in some lines,
 * in one, or as metrics. Returns 3 if something needs a person (0 with metrics). Blocks on the database for a minute at
 * most for each of four questions, and on the responder for a second. */
int status_run(const struct options *);

/* Prints a complaint of a command ("bagelhook import"). Returns EXIT_NOT_ALL. */
static inline int command_failed(const char *command, const char *what)
{
	log_complaint(command, what);
	return EXIT_NOT_ALL;
}

#endif
