/* One connection to PostgreSQL, with a deadline on everything that can wait. Used by
 * store.c alone; both are the only users of libpq. One thread at a time. */
#ifndef BAGELHOOK_CONNECTION_H
#define BAGELHOOK_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_ERROR_SIZE 512

enum connection_result {
	CONNECTION_OPENED,
	CONNECTION_UNREACHABLE, /* nobody answers, or not now: try again later */
	CONNECTION_REFUSED      /* the server answers and will not have us: people must mend that */
};

/* Connects by libpq's conventions; conninfo may be NULL. Blocks, at most until the
 * deadline, but for the resolving of host names. On CONNECTION_OPENED the caller owns *pg
 * (PQfinish()); otherwise error holds the reason, one line. */
enum connection_result connection_open(
	const char *conninfo, int64_t deadline_ms, PGconn **pg, char error[CONNECTION_ERROR_SIZE]);

/* Sends what is queued and waits for the next result, until the deadline. Returns false
 * when it passed or the connection is lost; *result may be NULL, as PQgetResult() says. */
bool connection_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result);

/* Runs one statement, text results. Returns what PQgetResult() did, to be cleared, or NULL
 * when the deadline passed or the connection is lost. */
PGresult *connection_query(PGconn *pg, const char *statement, int64_t deadline_ms);

/* The first line of a message of libpq's. */
void connection_first_line(const char *message, char error[CONNECTION_ERROR_SIZE]);

#endif
