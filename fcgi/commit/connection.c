#include "config.h"

#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

void connection_first_line(const char *message, char error[CONNECTION_ERROR_SIZE])
{
	size_t len = strcspn(message, "\n");

	snprintf(error, CONNECTION_ERROR_SIZE, "%.*s",
		(int)(len < CONNECTION_ERROR_SIZE ? len : CONNECTION_ERROR_SIZE - 1), message);
}

bool connection_wait(PGconn *pg, short events, int64_t deadline_ms)
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

bool connection_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result)
{
	const size_t said = strlen(PQerrorMessage(pg));

	*result = NULL;
	for (;;) {
		int unsent = PQflush(pg);

		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(pg))
			break;
		/* Where libpq has no memory for a result, it says so, and waits for another one, which
		 * need not come. */
		if (strlen(PQerrorMessage(pg)) != said)
			return false;
		/* While sending, also read: a server that waits for its answers to be taken would
		 * otherwise never take what is sent. */
		if (!connection_wait(pg, unsent > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms))
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
