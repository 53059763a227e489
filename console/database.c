#include "config.h"

#include "database.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/pg.h"

#define CONNECT_MS 3000
/* The server's own limit comes first, so that it is the server that stops working. */
#define STATEMENT_LIMIT "5s"
#define STATEMENT_MS 7000
#define SCHEMAS "'bagelpay'::pg_catalog.regnamespace, 'bagelpay_internal'::pg_catalog.regnamespace"

/* With each transaction anew: behind a pooler, the next one may run on another of the server's
 * connections, or on one whose settings somebody else has changed. */
static const char begin_reading[] = "BEGIN READ ONLY;"
				    "SET LOCAL statement_timeout = '" STATEMENT_LIMIT "';"
				    "SET LOCAL lock_timeout = '1s';"
				    "SET LOCAL search_path = pg_catalog, pg_temp;"
				    "SET LOCAL DateStyle = 'ISO';"
				    "SET LOCAL TimeZone = 'UTC'";

/* A role that could write would be one mistake away from writing: all tables of the schemas, and all of
 * their functions that have their owner's rights, which reach them whatever the role may do itself.
 * Those that are marked STABLE can only read. */
static const char role_question[] =
	"SELECT pg_catalog.has_schema_privilege('bagelpay_internal', 'USAGE')"
	" AND pg_catalog.has_function_privilege('bagelpay_internal.console_overview(text, timestamptz)', "
	"'EXECUTE'),"
	" pg_catalog.has_schema_privilege('bagelpay', 'CREATE')"
	" OR pg_catalog.has_schema_privilege('bagelpay_internal', 'CREATE')"
	" OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('bagelpay_owner', "
	"'bagelpay_ingest', 'bagelpay_app') AND pg_catalog.pg_has_role(r.oid, 'MEMBER'))"
	" OR EXISTS (SELECT FROM pg_catalog.pg_class AS c"
	" WHERE c.relnamespace IN (" SCHEMAS ") AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
	" AND (pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')"
	" OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE')))"
	" OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p"
	" WHERE p.pronamespace IN (" SCHEMAS ") AND p.prosecdef AND p.provolatile = 'v'"
	" AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))";

void database_init(struct database *db, const char *conninfo)
{
	db->conninfo = conninfo;
	db->pg = NULL;
}

void database_done(struct database *db)
{
	PQfinish(db->pg);
	db->pg = NULL;
}

/* Begins a transaction that can only read. */
static bool begin(PGconn *pg, char error[PG_ERROR_SIZE])
{
	PGresult *result = pg_query(pg, begin_reading, clock_ms() + CONNECT_MS);
	bool begun = PQresultStatus(result) == PGRES_COMMAND_OK;

	if (!begun)
		pg_reason(PQerrorMessage(pg), error);
	PQclear(result);
	return begun;
}

/* Ends the transaction, whatever became of it. False where the connection is of no use any more. */
static bool end(PGconn *pg)
{
	PGresult *result = pg_query(pg, "ROLLBACK", clock_ms() + CONNECT_MS);
	bool ended = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return ended;
}

static enum database_result check_role(PGconn *pg, char error[PG_ERROR_SIZE])
{
	PGresult *result = pg_query(pg, role_question, clock_ms() + CONNECT_MS);
	const char *sqlstate = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
	enum database_result checked = DATABASE_ANSWERED;
	char remedy[PG_REMEDY_SIZE];

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		pg_reason(PQerrorMessage(pg), error);
		checked = DATABASE_AWAY;
		/* 3F000: no such schema; 42: no such function, or role. */
		if (sqlstate != NULL && (strcmp(sqlstate, "3F000") == 0 || strncmp(sqlstate, "42", 2) == 0)) {
			pg_deploy_remedy(pg, remedy);
			snprintf(error, PG_ERROR_SIZE,
				"database \"%s\" has no schema bagelpay that fits, or user \"%s\" may not "
				"use it: %s, "
				"and then the SQL: GRANT bagelpay_console TO \"%s\"",
				PQdb(pg), PQuser(pg), remedy, PQuser(pg));
			checked = DATABASE_UNFIT;
		}
	} else if (PQgetvalue(result, 0, 0)[0] != 't') {
		snprintf(error, PG_ERROR_SIZE,
			"user \"%s\" may not see what the console shows: run, as a role that may grant: "
			"GRANT "
			"bagelpay_console TO \"%s\"",
			PQuser(pg), PQuser(pg));
		checked = DATABASE_UNFIT;
	} else if (PQgetvalue(result, 0, 1)[0] != 'f') {
		snprintf(error, PG_ERROR_SIZE,
			"user \"%s\" could change what the console only shows: connect as one that has "
			"bagelpay_console and no other role",
			PQuser(pg));
		checked = DATABASE_UNFIT;
	}
	PQclear(result);
	return checked;
}

