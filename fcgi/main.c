#include "config.h"

#include <errno.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "admin.h"
#include "clock.h"
#include "committer.h"
#include "handler.h"
#include "import.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "options.h"
#include "redrive.h"
#include "rotation.h"
#include "sandbox.h"
#include "secrets.h"
#include "server.h"
#include "signals.h"
#include "spool.h"
#include "spooler.h"
#include "store.h"
#include "text.h"

#define EXIT_CANNOT_RUN 1
#define EXIT_USAGE 2
#define FIRST_CONNECT_MS 5000
/* Of bodies that wait for the database: thousands of usual ones, a few of the largest. */
#define QUEUE_BYTES ((size_t)64 * 1024 * 1024)

static int complain(int status, const char *text)
{
	log_complaint("bagelhook", text);
	return status;
}

static int64_t reload_secrets(void *context, bool hangup)
{
	return rotation_look(context, hangup);
}

/* Connects once, so that what only people can mend is said at once and ends the process;
 * a database that is merely away does not. Returns an exit status, or -1 to go on. */
static int first_connect(struct store *store, int check)
{
	switch (store_connect(store, FIRST_CONNECT_MS)) {
	case STORE_CONNECTED:
		if (!check)
			return -1;
		puts("bagelhook: configuration, database and schema are in order");
		return 0;
	case STORE_UNREACHABLE:
		/* The committer tries again, and says so. */
		return check ? complain(EXIT_CANNOT_RUN, store_error(store)) : -1;
	case STORE_UNUSABLE:
		break;
	}
	return complain(EXIT_CANNOT_RUN, store_error(store));
}

static struct spool_limits spool_limits(const struct options *options)
{
	return (struct spool_limits){options->spool_files, options->spool_bytes, options->spool_free};
}

/* The spool, or NULL where none is wanted. Returns 0, or the exit status. */
static int open_spool(const struct options *options, struct spool **spool)
{
	const struct spool_limits limits = spool_limits(options);
	char error[SPOOL_ERROR_SIZE];

	*spool = NULL;
	if (options->spool == NULL)
		return 0;
	if (options->check)
		return spool_check(options->spool, error) == 0 ? 0 : complain(EXIT_CANNOT_RUN, error);
	*spool = spool_open(options->spool, &limits, error);
	return *spool == NULL ? complain(EXIT_CANNOT_RUN, error) : 0;
}

