#include "config.h"

#include "pg_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before a question, in one transaction with it: the role's own limit is not that of the question. */
#define IN_TIME "SET LOCAL statement_timeout = 5000; "
/* It may have to wait for rebuild(); deliveries wait longer. */
#define SETTINGS_QUESTION IN_TIME "SELECT FROM bagelpay.ingest('[]', '{}', NULL, 100)"

/* The reason of an error 42501 (insufficient privilege): a missing grant, or a deployment that did not come
 * to its end. */
static void explain_rights(PGconn *pg, int64_t deadline_ms, char error[PG_ERROR_SIZE])
{
	char remedy[PG_REMEDY_SIZE];
	PGresult *result = pg_query(pg,
		IN_TIME
		"SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_ingest' AND "
		"pg_catalog.pg_has_role(oid, 'USAGE')",
		deadline_ms);

	pg_deploy_remedy(pg, remedy);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		snprintf(error, PG_ERROR_SIZE, "the schema bagelpay in database \"%s\" is not complete: %s",
			PQdb(pg), remedy);
	else
		snprintf(error, PG_ERROR_SIZE,
			"user \"%s\" may not use the schema bagelpay: run, as a role that may create roles: "
			"GRANT bagelpay_ingest TO \"%s\"",
			PQuser(pg), PQuser(pg));
	PQclear(result);
}

/* The reason why a question had no answer, in error. */
static enum pg_state explain(
	PGconn *pg, const PGresult *result, int64_t deadline_ms, char error[PG_ERROR_SIZE])
{
	char remedy[PG_REMEDY_SIZE];
	const char *sqlstate = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (result == NULL) {
		snprintf(error, PG_ERROR_SIZE, "no answer from the database \"%s\" in time", PQdb(pg));
		return PG_AWAY;
	}
	if (sqlstate == NULL)
		sqlstate = "";
	/* 42501: not allowed; 3F000: no such schema; the rest of 42: no such function, or not one that fits.
	 */
	if (strcmp(sqlstate, "42501") == 0) {
		explain_rights(pg, deadline_ms, error);
		return PG_UNUSABLE;
	}
	if (strcmp(sqlstate, "3F000") == 0 || strncmp(sqlstate, "42", 2) == 0) {
		pg_deploy_remedy(pg, remedy);
		snprintf(error, PG_ERROR_SIZE, "database \"%s\" has no schema bagelpay that fits: %s",
			PQdb(pg), remedy);
		return PG_UNUSABLE;
	}
	pg_reason(PQresultErrorMessage(result), error);
	return PG_AWAY;
}

static enum pg_state check_settings(PGconn *pg, int64_t deadline_ms, char error[PG_ERROR_SIZE])
{
	PGresult *result = pg_query(pg, SETTINGS_QUESTION, deadline_ms);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	enum pg_state checked = PG_READY;

	if (sqlstate != NULL && strcmp(sqlstate, "22023") == 0) {
		snprintf(error, PG_ERROR_SIZE,
			"provider_timezone in bagelpay.settings of database \"%s\" is of no use: %s: install "
			"the server's "
			"time zone data (tzdata), or UPDATE bagelpay.settings SET provider_timezone = "
			"another name of the zone",
			PQdb(pg), PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		checked = PG_SETTINGS;
	} else if (PQresultStatus(result) != PGRES_TUPLES_OK
		&& (sqlstate == NULL || strcmp(sqlstate, "55P03") != 0)) {
		checked = explain(pg, result, deadline_ms, error);
	}
	PQclear(result);
	return checked;
}

enum pg_state pg_schema_check(PGconn *pg, int64_t deadline_ms, char error[PG_ERROR_SIZE])
{
	enum pg_state checked = PG_UNUSABLE;
	char remedy[PG_REMEDY_SIZE] = "install a newer bagelhook";
	PGresult *result = pg_query(pg,
		IN_TIME "SELECT oldest, newest, pg_catalog.current_setting('transaction_read_only')"
		" FROM bagelpay.served_responders()",
		deadline_ms);

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
		checked = explain(pg, result, deadline_ms, error);
		PQclear(result);
		return checked;
	}
	const long oldest = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	const long newest = strtol(PQgetvalue(result, 0, 1), NULL, 10);
	const bool read_only = strcmp(PQgetvalue(result, 0, 2), "on") == 0;
	PQclear(result);
	if (read_only) {
		snprintf(error, PG_ERROR_SIZE,
			"database \"%s\" takes no writes: a standby, or one of "
			"default_transaction_read_only",
			PQdb(pg));
		return PG_AWAY;
	}
	if (PG_PROTOCOL >= oldest && PG_PROTOCOL <= newest)
		return check_settings(pg, deadline_ms, error);
	if (PG_PROTOCOL > newest)
		pg_deploy_remedy(pg, remedy);
	snprintf(error, PG_ERROR_SIZE,
		"the schema serves responders of protocol %ld to %ld, this one speaks %d: %s", oldest, newest,
		PG_PROTOCOL, remedy);
	return PG_UNUSABLE;
}
