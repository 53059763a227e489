#include "config.h"

#include "serve.h"

#include <fcgiapp.h>

#include "common/clock.h"
#include "common/listener.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sandbox.h"
#include "common/signals.h"
#include "fcgi/auth/rotation.h"
#include "fcgi/commit/committer.h"
#include "fcgi/spool/spooler.h"
#include "fcgi/watch/admin.h"
#include "cgi.h"
#include "handler.h"
#include "server.h"

/* Of bodies that wait for the database: thousands of usual ones, a few of the largest. */
#define QUEUE_BYTES ((size_t)64 * 1024 * 1024)
/* How long a start waits for the database, so that what only people can mend is said at once and ends the process. */
#define FIRST_CONNECT_MS 1000
#define CANNOT_START "cannot start: out of memory, threads (see --threads) or descriptors"

/* What is open before the first thread begins. */
struct sockets {
	struct listener listener;
	struct admin *admin;
};

int complain(int status, const char *text)
{
	log_complaint("bagelhook", text);
	return status;
}

struct spool_limits serve_spool_limits(const struct options *options)
{
	return (struct spool_limits){options->spool_files, options->spool_bytes, options->spool_free};
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
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (options->no_sandbox) {
		if (!by_cgi)
			log_record(LOG_WARN, "no sandbox, as told", NULL);
		return 0;
	}
	/* They are removed in the end. */
	if (sockets->listener.path != NULL)
		paths[count++] = sockets->listener.path;
	if (sockets->admin != NULL && admin_socket(sockets->admin) != NULL)
		paths[count++] = admin_socket(sockets->admin);
	if (sandbox_enter(&access, &sandbox, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	/* Once for a process that serves many requests, not with each of them. */
	if (!by_cgi)
		log_record(LOG_INFO, "sandbox",
			LOG_PAIRS("no_new_privs", "yes", "seccomp", sandbox.seccomp, "landlock",
				sandbox.landlock));
	return 0;
}

static int64_t reload_secrets(void *context, bool hangup)
{
	return rotation_look(context, hangup);
}

/* Returns 0 when it was told to stop, else -1. */
static int listen_and_serve(const struct options *options, struct sockets *sockets, struct handler *handler,
	struct rotation *rotation, struct spool *spool)
{
	const struct exposition_sources sources = {handler, spool, serve_spool_limits(options)};
	const struct server_limits limits = {
		(size_t)options->threads,
		(size_t)options->max_body,
		(int)options->read_timeout * 1000,
		sockets->admin == NULL ? 0 : ADMIN_DESCRIPTORS,
	};

	/* It will turn in a moment, and must not seem to hang until then. */
	metrics_set(METRICS_TURNED_MS, clock_ms());
	if (sockets->admin != NULL && admin_start(sockets->admin, &sources) != 0)
		return -1;
	if (server_run(&sockets->listener, handler, &limits, reload_secrets, rotation) != 0)
		return -1;
	rotation_log_matches(rotation);
	return 0;
}

/* Owns store and spool. */
static int run(const struct options *options, bool by_cgi, struct secrets *secrets, struct store *store,
	struct spool *spool, struct sockets *sockets)
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
	struct rotation rotation;
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
	handler = handler_open(committer_queue(committer), spooler, secrets, &handler_limits);
	if (handler == NULL)
		goto done;
	rotation_begin(&rotation, handler, options->secret_file, secrets);
	secrets_wipe(secrets);
	/* A CGI program connects for a correctly signed request only. */
	if (!by_cgi && committer_await(committer, FIRST_CONNECT_MS, reason) == STORE_UNUSABLE) {
		complaint = reason;
		goto done;
	}
	if (by_cgi)
		cgi_serve(handler, spooler, &cgi_limits);
	status = by_cgi ? 0 : listen_and_serve(options, sockets, handler, &rotation, spool);
done:
	if (status != 0)
		complain(status, complaint);
	/* It asks the handler and the spool. */
	admin_close(sockets->admin);
	sockets->admin = NULL;
	handler_close(handler);
	spooler_stop(spooler);
	committer_close(committer);
	spooler_close(spooler);
	return status == 0 ? 0 : EXIT_CANNOT_RUN;
}

int serve(const struct options *options, bool by_cgi, struct secrets *secrets, struct store *store,
	struct spool *spool)
{
	struct sockets sockets = {.listener.fd = -1};
	int status = 0;

	/* libfcgi installs signal handlers of its own; ours come after, and before there is a socket to be
	 * seen, as whoever sees it may ask us to end. */
	if (FCGX_Init() != 0 || signals_catch() != 0)
		status = complain(EXIT_CANNOT_RUN, CANNOT_START);
	if (status == 0 && !by_cgi)
		status = open_sockets(options, &sockets);
	if (status == 0)
		status = enter_sandbox(options, by_cgi, &sockets);
	if (status == 0) {
		status = run(options, by_cgi, secrets, store, spool, &sockets);
	} else {
		store_free(store);
		spool_close(spool);
	}
	close_sockets(&sockets);
	return status;
}
