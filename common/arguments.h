/* The command line of a program, and its environment. Options are long, and spelled in full: getopt_long(3)
 * would take an abbreviation as well, and `--ins` would switch signatures off. Other arguments may stand
 * anywhere between them. One table says everything about each option: its name, its variable, its limits, its
 * default and its line in the help. */
#ifndef BAGELHOOK_ARGUMENTS_H
#define BAGELHOOK_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define ARGUMENTS_ERROR_SIZE 512

/* Kinds of values, each with the type of its member. Texts belong to argv or to the environment. */
enum argument_kind {
	ARGUMENT_TEXT,    /* const char *; not empty */
	ARGUMENT_MAYBE,   /* const char *; an empty one is NULL */
	ARGUMENT_TEXTS,   /* struct argument_texts; may be given several times */
	ARGUMENT_NUMBER,  /* long */
	ARGUMENT_SECONDS, /* double, with or without decimals */
	ARGUMENT_MODE,    /* long, in octal */
	ARGUMENT_WORD,    /* long: the position among the words of argument */
	ARGUMENT_SWITCH,  /* bool; without a value on the command line */
	ARGUMENT_FROM,    /* char[MOMENT_SIZE]: a moment, or the start of a day; "" if not given */
	ARGUMENT_TO       /* char[MOMENT_SIZE]: a moment, or the end of a day */
};

struct argument_texts {
	const char **texts; /* with room for as many as there are arguments */
	size_t count;
};

/* One option. A table of them ends with a name that is NULL. */
struct argument {
	unsigned commands;    /* a bit for each command of the program that has it */
	const char *name;     /* without -- */
	const char *variable; /* of the environment; NULL: none */
	enum argument_kind kind;
	size_t offset; /* of the member, in the structure of options */
	long lowest;   /* of a number */
	long highest;
	long otherwise;       /* a number's, seconds' or word's default; one below the lowest is not shown */
	const char *argument; /* its name in the help, or words between bars; NULL of a switch */
	const char *help;
};

/* Sets the members of *options: to the argument if the option is given, else to the variable, else to the default.
 * Members that the table does not name stay. Moves the arguments that are no options to argv[1] and behind it, and
 * returns their number. Returns -1 if something is wrong; error then says what in one line that names the option.
 * Takes `-h` as `--help`. To be called while there is only one thread. */
int arguments_take(const struct argument table[], unsigned command, void *options, int argc, char *argv[],
	char error[ARGUMENTS_ERROR_SIZE]);

/* Checks that the table has each variable of the environment whose name begins with prefix: a misspelt one would
 * have no effect. Returns 0, or -1 with the reason in error, which refers to the --help of program. */
int arguments_check_environment(
	const struct argument table[], const char *prefix, const char *program, char error[ARGUMENTS_ERROR_SIZE]);

/* Writes the help on the options of a command. */
void arguments_help(const struct argument table[], unsigned command, FILE *);

#endif