/* Once everything is open, and before the first thread. Returns 0, or the exit status. */
static int enter_sandbox(
	const struct options *options, const struct listener *listener, const struct admin *admin)
{
	const char *sockets[3] = {NULL};
	size_t count = 0;
	const struct sandbox_access access = {options->spool, sockets};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (options->no_sandbox) {
		log_record(LOG_WARN, "no sandbox, as told", NULL);
		return 0;
	}
	/* They are removed in the end. */
	if (listener->path != NULL)
		sockets[count++] = listener->path;
	if (admin != NULL && admin_socket(admin) != NULL)
		sockets[count++] = admin_socket(admin);
	if (sandbox_enter(&access, &sandbox, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	log_record(LOG_INFO, "sandbox",
		LOG_PAIRS("no_new_privs", "yes", "seccomp", sandbox.seccomp, "landlock", sandbox.landlock));
	return 0;
}

/* The operator's commands: they write nothing but their output. Returns the exit status. */
static int run_command(const struct options *options)
{
	const struct sandbox_access nothing = {NULL, NULL};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (!options->no_sandbox && sandbox_enter(&nothing, &sandbox, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options->command == OPTIONS_REDRIVE)
		return redrive_run(options->database, options->id);
	return import_run(options->database, options->files, options->file_count);
}

/* Opens the sockets. Returns 0, or the exit status. */
static int open_sockets(const struct options *options, struct listener *listener, struct admin **admin)
{
	char error[LISTENER_ERROR_SIZE];

	*admin = NULL;
	if (listener_open(listener, "--listen", options->listen, (mode_t)options->socket_mode, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options->admin_listen == NULL)
		return 0;
	*admin = admin_open(options->admin_listen, (mode_t)options->socket_mode, error);
	if (*admin != NULL)
		return 0;
	listener_close(listener);
	return complain(EXIT_CANNOT_RUN, error);
}

/* Owns store and spool. */
static int serve(
	const struct options *options, struct secrets *secrets, struct store *store, struct spool *spool)
{
	const struct committer_limits commit_limits = {
		{(size_t)options->queue, QUEUE_BYTES, (int)options->commit_timeout * 1000},
		(size_t)options->batch};
	const struct handler_limits handler_limits = {
		(size_t)options->max_body, options->max_age, options->insecure_no_signature};
	const struct server_limits server_limits = {
		(size_t)options->threads, (size_t)options->max_body, (int)options->read_timeout * 1000};
	struct committer *committer = NULL;
	struct spooler *spooler = NULL;
	struct handler *handler = NULL;
	struct rotation rotation;
	struct listener listener;
	struct admin *admin;
	int status = open_sockets(options, &listener, &admin);

	if (status != 0) {
		store_free(store);
		spool_close(spool);
		return status;
	}
	status = EXIT_CANNOT_RUN;
	log_record(LOG_INFO, "listening",
		LOG_PAIRS("address", options->listen == NULL ? "descriptor 0" : options->listen, "version",
			PACKAGE_VERSION));
	if (enter_sandbox(options, &listener, admin) != 0) {
		store_free(store);
		spool_close(spool);
		listener_close(&listener);
		admin_close(admin);
		return EXIT_CANNOT_RUN;
	}
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
	rotation_begin(&rotation, handler, options->secret_file, secrets);
	secrets_wipe(secrets);
	/* It will turn in a moment, and must not seem to hang until then. */
	metrics_set(METRICS_TURNED_MS, clock_ms());
	const struct exposition_sources sources = {handler, spool, spool_limits(options)};
	if (admin != NULL && admin_start(admin, &sources) != 0)
		goto done;
	if (server_run(&listener, handler, &server_limits, reload_secrets, &rotation) == 0)
		status = 0;
	rotation_log_matches(&rotation);
done:
	if (status != 0)
		complain(status, "cannot start: out of memory, threads (see --threads) or descriptors");
	admin_close(admin);
	handler_close(handler);
	spooler_stop(spooler);
	committer_close(committer);
	spooler_close(spooler);
	listener_close(&listener);
	return status;
}

static int open_and_serve(const struct options *options, struct secrets *secrets)
{
	struct store *store = store_new(options->database);
	if (store == NULL)
		return complain(EXIT_CANNOT_RUN, text_error(ENOMEM));
	struct spool *spool;
	int status = open_spool(options, &spool);
	if (status == 0)
		status = first_connect(store, options->check);
	if (status >= 0) {
		store_free(store);
		spool_close(spool);
		return status;
	}
	return serve(options, secrets, store, spool);
}

int main(int argc, char *argv[])
{
	struct options options;
	struct secrets secrets = {0};
	char error[OPTIONS_ERROR_SIZE];

	/* Secrets and bodies are in memory: no core dumps, and no looking in by others of the same
	 * user. */
	prctl(PR_SET_DUMPABLE, 0);
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
	if (options.command != OPTIONS_SERVE)
		return run_command(&options);
	log_configure((enum log_format)options.log_format, (enum log_level)options.log_level);
	metrics_start();
	if (options.secret_file != NULL
		&& secrets_read(options.secret_file, &secrets, error, sizeof error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options.insecure_no_signature)
		log_record(LOG_WARN, "signatures are not checked: anyone can entitle anyone", NULL);
	int status = open_and_serve(&options, &secrets);
	secrets_wipe(&secrets);
	return status;
}
