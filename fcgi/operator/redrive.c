/* One body after the other, so that each has its own line. ingest() resolves a dead letter when it commits
 * its event. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/commit/store.h"
#include "fcgi/response.h"
#include "commands.h"
#include "intake.h"
#include "session.h"

#define CONNECT_MS 10000

/* Control characters of an id would reach the terminal. */
#define PRINTABLE_ID "pg_catalog.regexp_replace(e.event_id, E'[\\\\x01-\\\\x1f\\\\x7f-\\\\x9f]', '?', 'g')"
/* Times in microseconds since 1970-01-01 00:00 UTC. */
#define LETTER                                                                                               \
	"SELECT id::text, id::text, body, signed_timestamp::text, signature,"                                \
	" (extract(epoch FROM received_at) * 1000000)::bigint::text, (resolved_at IS NOT NULL)::text"        \
	" FROM bagelpay.dead_letters"
/* readmit() keeps the time of events. */
#define IGNORED                                                                                              \
	"SELECT e.event_id, " PRINTABLE_ID ", b.body, b.signed_timestamp::text, b.signature, NULL, 'false'"  \
	" FROM bagelpay.events AS e LEFT JOIN bagelpay.event_bodies AS b ON b.event_id = e.event_id"         \
	" WHERE e.outcome = 'ignored' AND bagelpay_internal.event_rank(e.event_type) < 8"
enum {
	COLUMN_ID,
	COLUMN_SHOWN_ID,
	COLUMN_BODY,
	COLUMN_TIMESTAMP,
	COLUMN_SIGNATURE,
	COLUMN_RECEIVED,
	COLUMN_RESOLVED
};

enum redrive_what {
	REDRIVE_LETTER,  /* the dead letter of an id */
	REDRIVE_LETTERS, /* all that are unresolved, except those with the reason mode */
	REDRIVE_IGNORED  /* events of types that were unknown when they came, and are known now */
};

struct redrive {
	enum redrive_what what;
	struct session session;
	PGresult *row; /* the body that is tried */
	uint64_t tried;
	uint64_t resolved;
	const char *error; /* that ends it */
};

static const char *value(const struct redrive *redrive, int column)
{
	return PQgetvalue(redrive->row, 0, column);
}

static int64_t number(const struct redrive *redrive, int column, int64_t none)
{
	return PQgetisnull(redrive->row, 0, column) ? none : strtoll(value(redrive, column), NULL, 10);
}

static void left(const struct redrive *redrive, const char *reason)
{
	printf("%s\tleft\t%s\n", value(redrive, COLUMN_SHOWN_ID), reason);
}

static void resolved(struct redrive *redrive, const char *how)
{
	redrive->resolved++;
	printf("%s\tresolved\t%s\n", value(redrive, COLUMN_SHOWN_ID), how);
}

/* Returns 1 if the letter that is tried is resolved now, 0 if not, or -1. */
static int is_resolved(struct redrive *redrive)
{
	const char *const values[] = {value(redrive, COLUMN_ID)};
	PGresult *result = session_query(&redrive->session,
		"SELECT FROM bagelpay.dead_letters WHERE id = $1::bigint AND resolved_at IS NOT NULL", 1,
		values);
	const int found = result == NULL ? -1 : PQntuples(result);

	PQclear(result);
	return found;
}

static void settled(void *context, struct delivery *delivery, void *item)
{
	struct redrive *redrive = context;
	int found = 1;

	(void)item;
	switch (delivery->outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_DUPLICATE:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
		break;
	default:
		left(redrive, delivery->detail);
		return;
	}
	if (redrive->what != REDRIVE_IGNORED)
		found = is_resolved(redrive);
	if (found > 0)
		resolved(redrive, response_outcome_name(delivery->outcome));
	else if (found == 0)
		left(redrive, "event_id: still taken by an event with another content");
	else
		redrive->error = redrive->session.error;
}