enum database_result database_connect(struct database *db, char error[PG_ERROR_SIZE])
{
	enum database_result checked = DATABASE_AWAY;

	if (db->pg != NULL)
		return DATABASE_ANSWERED;
	switch (pg_connect(db->conninfo, CONNECT_MS, NULL, &db->pg, error)) {
	case PG_READY:
		if (begin(db->pg, error))
			checked = check_role(db->pg, error);
		if (checked == DATABASE_ANSWERED && !end(db->pg)) {
			pg_reason(PQerrorMessage(db->pg), error);
			checked = DATABASE_AWAY;
		}
		break;
	case PG_AWAY:
		break;
	case PG_UNUSABLE:
	case PG_SETTINGS:
		checked = DATABASE_UNFIT;
		break;
	}
	if (checked != DATABASE_ANSWERED)
		database_done(db);
	return checked;
}

/* Translates an error of the server's. */
static enum database_result judge(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum database_result means;
	} known[] = {
		{"22", DATABASE_REFUSED},     /* a value that is none */
		{"57014", DATABASE_TOO_LONG}, /* our own limit */
		{"55P03", DATABASE_BUSY},     /* our own limit, of waiting for a lock */
		{"40", DATABASE_BUSY},        /* a standby gave way to what it replays; or a deadlock */
		{"42", DATABASE_UNFIT},       /* no such function or table, or no right to it any more */
		{"3F000", DATABASE_UNFIT},    /* no such schema */
	};

	for (size_t i = 0; sqlstate != NULL && i < sizeof known / sizeof known[0]; i++)
		if (strncmp(sqlstate, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].means;
	return DATABASE_AWAY;
}

/* One attempt on an open connection. *lost says whether it is to be made anew: it is gone, or what it
 * found fit at its beginning has changed. */
static enum database_result try_to_ask(PGconn *pg, const char *statement, int count,
	const char *const *values, PGresult **result, bool *lost, char error[PG_ERROR_SIZE])
{
	int64_t deadline_ms = clock_ms() + STATEMENT_MS;
	enum database_result asked = DATABASE_AWAY;
	PGresult *last = NULL;

	*result = NULL;
	*lost = true;
	if (!begin(pg, error))
		return DATABASE_AWAY;
	/* Unnamed: the functions behind the statements keep their plans, and with transaction pooling
	 * there is no session for a name to live in. */
	if (!PQsendQueryParams(pg, statement, count, NULL, values, NULL, NULL, 0)
		|| !pg_next_result(pg, deadline_ms, result) || *result == NULL
		|| !pg_next_result(pg, deadline_ms, &last) || last != NULL) {
		pg_reason(PQerrorMessage(pg), error);
		PQclear(last);
		PQclear(*result);
		*result = NULL;
		return DATABASE_AWAY;
	}
	if (PQresultStatus(*result) == PGRES_TUPLES_OK && PQntuples(*result) == 1)
		asked = PQgetisnull(*result, 0, 0) ? DATABASE_NOTHING : DATABASE_ANSWERED;
	else {
		const char *primary = PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY);

		asked = judge(PQresultErrorField(*result, PG_DIAG_SQLSTATE));
		pg_reason(primary == NULL ? PQerrorMessage(pg) : primary, error);
	}
	*lost = !end(pg) || asked == DATABASE_UNFIT;
	if (asked != DATABASE_ANSWERED) {
		PQclear(*result);
		*result = NULL;
	}
	return asked;
}

enum database_result database_ask(struct database *db, const char *statement, int count,
	const char *const *values, PGresult **result, char error[PG_ERROR_SIZE])
{
	enum database_result asked = DATABASE_AWAY;

	*result = NULL;
	/* Reading twice does no harm: once more where the connection had been lost meanwhile. */
	for (int attempt = 0; attempt < 2; attempt++) {
		bool fresh = db->pg == NULL;
		bool lost;

		error[0] = '\0';
		asked = database_connect(db, error);
		if (asked != DATABASE_ANSWERED)
			return asked;
		asked = try_to_ask(db->pg, statement, count, values, result, &lost, error);
		if (lost)
			database_done(db);
		if (!lost || asked == DATABASE_ANSWERED || fresh)
			break;
	}
	return asked;
}
