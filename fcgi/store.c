/* A batch is one round trip: BEGIN, one call of ingest(), COMMIT, in libpq's pipeline
 * mode. What comes back before the COMMIT's own result means nothing for the answers. */
#include "config.h"

#include "store.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "clock.h"
#include "connection.h"
#include "log.h"

/* From PostgreSQL's pg_type.dat. */
#define JSON_OID 114
#define BYTEA_OID 17
#define BYTEA_ARRAY_OID 1001

#define MEND_DEPLOY "run: sqitch deploy (in the directory sql of bagelhook)"

struct store {
	const char *conninfo;
	PGconn *pg;
	struct buffer deliveries; /* JSON array; kept for its memory */
	struct buffer bodies;     /* binary bytea[] */
	bool warned;              /* a WARNING came since the batch began */
	char sqlstate[6];
	char error[STORE_ERROR_SIZE];
};

struct store *store_new(const char *conninfo)
{
	struct store *store = calloc(1, sizeof *store);

	if (store == NULL)
		return NULL;
	store->conninfo = conninfo;
	buffer_init(&store->deliveries);
	buffer_init(&store->bodies);
	return store;
}

static void disconnect(struct store *store)
{
	PQfinish(store->pg);
	store->pg = NULL;
}

void store_free(struct store *store)
{
	if (store == NULL)
		return;
	disconnect(store);
	buffer_done(&store->deliveries);
	buffer_done(&store->bodies);
	free(store);
}

bool store_connected(const struct store *store)
{
	return store->pg != NULL;
}

const char *store_error(const struct store *store)
{
	return store->error;
}

/* With a synchronous standby, a COMMIT whose wait was cut short succeeds with a WARNING. */
static void receive_notice(void *context, const PGresult *notice)
{
	struct store *store = context;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity == NULL || strcmp(severity, "WARNING") == 0) {
		store->warned = true;
		log_record(LOG_WARN, "the database warns",
			LOG_PAIRS("sqlstate", PQresultErrorField(notice, PG_DIAG_SQLSTATE), "text",
				PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY)));
	}
}

static void take_error(struct store *store, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	snprintf(store->sqlstate, sizeof store->sqlstate, "%s", sqlstate == NULL ? "" : sqlstate);
	snprintf(store->error, sizeof store->error, "%s%s%s", store->sqlstate, sqlstate == NULL ? "" : ": ",
		message == NULL ? "the connection to the database is lost" : message);
}

static enum store_connect_result schema_missing(struct store *store, const PGresult *result)
{
	take_error(store, result);
	/* 3F000: no such schema; 42883: no such function; 42501: not allowed. */
	if (strcmp(store->sqlstate, "3F000") == 0 || strcmp(store->sqlstate, "42883") == 0)
		snprintf(store->error, sizeof store->error,
			"database \"%s\" has no schema bagelpay that fits: " MEND_DEPLOY, PQdb(store->pg));
	else if (strcmp(store->sqlstate, "42501") == 0)
		snprintf(store->error, sizeof store->error,
			"user \"%s\" may not use the schema bagelpay: run as its owner: GRANT "
			"bagelpay_ingest TO \"%s\"",
			PQuser(store->pg), PQuser(store->pg));
	else
		return STORE_UNREACHABLE;
	return STORE_UNUSABLE;
}

static enum store_connect_result check_schema(struct store *store, int64_t deadline_ms)
{
	enum store_connect_result checked = STORE_UNUSABLE;
	PGresult *result = connection_query(
		store->pg, "SELECT oldest, newest FROM bagelpay.served_responders()", deadline_ms);

