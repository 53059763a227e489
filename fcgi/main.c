#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/listener.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "fcgi/auth/secrets.h"
#include "fcgi/commit/pg.h"
#include "fcgi/commit/store.h"
#include "fcgi/operator/import.h"
#include "fcgi/operator/redrive.h"
#include "fcgi/spool/spool.h"
#include "cgi.h"
#include "options.h"
#include "serve.h"

#define EXIT_USAGE 2
/* With --check: all that does not need the database is in order, and nobody answers there. */
#define EXIT_DATABASE_AWAY 3
#define CHECK_CONNECT_MS 5000

/* The end of --check, behind everything else: where to listen. */
static int report_check(const struct options *options, const char *unreachable)
{
	char error[LISTENER_ERROR_SIZE];
	bool in_use = false;
	bool admin_in_use = false;

	if (options->listen != NULL && listener_check("--listen", options->listen, &in_use, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (options->admin_listen != NULL
		&& listener_check("--admin-listen", options->admin_listen, &admin_in_use, error) != 0)
		return complain(EXIT_CANNOT_RUN, error);
	if (unreachable != NULL)
		return complain(EXIT_DATABASE_AWAY, unreachable);
	puts("bagelhook: configuration, database and schema are in order");
	if (in_use)
		printf("bagelhook: somebody listens on %s already\n", options->listen);
	if (admin_in_use)
		printf("bagelhook: somebody listens on %s already\n", options->admin_listen);
	return 0;
}

/* The rest of --check: the database, then the addresses. Returns the exit status. */
static int check_database(struct store *store, const struct options *options)
{
	switch (store_connect(store, CHECK_CONNECT_MS)) {
	case STORE_CONNECTED:
		return report_check(options, NULL);
	case STORE_UNREACHABLE:
		return report_check(options, store_error(store));
	case STORE_UNUSABLE:
	case STORE_UNSETTLED:
		break;
	}
	return complain(EXIT_CANNOT_RUN, store_error(store));
}

/* The spool, or NULL where none is wanted. Returns 0, or the exit status. */
static int open_spool(const struct options *options, struct spool **spool)
{
	const struct spool_limits limits = serve_spool_limits(options);
	char error[SPOOL_ERROR_SIZE];

	*spool = NULL;
	if (options->spool == NULL)
		return 0;
	if (options->check)
		return spool_check(options->spool, error) == 0 ? 0 : complain(EXIT_CANNOT_RUN, error);
	*spool = spool_open(options->spool, &limits, error);
	return *spool == NULL ? complain(EXIT_CANNOT_RUN, error) : 0;
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

static int open_and_serve(const struct options *options, bool by_cgi, struct secrets *secrets)
{
	struct store *store = store_new(options->database);
	if (store == NULL)
		return complain(EXIT_CANNOT_RUN, text_error(ENOMEM));
	struct spool *spool;
	int status = open_spool(options, &spool);
	if (status == 0 && options->check)
		status = check_database(store, options);
	if (status != 0 || options->check) {
		store_free(store);
		spool_close(spool);
		return status;
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
	/* Until it can be heeded: a reload must not end a process that is about to serve. */
	signal(SIGHUP, SIG_IGN);
	/* A limit on the size of files is an error like another. */
	signal(SIGXFSZ, SIG_IGN);
	if (pg_set_defaults() != 0)
		return complain(EXIT_CANNOT_RUN, text_error(errno));
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
