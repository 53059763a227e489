/* One table says everything about each option: its flag, its variable, its limits, its
 * default and its line in the help. */
#include "config.h"

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	KIND_TEXT,
	KIND_NUMBER,
	KIND_MODE, /* octal */
	KIND_SWITCH
};

struct option_spec {
	const char *flag;     /* without -- */
	const char *variable; /* NULL: no variable */
	enum kind kind;
	size_t offset;
	long lowest;
	long highest;
	long otherwise;
	const char *argument;
	const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option_spec specs[] = {
	{"listen", "BAGELHOOK_LISTEN", KIND_TEXT, AT(listen), 0, 0, 0, "ADDRESS",
		"unix:/path or host:port; without it, a listening socket inherited as descriptor 0"},
	{"socket-mode", "BAGELHOOK_SOCKET_MODE", KIND_MODE, AT(socket_mode), 0, 0777, 0660, "MODE",
		"permissions of a Unix socket"},
	{"secret-file", "BAGELHOOK_SECRET_FILE", KIND_TEXT, AT(secret_file), 0, 0, 0, "FILE",
		"the webhook's signing secrets, one per line"},
	{"database", "BAGELHOOK_DATABASE", KIND_TEXT, AT(database), 0, 0, 0, "CONNINFO",
		"a libpq connection string or URI; without it, PGHOST, PGSERVICE and so on"},
	{"threads", "BAGELHOOK_THREADS", KIND_NUMBER, AT(threads), 1, 512, 4, "N",
		"requests read and checked at once; waiting for the database holds no thread"},
	{"queue", "BAGELHOOK_QUEUE", KIND_NUMBER, AT(queue), 1, 100000, 1024, "N",
		"events that may wait for the database, up to 64 MiB; one more is answered 503"},
	{"batch", "BAGELHOOK_BATCH", KIND_NUMBER, AT(batch), 1, 1000, 64, "N",
		"events in one transaction at most"},
	{"max-body", "BAGELHOOK_MAX_BODY", KIND_NUMBER, AT(max_body), 1, 64L * 1024 * 1024, 1024L * 1024,
		"BYTES", "longer bodies are answered 413"},
	{"read-timeout", "BAGELHOOK_READ_TIMEOUT", KIND_NUMBER, AT(read_timeout), 1, 3600, 10, "SECONDS",
		"for all of the reading of a request"},
	{"commit-timeout", "BAGELHOOK_COMMIT_TIMEOUT", KIND_NUMBER, AT(commit_timeout), 1, 3600, 15,
		"SECONDS", "for the database to take an event; then 503"},
	{"max-age", "BAGELHOOK_MAX_AGE", KIND_NUMBER, AT(max_age), 0, 1000000000, 0, "SECONDS",
		"older signatures are answered 401; 0 for any age"},
	{"spool", "BAGELHOOK_SPOOL", KIND_TEXT, AT(spool), 0, 0, 0, "DIR",
		"keep events that the database cannot take in files there, and commit them when it can"},
	{"spool-files", "BAGELHOOK_SPOOL_FILES", KIND_NUMBER, AT(spool_files), 1, 10000000, 100000, "N",
		"files in the spool at most"},
	{"spool-bytes", "BAGELHOOK_SPOOL_BYTES", KIND_NUMBER, AT(spool_bytes), 1, LONG_MAX,
		1024L * 1024 * 1024, "BYTES", "bytes in the spool at most"},
	{"spool-free", "BAGELHOOK_SPOOL_FREE", KIND_NUMBER, AT(spool_free), 0, 99, 10, "PERCENT",
		"how much of its disk the spool leaves free"},
	{"insecure-no-signature", "BAGELHOOK_INSECURE_NO_SIGNATURE", KIND_SWITCH, AT(insecure_no_signature),
		0, 0, 0, NULL,
		"take every body for authentic: anyone can then entitle anyone (the variable: yes or no)"},
	{"check", NULL, KIND_SWITCH, AT(check), 0, 0, 0, NULL,
		"check configuration, database and schema, then exit"},
	{"help", NULL, KIND_SWITCH, AT(help), 0, 0, 0, NULL, "print this, then exit"},
	{"version", NULL, KIND_SWITCH, AT(version), 0, 0, 0, NULL, "print the version, then exit"},
};

#define SPEC_COUNT (sizeof specs / sizeof specs[0])

/* Sets one option from a text. name is how the user said it. */
static int set(struct options *options, const struct option_spec *spec, const char *name, const char *text,
	char error[OPTIONS_ERROR_SIZE])
{
	char *member = (char *)options + spec->offset;
	char *end = NULL;
	long value;

	switch (spec->kind) {
	case KIND_TEXT:
		if (text[0] == '\0') {
			snprintf(error, OPTIONS_ERROR_SIZE, "%s: must not be empty", name);
			return -1;
		}
		memcpy(member, &text, sizeof text);
		return 0;
	case KIND_SWITCH: {
		bool on = strcmp(text, "1") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;

		if (!on && strcmp(text, "0") != 0 && strcmp(text, "no") != 0 && strcmp(text, "false") != 0) {
			snprintf(error, OPTIONS_ERROR_SIZE, "%s: must be yes or no, not \"%.100s\"", name,
				text);
			return -1;
		}
		memcpy(member, &on, sizeof on);
		return 0;
	}
	case KIND_NUMBER:
	case KIND_MODE:
		break;
	}
	errno = 0;
	value = strtol(text, &end, spec->kind == KIND_MODE ? 8 : 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < spec->lowest
		|| value > spec->highest) {
		snprintf(error, OPTIONS_ERROR_SIZE,
			spec->kind == KIND_MODE ? "%s: must be an octal mode from %lo to %lo, not \"%.100s\""
						: "%s: must be a number from %ld to %ld, not \"%.100s\"",
			name, (unsigned long)spec->lowest, (unsigned long)spec->highest, text);
		return -1;
	}
	memcpy(member, &value, sizeof value);
	return 0;
}

static int take_environment(struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		const struct option_spec *spec = &specs[i];
		/* Only the main thread runs yet. */
		const char *text = spec->variable == NULL
			? NULL
			: getenv(spec->variable); /* NOLINT(concurrency-mt-unsafe) */

		if (spec->kind == KIND_NUMBER || spec->kind == KIND_MODE)
			memcpy((char *)options + spec->offset, &spec->otherwise, sizeof spec->otherwise);
		/* Unit files and containers set variables to nothing where they mean none. */
		if (text != NULL && text[0] != '\0' && set(options, spec, spec->variable, text, error) != 0)
			return -1;
	}
	return 0;
}