	if (result == NULL) {
		snprintf(store->error, sizeof store->error, "no answer from the database in time");
		return STORE_UNREACHABLE;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
		checked = schema_missing(store, result);
	} else {
		long oldest = strtol(PQgetvalue(result, 0, 0), NULL, 10);
		long newest = strtol(PQgetvalue(result, 0, 1), NULL, 10);

		if (STORE_PROTOCOL < oldest)
			snprintf(store->error, sizeof store->error,
				"the schema serves responders of protocol %ld to %ld, this one speaks %d: "
				"install a newer bagelhook",
				oldest, newest, STORE_PROTOCOL);
		else if (STORE_PROTOCOL > newest)
			snprintf(store->error, sizeof store->error,
				"the schema serves responders of protocol %ld to %ld, this one speaks "
				"%d: " MEND_DEPLOY,
				oldest, newest, STORE_PROTOCOL);
		else
			checked = STORE_CONNECTED;
	}
	PQclear(result);
	return checked;
}

enum store_connect_result store_connect(struct store *store, int64_t deadline_ms)
{
	enum store_connect_result connected = STORE_UNREACHABLE;

	disconnect(store);
	switch (connection_open(store->conninfo, deadline_ms, &store->pg, store->error)) {
	case CONNECTION_OPENED:
		break;
	case CONNECTION_UNREACHABLE:
		return STORE_UNREACHABLE;
	case CONNECTION_REFUSED:
		return STORE_UNUSABLE;
	}
	PQsetNoticeReceiver(store->pg, receive_notice, store);
	connected = check_schema(store, deadline_ms);
	if (connected != STORE_CONNECTED)
		disconnect(store);
	return connected;
}

static void put_int32(struct buffer *b, size_t value)
{
	uint32_t network = htonl((uint32_t)value);

	buffer_put(b, &network, sizeof network);
}

static void put_delivery(struct buffer *b, const struct delivery *delivery)
{
	buffer_puts(b, "{");
	if (delivery->timestamp >= 0)
		buffer_printf(b, "\"signed_timestamp\":%" PRId64 ",", delivery->timestamp);
	if (delivery->signature[0] != '\0')
		buffer_printf(b, "\"signature\":\"%s\",", delivery->signature);
	if (delivery->dead_letter != NULL) {
		buffer_printf(b, "\"dead_letter\":\"%s\",\"detail\":", delivery->dead_letter);
		buffer_puts_json(b, delivery->detail);
	} else {
		buffer_put(b, delivery->event->members, delivery->event->members_len);
	}
	buffer_puts(b, "}");
}

/* The two arguments of ingest(). The array is in the binary format of array_recv(): one
 * dimension, no NULLs, element type, size, lower bound, then each length and bytes. */
static bool encode(struct store *store, struct delivery *const batch[], size_t count)
{
	buffer_clear(&store->deliveries);
	buffer_clear(&store->bodies);
	put_int32(&store->bodies, 1);
	put_int32(&store->bodies, 0);
	put_int32(&store->bodies, BYTEA_OID);
	put_int32(&store->bodies, count);
	put_int32(&store->bodies, 1);
	for (size_t i = 0; i < count; i++) {
		buffer_puts(&store->deliveries, i == 0 ? "[" : ",");
		put_delivery(&store->deliveries, batch[i]);
		put_int32(&store->bodies, batch[i]->body_len);
		buffer_put(&store->bodies, batch[i]->body, batch[i]->body_len);
	}
	buffer_puts(&store->deliveries, "]");
	return !buffer_failed(&store->deliveries) && !buffer_failed(&store->bodies);
}

/* The statements of a batch, in the order in which they are sent. */
enum step { STEP_BEGIN, STEP_LIMITS, STEP_INGEST, STEP_UNLIMITED, STEP_COMMIT, STEP_COUNT };

