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
/* For each thread: the connection to a responder that is asked, and what its name is looked up with. */
#define WORKER_DESCRIPTORS 3

static const struct server_limits limits = {.threads = THREADS,
	.read_timeout_ms = READ_TIMEOUT_MS,
	.send_timeout_ms = SEND_TIMEOUT_MS,
	.other_descriptors = (size_t)THREADS * WORKER_DESCRIPTORS};

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

/* What the worker asks the database with. */
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

/* Returns 0, or -1 with the reason, one line, in error. */
static int enter_sandbox(const struct console_options *options, const struct listener *listener,
	char error[SANDBOX_ERROR_SIZE])
{
	const char *const paths[2] = {listener->path};
	const struct sandbox_access access = {NULL, paths};
	struct sandbox sandbox;

	if (options->no_sandbox) {
		log_record(LOG_WARN, "no sandbox, as told", NULL);
		return 0;
	}
	if (sandbox_enter(&access, &sandbox, error) != 0)
		return -1;
	log_record(LOG_INFO, "sandbox",
		LOG_PAIRS("no_new_privs", "yes", "seccomp", sandbox.seccomp, "landlock", sandbox.landlock));
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
	int status = 0;
	if (enter_sandbox(options, &listener, error) != 0)
		status = complain(EXIT_CANNOT_RUN, error);
	else if (run(&listener, views) != 0)
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
	if (name_session() != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (page_read(&page, options.page, page_error) != 0)
		return complain(EXIT_CANNOT_RUN, page_error);
	int status = first_connect(&options);
	if (status < 0) {
		struct views views = {&page, options.admin, options.database};

		status = serve(&options, &views);
	}
	page_done(&page);
	return status;
}
