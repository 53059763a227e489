/* A batch is one round trip: BEGIN, one call of ingest(), COMMIT, in libpq's pipeline
 * mode. What comes back before the COMMIT's own result means nothing for the answers. */
#include "config.h"

#include "store.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "encoding.h"
#include "pg_schema.h"

/* Time limit after a failed transaction, to roll it back and to find out why it failed. */
#define ROLLBACK_MS 5000

/* How often to look whether a transaction was interrupted. */
#define LOOK_MS 200

struct store {
	const char *conninfo;
	PGconn *pg;
	struct pg_route route;
	struct encoding encoding; /* kept for its memory */
	const char *statement;    /* that takes a batch */
	bool warned;              /* a WARNING came with the COMMIT */
	bool of_ingest;           /* the error was raised by ingest() */
	char sqlstate[6];
	char error[STORE_ERROR_SIZE];
};

#define CALL(function) "SELECT ordinal, event_id, outcome FROM bagelpay." function "($1, $2, $3, $4)"

struct store *store_new(const char *conninfo)
{
	struct store *store = calloc(1, sizeof *store);

	if (store == NULL)
		return NULL;
	store->conninfo = conninfo;
	store->statement = CALL("ingest");
	return store;
}

struct store *store_clone(const struct store *store)
{
	return store_new(store->conninfo);
}

void store_readmits(struct store *store)
{
	store->statement = CALL("readmit");
}

void store_disconnect(struct store *store)
{
	PQfinish(store->pg);
	store->pg = NULL;
}

/* The same for a server that does not answer, or is not the one to ask. */
static void give_up(struct store *store)
{
	pg_give_up(store->pg, &store->route);
	store->pg = NULL;
}

void store_free(struct store *store)
{
	if (store == NULL)
		return;
	store_disconnect(store);
	pg_route_done(&store->route);
	encoding_done(&store->encoding);
	free(store);
}

void store_interrupt(struct store *store)
{
	atomic_store(&store->route.interrupted, true);
}

bool store_connected(struct store *store)
{
	if (store->pg == NULL)
		return false;
	/* If an idle server sends something, it is its last words, or the end of the stream
	 * behind them. */
	struct pollfd socket = {.fd = PQsocket(store->pg), .events = POLLIN};
	for (int i = 0; i < 2 && poll(&socket, 1, 0) > 0; i++) {
		if (!PQconsumeInput(store->pg) || PQstatus(store->pg) != CONNECTION_OK) {
			store_disconnect(store);
			return false;
		}
		PQisBusy(store->pg);
	}
	return true;
}

const char *store_sqlstate(const struct store *store)
{
	return store->sqlstate;
}

const char *store_error(const struct store *store)
{
	return store->error;
}

/* With a synchronous standby, a COMMIT whose wait was cut short succeeds with a WARNING. Its words are
 * not logged: those of a trigger may quote the event. */
static void receive_notice(void *context, const PGresult *notice)
{
	struct store *store = context;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity == NULL || strcmp(severity, "WARNING") == 0) {
		store->warned = true;
		log_record(LOG_WARN, "the database warns",
			LOG_PAIRS("sqlstate", PQresultErrorField(notice, PG_DIAG_SQLSTATE)));
	}
}

/* The server's words only where it is about to end the connection: those of an error may quote the
 * event. */
static void take_error(struct store *store, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	snprintf(store->sqlstate, sizeof store->sqlstate, "%s", sqlstate == NULL ? "" : sqlstate);
	if (sqlstate == NULL)
		snprintf(store->error, sizeof store->error, "the connection to the database is lost");
	else if (message == NULL || severity == NULL || strcmp(severity, "ERROR") == 0)
		snprintf(store->error, sizeof store->error, "SQLSTATE %s", sqlstate);
	else
		snprintf(store->error, sizeof store->error, "%s: %s", sqlstate, message);
}

enum pg_state store_connect(struct store *store, int timeout_ms)
{
	store_disconnect(store);
	enum pg_state result =
		pg_connect(store->conninfo, timeout_ms, &store->route, &store->pg, store->error);
	if (result == PG_READY) {
		PQsetNoticeReceiver(store->pg, receive_notice, store);
		result = pg_schema_check(store->pg, clock_ms() + timeout_ms, store->error);
		if (result != PG_READY)
			give_up(store);
	}
	return result;
}

/* The statements of a batch, in the order in which they are sent. */
enum step { STEP_BEGIN, STEP_LIMIT, STEP_INGEST, STEP_COMMIT, STEP_COUNT };

