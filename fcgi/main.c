#include "config.h"

#include <errno.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cgi.h"
#include "clock.h"
#include "committer.h"
#include "handler.h"
#include "import.h"
#include "listener.h"
#include "log.h"
#include "options.h"
#include "redrive.h"
#include "secrets.h"
#include "server.h"
#include "signals.h"
#include "spool.h"
#include "spooler.h"
#include "store.h"
#include "text.h"

#define EXIT_CANNOT_RUN 1
#define EXIT_USAGE 2
/* With --check: all that does not need the database is in order, and nobody answers there. */
#define EXIT_DATABASE_AWAY 3
#define FIRST_CONNECT_MS 5000
/* Of bodies that wait for the database: thousands of usual ones, a few of the largest. */
#define QUEUE_BYTES ((size_t)64 * 1024 * 1024)

struct reloaded {
	struct handler *handler;
	const char *secret_file;
};

static int complain(int status, const char *text)
{
	fprintf(stderr, "bagelhook: %s\n", text);
	return status;
}

static void reload_secrets(void *context)
{
	const struct reloaded *reloaded = context;
	struct secrets secrets;
	char error[512];

	if (reloaded->secret_file == NULL)
		return;
	if (secrets_read(reloaded->secret_file, &secrets, error, sizeof error) != 0) {
		log_record(LOG_ERROR, "keeping the secrets as they were", LOG_PAIRS("reason", error));
		return;
	}
	if (handler_set_secrets(reloaded->handler, &secrets) == 0)
		log_record(LOG_INFO, "read the secrets again", NULL);
	secrets_wipe(&secrets);
}

