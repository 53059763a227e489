#include "config.h"

#include "options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/arguments.h"
#include "common/text.h"
#include "fcgi/commit/pg.h"

#define FOR(command) (1U << (command))
#define SERVE FOR(OPTIONS_SERVE)
#define REDRIVE FOR(OPTIONS_REDRIVE)
#define IMPORT FOR(OPTIONS_IMPORT)
#define EXPORT FOR(OPTIONS_EXPORT)
#define ADOPT FOR(OPTIONS_ADOPT)
#define STATUS FOR(OPTIONS_STATUS)
#define EACH (SERVE | REDRIVE | IMPORT | EXPORT | ADOPT | STATUS)

#define AT(member) offsetof(struct options, member)

static const struct argument table[] = {
	{SERVE, "listen", "BAGELHOOK_LISTEN", ARGUMENT_TEXT, AT(listen), 0, 0, 0, "ADDRESS",
		"unix:/path or host:port; without it, a listening socket inherited as descriptor 0"},
	{SERVE, "socket-mode", "BAGELHOOK_SOCKET_MODE", ARGUMENT_MODE, AT(socket_mode), 0, 0777, 0660, "MODE",
		"permissions of a Unix socket"},
	{SERVE, "secret-file", "BAGELHOOK_SECRET_FILE", ARGUMENT_TEXT, AT(secret_file), 0, 0, 0, "FILE",
		"the webhook's signing secrets, one per line (live:SECRET or test:SECRET: for events of that "
		"mode), "
		"read again when it is changed; without it, $CREDENTIALS_DIRECTORY/secret"},
	{EACH, "database", "BAGELHOOK_DATABASE", ARGUMENT_TEXT, AT(database), 0, 0, 0,
		"CONNINFO", "a libpq connection string or URI; without it, PGHOST, PGSERVICE and so on"},
	{SERVE, "threads", "BAGELHOOK_THREADS", ARGUMENT_NUMBER, AT(threads), 1, 512, 4, "N",
		"requests checked at once; waiting, for peers or for the database, holds no thread"},
	{SERVE, "queue", "BAGELHOOK_QUEUE", ARGUMENT_NUMBER, AT(queue), 1, 100000, 1024, "N",
		"events that may wait for the database, up to 64 MiB; one more is answered 503"},
	{SERVE, "batch", "BAGELHOOK_BATCH", ARGUMENT_NUMBER, AT(batch), 1, 1000, 64, "N",
		"events in one transaction at most"},
	{SERVE, "max-body", "BAGELHOOK_MAX_BODY", ARGUMENT_NUMBER, AT(max_body), 1, 64L * 1024 * 1024,
		1024L * 1024, "BYTES", "longer bodies are answered 413"},
	{SERVE, "read-timeout", "BAGELHOOK_READ_TIMEOUT", ARGUMENT_NUMBER, AT(read_timeout), 1, 3600, 10,
		"SECONDS", "for all of the reading of a request"},
	{SERVE, "commit-timeout", "BAGELHOOK_COMMIT_TIMEOUT", ARGUMENT_NUMBER, AT(commit_timeout), 1, 3600, 15,
		"SECONDS", "for the database to take an event; then 503"},
	{SERVE, "max-age", "BAGELHOOK_MAX_AGE", ARGUMENT_NUMBER, AT(max_age), 0, 1000000000, 0, "SECONDS",
		"older signatures are answered 401; 0 for any age"},
	{SERVE, "spool", "BAGELHOOK_SPOOL", ARGUMENT_TEXT, AT(spool), 0, 0, 0, "DIR",
		"keep events that the database cannot take in files there, and commit them when it can"},
	{SERVE, "spool-files", "BAGELHOOK_SPOOL_FILES", ARGUMENT_NUMBER, AT(spool_files), 1, 1000000, 100000, "N",
		"files in the spool at most"},
	{SERVE, "spool-bytes", "BAGELHOOK_SPOOL_BYTES", ARGUMENT_NUMBER, AT(spool_bytes), 1, LONG_MAX,
		1024L * 1024 * 1024, "BYTES", "bytes in the spool at most"},
	{SERVE, "spool-free", "BAGELHOOK_SPOOL_FREE", ARGUMENT_NUMBER, AT(spool_free), 0, 99, 10, "PERCENT",
		"how much of its disk the spool leaves free"},
	{SERVE, "admin-listen", "BAGELHOOK_ADMIN_LISTEN", ARGUMENT_TEXT, AT(admin_listen), 0, 0, 0, "ADDRESS",
		"answer /healthz, /readyz and /metrics there: unix:/path or host:port, not for the public"},
	{SERVE, "log-format", "BAGELHOOK_LOG_FORMAT", ARGUMENT_WORD, AT(log_format), 0, 0, 0, "logfmt|json",
		"how records are written to standard error, a line each"},
	{SERVE, "log-level", "BAGELHOOK_LOG_LEVEL", ARGUMENT_WORD, AT(log_level), 0, 0, 2, "error|warn|info",
		"the least that is logged; each event that is accepted is info"},
	{SERVE, "insecure-no-signature", "BAGELHOOK_INSECURE_NO_SIGNATURE", ARGUMENT_SWITCH,
		AT(insecure_no_signature), 0, 0, 0, NULL,
		"accept every body, whatever its signature: anyone can then entitle anyone (the variable: yes or no)"},
	{EACH, "no-sandbox", "BAGELHOOK_NO_SANDBOX", ARGUMENT_SWITCH, AT(no_sandbox), 0, 0, 0,
		NULL,
		"keep the rights to run programs, look into processes and write outside the spool (the "
		"variable: "
		"yes or no)"},
	{SERVE, "check", NULL, ARGUMENT_SWITCH, AT(check), 0, 0, 0, NULL,
		"check all that a start needs, print a line for each part, then exit"},
	{EACH, "help", NULL, ARGUMENT_SWITCH, AT(help), 0, 0, 0, NULL,
		"print this, then exit; -h does the same"},
	{REDRIVE, "id", NULL, ARGUMENT_NUMBER, AT(id), 1, LONG_MAX, 0, "N", "try the dead letter of this id"},
	{REDRIVE, "all", NULL, ARGUMENT_SWITCH, AT(all), 0, 0, 0, NULL,
		"try all dead letters that are not resolved, but those with the reason mode"},
	{REDRIVE, "ignored", NULL, ARGUMENT_SWITCH, AT(ignored), 0, 0, 0, NULL,
		"try events whose type was unknown when they came, if it is known now"},
	{EXPORT, "since", NULL, ARGUMENT_FROM, AT(since), 0, 0, 0, "MOMENT",
		"events received then or later, such as 2026-01-31 or 2026-01-31T08:00:00Z; UTC without a zone"},
	{EXPORT, "until", NULL, ARGUMENT_TO, AT(until), 0, 0, 0, "MOMENT",
		"events received before; if it is a day, until its end"},
	{EXPORT, "mode", NULL, ARGUMENT_WORD, AT(mode), 0, 0, OPTIONS_ANY_MODE, "live|test", "events of this mode"},
	{EXPORT, "order", NULL, ARGUMENT_TEXT, AT(order), 0, 0, 0, "ID", "events of the order of this id"},
	{ADOPT, "mode", NULL, ARGUMENT_WORD, AT(mode), 0, 0, OPTIONS_ANY_MODE, "live|test", "the mode of the grants: live, unless given"},
	{ADOPT, "keep-going", NULL, ARGUMENT_SWITCH, AT(keep_going), 0, 0, 0, NULL,
		"leave out wrong lines, and grant the others in many short transactions"},
	{ADOPT, "dry-run", NULL, ARGUMENT_SWITCH, AT(dry_run), 0, 0, 0, NULL,
		"do all of it, count what it changes, and roll back"},
	{STATUS, "admin", NULL, ARGUMENT_TEXT, AT(admin), 0, 0, 0, "ADDRESS",
		"a responder's --admin-listen, to be asked for its spool: unix:/path or host:port"},
	{STATUS, "brief", NULL, ARGUMENT_SWITCH, AT(brief), 0, 0, 0, NULL, "one line, for monitors"},
	{STATUS, "metrics", NULL, ARGUMENT_SWITCH, AT(metrics), 0, 0, 0, NULL,
		"what a person should look at as metrics in Prometheus's text format, by kind and mode"},
	{SERVE, "version", NULL, ARGUMENT_SWITCH, AT(version), 0, 0, 0, NULL, "print the version, then exit"},
	{.name = NULL},
};