/* The body of the row through all of it. Returns false if it cannot go on. */
static bool try_body(struct redrive *redrive, struct store *store)
{
	const struct intake_body body = {value(redrive, COLUMN_BODY),
		(size_t)PQgetlength(redrive->row, 0, COLUMN_BODY), number(redrive, COLUMN_TIMESTAMP, -1),
		value(redrive, COLUMN_SIGNATURE), number(redrive, COLUMN_RECEIVED, 0)};
	struct intake intake;

	redrive->tried++;
	if (strcmp(value(redrive, COLUMN_RESOLVED), "true") == 0) {
		resolved(redrive, "already");
		return true;
	}
	if (PQgetisnull(redrive->row, 0, COLUMN_BODY)) {
		left(redrive, "its body was removed by retention or erasure");
		return true;
	}
	intake_begin(&intake, store, settled, redrive);
	if (intake_add(&intake, &body, NULL) && intake_end(&intake))
		return redrive->error == NULL;
	if (redrive->error == NULL)
		redrive->error = intake.error;
	return false;
}

/* Reads the next body; id is the letter's, or of the one before. Returns 1, 0 if there is none, or -1. */
static int next_body(struct redrive *redrive, const char *id)
{
	static const char *const statements[] = {
		[REDRIVE_LETTER] = LETTER " WHERE id = $1::bigint",
		[REDRIVE_LETTERS] =
			LETTER " WHERE resolved_at IS NULL AND id > $1::bigint AND reason <> 'mode'"
			       " ORDER BY id LIMIT 1",
		[REDRIVE_IGNORED] = IGNORED " AND e.event_id > $1 ORDER BY e.event_id LIMIT 1",
	};
	PGresult *before = redrive->row;

	redrive->row = session_query(&redrive->session, statements[redrive->what], 1, &id);
	PQclear(before);
	if (redrive->row == NULL)
		redrive->error = redrive->session.error;
	return redrive->row == NULL ? -1 : PQntuples(redrive->row);
}

/* Sums up. Returns the exit status. */
static int sum_up(struct redrive *redrive)
{
	PGresult *rest = NULL;

	if (redrive->what == REDRIVE_IGNORED) {
		rest = session_query(&redrive->session,
			"SELECT pg_catalog.count(*)::text FROM bagelpay.events"
			" WHERE outcome = 'ignored' AND bagelpay_internal.event_rank(event_type) < 8 IS NOT "
			"TRUE",
			0, NULL);
		if (rest == NULL)
			return command_failed("bagelhook redrive", redrive->session.error);
	}
	printf("%" PRIu64 " tried, %" PRIu64 " resolved, %" PRIu64 " left", redrive->tried, redrive->resolved,
		redrive->tried - redrive->resolved);
	if (rest != NULL)
		printf(", %s of unknown types", PQgetvalue(rest, 0, 0));
	putchar('\n');
	PQclear(rest);
	return redrive->tried == redrive->resolved ? 0 : EXIT_NOT_ALL;
}

static int run(struct redrive *redrive, struct store *store, int64_t id)
{
	char first[24] = "";
	int found;

	if (redrive->what != REDRIVE_IGNORED)
		snprintf(first, sizeof first, "%" PRId64, id);
	found = next_body(redrive, first);
	if (redrive->what == REDRIVE_LETTER && found == 0)
		return command_failed("bagelhook redrive", "there is no dead letter of this id");
	while (found > 0) {
		if (!try_body(redrive, store))
			return command_failed("bagelhook redrive", redrive->error);
		if (redrive->what == REDRIVE_LETTER)
			break;
		found = next_body(redrive, value(redrive, COLUMN_ID));
	}
	return found < 0 ? command_failed("bagelhook redrive", redrive->error) : sum_up(redrive);
}

int redrive_run(const struct options *options)
{
	struct redrive redrive = {.what = options->ignored ? REDRIVE_IGNORED
			: options->all			       ? REDRIVE_LETTERS
							       : REDRIVE_LETTER};
	struct store *store = store_new(options->database);
	int status;

	if (store == NULL)
		return command_failed("bagelhook redrive", "out of memory");
	if (redrive.what == REDRIVE_IGNORED)
		store_readmits(store);
	if (session_open(&redrive.session, options->database, "bagelpay_owner") != 0)
		status = command_failed("bagelhook redrive", redrive.session.error);
	else if (store_connect(store, CONNECT_MS) != PG_READY)
		status = command_failed("bagelhook redrive", store_error(store));
	else
		status = run(&redrive, store, options->id);
	PQclear(redrive.row);
	session_close(&redrive.session);
	store_free(store);
	return status;
}
