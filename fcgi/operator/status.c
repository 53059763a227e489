#include "config.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/admin_client.h"
#include "common/buffer.h"
#include "fcgi/commit/pg.h"
#include "fcgi/commit/pg_schema.h"
#include "commands.h"
#include "session.h"

#define EXIT_NEEDS_PERSON 3
/* As the alert BagelhookSpoolOld has it. */
#define SPOOL_OLD_S 900

/* A mode of which there is no event would be looked for among all of them. Operators' events have no digest.
 */
#define LAST_EVENTS                                                                                          \
	"SELECT m.mode, pg_catalog.to_char(e.received_at AT TIME ZONE 'UTC', "                               \
	"'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"                                                                 \
	" pg_catalog.floor(extract(epoch FROM pg_catalog.now() - e.received_at))::bigint::text"              \
	" FROM (VALUES ('live'), ('test')) AS m (mode) LEFT JOIN LATERAL ("                                  \
	"SELECT n.received_at FROM ("                                                                        \
	"SELECT t.mode, t.received_at, t.digest FROM bagelpay.events AS t ORDER BY t.received_at DESC "      \
	"LIMIT 100000"                                                                                       \
	") AS n WHERE n.mode = m.mode AND n.digest IS NOT NULL ORDER BY n.received_at DESC LIMIT 1"          \
	") AS e ON TRUE ORDER BY m.mode"
#define NO_EVENT "none among the latest 100000 events"

enum question { VERSIONS, EVENTS, LETTERS, VERIFICATIONS, DIFFERENCES, ATTENTION, QUESTIONS };

static const char *const statements[QUESTIONS] = {
	[VERSIONS] = "SELECT oldest::text, newest::text FROM bagelpay.served_responders()",
	[EVENTS] = LAST_EVENTS,
	[LETTERS] = "SELECT pg_catalog.count(*)::text FROM bagelpay.dead_letters WHERE resolved_at IS NULL",
	[VERIFICATIONS] = "SELECT DISTINCT ON (mode) mode, pg_catalog.to_char(finished_at AT TIME ZONE 'UTC',"
			  " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
			  " pg_catalog.floor(extract(epoch FROM pg_catalog.now() - finished_at))::bigint::text,"
			  " pg_catalog.floor(extract(epoch FROM finished_at))::bigint::text, differences::text"
			  " FROM bagelpay.verifications ORDER BY mode, started_at DESC, id DESC",
	[DIFFERENCES] = ("SELECT kind, mode, CASE affects_access WHEN TRUE THEN 'yes' WHEN FALSE THEN 'no' ELSE 'unknown' END,"
			" pg_catalog.count(*)::text FROM bagelpay.differences AS d"
			" WHERE NOT EXISTS (SELECT FROM bagelpay.dismissals AS x WHERE x.id = d.id)"
			" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"),
	[ATTENTION] = "SELECT kind, coalesce(mode, ''), pg_catalog.count(*)::text FROM bagelpay.attention"
		      " GROUP BY 1, 2 ORDER BY 1, 2",
};

struct status {
	const struct options *options;
	struct session session;
	PGresult *answers[QUESTIONS];
	bool is_served; /* the schema serves this version */
	struct admin_client_spool spool; /* of the responder, if the options name one */
};

static const char *value(const struct status *status, enum question question, int row, int column)
{
	return PQgetvalue(status->answers[question], row, column);
}

/* --- looking ----------------------------------------------------------------------------------------- */

static bool ask_database(struct status *status)
{
	if (session_open(&status->session, status->options->database, "bagelpay_reader") != 0)
		return false;
	for (enum question i = 0; i < QUESTIONS; i++) {
		status->answers[i] = session_query(&status->session, statements[i], 0, NULL);
		if (status->answers[i] == NULL)
			return false;
	}
	status->is_served = PG_PROTOCOL >= strtol(value(status, VERSIONS, 0, 0), NULL, 10)
		&& PG_PROTOCOL <= strtol(value(status, VERSIONS, 0, 1), NULL, 10);
	return true;
}

