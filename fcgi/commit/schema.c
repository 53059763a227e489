#include "config.h"

#include "schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The database, percent-encoded as Sqitch's target wants it. */
static void encode(const char *name, char *encoded, size_t size)
{
	size_t len = 0;

	for (; *name != '\0' && len + 4 <= size; name++)
		len += (size_t)snprintf(encoded + len, size - len,
			isalnum((unsigned char)*name) || *name == '_' ? "%c" : "%%%02X",
			(unsigned char)*name);
	encoded[len] = '\0';
}

void schema_deploy_remedy(PGconn *pg, char remedy[SCHEMA_REMEDY_SIZE])
{
	char name[256] = "";

	encode(PQdb(pg), name, sizeof name);
	snprintf(remedy, SCHEMA_REMEDY_SIZE,
		"run, as a role that may create roles: PGHOST='%s' PGPORT=%s sqitch --chdir " SQL_DIRECTORY
		" deploy db:pg:%s",
		PQhost(pg), PQport(pg), name);
}

void schema_explain_rights(PGconn *pg, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE])
{
	char remedy[SCHEMA_REMEDY_SIZE];
	PGresult *result = connection_query(pg,
		"SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_ingest' AND "
		"pg_catalog.pg_has_role(oid, 'USAGE')",
		deadline_ms);

	schema_deploy_remedy(pg, remedy);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		snprintf(error, CONNECTION_ERROR_SIZE,
			"the schema bagelpay in database \"%s\" is not complete: %s", PQdb(pg), remedy);
	else
		snprintf(error, CONNECTION_ERROR_SIZE,
			"user \"%s\" may not use the schema bagelpay: run, as a role that may create roles: "
			"GRANT bagelpay_ingest TO \"%s\"",
			PQuser(pg), PQuser(pg));
	PQclear(result);
}

static enum schema_result explain_error(
	PGconn *pg, const PGresult *result, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE])
{
	char remedy[SCHEMA_REMEDY_SIZE];
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL)
		sqlstate = "";
	/* 42501: not allowed; 3F000: no such schema; the rest of 42: no such function, or not
	 * one that fits. */
	if (strcmp(sqlstate, "42501") == 0) {
		schema_explain_rights(pg, deadline_ms, error);
		return SCHEMA_UNFIT;
	}
	if (strcmp(sqlstate, "3F000") == 0 || strncmp(sqlstate, "42", 2) == 0) {
		schema_deploy_remedy(pg, remedy);
		snprintf(error, CONNECTION_ERROR_SIZE, "database \"%s\" has no schema bagelpay that fits: %s",
			PQdb(pg), remedy);
		return SCHEMA_UNFIT;
	}
	connection_first_line(PQresultErrorMessage(result), error);
	return SCHEMA_NOT_NOW;
}

static enum schema_result check_range(PGconn *pg, const PGresult *result, char error[CONNECTION_ERROR_SIZE])
{
	long oldest = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	long newest = strtol(PQgetvalue(result, 0, 1), NULL, 10);
	char remedy[SCHEMA_REMEDY_SIZE] = "install a newer bagelhook";

	if (SCHEMA_PROTOCOL >= oldest && SCHEMA_PROTOCOL <= newest)
		return SCHEMA_FITS;
	if (SCHEMA_PROTOCOL > newest)
		schema_deploy_remedy(pg, remedy);
	snprintf(error, CONNECTION_ERROR_SIZE,
		"the schema serves responders of protocol %ld to %ld, this one speaks %d: %s", oldest, newest,
		SCHEMA_PROTOCOL, remedy);
	return SCHEMA_UNFIT;
}

enum schema_result schema_check(PGconn *pg, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE])
{
	enum schema_result checked;
	PGresult *result = connection_query(pg,
		"SELECT oldest, newest, pg_catalog.pg_is_in_recovery() FROM bagelpay.served_responders()",
		deadline_ms);

	if (result == NULL) {
		snprintf(
			error, CONNECTION_ERROR_SIZE, "no answer from the database \"%s\" in time", PQdb(pg));
		return SCHEMA_NOT_NOW;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
		checked = explain_error(pg, result, deadline_ms, error);
	} else if (PQgetvalue(result, 0, 2)[0] == 't') {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"the database server is a standby, which takes no events");
		checked = SCHEMA_NOT_NOW;
	} else {
		checked = check_range(pg, result, error);
	}
	PQclear(result);
	return checked;
}