static const struct {
	const char *name; /* the first argument */
	const char *said; /* with the program's name */
	const char *help; /* before the options, and after them */
	const char *end;
} commands[] = {
	[OPTIONS_SERVE] = {NULL, "bagelhook",
		"Usage: bagelhook [OPTIONS]\n"
		"       bagelhook redrive (--id N | --all | --ignored) [--database CONNINFO]\n"
		"       bagelhook import [--database CONNINFO] FILE...\n"
		"       bagelhook export [--since MOMENT] [--until MOMENT] [--mode live|test] [--order ID]\n"
		"                        [--database CONNINFO]\n"
		"       bagelhook adopt [--keep-going] [--dry-run] [--mode live|test] [--database CONNINFO]\n"
		"                       FILE.csv\n"
		"       bagelhook status [--brief | --metrics] [--admin ADDRESS] [--database CONNINFO]\n"
		"FastCGI responder that commits BagelPay's webhooks to PostgreSQL.\n\n"
		"Each option can also be given in the environment; options win.\n\n",
		"\nSignals: SIGTERM and SIGINT finish what was accepted and exit; SIGHUP reads the secrets "
		"again,\nand logs how many signatures each has matched.\n"
		"Exit status: 0 stopped as told, 1 could not run, 2 wrong usage; 3 of --check, where only "
		"the\n"
		"database could not be reached.\n"},
	[OPTIONS_REDRIVE] = {"redrive", "bagelhook redrive",
		"Usage: bagelhook redrive (--id N | --all | --ignored) [--database CONNINFO]\n"
		"Tries dead letters again, after bagelhook, the schema or a setting has changed: what is\n"
		"a valid event now is committed, and its letter marked as resolved. With --ignored, tries\n"
		"stored events instead that took no part in any order. Needs the rights of bagelpay_owner.\n\n",
		"\nExit status: 0 all that were tried are resolved, 1 some are not, 2 wrong usage.\n"},
	[OPTIONS_IMPORT] = {"import", "bagelhook import",
		"Usage: bagelhook import [--database CONNINFO] FILE...\n"
		"Commits bodies of webhooks that came by other means than deliveries, such as a list of\n"
		"events from the provider: one JSON document a line, or one in a file; - is standard\n"
		"input. Signatures are not checked. What is there already stays as it is; another body\n"
		"under a known event id becomes a dead letter. Needs the rights of bagelpay_ingest.\n\n",
		"\nExit status: 0 all bodies are committed, 1 some are not, 2 wrong usage.\n"},
	[OPTIONS_EXPORT] = {"export", "bagelhook export",
		"Usage: bagelhook export [OPTIONS]\n"
		"Writes the bodies of stored events to standard output, one a line, in the order in which\n"
		"they were received, for bagelhook import or bagelhook-send --stdin. A line break between\n"
		"the members of a body becomes a space: all else is the bytes that BagelPay sent. Needs\n"
		"the rights of bagelpay_owner or bagelpay_console.\n\n",
		"\nExit status: 0 all are written, 1 some are not, such as those whose body retention has\n"
		"removed, 2 wrong usage.\n"},
	[OPTIONS_ADOPT] = {"adopt", "bagelhook adopt",
		"Usage: bagelhook adopt [OPTIONS] FILE.csv\n"
		"Grants what the customers have who bought before bagelhook was there. The first line of\n"
		"FILE names the columns: order_id or user_id or both, email, product_id, paid_until (a day,\n"
		"a moment, or empty for no end), note; - is standard input. If a line is wrong, nothing is\n"
		"changed. The same file again changes nothing; another paid_until replaces the one before.\n"
		"Responders wait meanwhile, about a second for a thousand lines. Needs the rights of\n"
		"bagelpay_app or bagelpay_owner.\n\n",
		"\nExit status: 0 all lines are granted, 1 some are not, 2 wrong usage.\n"},
	[OPTIONS_STATUS] = {"status", "bagelhook status",
		"Usage: bagelhook status [OPTIONS]\n"
		"Prints versions, the last events, dead letters, and what a person should look at. Needs the\n"
		"rights of bagelpay_reader.\n\n",
		"\nExit status: 0 nothing needs a person, 3 something does (with --metrics, 0), 1 it could not\n"
		"look, 2 wrong usage.\n"},
};

