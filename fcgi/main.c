/* The responder from its parts: opens what they need, in an order in which each finds what it stands on,
 * serves, and unwinds. */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "cgi.h"
#include "check.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sandbox.h"
#include "common/signals.h"
#include "common/text.h"
#include "fcgi/auth/rotation.h"
#include "fcgi/auth/secrets.h"
#include "fcgi/commit/committer.h"
#include "fcgi/commit/pg.h"
#include "fcgi/commit/store.h"
#include "fcgi/operator/commands.h"
#include "fcgi/spool/spool.h"
#include "fcgi/spool/spooler.h"
#include "fcgi/watch/admin.h"
#include "handler.h"
#include "options.h"
#include "responder.h"

#define EXIT_CANNOT_RUN 1
#define EXIT_USAGE 2
/* How long a start waits for the database, so that what only people can mend is said at once and ends the process. */
#define FIRST_CONNECT_MS 1000
/* The most bytes of bodies that wait for the database: thousands of usual ones, a few of the largest. */
#define QUEUE_BYTES ((size_t)64 * 1024 * 1024)
#define LARGE_BYTES (1024 * 1024)
#define CANNOT_START "cannot start: out of memory, threads (see --threads) or descriptors"

static const struct {
	const char *group; /* the role whose rights it needs */
	int (*run)(const struct options *);
} commands[] = {
	[OPTIONS_SERVE] = {"bagelpay_ingest", NULL},
	[OPTIONS_REDRIVE] = {"bagelpay_owner", redrive_run},
	[OPTIONS_IMPORT] = {"bagelpay_ingest", import_run},
	[OPTIONS_EXPORT] = {"bagelpay_console", export_run},
	[OPTIONS_ADOPT] = {"bagelpay_app", adopt_run},
	[OPTIONS_STATUS] = {"bagelpay_reader", status_run},
};

/* The sockets that are open before the first thread begins. */
struct sockets {
	struct listener listener;
	struct admin *admin;
};

/* Prints why it cannot go on, as one line on standard error, and returns the status. */
static int complain(int status, const char *text)
{
	log_complaint("bagelhook", text);
	return status;
}

static struct spool_limits spool_limits(const struct options *options)
{
	return (struct spool_limits){options->spool_files, options->spool_bytes, options->spool_free};
}

/* Returns 0, or the exit status. */
static int check_descriptors(const struct options *options)
{
	const struct server_limits limits = responder_limits(options);
	char error[SERVER_ERROR_SIZE];

	return server_check_descriptors(&limits, error) == 0 ? 0 : complain(EXIT_CANNOT_RUN, error);
}

