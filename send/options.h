/* The command line of bagelhook-send. */
#ifndef BAGELHOOK_SEND_OPTIONS_H
#define BAGELHOOK_SEND_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"

/* A signal ends with EXIT_SIGNAL and its number, as shells have it. */
enum { EXIT_ALL = 0, EXIT_NOT_ALL = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

struct options {
	const char *secret_file;
	const char *timestamp; /* NULL: the time of each delivery */
	long timeout_s;
	const char *ca_file; /* NULL: the system's authorities */
	struct subject subject;
	const char *story; /* NULL: none */
	char **events;     /* names of documented events; owned */
	size_t event_count;
	size_t duplicates; /* deliveries of each body beyond the first */
	bool shuffle;
	unsigned int seed;
	bool corrupt;
	bool retries;
	int64_t retry_interval_ms;
	double rate; /* deliveries a second at most; 0: no limit */
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
