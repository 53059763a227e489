#include "config.h"

#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/listener.h"
#include "common/log.h"
#include "fcgi/auth/secrets.h"
#include "fcgi/commit/pg_schema.h"
#include "fcgi/spool/spool.h"
#include "responder.h"

#define EXIT_WRONG 1
#define EXIT_DATABASE_AWAY 3
#define CONNECT_MS 5000
#define ERROR_SIZE PG_ERROR_SIZE

struct check {
	int status;
	bool depends; /* on others, whether a start would succeed: who listens at an address already, or what starts it */
};

__attribute__((format(printf, 1, 2))) static void fine(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	vprintf(format, values);
	va_end(values);
	putchar('\n');
}

static void wrong(struct check *check, int status, const char *text)
{
	log_complaint("bagelhook", text);
	if (check->status != EXIT_WRONG)
		check->status = status;
}

static void check_secrets(struct check *check, const struct options *options)
{
	struct secrets secrets;
	char error[ERROR_SIZE];
	unsigned long count[SECRET_BOTH + 1] = {0};

	if (options->insecure_no_signature)
		fine("secrets: signatures are not checked: anyone can entitle anyone");
	if (options->secret_file == NULL)
		return;
	if (secrets_read(options->secret_file, &secrets, error, sizeof error) != 0) {
		wrong(check, EXIT_WRONG, error);
		return;
	}
	for (size_t i = 0; i < secrets.count; i++)
		count[secrets.secret[i].modes]++;
	fine("secrets: %zu in %s: %lu for live and test, %lu for live, %lu for test", secrets.count,
		options->secret_file, count[SECRET_BOTH], count[SECRET_LIVE], count[SECRET_TEST]);
	secrets_wipe(&secrets);
}

static void check_spool(struct check *check, const struct options *options)
{
	char error[SPOOL_ERROR_SIZE];

	if (options->spool == NULL)
		fine("spool: none: while the database is away, deliveries are left to BagelPay's retries");
	else if (spool_parts_check(options->spool, error) != 0)
		wrong(check, EXIT_WRONG, error);
	else
		fine("spool: %s", options->spool);
}

static void check_descriptors(struct check *check, const struct options *options)
{
	const struct server_limits limits = responder_limits(options);
	char error[SERVER_ERROR_SIZE];

	if (server_check_descriptors(&limits, error) != 0)
		wrong(check, EXIT_WRONG, error);
	else
		fine("files: enough may be open at once");
}

static void check_listener(struct check *check, const char *option, const char *address)
{
	char error[LISTENER_ERROR_SIZE];
	bool in_use = false;

	if (listener_check(option, address, &in_use, error) != 0)
		wrong(check, EXIT_WRONG, error);
	else
		fine("%s: %s%s", option + 2, address,
			in_use ? " is in use: a start would fail until its present user, perhaps this "
				 "service, stops"
			       : "");
	check->depends = check->depends || in_use;
}

static void check_listeners(struct check *check, const struct options *options)
{
	const bool inherited = listener_is_inherited();

	if (options->listen != NULL)
		check_listener(check, "--listen", options->listen);
	else
		fine("listen: %s", inherited ? "the socket inherited as descriptor 0" : LISTENER_NEEDED);
	check->depends = check->depends || (options->listen == NULL && !inherited);
	if (options->admin_listen != NULL)
		check_listener(check, "--admin-listen", options->admin_listen);
}

/* The schema gives a role of its own no more than events need. */
static void warn_if_superuser(const PGconn *pg)
{
	const char *superuser = PQparameterStatus(pg, "is_superuser");

	if (superuser != NULL && strcmp(superuser, "on") == 0)
		log_record(LOG_WARN, "the role is a superuser: whoever takes the responder over has all of the server",
			LOG_PAIRS("role", PQuser(pg), "remedy",
				"CREATE ROLE bagelhook LOGIN IN ROLE bagelpay_ingest, and connect as that one"));
}

static void check_database(struct check *check, const struct options *options)
{
	char error[PG_ERROR_SIZE];
	PGconn *pg = NULL;
	enum pg_state state = pg_connect(options->database, CONNECT_MS, NULL, &pg, error);

	if (state == PG_READY) {
		fine("database: \"%s\" at %s:%s", PQdb(pg), PQhost(pg), PQport(pg));
		state = pg_schema_check(pg, clock_ms() + CONNECT_MS, error);
	}
	if (state == PG_READY || state == PG_SETTINGS)
		fine("schema: serves this version");
	if (state == PG_READY) {
		fine("settings: usable");
		fine("role: \"%s\" may hand in events", PQuser(pg));
		warn_if_superuser(pg);
	} else {
		wrong(check, state == PG_AWAY ? EXIT_DATABASE_AWAY : EXIT_WRONG, error);
	}
	PQfinish(pg);
}

int check_run(const struct options *options)
{
	struct check check = {0};

	/* In one sequence with what goes to standard error. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	check_secrets(&check, options);
	check_spool(&check, options);
	check_descriptors(&check, options);
	check_listeners(&check, options);
	check_database(&check, options);
	if (check.status == 0 && !check.depends)
		fine("all in order");
	return check.status;
}
