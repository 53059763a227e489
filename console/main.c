#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "common/admin_client.h"
#include "common/buffer.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/server.h"
#include "common/signals.h"
#include "common/text.h"
#include "common/thread.h"
#include "database.h"
#include "options.h"
#include "page.h"
#include "routes.h"

#define EXIT_CANNOT_RUN 1
#define EXIT_USAGE 2
/* How many threads answer: as many connections to the database there are, and questions to it at once. */
#define THREADS 4
#define READ_TIMEOUT_MS 10000
#define SEND_TIMEOUT_MS 10000
/* How long a view may take before its thread counts as stuck. */
#define VIEW_STUCK_MS 60000
/* For each thread: the connection to a responder that is asked, and what its name is looked up with. */
#define WORKER_DESCRIPTORS 3

static const struct server_limits limits = {.threads = THREADS,
	.read_timeout_ms = READ_TIMEOUT_MS,
	.send_timeout_ms = SEND_TIMEOUT_MS,
	.other_descriptors = (size_t)THREADS * WORKER_DESCRIPTORS};

static int complain(int status, const char *text)
{
	log_complaint("bagelhook-console", text);
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

/* Connects once, to see whether that can be done. */
static enum database_result look_at_database(const struct console_options *options, char error[PG_ERROR_SIZE])
{
	struct database db;

	database_init(&db, options->database);
	const enum database_result result = database_connect(&db, error);
	database_done(&db);
	return result;
}

/* Checks what a start needs beside the page. Returns the exit status. */
static int check(const struct console_options *options)
{
	char error[PG_ERROR_SIZE];
	bool in_use = false;

	if (look_at_database(options, error) != DATABASE_ANSWERED
		|| (options->listen != NULL
			&& listener_check("--listen", options->listen, &in_use, error) != 0))
		return complain(EXIT_CANNOT_RUN, error);
	if (in_use)
		printf("bagelhook-console: %s is in use: a start would fail until its present user, perhaps this "
		       "service, stops\n",
			options->listen);
	else if (options->listen == NULL && !listener_is_inherited())
		puts("bagelhook-console: page, database, schema and role are in order; " LISTENER_NEEDED);
	else
		puts("bagelhook-console: page, database, schema, role and address are in order");
	check_admin(options->admin);
	return 0;
}

/* A worker's connection to the database. */
static void *open_worker(void *context)
{
	const struct views *views = context;
	struct database *db = calloc(1, sizeof *db);

	if (db != NULL)
		database_init(db, views->database);
	return db;
}

static void close_worker(void *worker)
{
	if (worker != NULL)
		database_done(worker);
	free(worker);
}

static bool answer(void *context, void *worker, FCGX_Request *fcgi, struct peer *peer, struct buffer *out)
{
	(void)peer;
	/* It may have to connect first, to one host after the other. */
	thread_alive(VIEW_STUCK_MS);
	if (worker == NULL)
		routes_refuse(out);
	else
		routes_answer(context, worker, FCGX_GetParam("REQUEST_METHOD", fcgi->envp),
			FCGX_GetParam("REQUEST_URI", fcgi->envp), FCGX_GetParam("HTTP_IF_NONE_MATCH", fcgi->envp),
			out);
	if (buffer_failed(out)) {
		buffer_done(out);
		routes_refuse(out);
	}
	return true;
}

static void refuse(void *context, enum refusal why, struct buffer *out)
{
	(void)context;
	(void)why;
	routes_refuse(out);
}

/* Connects for the first time. Requests wait meanwhile. An error that a retry cannot fix is reported and ends the start.
 * Returns 0, or the exit status. */
static int first_connect(const struct console_options *options)
{
	char error[PG_ERROR_SIZE];
	const enum database_result result = look_at_database(options, error);

	if (result == DATABASE_UNFIT)
		return complain(EXIT_CANNOT_RUN, error);
	if (result != DATABASE_ANSWERED)
		log_record(LOG_WARN, "the database does not answer", LOG_PAIRS("reason", error));
	return 0;
}

/* Returns 0 when it was told to stop, else -1. */
static int run(struct listener *listener, struct views *views)
{
	const struct server_service service = {
		.peers = {views, NULL, refuse}, .open_worker = open_worker, .close_worker = close_worker, .serve = answer};
	struct server *server = NULL;
	int status = -1;

	if (log_start() == 0 && (server = server_new(listener, &limits, &service)) != NULL)
		status = server_run(server);
	server_free(server);
	log_stop();
	return status;
}

static int serve(const struct console_options *options, struct views *views)
{
	char error[LISTENER_ERROR_SIZE];
	struct listener listener;

	/* Before there is a socket to be seen: whoever sees it may ask us to end. */
	if (signals_catch() != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (server_check_descriptors(&limits, error) != 0
		|| listener_open(&listener, "--listen", options->listen, (mode_t)options->socket_mode, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	log_record(LOG_INFO, "listening",
		LOG_PAIRS("address", options->listen == NULL ? "descriptor 0" : options->listen, "version",
			PACKAGE_VERSION));
	const char *const paths[2] = {listener.path};
	const struct sandbox_access access = {NULL, paths};
	int status = sandbox_enter_and_log(options->no_sandbox, &access, error) == 0
		? first_connect(options)
		: complain(EXIT_CANNOT_RUN, error);
	if (status == 0 && run(&listener, views) != 0)
		status = complain(EXIT_CANNOT_RUN, "cannot start: out of memory, threads or descriptors");
	listener_close(&listener);
	return status;
}

int main(int argc, char *argv[])
{
	struct console_options options;
	char error[OPTIONS_ERROR_SIZE];
	char page_error[PAGE_ERROR_SIZE];
	struct page page;

	/* Personal data is in memory: no core dumps, and no looking in by others of the same user. */
	prctl(PR_SET_DUMPABLE, 0);
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
	/* A server that takes no writes will do. */
	if (pg_set_defaults("bagelhook-console", "prefer-standby", "bagelpay_console") != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (page_read(&page, options.page, page_error) != 0)
		return complain(EXIT_CANNOT_RUN, page_error);
	struct views views = {&page, options.admin, options.database};
	const int status = options.check ? check(&options) : serve(&options, &views);
	page_done(&page);
	return status;
}
