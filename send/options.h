/* The command line of bagelhook-send. */
#ifndef BAGELHOOK_SEND_OPTIONS_H
#define BAGELHOOK_SEND_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/arguments.h"
#include "common/moment.h"
#include "body.h"

/* A signal ends with EXIT_SIGNAL and its number, as shells have it. */
enum { EXIT_ALL = 0, EXIT_NOT_ALL = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

struct options {
	const char *secret_file;
	const char *timestamp; /* NULL: the time of each delivery */
	long timeout_s;
	const char *ca_file; /* NULL: the system's authorities */
	struct subject subject;
	const char **texts;            /* room for the three lists of texts; owned */
	struct argument_texts stories; /* names; one at most */
	struct argument_texts events;  /* names of documented events */
	long count;                    /* lives, each of these events or of this story */
	char at[MOMENT_SIZE];          /* when the last event of a life happened; "": now */
	const char *console;           /* the console's URL; NULL: not known */
	bool json;
	long mode;       /* of subject: 0 test, 1 live, -1 not given */
	long duplicates; /* deliveries of each body beyond the first */
	bool shuffle;
	long seed;
	bool corrupt;
	bool retries;
	double retry_interval_s;
	double rate; /* deliveries a second at most; below 0: no limit */
	bool help;
	bool version;
	const char *url;
	bool lines; /* bodies from standard input, one a line */
	char **files;
	size_t file_count;
};

/* Reads the command line, whose memory the options go on using. Returns -1 to go on, else the exit
 * status, after help or a complaint. */
int options_read(int argc, char **argv, struct options *);

void options_done(struct options *);

#endif
