#include "config.h"

#include "session.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/pg.h"

#define CONNECT_MS 10000
#define FIRST_ROW_MS ((int64_t)10 * SESSION_ANSWER_MS)

int session_open(struct session *session, const char *conninfo, const char *role)
{
	char reason[PG_ERROR_SIZE];

	*session = (struct session){.role = role};
	if (pg_connect(conninfo, CONNECT_MS, NULL, &session->pg, reason) == PG_READY)
		return 0;
	snprintf(session->error, sizeof session->error, "%s", reason);
	return -1;
}

void session_close(struct session *session)
{
	PQfinish(session->pg);
	session->pg = NULL;
}

/* The reason why there is no result, or why it is an error. */
static void explain(struct session *session, const PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	char remedy[PG_REMEDY_SIZE];

	if (result == NULL && PQstatus(session->pg) == CONNECTION_OK)
		snprintf(session->error, sizeof session->error, "no answer from the database in time");
	else if (message == NULL || sqlstate == NULL)
		snprintf(session->error, sizeof session->error, "the connection to the database is lost");
	/* Only errors of class 42 are about the statement. The words of others may quote an event. */
	else if (strncmp(sqlstate, "42", 2) != 0 && strcmp(sqlstate, "3F000") != 0)
		snprintf(session->error, sizeof session->error, "the database fails with SQLSTATE %s",
			sqlstate);
	else if (strcmp(sqlstate, "42501") == 0)
		snprintf(session->error, sizeof session->error, "%s: connect as a role that has %s", message,
			session->role);
	else {
		pg_deploy_remedy(session->pg, remedy);
		snprintf(session->error, sizeof session->error, "%s: %s", message, remedy);
	}
}

PGresult *session_query(struct session *session, const char *statement, int count, const char *const values[])
{
	PGresult *result = NULL;
	PGresult *end = NULL;
	const int64_t deadline_ms = clock_ms() + SESSION_ANSWER_MS;

	if (PQsendQueryParams(session->pg, statement, count, NULL, values, NULL, NULL, 1)
		&& pg_next_result(session->pg, deadline_ms, &result) && result != NULL
		&& (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
		&& pg_next_result(session->pg, deadline_ms, &end) && end == NULL)
		return result;
	explain(session, result);
	PQclear(end);
	PQclear(result);
	return NULL;
}

int session_stream(struct session *session, const char *statement, int count, const char *const values[])
{
	if (PQsendQueryParams(session->pg, statement, count, NULL, values, NULL, NULL, 1)
		&& PQsetSingleRowMode(session->pg))
		return 0;
	explain(session, NULL);
	return -1;
}

int session_next(struct session *session, PGresult **row)
{
	*row = NULL;
	if (pg_next_result(session->pg, clock_ms() + FIRST_ROW_MS, row)) {
		if (PQresultStatus(*row) == PGRES_SINGLE_TUPLE)
			return 1;
		/* The last result has no row. */
		if (PQresultStatus(*row) == PGRES_TUPLES_OK) {
			PQclear(*row);
			*row = NULL;
			return 0;
		}
	}
	explain(session, *row);
	PQclear(*row);
	*row = NULL;
	return -1;
}
