/* The command line of bagelhook-verify. */
#ifndef BAGELHOOK_VERIFY_OPTIONS_H
#define BAGELHOOK_VERIFY_OPTIONS_H

#include <stdbool.h>

#include "common/arguments.h"
#include "common/moment.h"

enum { EXIT_AGREE = 0, EXIT_CANNOT_COMPARE = 1, EXIT_USAGE = 2, EXIT_DIFFER = 3 };

#define OPTIONS_MODES "live|test"

struct options {
	long mode;               /* the position among OPTIONS_MODES */
	char since[MOMENT_SIZE]; /* "": the default */
	const char *key_file;    /* NULL: the service manager's credential */
	const char *url;         /* without a slash at its end; NULL: BagelPay's, by the mode */
	const char *ca_file;     /* NULL: the system's authorities */
	const char *database;    /* NULL: libpq's variables */
	bool json;
	bool apply;
	bool no_sandbox;
	bool help;
	bool version;
};

/* Reads the command line, whose memory the options go on using. Returns -1 to go on, else the exit status,
 * after the help or a complaint. */
int options_read(int argc, char *argv[], struct options *);

/* Returns live or test. */
const char *options_mode(const struct options *);

#endif