static bool send_batch(struct store *store, const struct store_limits *limits)
{
	char limit[64];
	char lock_timeout[16];
	const char *const values[] = {
		store->encoding.deliveries.data, store->encoding.bodies.data, store->encoding.signatures.data, lock_timeout};
	const int lengths[] = {0, (int)store->encoding.bodies.len, (int)store->encoding.signatures.len, 0};
	const int formats[] = {0, 1, 1, 0};
	/* The server's answer has to come before the deadline. */
	int64_t left = (limits->deadline_ms - clock_ms()) * 9 / 10;

	if (left > limits->ingest_ms)
		left = limits->ingest_ms;
	/* A setting of the transaction, not of the session: it passes through any pooler. It counts from the
	 * statement after it; ingest() ends it, as a COMMIT must not be cancelled: with a synchronous standby
	 * it would look done. */
	snprintf(limit, sizeof limit, "SET LOCAL statement_timeout = %" PRId64, left > 0 ? left : 1);
	snprintf(lock_timeout, sizeof lock_timeout, "%d", limits->lock_ms);
	return PQenterPipelineMode(store->pg)
		&& PQsendQueryParams(
			store->pg, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL, NULL, NULL, NULL, 0)
		&& PQsendQueryParams(store->pg, limit, 0, NULL, NULL, NULL, NULL, 0)
		&& PQsendQueryParams(store->pg, store->statement, ENCODING_PARAMETERS, encoding_types, values, lengths, formats, 0)
		&& PQsendQueryParams(store->pg, "COMMIT", 0, NULL, NULL, NULL, NULL, 0)
		&& PQpipelineSync(store->pg);
}

static enum delivery_outcome parse_outcome(const char *text)
{
	static const struct {
		const char *text;
		enum delivery_outcome outcome;
	} outcomes[] = {
		{"applied", DELIVERY_APPLIED},
		{"duplicate", DELIVERY_DUPLICATE},
		{"ignored", DELIVERY_IGNORED},
		{"unmatched", DELIVERY_UNMATCHED},
		{"dead_letter", DELIVERY_DEAD_LETTER},
	};

	for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
		if (strcmp(text, outcomes[i].text) == 0)
			return outcomes[i].outcome;
	return DELIVERY_PENDING;
}

/* Fills in what ingest() says of each delivery. False where it does not say it of all. */
static bool take_outcomes(const PGresult *result, struct delivery *const batch[], size_t count)
{
	if (PQntuples(result) != (int)count || PQnfields(result) != 3)
		return false;
	for (int row = 0; row < (int)count; row++) {
		struct delivery *delivery = batch[row];

		if (strtol(PQgetvalue(result, row, 0), NULL, 10) != row + 1)
			return false;
		snprintf(delivery->event_id, sizeof delivery->event_id, "%s", PQgetvalue(result, row, 1));
		delivery->outcome = parse_outcome(PQgetvalue(result, row, 2));
		if (delivery->outcome == DELIVERY_PENDING)
			return false;
	}
	return true;
}

/* pg_next_result(), in steps if it is interruptible. */
static bool next_result(struct store *store, const struct store_limits *limits, PGresult **result)
{
	int64_t until_ms;

	do {
		until_ms = limits->interruptible ? clock_ms() + LOOK_MS : limits->deadline_ms;
		if (until_ms > limits->deadline_ms)
			until_ms = limits->deadline_ms;
		if (pg_next_result(store->pg, until_ms, result))
			return true;
		/* Before the end of a step, the connection is lost. */
	} while (clock_ms() >= until_ms && until_ms < limits->deadline_ms
		&& !atomic_load(&store->route.interrupted));
	return false;
}

/* Reads the results of all steps up to the sync. False when the connection is lost or the
 * deadline passed; *committed says whether the COMMIT's own tag came, *failed whether the
 * server reported an error, which store->sqlstate then holds. */
static bool receive_batch(struct store *store, struct delivery *const batch[], size_t count,
	const struct store_limits *limits, bool *committed, bool *failed)
{
	PGresult *result = NULL;
	bool complete = false;

	*committed = false;
	*failed = false;
	for (int step = 0; step < STEP_COUNT; step++) {
		if (step == STEP_COMMIT)
			store->warned = false;
		if (!next_result(store, limits, &result) || result == NULL)
			return false;
		switch (PQresultStatus(result)) {
		case PGRES_TUPLES_OK:
			if (step == STEP_INGEST)
				complete = take_outcomes(result, batch, count);
			break;
		case PGRES_COMMAND_OK:
			if (step == STEP_COMMIT)
				*committed = complete && strcmp(PQcmdStatus(result), "COMMIT") == 0;
			break;
		case PGRES_PIPELINE_ABORTED:
			break;
		default:
			if (!*failed) {
				take_error(store, result);
				store->of_ingest = step == STEP_INGEST;
			}
			*failed = true;
			break;
		}
		PQclear(result);
		/* Each step's results end with a NULL. */
		if (!next_result(store, limits, &result) || result != NULL) {
			PQclear(result);
			return false;
		}
	}
	if (!next_result(store, limits, &result))
		return false;
	bool synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
	PQclear(result);
	return synced && PQexitPipelineMode(store->pg);
}

