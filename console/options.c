#include "config.h"

#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "admin_client.h"

enum option_key {
	KEY_LISTEN,
	KEY_SOCKET_MODE,
	KEY_DATABASE,
	KEY_PAGE,
	KEY_ADMIN,
	KEY_CHECK,
	KEY_HELP,
	KEY_VERSION
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, KEY_LISTEN},
	{"socket-mode", required_argument, NULL, KEY_SOCKET_MODE},
	{"database", required_argument, NULL, KEY_DATABASE},
	{"page", required_argument, NULL, KEY_PAGE},
	{"admin", required_argument, NULL, KEY_ADMIN},
	{"check", no_argument, NULL, KEY_CHECK},
	{"help", no_argument, NULL, KEY_HELP},
	{"version", no_argument, NULL, KEY_VERSION},
	{NULL, 0, NULL, 0},
};

static int take_mode(mode_t *mode, const char *text, char error[OPTIONS_ERROR_SIZE])
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 8);

	if (text[0] < '0' || text[0] > '7' || *end != '\0' || value > 0777) {
		snprintf(error, OPTIONS_ERROR_SIZE,
			"--socket-mode: must be an octal mode up to 777, not \"%.100s\"", text);
		return -1;
	}
	*mode = (mode_t)value;
	return 0;
}

/* Says what is wrong with an option that getopt_long(3) did not take. */
static void refuse(const char *said, bool without_value, char error[OPTIONS_ERROR_SIZE])
{
	const char *nearest = nearest_option(said, long_options);

	if (without_value)
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: needs a value", said);
	else if (nearest != NULL)
		snprintf(error, OPTIONS_ERROR_SIZE, "%.150s: no such option; did you mean --%.50s?", said,
			nearest);
	else
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: no such option, or not so used; see --help",
			said);
}

static int take_admin(const char **address, const char *text, char error[OPTIONS_ERROR_SIZE])
{
	char reason[ADMIN_CLIENT_ERROR_SIZE];

	/* As a unit's variable that was emptied gives it. */
	if (text[0] == '\0') {
		*address = NULL;
		return 0;
	}
	if (admin_client_check(text, reason) != 0) {
		snprintf(error, OPTIONS_ERROR_SIZE, "--admin: %.200s", reason);
		return -1;
	}
	*address = text;
	return 0;
}

int console_options_parse(
	struct console_options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	int got;

	memset(options, 0, sizeof *options);
	options->socket_mode = 0660;
	options->page = PAGE_DIRECTORY;
	opterr = 0;
	optind = 1;
	/* Only the main thread runs yet. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((got = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (got) {
		case KEY_LISTEN:
			options->listen = optarg;
			break;
		case KEY_SOCKET_MODE:
			if (take_mode(&options->socket_mode, optarg, error) != 0)
				return -1;
			break;
		case KEY_DATABASE:
			options->database = optarg;
			break;
		case KEY_PAGE:
			options->page = optarg;
			break;
		case KEY_ADMIN:
			if (take_admin(&options->admin, optarg, error) != 0)
				return -1;
			break;
		case KEY_CHECK:
			options->check = true;
			break;
		case KEY_HELP:
			options->help = true;
			break;
		case KEY_VERSION:
			options->version = true;
			break;
		default:
			refuse(argv[optind - 1], got == ':', error);
			return -1;
		}
	}
	if (optind < argc) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: takes no arguments besides options",
			argv[optind]);
		return -1;
	}
	return 0;
}

void console_options_help(FILE *out)
{
	fputs("Usage: bagelhook-console [OPTIONS]\n"
	      "FastCGI responder that shows what bagelhook keeps in PostgreSQL. It shows personal data to\n"
	      "whoever can ask it: the web server in front of it must listen on a port of its own, and\n"
	      "authenticate. It changes nothing, and refuses a role that could.\n\n"
	      "  --listen ADDRESS\n"
	      "      unix:/path or host:port; without it, a listening socket inherited as descriptor 0\n"
	      "  --socket-mode MODE\n"
	      "      permissions of a Unix socket (octal; default 660)\n"
	      "  --database CONNINFO\n"
	      "      a libpq connection string or URI, of a role that has bagelpay_console; without it,\n"
	      "      PGHOST, PGSERVICE and so on\n"
	      "  --admin ADDRESS\n"
	      "      where the responder has its --admin-listen: it is asked what it answered, and how much\n"
	      "      is in its spool (empty: nobody is)\n"
	      "  --page DIR\n"
	      "      the page's files (default " PAGE_DIRECTORY ")\n"
	      "  --check\n"
	      "      check page, database, schema and role, look for --admin, then exit\n"
	      "  --help, --version\n\n"
	      "Signals: SIGTERM and SIGINT finish what is being answered and exit.\n"
	      "Exit status: 0 stopped as told, 1 could not run, 2 wrong usage.\n",
		out);
}