static int take_arguments(struct options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	const int words = arguments_take(table, FOR(options->command), options, argc, argv, error);

	if (words < 0)
		return -1;
	options->files = argv + 1;
	options->file_count = (size_t)words;
	if (words == 0 || options->command == OPTIONS_IMPORT || options->command == OPTIONS_ADOPT)
		return 0;
	snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: takes no arguments besides options; try --help",
		text_unless_secret(argv[1]));
	return -1;
}

/* Where no file of secrets was named, the one that the service manager may have put there. */
static void take_credential(struct options *options)
{
	static char path[PATH_MAX];
	const char *directory = getenv("CREDENTIALS_DIRECTORY"); /* NOLINT(concurrency-mt-unsafe) */

	if (options->secret_file != NULL || directory == NULL || directory[0] != '/')
		return;
	int len = snprintf(path, sizeof path, "%s/secret", directory);
	if (len > 0 && (size_t)len < sizeof path && access(path, F_OK) == 0)
		options->secret_file = path;
}

static int check_addresses(const struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	if (options->listen != NULL && options->admin_listen != NULL
		&& strcmp(options->listen, options->admin_listen) == 0) {
		snprintf(error, OPTIONS_ERROR_SIZE, "--admin-listen: the same as --listen");
		return -1;
	}
	if (options->listen != NULL && address_check("--listen", options->listen, error) != 0)
		return -1;
	return options->admin_listen == NULL
		? 0
		: address_check("--admin-listen", options->admin_listen, error);
}