static enum store_result classify(const struct store *store)
{
	const char *sqlstate = store->sqlstate;

	if (strcmp(sqlstate, "55P03") == 0)
		return STORE_LOCKED;
	/* Our own limit; an operator's pg_cancel_backend() is the same. */
	if (strcmp(sqlstate, "57014") == 0)
		return STORE_TOO_SLOW;
	if (strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0)
		return STORE_RETRY;
	/* Not what COMMIT reports, such as a full queue of notifications, which is of class 54; and not
	 * 22023, with which a time zone of the settings is reported that is no longer there. */
	if (store->of_ingest && strcmp(sqlstate, "22023") != 0
		&& (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "54", 2) == 0))
		return STORE_REFUSED;
	/* 08, 53, 57: the connection, its resources, the server going away or out of time;
	 * 25, 0A: a server that takes no writing transaction. None is one delivery's fault. */
	static const char *const of_all[] = {"08", "0A", "25", "53", "57"};
	for (size_t i = 0; i < sizeof of_all / sizeof of_all[0]; i++)
		if (strncmp(sqlstate, of_all[i], 2) == 0)
			return STORE_UNAVAILABLE;
	return STORE_FAILED;
}

/* Returns true if another connection may find a better server than this one, after a failover. */
static bool is_wrong_server(const struct store *store)
{
	return strncmp(store->sqlstate, "25", 2) == 0 || strncmp(store->sqlstate, "0A", 2) == 0
		|| strncmp(store->sqlstate, "57P", 3) == 0;
}

/* Ends the failed transaction, or, where that fails too, the connection. */
static void roll_back(struct store *store, int64_t deadline_ms)
{
	/* A COMMIT that failed has ended it. */
	if (PQtransactionStatus(store->pg) == PQTRANS_IDLE)
		return;
	PGresult *result = pg_query(store->pg, "ROLLBACK", deadline_ms);

	if (result == NULL || PQtransactionStatus(store->pg) != PQTRANS_IDLE)
		store_disconnect(store);
	PQclear(result);
}

/* The reason is in the settings, the schema or the role's rights, not in a delivery: they are of no use to any. */
static bool is_unsettled(struct store *store, int64_t deadline_ms)
{
	char error[STORE_ERROR_SIZE];

	if (store->pg == NULL
		|| (strcmp(store->sqlstate, "22023") != 0 && strncmp(store->sqlstate, "42", 2) != 0
			&& strcmp(store->sqlstate, "3F000") != 0)
		|| pg_schema_check(store->pg, deadline_ms, error) == PG_READY)
		return false;
	memcpy(store->error, error, sizeof error);
	return true;
}

enum store_result store_commit(
	struct store *store, struct delivery *const batch[], size_t count, const struct store_limits *limits)
{
	bool committed;
	bool failed;

	store->warned = false;
	store->sqlstate[0] = '\0';
	snprintf(store->error, sizeof store->error, "the connection to the database is lost");
	if (store->pg == NULL)
		return STORE_UNAVAILABLE;
	if (!encoding_make(&store->encoding, batch, count)) {
		snprintf(store->error, sizeof store->error, "out of memory");
		return STORE_UNAVAILABLE;
	}
	if (!send_batch(store, limits) || !receive_batch(store, batch, count, limits, &committed, &failed)) {
		/* An error that came before the loss, or that was the loss, still tells nothing
		 * of the COMMIT that was under way. */
		if (PQstatus(store->pg) == CONNECTION_OK) {
			snprintf(store->error, sizeof store->error,
				clock_ms() >= limits->deadline_ms             ? "no answer from the database in time"
					: atomic_load(&store->route.interrupted) ? "stopped before the database had answered"
									      : "out of memory");
			give_up(store);
		}
		store_disconnect(store);
		return STORE_UNKNOWN;
	}
	if (failed) {
		int64_t until_ms = clock_ms() + ROLLBACK_MS;
		if (until_ms > limits->deadline_ms)
			until_ms = limits->deadline_ms;
		roll_back(store, until_ms);
		if (is_unsettled(store, until_ms)) {
			store_disconnect(store);
			return STORE_UNAVAILABLE;
		}
		if (is_wrong_server(store))
			store_disconnect(store);
		return classify(store);
	}
	if (!committed || store->warned || PQtransactionStatus(store->pg) != PQTRANS_IDLE) {
		snprintf(store->error, sizeof store->error, "the COMMIT did not end as a COMMIT should");
		store_disconnect(store);
		return STORE_UNKNOWN;
	}
	return STORE_OK;
}

void store_shrink(struct store *store)
{
	if (encoding_recycle(&store->encoding))
		store_disconnect(store);
}