/* Returns 0, or the exit status. */
static int open_sockets(const struct options *options, struct sockets *sockets)
{
	const mode_t mode = (mode_t)options->socket_mode;
	char error[LISTENER_ERROR_SIZE];

	if (listener_open(&sockets->listener, "--listen", options->listen, mode, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options->admin_listen != NULL) {
		sockets->admin = admin_open(options->admin_listen, mode, error);
		if (sockets->admin == NULL)
			return complain(EXIT_CANNOT_RUN, error);
	}
	log_record(LOG_INFO, "listening",
		LOG_PAIRS("address", options->listen == NULL ? "descriptor 0" : options->listen, "version",
			PACKAGE_VERSION));
	return 0;
}

static void close_sockets(struct sockets *sockets)
{
	admin_close(sockets->admin);
	listener_close(&sockets->listener);
}

/* Once everything is open, and before the first thread. Returns 0, or the exit status. */
static int enter_sandbox(const struct options *options, bool by_cgi, const struct sockets *sockets)
{
	const char *paths[3] = {NULL};
	size_t count = 0;
	const struct sandbox_access access = {options->spool, paths};
	struct sandbox unlogged;
	char error[SANDBOX_ERROR_SIZE];
	int entered = 0;

	/* They are removed in the end. */
	if (sockets->listener.path != NULL)
		paths[count++] = sockets->listener.path;
	if (sockets->admin != NULL && admin_socket(sockets->admin) != NULL)
		paths[count++] = admin_socket(sockets->admin);
	/* A record is for a process that serves many requests, not for each of them. */
	if (!by_cgi)
		entered = sandbox_enter_and_log(options->no_sandbox, &access, error);
	else if (!options->no_sandbox)
		entered = sandbox_enter(&access, &unlogged, error);
	return entered == 0 ? 0 : complain(EXIT_CANNOT_RUN, error);
}

/* Returns 0 when it was told to stop, else -1. */
static int listen_and_serve(const struct options *options, struct sockets *sockets, struct handler *handler,
	struct signature_verifier *verifier, const struct secrets_version *version, struct spool *spool)
{
	const struct exposition_sources sources = {verifier, spool, spool_limits(options)};
	const struct server_limits limits = responder_limits(options);

	if (sockets->admin != NULL && admin_start(sockets->admin, &sources) != 0)
		return -1;
	struct rotation *rotation = rotation_start(options->secret_file, version, verifier);
	if (rotation == NULL)
		return -1;
	const int status = responder_run(&sockets->listener, handler, &limits, rotation);
	rotation_stop(rotation);
	return status;
}

/* Owns store and spool. */
static int serve_with(const struct options *options, bool by_cgi, struct secrets *secrets,
	struct store *store, struct spool *spool, struct sockets *sockets)
{
	const struct committer_limits commit_limits = {
		{(size_t)options->queue, QUEUE_BYTES, (int)options->commit_timeout * 1000},
		(size_t)options->batch, by_cgi};
	const struct handler_limits handler_limits = {
		(size_t)options->max_body, options->max_age, options->insecure_no_signature};
	const struct cgi_limits cgi_limits = {(size_t)options->max_body, (int)options->read_timeout * 1000};
	struct committer *committer = NULL;
	struct spooler *spooler = NULL;
	struct handler *handler = NULL;
	struct signature_verifier *verifier = NULL;
	const char *complaint = CANNOT_START;
	char reason[STORE_ERROR_SIZE];
	int status = -1;

	committer = committer_open(store, &commit_limits);
	if (committer == NULL) {
		spool_close(spool);
		goto done;
	}
	spooler = spooler_open(committer_queue(committer), spool, !by_cgi);
	if (spooler == NULL)
		goto done;
	verifier = signature_open(secrets);
	if (verifier == NULL)
		goto done;
	const struct secrets_version version = secrets->version;
	secrets_wipe(secrets);
	handler = handler_open(committer_queue(committer), spooler, verifier, &handler_limits);
	if (handler == NULL)
		goto done;
	/* A CGI program connects for a correctly signed request only. */
	if (!by_cgi && committer_await(committer, FIRST_CONNECT_MS, reason) == PG_UNUSABLE) {
		complaint = reason;
		goto done;
	}
	if (by_cgi)
		cgi_serve(handler, spooler, &cgi_limits);
	status = by_cgi ? 0 : listen_and_serve(options, sockets, handler, verifier, &version, spool);
done:
	if (status != 0)
		complain(status, complaint);
	/* It asks the verifier and the spool. */
	admin_close(sockets->admin);
	sockets->admin = NULL;
	handler_close(handler);
	spooler_stop(spooler);
	committer_close(committer);
	spooler_close(spooler);
	signature_close(verifier);
	return status == 0 ? 0 : EXIT_CANNOT_RUN;
}

/* Serves until SIGTERM or, as a CGI program, one request, and listens to nothing. Owns store and spool, of
 * which the latter may be NULL; wipes the secrets once it has taken them over. Returns the exit status. */
static int serve(const struct options *options, bool by_cgi, struct secrets *secrets, struct store *store,
	struct spool *spool)
{
	struct sockets sockets = {.listener.fd = -1};
	int status = 0;

	/* Before there is a socket to be seen: whoever sees it may ask us to end. */
	if (signals_catch() != 0)
		status = complain(EXIT_CANNOT_RUN, CANNOT_START);
	if (status == 0 && !by_cgi)
		status = check_descriptors(options);
	if (status == 0 && !by_cgi)
		status = open_sockets(options, &sockets);
	if (status == 0)
		status = enter_sandbox(options, by_cgi, &sockets);
	if (status == 0 && log_start() != 0)
		status = complain(EXIT_CANNOT_RUN, CANNOT_START);
	if (status == 0) {
		status = serve_with(options, by_cgi, secrets, store, spool, &sockets);
	} else {
		store_free(store);
		spool_close(spool);
	}
	close_sockets(&sockets);
	log_stop();
	return status;
}

/* The operator's commands: they write nothing but their output. Returns the exit status. */
static int run_command(const struct options *options)
{
	const struct sandbox_access nothing = {NULL, NULL};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (!options->no_sandbox && sandbox_enter(&nothing, &sandbox, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	return commands[options->command].run(options);
}

/* Opens what a start needs beside sockets. */
static int open_and_serve(const struct options *options, bool by_cgi, struct secrets *secrets)
{
	const struct spool_limits limits = spool_limits(options);
	struct store *store = store_new(options->database);
	struct spool *spool = NULL;
	char error[SPOOL_ERROR_SIZE];

	if (store == NULL)
		return complain(EXIT_CANNOT_RUN, text_error(ENOMEM));
	if (options->spool != NULL && (spool = spool_open(options->spool, &limits, error)) == NULL) {
		store_free(store);
		return complain(EXIT_CANNOT_RUN, error);
	}
	return serve(options, by_cgi, secrets, store, spool);
}

static int run(int argc, char *argv[], bool by_cgi)
{
	struct options options;
	struct secrets secrets = {0};
	char error[OPTIONS_ERROR_SIZE];

	/* Secrets and bodies are in memory: no core dumps, and no looking in by others of the same
	 * user. */
	prctl(PR_SET_DUMPABLE, 0);
	/* Large memory goes back to the system when it is freed, whatever was freed before. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);     /* NOLINT(concurrency-mt-unsafe) */
	mallopt(M_TRIM_THRESHOLD, 4 * LARGE_BYTES); /* NOLINT(concurrency-mt-unsafe) */
	/* Until it can be heeded: a reload must not end a process that is about to serve. */
	signal(SIGHUP, SIG_IGN);
	/* A limit on the size of files is an error like another. */
	signal(SIGXFSZ, SIG_IGN);
	if (options_parse(&options, argc, argv, error) != 0)
		return complain(EXIT_USAGE, error);
	if (pg_set_defaults("bagelhook", "read-write", commands[options.command].group) != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
	if (options.help) {
		options_help(options.command, stdout);
		return 0;
	}
	if (options.version) {
		puts("bagelhook " PACKAGE_VERSION);
		return 0;
	}
	if (options.command != OPTIONS_SERVE)
		return run_command(&options);
	if (!by_cgi && !options.check && options.listen == NULL && !listener_is_inherited())
		return complain(EXIT_USAGE, LISTENER_NOTHING);
	log_configure((enum log_format)options.log_format, (enum log_level)options.log_level);
	if (options.check)
		return check_run(&options);
	metrics_start();
	if (options.secret_file != NULL
		&& secrets_read(options.secret_file, &secrets, error, sizeof error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options.insecure_no_signature)
		log_record(LOG_WARN, "signatures are not checked: anyone can entitle anyone", NULL);
	int status = open_and_serve(&options, by_cgi, &secrets);
	secrets_wipe(&secrets);
	return status;
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