/* Checks for options that a command needs, and that exclude each other. */
static int check(const struct options *options, char error[OPTIONS_ERROR_SIZE])
{
	const char *wrong = NULL;

	switch (options->command) {
	case OPTIONS_SERVE:
		if (options->secret_file == NULL && !options->insecure_no_signature)
			wrong = "no signing secret: give --secret-file FILE with the webhook's signing "
				"secret, or a credential \"secret\" by the service manager, or, for "
				"experiments only, --insecure-no-signature";
		else if (check_addresses(options, error) != 0)
			return -1;
		break;
	case OPTIONS_REDRIVE:
		if ((options->id != 0) + options->all + options->ignored != 1)
			wrong = "redrive: give either --id N, --all or --ignored";
		break;
	case OPTIONS_IMPORT:
		if (options->file_count == 0)
			wrong = "import: give files, or - for standard input";
		break;
	case OPTIONS_ADOPT:
		if (options->file_count != 1)
			wrong = "adopt: give one file, or - for standard input";
		break;
	case OPTIONS_STATUS:
		if (options->brief && options->metrics)
			wrong = "status: give either --brief or --metrics";
		else if (options->admin != NULL && address_check("--admin", options->admin, error) != 0)
			return -1;
		break;
	case OPTIONS_EXPORT:
		break;
	}
	if (wrong == NULL)
		return pg_check_conninfo(options->database, error, OPTIONS_ERROR_SIZE);
	snprintf(error, OPTIONS_ERROR_SIZE, "%s", wrong);
	return -1;
}

int options_parse(struct options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	memset(options, 0, sizeof *options);
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
		if (commands[i].name != NULL && strcmp(argv[1], commands[i].name) == 0)
			options->command = (enum options_command)i;
	if (options->command != OPTIONS_SERVE) {
		argc--;
		argv++;
	}
	if (arguments_check_environment(table, "BAGELHOOK_", commands[options->command].said, error) != 0
		|| take_arguments(options, argc, argv, error) != 0)
		return -1;
	take_credential(options);
	return options->help || options->version ? 0 : check(options, error);
}

void options_help(enum options_command command, FILE *out)
{
	fputs(commands[command].help, out);
	arguments_help(table, FOR(command), out);
	fputs(commands[command].end, out);
}
