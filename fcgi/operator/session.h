/* An operator's session with the database: one statement at a time, errors with a remedy. One thread. */
#ifndef BAGELHOOK_SESSION_H
#define BAGELHOOK_SESSION_H

#include <libpq-fe.h>
#include <stdint.h>

#define SESSION_ERROR_SIZE 1024
#define SESSION_ANSWER_MS 60000

struct session {
	PGconn *pg;
	const char *role;               /* whose rights the statements need, for messages; not owned */
	char error[SESSION_ERROR_SIZE]; /* why the last call failed, one line */
};

/* Connects; conninfo as libpq takes it, or NULL. Returns 0, or -1 with the reason in error. Blocks for ten
 * seconds at most for each address that does not answer. */
int session_open(struct session *, const char *conninfo, const char *role);

/* Disconnects; also after a failed session_open(). */
void session_close(struct session *);

/* Runs a statement with count parameters, as text. Returns its rows in binary format, in which text is as it
 * is, to be cleared by the caller; or NULL with the reason in error. Blocks for SESSION_ANSWER_MS at most. */
PGresult *session_query(struct session *, const char *statement, int count, const char *const values[]);

/* The same for a statement of which session_next() returns one row after the other. Returns 0, or -1. */
int session_stream(struct session *, const char *statement, int count, const char *const values[]);

/* Reads the next row, which the caller clears. Returns 1, 0 at the end, or -1 with the reason in error.
 * Blocks for ten times SESSION_ANSWER_MS at most, as the server may sort first. */
int session_next(struct session *, PGresult **row);

#endif
