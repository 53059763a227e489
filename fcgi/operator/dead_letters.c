#include "config.h"

#include "dead_letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/pg.h"

#define CONNECT_MS 10000
#define QUERY_MS 60000
/* 2000-01-01 00:00 UTC, where PostgreSQL's binary timestamptz begins, as Unix time. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

struct dead_letters {
	PGconn *pg;
	PGresult *letter; /* that was read last */
	int64_t last;     /* its id */
};

struct dead_letters *dead_letters_open(const char *conninfo, char error[DEAD_LETTERS_ERROR_SIZE])
{
	struct dead_letters *letters = calloc(1, sizeof *letters);
	char reason[PG_ERROR_SIZE] = "out of memory";

	if (letters != NULL && pg_connect(conninfo, CONNECT_MS, NULL, &letters->pg, reason) == PG_READY)
		return letters;
	snprintf(error, DEAD_LETTERS_ERROR_SIZE, "%s", reason);
	free(letters);
	return NULL;
}

void dead_letters_close(struct dead_letters *letters)
{
	if (letters == NULL)
		return;
	PQclear(letters->letter);
	PQfinish(letters->pg);
	free(letters);
}

/* Runs a statement with parameters as text, results in binary. NULL with the reason in error. */
static PGresult *query(struct dead_letters *letters, const char *statement, int count,
	const char *const values[], char error[DEAD_LETTERS_ERROR_SIZE])
{
	PGresult *result = NULL;
	PGresult *end = NULL;
	const int64_t deadline_ms = clock_ms() + QUERY_MS;

	if (!PQsendQueryParams(letters->pg, statement, count, NULL, values, NULL, NULL, 1)
		|| !pg_next_result(letters->pg, deadline_ms, &result) || result == NULL
		|| !pg_next_result(letters->pg, deadline_ms, &end)) {
		snprintf(error, DEAD_LETTERS_ERROR_SIZE, "the connection to the database is lost");
	} else if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

		/* Only errors of class 42 are about the statement; in the words of others there may be
		 * something of the letter. */
		if (message == NULL || sqlstate == NULL || strncmp(sqlstate, "42", 2) != 0)
			snprintf(error, DEAD_LETTERS_ERROR_SIZE, "the database fails with SQLSTATE %s",
				sqlstate == NULL ? "unknown" : sqlstate);
		else
			snprintf(error, DEAD_LETTERS_ERROR_SIZE, "%s%s", message,
				strcmp(sqlstate, "42501") == 0 ? ": connect as a role that has bagelpay_owner"
							       : "");
	} else {
		PQclear(end);
		return result;
	}
	PQclear(result);
	PQclear(end);
	return NULL;
}

/* A number in network order. */
static int64_t read_int8(const PGresult *result, int column)
{
	const unsigned char *bytes = (const unsigned char *)PQgetvalue(result, 0, column);
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return (int64_t)value;
}

int dead_letters_next(struct dead_letters *letters, int64_t id, struct dead_letter *letter,
	char error[DEAD_LETTERS_ERROR_SIZE])
{
	char text[24];
	const char *const values[] = {text};

	snprintf(text, sizeof text, "%" PRId64, id > 0 ? id : letters->last);
	PQclear(letters->letter);
	letters->letter = query(letters,
		id > 0 ? "SELECT id, body, signed_timestamp, signature, reason, resolved_at IS NOT NULL,"
			 " received_at FROM bagelpay.dead_letters WHERE id = $1"
		       : "SELECT id, body, signed_timestamp, signature, reason, false,"
			 " received_at FROM bagelpay.dead_letters WHERE resolved_at IS NULL AND id > $1"
			 " AND reason <> 'mode' ORDER BY id LIMIT 1",
		1, values, error);
	if (letters->letter == NULL)
		return -1;
	if (PQntuples(letters->letter) == 0)
		return 0;
	letters->last = read_int8(letters->letter, 0);
	letter->id = letters->last;
	letter->body = PQgetvalue(letters->letter, 0, 1);
	letter->body_len = (size_t)PQgetlength(letters->letter, 0, 1);
	letter->timestamp = PQgetisnull(letters->letter, 0, 2) ? -1 : read_int8(letters->letter, 2);
	letter->signature = PQgetvalue(letters->letter, 0, 3);
	letter->reason = PQgetvalue(letters->letter, 0, 4);
	letter->received_us = read_int8(letters->letter, 6) + POSTGRES_EPOCH_US;
	letter->resolved = PQgetvalue(letters->letter, 0, 5)[0] != 0;
	return 1;
}

int dead_letters_resolved(struct dead_letters *letters, int64_t id, char error[DEAD_LETTERS_ERROR_SIZE])
{
	char text[24];
	const char *const values[] = {text};

	snprintf(text, sizeof text, "%" PRId64, id);
	PGresult *result = query(letters,
		"SELECT resolved_at IS NOT NULL FROM bagelpay.dead_letters WHERE id = $1", 1, values, error);
	if (result == NULL)
		return -1;
	int resolved = PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] != 0;
	PQclear(result);
	return resolved;
}