/* The end of --check, behind everything else: where to listen. */
static int report_check(const struct options *options, const char *unreachable)
{
	char error[LISTENER_ERROR_SIZE];
	bool in_use = false;

	if (options->listen != NULL && listener_check(options->listen, &in_use, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (unreachable != NULL)
		return complain(EXIT_DATABASE_AWAY, unreachable);
	puts("bagelhook: configuration, database and schema are in order");
	if (in_use)
		printf("bagelhook: somebody listens on %s already\n", options->listen);
	return 0;
}

/* Connects once, so that what only people can mend is said at once and ends the process;
 * a database that is merely away does not. Returns an exit status, or -1 to go on. */
static int first_connect(struct store *store, const struct options *options)
{
	switch (store_connect(store, FIRST_CONNECT_MS)) {
	case STORE_CONNECTED:
		return options->check ? report_check(options, NULL) : -1;
	case STORE_UNREACHABLE:
		/* The committer tries again, and says so. */
		return options->check ? report_check(options, store_error(store)) : -1;
	case STORE_UNUSABLE:
		break;
	}
	return complain(EXIT_CANNOT_RUN, store_error(store));
}

/* The spool, or NULL where none is wanted. Returns 0, or the exit status. */
static int open_spool(const struct options *options, struct spool **spool)
{
	const struct spool_limits limits = {options->spool_files, options->spool_bytes, options->spool_free};
	char error[SPOOL_ERROR_SIZE];

	*spool = NULL;
	if (options->spool == NULL)
		return 0;
	if (options->check)
		return spool_check(options->spool, error) == 0 ? 0 : complain(EXIT_CANNOT_RUN, error);
	*spool = spool_open(options->spool, &limits, error);
	return *spool == NULL ? complain(EXIT_CANNOT_RUN, error) : 0;
}

/* Owns store and spool. As a CGI program (by_cgi) it serves one request, and listens to nothing. */
static int serve(const struct options *options, bool by_cgi, struct secrets *secrets, struct store *store,
	struct spool *spool)
{
	const struct committer_limits commit_limits = {
		{(size_t)options->queue, QUEUE_BYTES, (int)options->commit_timeout * 1000},
		(size_t)options->batch, by_cgi};
	const struct handler_limits handler_limits = {
		(size_t)options->max_body, options->max_age, options->insecure_no_signature};
	const struct server_limits server_limits = {
		(size_t)options->threads, (size_t)options->max_body, (int)options->read_timeout * 1000};
	struct committer *committer = NULL;
	struct spooler *spooler = NULL;
	struct handler *handler = NULL;
	struct listener listener = {.fd = -1};
	char error[LISTENER_ERROR_SIZE];
	int status = EXIT_CANNOT_RUN;

	if (!by_cgi && listener_open(&listener, options->listen, (mode_t)options->socket_mode, error) != 0) {
		store_free(store);
		spool_close(spool);
		return complain(EXIT_CANNOT_RUN, error);
	}
	if (!by_cgi)
		log_record(LOG_INFO, "listening",
			LOG_PAIRS("address", options->listen == NULL ? "descriptor 0" : options->listen,
				"version", PACKAGE_VERSION));
	/* libfcgi installs signal handlers of its own; ours come after. */
	if (FCGX_Init() != 0 || signals_catch() != 0) {
		store_free(store);
		spool_close(spool);
		goto done;
	}
	committer = committer_open(store, &commit_limits);
	if (committer == NULL) {
		spool_close(spool);
		goto done;
	}
	spooler = spooler_open(committer_queue(committer), spool);
	if (spooler == NULL)
		goto done;
	handler = handler_open(committer_queue(committer), spooler, secrets, &handler_limits);
	if (handler == NULL)
		goto done;
	secrets_wipe(secrets);
	const struct cgi_limits cgi_limits = {server_limits.max_body, server_limits.read_timeout_ms};
	struct reloaded reloaded = {handler, options->secret_file};
	if (by_cgi) {
		cgi_serve(handler, &cgi_limits);
		status = 0;
	} else if (server_run(&listener, handler, &server_limits, reload_secrets, &reloaded) == 0) {
		status = 0;
	}
done:
	if (status != 0)
		complain(status, "cannot start: out of memory, threads (see --threads) or descriptors");
	handler_close(handler);
	spooler_stop(spooler);
	committer_close(committer);
	spooler_close(spooler);
	listener_close(&listener);
	return status;
}

static int run(int argc, char *argv[], bool by_cgi)
{
	struct options options;
	struct secrets secrets = {0};
	char error[OPTIONS_ERROR_SIZE];

	/* Until it can be heeded: a reload must not end a process that is about to serve. */
	signal(SIGHUP, SIG_IGN);
	/* A limit on the size of files is an error like another. */
	signal(SIGXFSZ, SIG_IGN);
	if (options_parse(&options, argc, argv, error) != 0)
		return complain(EXIT_USAGE, error);
	if (options.help) {
		options_help(options.command, stdout);
		return 0;
	}
	if (options.version) {
		puts("bagelhook " PACKAGE_VERSION);
		return 0;
	}
	switch (options.command) {
	case OPTIONS_REDRIVE:
		return redrive_run(options.database, options.id);
	case OPTIONS_IMPORT:
		return import_run(options.database, options.files, options.file_count);
	case OPTIONS_SERVE:
		break;
	}
	if (options.secret_file != NULL
		&& secrets_read(options.secret_file, &secrets, error, sizeof error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options.insecure_no_signature)
		log_record(LOG_WARN, "signatures are not checked: anyone can entitle anyone", NULL);
	struct store *store = store_new(options.database);
	if (store == NULL)
		return complain(EXIT_CANNOT_RUN, text_error(ENOMEM));
	struct spool *spool;
	int status = open_spool(&options, &spool);
	if (status == 0)
		/* A CGI program connects for an authentic request only. */
		status = by_cgi ? -1 : first_connect(store, &options);
	if (status >= 0) {
		store_free(store);
		spool_close(spool);
		return status;
	}
	return serve(&options, by_cgi, &secrets, store, spool);
}

int main(int argc, char *argv[])
{
	if (!cgi_is_request())
		return run(argc, argv, false);
	/* The arguments are the client's. */
	int status = run(1, argv, true);
	if (status != 0)
		cgi_apologise();
	return status;
}
