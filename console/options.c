#include "config.h"

#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "common/admin_client.h"
#include "common/arguments.h"
#include "common/listener.h"

enum option_key {
	KEY_LISTEN,
	KEY_SOCKET_MODE,
	KEY_DATABASE,
	KEY_PAGE,
	KEY_ADMIN,
	KEY_CHECK,
	KEY_NO_SANDBOX,
	KEY_HELP,
	KEY_VERSION
};

/* In the sequence of enum option_key. */
static const struct argument table[] = {
	{"listen", true},
	{"socket-mode", true},
	{"database", true},
	{"page", true},
	{"admin", true},
	{"check", false},
	{"no-sandbox", false},
	{"help", false},
	{"version", false},
	{NULL, false},
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

static int set(struct console_options *options, enum option_key key, const char *value,
	char error[OPTIONS_ERROR_SIZE])
{
	switch (key) {
	case KEY_LISTEN:
		options->listen = value;
		return listener_check_syntax("--listen", value, error);
	case KEY_SOCKET_MODE:
		return take_mode(&options->socket_mode, value, error);
	case KEY_DATABASE:
		options->database = value;
		return 0;
	case KEY_PAGE:
		options->page = value;
		return 0;
	case KEY_ADMIN:
		return take_admin(&options->admin, value, error);
	case KEY_CHECK:
		options->check = true;
		return 0;
	case KEY_NO_SANDBOX:
		options->no_sandbox = true;
		return 0;
	case KEY_HELP:
		options->help = true;
		return 0;
	case KEY_VERSION:
		options->version = true;
		return 0;
	}
	return 0;
}

int console_options_parse(
	struct console_options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	struct arguments arguments;
	int got;

	memset(options, 0, sizeof *options);
	options->socket_mode = 0660;
	options->page = PAGE_DIRECTORY;
	arguments_begin(&arguments, argc, argv, table);
	while ((got = arguments_next(&arguments)) >= 0)
		if (set(options, (enum option_key)got, arguments.value, error) != 0)
			return -1;
	if (got == ARGUMENTS_WRONG)
		snprintf(error, OPTIONS_ERROR_SIZE, "%s", arguments.error);
	else if (arguments.words > 0)
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: takes no arguments besides options; try --help",
			argv[1]);
	else
		return 0;
	return -1;
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
	      "      check page, database, schema, role and address, look for --admin, then exit\n"
	      "  --no-sandbox\n"
	      "      let it run programs and write files, should it ever try\n"
	      "  -h, --help, --version\n\n"
	      "Signals: SIGTERM and SIGINT finish what is being answered and exit.\n"
	      "Exit status: 0 stopped as told, 1 could not run, 2 wrong usage.\n",
		out);
}
