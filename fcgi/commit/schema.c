#include "config.h"

#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEND_DEPLOY "run: sqitch deploy (in the directory sql of bagelhook)"

static enum schema_result explain_error(PGconn *pg, const PGresult *result, char error[CONNECTION_ERROR_SIZE])
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL)
		sqlstate = "";
	/* 42501: not allowed; 3F000: no such schema; the rest of 42: no such function, or not
	 * one that fits. */
	if (strcmp(sqlstate, "42501") == 0) {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"user \"%s\" may not use the schema bagelpay: run, as a role that may create roles: "
			"GRANT bagelpay_ingest TO \"%s\"",
			PQuser(pg), PQuser(pg));
		return SCHEMA_UNFIT;
	}
	if (strcmp(sqlstate, "3F000") == 0 || strncmp(sqlstate, "42", 2) == 0) {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"database \"%s\" has no schema bagelpay that fits: " MEND_DEPLOY, PQdb(pg));
		return SCHEMA_UNFIT;
	}
	connection_first_line(PQresultErrorMessage(result), error);
	return SCHEMA_NOT_NOW;
}

static enum schema_result check_range(const PGresult *result, char error[CONNECTION_ERROR_SIZE])
{
	long oldest = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	long newest = strtol(PQgetvalue(result, 0, 1), NULL, 10);
	const char *mend = SCHEMA_PROTOCOL < oldest ? "install a newer bagelhook" : MEND_DEPLOY;

	if (SCHEMA_PROTOCOL >= oldest && SCHEMA_PROTOCOL <= newest)
		return SCHEMA_FITS;
	snprintf(error, CONNECTION_ERROR_SIZE,
		"the schema serves responders of protocol %ld to %ld, this one speaks %d: %s", oldest, newest,
		SCHEMA_PROTOCOL, mend);
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
		checked = explain_error(pg, result, error);
	} else if (PQgetvalue(result, 0, 2)[0] == 't') {
		snprintf(error, CONNECTION_ERROR_SIZE,
			"the database server is a standby, which takes no events");
		checked = SCHEMA_NOT_NOW;
	} else {
		checked = check_range(result, error);
	}
	PQclear(result);
	return checked;
}