static bool send_batch(struct store *store, int lock_timeout_ms, int64_t deadline_ms)
{
	char limits[192];
	const Oid types[2] = {JSON_OID, BYTEA_ARRAY_OID};
	const char *const values[2] = {store->deliveries.data, store->bodies.data};
	const int lengths[2] = {0, (int)store->bodies.len};
	const int formats[2] = {0, 1};
	int64_t left = deadline_ms - clock_ms();

	/* Settings of the transaction, not of the session: they pass through any pooler. */
	snprintf(limits, sizeof limits,
		"SELECT pg_catalog.set_config('lock_timeout', '%d', true), "
		"pg_catalog.set_config('statement_timeout', '%" PRId64 "', true)",
		lock_timeout_ms, left > 0 ? left : 1);
	return PQenterPipelineMode(store->pg)
		&& PQsendQueryParams(store->pg, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", 0, NULL,
			NULL, NULL, NULL, 0)
		&& PQsendQueryParams(store->pg, limits, 0, NULL, NULL, NULL, NULL, 0)
		&& PQsendQueryParams(store->pg,
			"SELECT ordinal, event_id, outcome FROM bagelpay.ingest($1, $2)", 2, types, values,
			lengths, formats, 0)
		/* A COMMIT must not be cancelled: with a synchronous standby it would look done. */
		&& PQsendQueryParams(
			store->pg, "SET LOCAL statement_timeout = 0", 0, NULL, NULL, NULL, NULL, 0)
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

/* Reads the results of all steps up to the sync. False when the connection is lost or the
 * deadline passed; *committed says whether the COMMIT's own tag came, *failed whether the
 * server reported an error, which store->sqlstate then holds. */
static bool receive_batch(struct store *store, struct delivery *const batch[], size_t count,
	int64_t deadline_ms, bool *committed, bool *failed)
{
	PGresult *result = NULL;
	bool complete = false;

	*committed = false;
	*failed = false;
	for (int step = 0; step < STEP_COUNT; step++) {
		if (!connection_next_result(store->pg, deadline_ms, &result) || result == NULL)
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
			if (!*failed)
				take_error(store, result);
			*failed = true;
			break;
		}
		PQclear(result);
		/* Each step's results end with a NULL. */
		if (!connection_next_result(store->pg, deadline_ms, &result) || result != NULL) {
			PQclear(result);
			return false;
		}
	}
	if (!connection_next_result(store->pg, deadline_ms, &result))
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
	if (strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0)
		return STORE_RETRY;
	if (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0
		|| strncmp(sqlstate, "54", 2) == 0)
		return STORE_REFUSED;
	return STORE_UNAVAILABLE;
}

/* Ends the failed transaction, or, where that fails too, the connection. */
static void roll_back(struct store *store, int64_t deadline_ms)
{
	PGresult *result = connection_query(store->pg, "ROLLBACK", deadline_ms);

	if (result == NULL || PQtransactionStatus(store->pg) != PQTRANS_IDLE)
		disconnect(store);
	PQclear(result);
}

enum store_result store_commit(struct store *store, struct delivery *const batch[], size_t count,
	int lock_timeout_ms, int64_t deadline_ms)
{
	bool committed;
	bool failed;

	store->warned = false;
	store->sqlstate[0] = '\0';
	snprintf(store->error, sizeof store->error, "the connection to the database is lost");
	if (store->pg == NULL)
		return STORE_UNAVAILABLE;
	if (!encode(store, batch, count)) {
		snprintf(store->error, sizeof store->error, "out of memory");
		return STORE_UNAVAILABLE;
	}
	if (!send_batch(store, lock_timeout_ms, deadline_ms)
		|| !receive_batch(store, batch, count, deadline_ms, &committed, &failed)) {
		/* An error that came before the loss, or that was the loss, still tells nothing
		 * of the COMMIT that was under way. */
		disconnect(store);
		return STORE_UNKNOWN;
	}
	if (failed) {
		roll_back(store, deadline_ms);
		return classify(store);
	}
	if (!committed || store->warned || PQtransactionStatus(store->pg) != PQTRANS_IDLE) {
		snprintf(store->error, sizeof store->error, "the COMMIT did not end as a COMMIT should");
		disconnect(store);
		return STORE_UNKNOWN;
	}
	return STORE_OK;
}