/* Returns false with the reason, one line, in error. */
static bool ask_responder(struct status *status, char error[ADMIN_CLIENT_ERROR_SIZE])
{
	struct buffer metrics;
	bool known = false;

	buffer_init(&metrics);
	if (admin_client_get(status->options->admin, "/metrics", &metrics, error) == 0 && metrics.len > 0) {
		known = admin_client_spool(metrics.data, &status->spool);
		if (!known)
			snprintf(error, ADMIN_CLIENT_ERROR_SIZE,
				"the responder cannot read its spool: its log says why");
	}
	buffer_done(&metrics);
	return known;
}

static bool needs_person(const struct status *status)
{
	return PQntuples(status->answers[ATTENTION]) > 0 || !status->is_served
		|| status->spool.oldest_s > SPOOL_OLD_S || status->spool.corrupt > 0;
}

/* --- telling ----------------------------------------------------------------------------------------- */

static void print_age(int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	size_t i = 0;

	while (seconds < units[i].seconds && units[i].seconds > 1)
		i++;
	const int64_t count = seconds / units[i].seconds;
	printf("%" PRId64 " %s%s", count, units[i].name, count == 1 ? "" : "s");
}

static void print_last_event(const struct status *status, int row, bool with_moment)
{
	printf("last %s event: ", value(status, EVENTS, row, 0));
	if (PQgetisnull(status->answers[EVENTS], row, 1)) {
		fputs(with_moment ? NO_EVENT : "none", stdout);
		return;
	}
	if (with_moment)
		printf("%s, ", value(status, EVENTS, row, 1));
	print_age(strtoll(value(status, EVENTS, row, 2), NULL, 10));
	fputs(" ago", stdout);
}

/* What bagelhook-verify found last; nothing if it never ran. */
static void print_verifications(const struct status *status)
{
	for (int row = 0; row < PQntuples(status->answers[VERIFICATIONS]); row++) {
		printf("last %s verification: %s, ", value(status, VERIFICATIONS, row, 0),
			value(status, VERIFICATIONS, row, 1));
		print_age(strtoll(value(status, VERIFICATIONS, row, 2), NULL, 10));
		printf(" ago, %s differences\n", value(status, VERIFICATIONS, row, 4));
	}
}

static void print_spool(const struct status *status)
{
	if (!status->spool.exists) {
		puts("spool: the responder has none");
		return;
	}
	printf("spool: %" PRId64 " files, %" PRId64 " bytes", status->spool.files, status->spool.bytes);
	if (status->spool.files > 0) {
		fputs(", the oldest waits for ", stdout);
		print_age(status->spool.oldest_s);
	}
	if (status->spool.corrupt > 0)
		printf("; %" PRId64 " corrupt files: look at them in corrupt/ of the spool, and remove them",
			status->spool.corrupt);
	putchar('\n');
}

static void print_all(const struct status *status)
{
	const PGresult *attention = status->answers[ATTENTION];
	char remedy[PG_REMEDY_SIZE] = "install a newer bagelhook";

	printf("bagelhook " PACKAGE_VERSION
	       ", protocol %d; the schema of database \"%s\" serves protocols %s to %s\n",
		PG_PROTOCOL, PQdb(status->session.pg), value(status, VERSIONS, 0, 0),
		value(status, VERSIONS, 0, 1));
	if (!status->is_served) {
		if (PG_PROTOCOL > strtol(value(status, VERSIONS, 0, 1), NULL, 10))
			pg_deploy_remedy(status->session.pg, remedy);
		printf("this version is not served: %s\n", remedy);
	}
	for (int row = 0; row < 2; row++) {
		print_last_event(status, row, true);
		putchar('\n');
	}
	if (status->options->admin != NULL)
		print_spool(status);
	printf("dead letters: %s unresolved\n", value(status, LETTERS, 0, 0));
	print_verifications(status);
	puts(PQntuples(attention) == 0 ? "attention: nothing"
				       : "attention: SELECT kind, since, detail, remedy FROM "
					 "bagelpay.attention ORDER BY since;");
	for (int row = 0; row < PQntuples(attention); row++)
		printf("  %s %s%s%s\n", value(status, ATTENTION, row, 2), value(status, ATTENTION, row, 1),
			value(status, ATTENTION, row, 1)[0] == '\0' ? "" : " ",
			value(status, ATTENTION, row, 0));
}

