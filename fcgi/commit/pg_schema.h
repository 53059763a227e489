/* The conditions that a responder has for the database that it is connected to: a schema that serves it, settings that can
 * be used, and a role with the right to call ingest(). */
#ifndef BAGELHOOK_PG_SCHEMA_H
#define BAGELHOOK_PG_SCHEMA_H

#include "pg.h"

/* The range of responders that a schema serves is a range of these numbers. Raised with every change to the
 * arguments or the result of ingest(). */
#define PG_PROTOCOL 1

/* Asks the server whether its schema serves this responder and takes events, and whether the settings can be
 * used: by a call of ingest() without deliveries. Blocks, at most until the deadline. Other than with
 * PG_READY, error holds the reason and what to do, one line. */
enum pg_state pg_schema_check(PGconn *pg, int64_t deadline_ms, char error[PG_ERROR_SIZE]);

#endif
