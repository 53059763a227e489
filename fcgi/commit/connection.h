/* One connection to PostgreSQL, with a deadline on everything that can wait. One thread at a
 * time. */
#ifndef BAGELHOOK_CONNECTION_H
#define BAGELHOOK_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_ERROR_SIZE 1024

/* Waits for the socket to become ready for the events of poll(2). False when the deadline passed
 * or there is no socket to wait for. */
bool connection_wait(PGconn *pg, short events, int64_t deadline_ms);

/* Sends what is queued and waits for the next result, until the deadline. Returns false
 * when it passed or the connection is lost; *result may be NULL, as PQgetResult() says. */
bool connection_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result);

/* Runs one statement, text results. Returns what PQgetResult() did, to be cleared, or NULL
 * when the deadline passed or the connection is lost. */
PGresult *connection_query(PGconn *pg, const char *statement, int64_t deadline_ms);

/* The first line of a message of libpq's. */
void connection_first_line(const char *message, char error[CONNECTION_ERROR_SIZE]);

#endif
