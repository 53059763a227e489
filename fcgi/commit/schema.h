/* Whether the database's schema serves this responder, and what to do if not. */
#ifndef BAGELHOOK_SCHEMA_H
#define BAGELHOOK_SCHEMA_H

#include <libpq-fe.h>
#include <stdint.h>

#include "connection.h"

/* Which responders a schema serves is a range of these. Raised with every change to what
 * ingest() is given or returns. */
#define SCHEMA_PROTOCOL 1

#define SCHEMA_REMEDY_SIZE 512

enum schema_result {
	SCHEMA_FITS,
	SCHEMA_NOT_NOW, /* no answer, or a standby: try again later */
	SCHEMA_UNFIT    /* missing, not allowed, or of another range: people must mend that */
};

/* Asks the server. Blocks, at most until the deadline. Where the schema does not fit, error
 * holds the reason and what to do, one line. */
enum schema_result schema_check(PGconn *pg, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE]);

/* Writes the command that brings the database to the newest schema. Does not block. */
void schema_deploy_remedy(PGconn *pg, char remedy[SCHEMA_REMEDY_SIZE]);

/* Explains an error 42501 (insufficient privilege): a missing grant, or a deployment that did not come to its
 * end. Blocks, at most until the deadline. */
void schema_explain_rights(PGconn *pg, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE]);

#endif
