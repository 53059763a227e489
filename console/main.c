#include "config.h"

#include <errno.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin_client.h"
#include "common/buffer.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/text.h"
#include "database.h"
#include "options.h"
#include "page.h"
#include "workers.h"

#define EXIT_CANNOT_RUN 1
#define EXIT_USAGE 2

static int complain(int status, const char *text)
{
	fprintf(stderr, "bagelhook-console: %s\n", text);
	return status;
}

/* Says where no responder answers: no reason not to start, as it may come later, but maybe one not known of.
 */
static void check_admin(const char *address)
{
	char error[ADMIN_CLIENT_ERROR_SIZE];
	struct buffer answer;

	buffer_init(&answer);
	if (address != NULL && admin_client_get(address, "/metrics", &answer, error) != 0)
		fprintf(stderr, "bagelhook-console: --admin: %s; meanwhile spool and answers are not shown\n",
			error);
	buffer_done(&answer);
}

/* What only people can mend is said at once; a database that is merely away does not keep the console
 * from saying so. Returns an exit status, or -1 to go on. */
static int first_connect(const struct console_options *options)
{
	char error[PG_ERROR_SIZE];
	char listen_error[LISTENER_ERROR_SIZE];
	struct database db;
	bool in_use = false;

	database_init(&db, options->database);
	enum database_result result = database_connect(&db, error);
	database_done(&db);
	if (result == DATABASE_UNFIT || (options->check && result != DATABASE_ANSWERED))
		return complain(EXIT_CANNOT_RUN, error);
	if (result != DATABASE_ANSWERED)
		log_record(LOG_WARN, "the database does not answer", LOG_PAIRS("reason", error));
	if (!options->check)
		return -1;
	if (options->listen != NULL
		&& listener_check("--listen", options->listen, &in_use, listen_error) != 0)
		return complain(EXIT_CANNOT_RUN, listen_error);
	if (in_use)
		printf("bagelhook-console: %s is in use: a start would fail until its present user, perhaps "
		       "this "
		       "service, stops\n",
			options->listen);
	else
		puts("bagelhook-console: page, database, schema, role and address are in order");
	check_admin(options->admin);
	return 0;
}

/* Unless the connection string or the environment says otherwise: a name for those who look at
 * pg_stat_activity, and that a server which takes no writes will do. Before any thread is started. */
static int name_session(void)
{
	static const char *const defaults[][2] = {
		{"PGAPPNAME", "bagelhook-console"}, {"PGTARGETSESSIONATTRS", "prefer-standby"}};

	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
		if (setenv(defaults[i][0], defaults[i][1], 0) != 0) /* NOLINT(concurrency-mt-unsafe) */
			return -1;
	return 0;
}

static int serve(const struct console_options *options, const struct views *views)
{
	char error[LISTENER_ERROR_SIZE];
	struct listener listener;

	/* libfcgi installs signal handlers of its own; ours come after, and before there is a socket to be
	 * seen, as whoever sees it may ask us to end. */
	if (FCGX_Init() != 0 || signals_catch() != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (listener_open(&listener, "--listen", options->listen, options->socket_mode, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	log_record(LOG_INFO, "listening",
		LOG_PAIRS("address", options->listen == NULL ? "descriptor 0" : options->listen, "version",
			PACKAGE_VERSION));
	int failed = log_start() != 0 || workers_run(&listener, views, options->database) != 0;
	listener_close(&listener);
	log_stop();
	return failed ? complain(EXIT_CANNOT_RUN, text_error(errno)) : 0;
}

int main(int argc, char *argv[])
{
	struct console_options options;
	char error[OPTIONS_ERROR_SIZE];
	char page_error[PAGE_ERROR_SIZE];
	struct page page;

	signal(SIGHUP, SIG_IGN);
	if (console_options_parse(&options, argc, argv, error) != 0)
		return complain(EXIT_USAGE, error);
	if (options.help) {
		console_options_help(stdout);
		return 0;
	}
	if (options.version) {
		puts("bagelhook-console " PACKAGE_VERSION);
		return 0;
	}
	if (!options.check && options.listen == NULL && !listener_is_inherited())
		return complain(EXIT_USAGE, LISTENER_NOTHING);
	if (name_session() != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (admin_client_init() != 0)
		return complain(EXIT_CANNOT_RUN, "libcurl cannot be initialised");
	if (page_read(&page, options.page, page_error) != 0)
		return complain(EXIT_CANNOT_RUN, page_error);
	int status = first_connect(&options);
	if (status < 0) {
		const struct views views = {&page, options.admin};

		status = serve(&options, &views);
	}
	page_done(&page);
	admin_client_done();
	return status;
}
