#include "config.h"

#include "options.h"

#include "common/address.h"
#include "common/text.h"
#include "fcgi/commit/pg.h"

#define AT(member) offsetof(struct console_options, member)

static const struct argument table[] = {
	{1, "listen", NULL, ARGUMENT_TEXT, AT(listen), 0, 0, 0, "ADDRESS",
		"unix:/path or host:port; without it, a listening socket inherited as descriptor 0"},
	{1, "socket-mode", NULL, ARGUMENT_MODE, AT(socket_mode), 0, 0777, 0660, "MODE",
		"permissions of a Unix socket"},
	{1, "database", NULL, ARGUMENT_MAYBE, AT(database), 0, 0, 0, "CONNINFO",
		"a libpq connection string or URI, of a role that has bagelpay_console; without it, PGHOST,\n"
		"      PGSERVICE and so on"},
	{1, "admin", NULL, ARGUMENT_MAYBE, AT(admin), 0, 0, 0, "ADDRESS",
		"where the responder has its --admin-listen: it is asked what it answered, and how much is in\n"
		"      its spool (empty: nobody is)"},
	{1, "page", NULL, ARGUMENT_TEXT, AT(page), 0, 0, 0, "DIR",
		"the page's files (default " PAGE_DIRECTORY ")"},
	{1, "check", NULL, ARGUMENT_SWITCH, AT(check), 0, 0, 0, NULL,
		"check page, database, schema, role and address, look for --admin, then exit"},
	{1, "no-sandbox", NULL, ARGUMENT_SWITCH, AT(no_sandbox), 0, 0, 0, NULL,
		"let it run programs and write files, should it ever try"},
	{1, "help", NULL, ARGUMENT_SWITCH, AT(help), 0, 0, 0, NULL, "print this, then exit; -h does the same"},
	{1, "version", NULL, ARGUMENT_SWITCH, AT(version), 0, 0, 0, NULL, "print the version, then exit"},
	{.name = NULL},
};

int console_options_parse(
	struct console_options *options, int argc, char *argv[], char error[OPTIONS_ERROR_SIZE])
{
	*options = (struct console_options){.page = PAGE_DIRECTORY};
	const int words = arguments_take(table, 1, options, argc, argv, error);
	if (words > 0)
		snprintf(error, OPTIONS_ERROR_SIZE, "%.200s: takes no arguments besides options; try --help",
			text_unless_secret(argv[1]));
	if (words != 0
		|| (options->listen != NULL && address_check("--listen", options->listen, error) != 0)
		|| pg_check_conninfo(options->database, error, OPTIONS_ERROR_SIZE) != 0)
		return -1;
	return options->admin == NULL ? 0 : address_check("--admin", options->admin, error);
}

void console_options_help(FILE *out)
{
	fputs("Usage: bagelhook-console [OPTIONS]\n"
	      "FastCGI responder that shows what bagelhook keeps in PostgreSQL. It shows personal data to\n"
	      "whoever can ask it: the web server in front of it must listen on a port of its own, and\n"
	      "authenticate. It changes nothing, and refuses a role that could.\n\n",
		out);
	arguments_help(table, 1, out);
	fputs("\nSignals: SIGTERM and SIGINT finish what is being answered and exit.\n"
	      "Exit status: 0 stopped as told, 1 could not run, 2 wrong usage.\n",
		out);
}
