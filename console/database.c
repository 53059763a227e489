#include "config.h"

#include "database.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "connect.h"

#define CONNECT_MS 3000
/* The server's own limit comes first, so that it is the server that stops working. */
#define STATEMENT_LIMIT "5s"
#define STATEMENT_MS 7000

/* A role that could write would be one mistake away from writing. */
static const char session_settings[] = "SET default_transaction_read_only = on;"
				       "SET statement_timeout = '" STATEMENT_LIMIT "';"
				       "SET lock_timeout = '1s';"
				       "SET search_path = pg_catalog, pg_temp;"
				       "SET DateStyle = 'ISO';"
				       "SET TimeZone = 'UTC'";
static const char role_question[] =
	"SELECT pg_catalog.has_function_privilege('bagelpay.console_overview(timestamptz)', 'EXECUTE'),"
	" pg_catalog.pg_has_role('bagelpay_ingest', 'MEMBER') OR pg_catalog.pg_has_role('bagelpay_app', "
	"'MEMBER')"
	" OR pg_catalog.has_table_privilege('bagelpay.events', 'INSERT, UPDATE, DELETE, TRUNCATE')";

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

static bool settle_session(PGconn *pg, char error[CONNECTION_ERROR_SIZE])
{
	PGresult *result = connection_query(pg, session_settings, clock_ms() + CONNECT_MS);
	bool settled = PQresultStatus(result) == PGRES_COMMAND_OK;

	if (!settled)
		connection_first_line(PQerrorMessage(pg), error);
	PQclear(result);
	return settled;
}

static enum database_result check_role(PGconn *pg, char error[CONNECTION_ERROR_SIZE])
{
	PGresult *result = connection_query(pg, role_question, clock_ms() + CONNECT_MS);
	const char *sqlstate = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
	enum database_result checked = DATABASE_ANSWERED;

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		connection_first_line(PQerrorMessage(pg), error);
		checked = DATABASE_AWAY;
		/* 3F000: no such schema; 42: no such function, or role. */
		if (sqlstate != NULL && (strcmp(sqlstate, "3F000") == 0 || strncmp(sqlstate, "42", 2) == 0)) {
			snprintf(error, CONNECTION_ERROR_SIZE,
				"database \"%s\" has no schema bagelpay that fits, or user \"%s\" may not "
				"use it: "
				"run sqitch deploy (in the directory sql of bagelhook), and GRANT "
				"bagelpay_console TO \"%s\"",
				PQdb(pg), PQuser(pg), PQuser(pg));
			checked = DATABASE_UNFIT;
		}
	} else if (PQgetvalue(result, 0, 0)[0] != 't') {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"user \"%s\" may not see what the console shows: run, as a role that may grant: "
			"GRANT "
			"bagelpay_console TO \"%s\"",
			PQuser(pg), PQuser(pg));
		checked = DATABASE_UNFIT;
	} else if (PQgetvalue(result, 0, 1)[0] != 'f') {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"user \"%s\" could change what the console only shows: connect as one that has "
			"bagelpay_console and no other role",
			PQuser(pg));
		checked = DATABASE_UNFIT;
	}
	PQclear(result);
	return checked;
}

enum database_result database_connect(struct database *db, char error[CONNECTION_ERROR_SIZE])
{
	enum database_result checked = DATABASE_AWAY;

	if (db->pg != NULL)
		return DATABASE_ANSWERED;
	switch (connect_open(db->conninfo, CONNECT_MS, &db->pg, error)) {
	case CONNECTION_OPENED:
		if (settle_session(db->pg, error))
			checked = check_role(db->pg, error);
		break;
	case CONNECTION_UNREACHABLE:
		break;
	case CONNECTION_REFUSED:
		checked = DATABASE_UNFIT;
		break;
	}
	if (checked != DATABASE_ANSWERED)
		database_done(db);
	return checked;
}

/* One attempt on an open connection. *lost says whether the connection is gone. */
static enum database_result try_to_ask(PGconn *pg, const char *statement, int count,
	const char *const *values, PGresult **result, bool *lost, char error[CONNECTION_ERROR_SIZE])
{
	int64_t deadline_ms = clock_ms() + STATEMENT_MS;
	enum database_result asked = DATABASE_AWAY;
	PGresult *end = NULL;

	*result = NULL;
	*lost = true;
	/* Unnamed: the functions behind the statements keep their plans, and with transaction pooling
	 * there is no session for a name to live in. */
	if (!PQsendQueryParams(pg, statement, count, NULL, values, NULL, NULL, 0)
		|| !connection_next_result(pg, deadline_ms, result) || *result == NULL
		|| !connection_next_result(pg, deadline_ms, &end) || end != NULL) {
		connection_first_line(PQerrorMessage(pg), error);
		PQclear(end);
		PQclear(*result);
		*result = NULL;
		return DATABASE_AWAY;
	}
	*lost = PQstatus(pg) != CONNECTION_OK;
	if (PQresultStatus(*result) == PGRES_TUPLES_OK && PQntuples(*result) == 1)
		asked = PQgetisnull(*result, 0, 0) ? DATABASE_NOTHING : DATABASE_ANSWERED;
	else {
		const char *sqlstate = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
		const char *primary = PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY);

		/* 22: a value that is none; 57014: our own limit. */
		if (sqlstate != NULL && strncmp(sqlstate, "22", 2) == 0)
			asked = DATABASE_REFUSED;
		else if (sqlstate != NULL && strcmp(sqlstate, "57014") == 0)
			asked = DATABASE_TOO_LONG;
		connection_first_line(primary == NULL ? PQerrorMessage(pg) : primary, error);
	}
	if (asked != DATABASE_ANSWERED) {
		PQclear(*result);
		*result = NULL;
	}
	return asked;
}

enum database_result database_ask(struct database *db, const char *statement, int count,
	const char *const *values, PGresult **result, char error[CONNECTION_ERROR_SIZE])
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
