/* A connection that only reads. One thread at a time; each worker has its own, so that as many
 * questions are under way as there are workers, and no more. */
#ifndef BAGELHOOK_CONSOLE_DATABASE_H
#define BAGELHOOK_CONSOLE_DATABASE_H

#include <libpq-fe.h>
#include <stddef.h>

#include "fcgi/commit/pg.h"

struct database {
	const char *conninfo; /* the caller's; NULL: by libpq's conventions */
	PGconn *pg;           /* NULL: not connected */
};

enum database_result {
	DATABASE_ANSWERED,
	DATABASE_NOTHING,  /* there is no such thing */
	DATABASE_REFUSED,  /* a parameter is none that could be meant */
	DATABASE_TOO_LONG, /* the statement took more time than it may */
	DATABASE_BUSY,     /* somebody else holds what is asked for: later */
	DATABASE_AWAY,     /* nobody answers, or not now */
	DATABASE_UNFIT     /* the role or the schema is not one for us: people must mend that */
};

/* Not connected yet. */
void database_init(struct database *, const char *conninfo);

/* Ends the connection, if there is one. */
void database_done(struct database *);

/* Makes sure that there is a connection, and that its role may see what the console shows and can
 * change nothing. Blocks for some seconds at
 * most. Returns DATABASE_ANSWERED, or why not, with one line in error. */
enum database_result database_connect(struct database *, char error[PG_ERROR_SIZE]);

/* Connects where need be, and runs one statement that gives one value, with text parameters (NULL for
 * SQL's NULL), in a transaction of its own, read-only and bounded in time even behind a pooler. A connection
 * that was lost since the last time is made anew. Blocks for some seconds at most. On DATABASE_ANSWERED the
 * value is row 0, column 0 of *result, the caller's to PQclear(); otherwise *result is NULL and error says
 * why, in one line. */
enum database_result database_ask(struct database *, const char *statement, int count,
	const char *const *values, PGresult **result, char error[PG_ERROR_SIZE]);

#endif
