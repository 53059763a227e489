#include "config.h"

#include "connection.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

void connection_first_line(const char *message, char error[CONNECTION_ERROR_SIZE])
{
	size_t len = strcspn(message, "\n");

	snprintf(error, CONNECTION_ERROR_SIZE, "%.*s",
		(int)(len < CONNECTION_ERROR_SIZE ? len : CONNECTION_ERROR_SIZE - 1), message);
}

/* Waits for the socket. Returns false when the deadline passed or poll(2) failed. */
static bool wait_socket(PGconn *pg, short events, int64_t deadline_ms)
{
	struct pollfd socket = {.fd = PQsocket(pg), .events = events};

	if (socket.fd < 0)
		return false;
	for (;;) {
		int64_t left = deadline_ms - clock_ms();
		int ready;

		if (left <= 0)
			return false;
		ready = poll(&socket, 1, left > 60000 ? 60000 : (int)left);
		if (ready > 0)
			return true;
		if (ready < 0 && errno != EINTR)
			return false;
	}
}

/* libpq has no accessor for the SQLSTATE of a failed connection, but with verbose errors
 * its message has it, as "SEVERITY:  SQLSTATE: text", the severity in the server's
 * language. Copies it, and cuts it out of the line. */
static void take_sqlstate(char line[CONNECTION_ERROR_SIZE], char sqlstate[6])
{
	sqlstate[0] = '\0';
	for (char *at = strstr(line, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
		char *code = at + 3;
		size_t len = 0;

		while (len < 5 && (isdigit((unsigned char)code[len]) || isupper((unsigned char)code[len])))
			len++;
		if (len == 5 && code[5] == ':' && code[6] == ' ') {
			memcpy(sqlstate, code, 5);
			sqlstate[5] = '\0';
			memmove(code, code + 7, strlen(code + 7) + 1);
			return;
		}
	}
}

/* Appends what people can do about it. */
static void add_mend(char error[CONNECTION_ERROR_SIZE], const char *mend)
{
	size_t len = strlen(error);

	snprintf(error + len, CONNECTION_ERROR_SIZE - len, ": %s", mend);
}

static enum connection_result classify(PGconn *pg, char error[CONNECTION_ERROR_SIZE])
{
	char sqlstate[6];

	connection_first_line(PQerrorMessage(pg), error);
	take_sqlstate(error, sqlstate);
	/* All else the server may get over: starting up, too many connections, shutting down. */
	if (strncmp(sqlstate, "28", 2) == 0 || PQconnectionNeedsPassword(pg))
		add_mend(error,
			"check the user in --database, the password in PGPASSFILE, and the server's "
			"pg_hba.conf");
	else if (strncmp(sqlstate, "3D", 2) == 0)
		add_mend(error,
			"create it with createdb, then run sqitch deploy (in the directory sql of "
			"bagelhook)");
	else if (strncmp(sqlstate, "42", 2) == 0)
		add_mend(error, "grant the user CONNECT on it");
	else
		return CONNECTION_UNREACHABLE;
	return CONNECTION_REFUSED;
}

/* Whether libpq can make out where to connect to: the connection string is one, and the
 * service that it names is there. Asked only after connecting failed at once, which a
 * server that is down on a Unix socket does as well. */
static bool is_meaningful(const char *conninfo)
{
	const char *const keywords[] = {"dbname", "connect_timeout", NULL};
	const char *const values[] = {conninfo, "2", NULL};

	return PQpingParams(keywords, values, 1) != PQPING_NO_ATTEMPT;
}

enum connection_result connection_open(
	const char *conninfo, int64_t deadline_ms, PGconn **out, char error[CONNECTION_ERROR_SIZE])
{
	const char *const keywords[] = {"dbname", "client_encoding", "fallback_application_name", NULL};
	const char *const values[] = {conninfo, "UTF8", "bagelhook", NULL};
	enum connection_result result;
	PGconn *pg = PQconnectStartParams(keywords, values, 1);

	if (pg == NULL) {
		snprintf(error, CONNECTION_ERROR_SIZE, "out of memory");
		return CONNECTION_UNREACHABLE;
	}
	PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	if (PQstatus(pg) == CONNECTION_BAD) {
		connection_first_line(PQerrorMessage(pg), error);
		result = is_meaningful(conninfo) ? CONNECTION_UNREACHABLE : CONNECTION_REFUSED;
		goto fail;
	}
	/* As if PQconnectPoll() had asked to write, by its documentation. */
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
		if (!wait_socket(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
			snprintf(error, CONNECTION_ERROR_SIZE, "no answer from the database in time");
			result = CONNECTION_UNREACHABLE;
			goto fail;
		}
		state = PQconnectPoll(pg);
	}
	if (state != PGRES_POLLING_OK) {
		result = classify(pg, error);
		goto fail;
	}
	if (PQsetnonblocking(pg, 1) != 0) {
		connection_first_line(PQerrorMessage(pg), error);
		result = CONNECTION_UNREACHABLE;
		goto fail;
	}
	PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	*out = pg;
	return CONNECTION_OPENED;
fail:
	PQfinish(pg);
	return result;
}

bool connection_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result)
{
	*result = NULL;
	for (;;) {
		int unsent = PQflush(pg);

		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(pg))
			break;
		/* While sending, also read: a server that waits for its answers to be taken would
		 * otherwise never take what is sent. */
		if (!wait_socket(pg, unsent > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms))
			return false;
		if (!PQconsumeInput(pg))
			return false;
	}
	*result = PQgetResult(pg);
	return PQstatus(pg) == CONNECTION_OK || *result != NULL;
}

PGresult *connection_query(PGconn *pg, const char *statement, int64_t deadline_ms)
{
	PGresult *last = NULL;
	PGresult *result;

	if (!PQsendQuery(pg, statement))
		return NULL;
	do {
		if (!connection_next_result(pg, deadline_ms, &result)) {
			PQclear(result);
			PQclear(last);
			return NULL;
		}
		if (result != NULL) {
			PQclear(last);
			last = result;
		}
	} while (result != NULL);
	return last;
}