static int take_arguments(struct options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	struct option long_options[SPEC_COUNT + 1];
	char name[64];
	int index = 0;
	int got;

	memset(long_options, 0, sizeof long_options);
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		long_options[i].name = specs[i].flag;
		long_options[i].has_arg = specs[i].argument == NULL ? no_argument : required_argument;
	}
	opterr = 0;
	optind = 1;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((got = getopt_long(argc, argv, ":", long_options, &index)) != -1) {
		if (got != 0) {
			const char *argument = argv[optind - 1];

			snprintf(error, OPTIONS_ERROR_SIZE,
				got == ':' ? "%.200s: needs a value"
					   : "%.200s: no such option, or not so used; see bagelhook --help",
				argument);
			return -1;
		}
		snprintf(name, sizeof name, "--%s", specs[index].flag);
		if (set(options, &specs[index], name, specs[index].argument == NULL ? "yes" : optarg, error)
			!= 0)
			return -1;
	}
	if (optind < argc) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: takes no arguments besides options",
			argv[optind]);
		return -1;
	}
	return 0;
}

int options_parse(struct options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	memset(options, 0, sizeof *options);
	if (take_environment(options, error) != 0 || take_arguments(options, argc, argv, error) != 0)
		return -1;
	if (options->help || options->version)
		return 0;
	if (options->secret_file == NULL && !options->insecure_no_signature) {
		snprintf(error, OPTIONS_ERROR_SIZE,
			"no signing secret: give --secret-file FILE with the webhook's signing secret, or, "
			"for experiments only, --insecure-no-signature");
		return -1;
	}
	return 0;
}

void options_help(FILE *out)
{
	fputs("Usage: bagelhook [OPTIONS]\n"
	      "FastCGI responder that commits BagelPay's webhooks to PostgreSQL.\n\n"
	      "Each option can also be given in the environment; options win.\n\n",
		out);
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		const struct option_spec *spec = &specs[i];

		fprintf(out, "  --%s%s%s\n      %s", spec->flag, spec->argument == NULL ? "" : " ",
			spec->argument == NULL ? "" : spec->argument, spec->help);
		if (spec->kind == KIND_NUMBER)
			fprintf(out, " (%ld to %ld; default %ld)", spec->lowest, spec->highest,
				spec->otherwise);
		if (spec->kind == KIND_MODE)
			fprintf(out, " (octal; default %lo)", (unsigned long)spec->otherwise);
		fputs("\n", out);
		if (spec->variable != NULL)
			fprintf(out, "      %s\n", spec->variable);
	}
	fputs("\nSignals: SIGTERM and SIGINT finish what was accepted and exit; SIGHUP reads the secrets "
	      "again.\n"
	      "Exit status: 0 stopped as told, 1 could not run, 2 wrong usage.\n",
		out);
}