/* One line, as monitors show it. */
static void print_brief(const struct status *status)
{
	const PGresult *attention = status->answers[ATTENTION];

	fputs(needs_person(status) ? "WARNING: " : "OK: ", stdout);
	if (!status->is_served)
		fputs("the schema does not serve this version; ", stdout);
	if (status->spool.oldest_s > SPOOL_OLD_S || status->spool.corrupt > 0)
		printf("spool: %" PRId64 " files, %" PRId64 " corrupt; ", status->spool.files, status->spool.corrupt);
	for (int row = 0; row < PQntuples(attention); row++)
		printf("%s %s%s", value(status, ATTENTION, row, 2), value(status, ATTENTION, row, 0),
			row + 1 < PQntuples(attention) ? ", " : "; ");
	print_last_event(status, 0, false);
	putchar('\n');
}

static void print_metrics(const struct status *status)
{
	puts("# HELP bagelhook_attention Rows of bagelpay.attention: what a person should look at.\n"
	     "# TYPE bagelhook_attention gauge");
	for (int row = 0; row < PQntuples(status->answers[ATTENTION]); row++)
		printf("bagelhook_attention{kind=\"%s\",mode=\"%s\"} %s\n", value(status, ATTENTION, row, 0),
			value(status, ATTENTION, row, 1), value(status, ATTENTION, row, 2));
	puts("# HELP bagelhook_verification_timestamp_seconds When bagelhook-verify last compared with BagelPay's lists.\n"
	     "# TYPE bagelhook_verification_timestamp_seconds gauge");
	for (int row = 0; row < PQntuples(status->answers[VERIFICATIONS]); row++)
		printf("bagelhook_verification_timestamp_seconds{mode=\"%s\"} %s\n",
			value(status, VERIFICATIONS, row, 0), value(status, VERIFICATIONS, row, 3));
	puts("# HELP bagelhook_differences Rows of bagelpay.differences: what differs from BagelPay's lists, and whether that affects access.\n"
	     "# TYPE bagelhook_differences gauge");
	for (int row = 0; row < PQntuples(status->answers[DIFFERENCES]); row++)
		printf("bagelhook_differences{kind=\"%s\",mode=\"%s\",access=\"%s\"} %s\n",
			value(status, DIFFERENCES, row, 0), value(status, DIFFERENCES, row, 1),
			value(status, DIFFERENCES, row, 2), value(status, DIFFERENCES, row, 3));
}

static int tell(const struct status *status)
{
	if (status->options->metrics)
		print_metrics(status);
	else if (status->options->brief)
		print_brief(status);
	else
		print_all(status);
	/* A timer's service has not failed because there is something to look at. */
	return needs_person(status) && !status->options->metrics ? EXIT_NEEDS_PERSON : 0;
}

int status_run(const struct options *options)
{
	struct status status = {.options = options};
	char error[ADMIN_CLIENT_ERROR_SIZE] = "the responder says nothing";
	int result;

	if (!ask_database(&status))
		result = command_failed("bagelhook status", status.session.error);
	else if (options->admin != NULL && !ask_responder(&status, error))
		result = command_failed("bagelhook status", error);
	else
		result = tell(&status);
	for (size_t i = 0; i < QUESTIONS; i++)
		PQclear(status.answers[i]);
	session_close(&status.session);
	return result;
}
