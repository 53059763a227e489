/* The program's options: flags, and for each an environment variable, checked, with
 * defaults filled in. Flags win. */
#ifndef BAGELHOOK_OPTIONS_H
#define BAGELHOOK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "common/arguments.h"
#include "common/moment.h"

#define OPTIONS_ERROR_SIZE ARGUMENTS_ERROR_SIZE

enum options_command { OPTIONS_SERVE, OPTIONS_REDRIVE, OPTIONS_IMPORT, OPTIONS_EXPORT, OPTIONS_ADOPT, OPTIONS_STATUS };

enum { OPTIONS_ANY_MODE = -1, OPTIONS_LIVE, OPTIONS_TEST };

struct options {
	enum options_command command;
	/* Texts belong to argv or to the environment; NULL where not given. */
	const char *listen;
	const char *secret_file;
	const char *database;
	const char *spool;
	const char *admin_listen;
	long log_format; /* enum log_format */
	long log_level;  /* enum log_level */
	long socket_mode;
	long threads;
	long queue;
	long batch;
	long max_body;       /* bytes */
	long read_timeout;   /* seconds */
	long commit_timeout; /* seconds */
	long max_age;        /* seconds; 0: any age */
	long spool_files;
	long spool_bytes;
	long spool_free; /* percent */
	long id;         /* redrive: of a dead letter; 0 with all */
	bool all;
	bool ignored; /* redrive */
	const char *admin; /* status */
	bool brief;        /* status */
	bool metrics;      /* status */
	bool keep_going; /* adopt */
	bool dry_run;    /* adopt */
	long mode;                /* export, adopt: OPTIONS_LIVE or OPTIONS_TEST; OPTIONS_ANY_MODE */
	const char *order;
	char since[MOMENT_SIZE]; /* "" if not given; else as moment_read() writes it */
	char until[MOMENT_SIZE];
	char *const *files;       /* import, adopt */
	size_t file_count;
	bool insecure_no_signature;
	bool no_sandbox;
	bool check;
	bool help;
	bool version;
};

/* Fills in *options from the arguments and the environment. Returns 0, or -1 with what is
 * wrong, one line that names the option, in error. */
int options_parse(struct options *, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE]);

/* Writes the help text of the command. */
void options_help(enum options_command, FILE *);

#endif
