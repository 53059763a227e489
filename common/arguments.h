/* The command line of a program: long options, spelled in full, and `-h`; the other arguments may stand
 * anywhere between them. getopt_long(3) would take an abbreviation as well: `--ins` would switch signatures
 * off. */
#ifndef BAGELHOOK_ARGUMENTS_H
#define BAGELHOOK_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#define ARGUMENTS_ERROR_SIZE 256

/* One option. A table of them ends with a name that is NULL. */
struct argument {
	const char *name; /* without -- */
	bool has_value;   /* as the next argument, or behind = */
};

struct arguments {
	int argc;
	char **argv;
	int next;        /* the next argument to look at */
	int words;       /* how many of those before it are no options; they are in argv from 1 */
	bool only_words; /* behind -- */
	const struct argument *table;
	char *value; /* of the option that was taken last */
	char error[ARGUMENTS_ERROR_SIZE];
};

enum { ARGUMENTS_END = -1, ARGUMENTS_WRONG = -2 };

/* Begins with the arguments behind argv[0]. Table and argv must outlive it. */
void arguments_begin(struct arguments *, int argc, char **argv, const struct argument *table);

/* Returns the position in the table of the next option, whose value is then in value; ARGUMENTS_END if there
 * is none, and argv[1] to argv[words] are the other arguments then; or ARGUMENTS_WRONG with the reason, one
 * line that names the remedy, in error. `-h` is taken as `--help`. Reorders argv. */
int arguments_next(struct arguments *);

/* Returns the name that is nearest to a mistyped word, or NULL if none is near. names ends with NULL. */
const char *arguments_nearest(const char *word, const char *const names[]);

#endif
