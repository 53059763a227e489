/* The console's options, checked, with defaults filled in. */
#ifndef BAGELHOOK_CONSOLE_OPTIONS_H
#define BAGELHOOK_CONSOLE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/arguments.h"

#define OPTIONS_ERROR_SIZE ARGUMENTS_ERROR_SIZE

struct console_options {
	/* Texts belong to argv; NULL where not given. */
	const char *listen;
	const char *database;
	const char *page;
	const char *admin;
	long socket_mode;
	bool check;
	bool no_sandbox;
	bool help;
	bool version;
};

/* Fills in *options from the arguments. Returns 0, or -1 with what is wrong, one line, in error. */
int console_options_parse(struct console_options *, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE]);

/* Writes the help text. */
void console_options_help(FILE *);

#endif
