#include "config.h"

#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/print.h"
#include "common/text.h"

#define AT(member) offsetof(struct options, member)

static const struct argument table[] = {
	{1, "mode", NULL, ARGUMENT_WORD, AT(mode), 0, 0, 0, OPTIONS_MODES, "the mode whose lists are read"},
	{1, "since", NULL, ARGUMENT_FROM, AT(since), 0, 0, 0, "MOMENT",
		"compare the transactions of this day or moment and later (default: 35 days ago)"},
	{1, "key-file", NULL, ARGUMENT_MAYBE, AT(key_file), 0, 0, 0, "FILE",
		"the first line of FILE is BagelPay's API key of that mode (default: the service manager's\n"
		"      credential api-key)"},
	{1, "database", NULL, ARGUMENT_MAYBE, AT(database), 0, 0, 0, "CONNINFO",
		"a libpq connection string or URI, of a role that has bagelpay_verify, or bagelpay_reader, "
		"by\n"
		"      which nothing is stored; without it, PGHOST, PGSERVICE and so on"},
	{1, "json", NULL, ARGUMENT_SWITCH, AT(json), 0, 0, 0, NULL, "print the report as one JSON document"},
	{1, "apply", NULL, ARGUMENT_SWITCH, AT(apply), 0, 0, 0, NULL,
		"grant what missing payments of subscriptions paid for, until the period's end; the role "
		"needs\n"
		"      bagelpay_app, too"},
	{1, "url", NULL, ARGUMENT_TEXT, AT(url), 0, 0, 0, "URL",
		"the address of the API (default: https://live.bagelpay.io or https://test.bagelpay.io)"},
	{1, "ca-file", NULL, ARGUMENT_TEXT, AT(ca_file), 0, 0, 0, "FILE",
		"the authorities, as PEM, that may vouch for the API's server (default: the system's)"},
	{1, "no-sandbox", NULL, ARGUMENT_SWITCH, AT(no_sandbox), 0, 0, 0, NULL,
		"let it run programs and write files, should it ever try"},
	{1, "help", NULL, ARGUMENT_SWITCH, AT(help), 0, 0, 0, NULL,
		"print this, then exit; -h does the same"},
	{1, "version", NULL, ARGUMENT_SWITCH, AT(version), 0, 0, 0, NULL, "print the version, then exit"},
	{.name = NULL},
};

static int usage_error(const char *subject, const char *problem)
{
	print_complaint("bagelhook-verify", subject, problem);
	fputs("Try bagelhook-verify --help.\n", stderr);
	return EXIT_USAGE;
}

static void print_help(void)
{
	fputs("Usage: bagelhook-verify [OPTIONS]\n"
	      "Compares the database with what BagelPay's API lists, prints what was never delivered or "
	      "differs,\n"
	      "each with what mends it, and stores that for bagelpay.attention and bagelhook status. "
	      "Changes\n"
	      "nobody's access, except with --apply.\n\n",
		stdout);
	arguments_help(table, 1, stdout);
	fputs("\nExit status: 0 they agree, 3 they differ, 1 they could not be compared, 2 wrong usage.\n",
		stdout);
}

/* Takes the file that the service manager may have put there, if no other was named. */
static void take_credential(struct options *options)
{
	static char path[PATH_MAX];
	const char *directory = getenv("CREDENTIALS_DIRECTORY"); /* NOLINT(concurrency-mt-unsafe) */

	if (options->key_file != NULL || directory == NULL || directory[0] != '/')
		return;
	const int len = snprintf(path, sizeof path, "%s/api-key", directory);
	if (len > 0 && (size_t)len < sizeof path && access(path, F_OK) == 0)
		options->key_file = path;
}

/* Returns true for a moment before now, and for none. */
static bool is_past(const char *moment)
{
	char now[MOMENT_SIZE];
	struct tm utc;
	const time_t second = time(NULL);

	gmtime_r(&second, &utc);
	strftime(now, sizeof now, "%Y-%m-%d %H:%M:%S", &utc);
	return strcmp(moment, now) < 0;
}

int options_read(int argc, char *argv[], struct options *options)
{
	char error[ARGUMENTS_ERROR_SIZE];

	memset(options, 0, sizeof *options);
	const int words = arguments_take(table, 1, options, argc, argv, error);
	if (words < 0)
		return usage_error(NULL, error);
	if (options->help) {
		print_help();
		return EXIT_AGREE;
	}
	if (options->version) {
		puts("bagelhook-verify " PACKAGE_VERSION);
		return EXIT_AGREE;
	}
	if (words > 0)
		return usage_error(text_unless_secret(argv[1]), "takes no arguments besides options");
	if (!is_past(options->since))
		return usage_error("--since", "must be in the past");
	take_credential(options);
	if (options->key_file == NULL)
		return usage_error(NULL,
			"no API key: give --key-file FILE with BagelPay's API key, or a credential "
			"\"api-key\" by the service manager");
	if (options->ca_file != NULL && access(options->ca_file, R_OK) != 0)
		return usage_error("--ca-file", "cannot be read");
	return -1;
}

const char *options_mode(const struct options *options)
{
	return options->mode == 0 ? "live" : "test";
}
