#include "config.h"

#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROLE "bagelpay_reader"
#define NOTE "bagelhook-verify: transaction "
#define AS_TEXT(moment)                                                                                      \
	"pg_catalog.to_char((" moment ") AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\"')"

/* Transactions may be listed in another zone than they are stored in, which is less than a day, and clocks
 * differ. */
#define START                                                                                                \
	"SELECT " AS_TEXT("n.since") ", " AS_TEXT("n.since - interval '2 days'") ", " AS_TEXT(               \
		"pg_catalog.now()") ", "                                                                     \
				    "pg_catalog.has_function_privilege('bagelpay_internal.store_"            \
				    "verification(json)', 'EXECUTE')::text"                                  \
				    ", "                                                                     \
				    "pg_catalog.has_function_privilege('bagelpay.grant(text,text,text,"      \
				    "timestamptz,text,text)', 'EXECUTE')::text"                              \
				    " FROM (SELECT coalesce(nullif($1, '')::timestamptz, pg_catalog.now() "  \
				    "- interval '35 days') AS since) AS n"
#define COMPARE "SELECT bagelpay_internal.verify($1, $2, $3, $4, $5, $6)::text"
#define STORE "SELECT bagelpay_internal.store_verification($1)::text"
#define GRANT                                                                                                \
	"SELECT pg_catalog.count(g.*)::text FROM (SELECT WHERE NOT EXISTS (SELECT FROM bagelpay.events AS e" \
	" WHERE e.order_id = $1 AND e.mode = $6 AND (e.event_type = 'operator.revoke' OR e.note = $5)))"     \
	" AS allowed CROSS JOIN LATERAL bagelpay.grant($1, $2, $3, $4::timestamptz, $5, $6) AS g"
/* Of each order the latest decision is one of ours, and the transaction that it names is a payment here. */
#define CLEAR                                                                                                \
	"SELECT pg_catalog.count(DISTINCT g.order_id)::text FROM (SELECT d.order_id, d.product_id, "         \
	"d.customer_email"                                                                                   \
	" FROM (SELECT DISTINCT ON (n.order_id) n.* FROM bagelpay_internal.decisions AS n WHERE n.mode = $1" \
	" ORDER BY n.order_id, n.fold_slot DESC, n.occurred_at DESC, n.event_id DESC) AS d"                  \
	" JOIN bagelpay.events AS e ON e.event_id = d.event_id"                                              \
	" WHERE d.decision = 'grant' AND d.granted_until > pg_catalog.now() AND "                            \
	"pg_catalog.starts_with(e.note, '" NOTE "')"                                                         \
	" AND EXISTS (SELECT FROM bagelpay_internal.purchases AS p"                                          \
	" WHERE p.provider_order_id = pg_catalog.substr(e.note, pg_catalog.length('" NOTE                    \
	"') + 1) AND p.mode = $1"                                                                            \
	" AND p.began_at IS NOT NULL) OFFSET 0) AS mended CROSS JOIN LATERAL bagelpay.clear("                \
	"mended.order_id, 'bagelhook-verify: the payment is here', $1, mended.product_id, "                  \
	"mended.customer_email) AS g"

int database_open(struct database *db, const char *conninfo, const char *since)
{
	const char *const values[] = {since};

	*db = (struct database){.answer = NULL};
	if (session_open(&db->session, conninfo, ROLE) != 0)
		return -1;
	PGresult *result = session_query(&db->session, START, 1, values);
	if (result == NULL)
		return -1;
	snprintf(db->since, sizeof db->since, "%s", PQgetvalue(result, 0, 0));
	snprintf(db->until, sizeof db->until, "%s", PQgetvalue(result, 0, 1));
	snprintf(db->began, sizeof db->began, "%s", PQgetvalue(result, 0, 2));
	db->may_store = strcmp(PQgetvalue(result, 0, 3), "true") == 0;
	db->may_grant = strcmp(PQgetvalue(result, 0, 4), "true") == 0;
	PQclear(result);
	return 0;
}

void database_close(struct database *db)
{
	free(db->answer);
	session_close(&db->session);
}

/* Runs a statement whose result is one text. Returns the caller's copy, or NULL with the reason in
 * session.error. */
static char *ask(struct database *db, const char *statement, int count, const char *const values[])
{
	PGresult *result = session_query(&db->session, statement, count, values);
	char *text = result == NULL ? NULL : strdup(PQgetvalue(result, 0, 0));

	if (result != NULL && text == NULL)
		snprintf(db->session.error, sizeof db->session.error, "no memory for the database's answer");
	PQclear(result);
	return text;
}

/* The same for a count; -1 for none. */
static int ask_count(struct database *db, const char *statement, int count, const char *const values[])
{
	char *text = ask(db, statement, count, values);
	const int number = text == NULL ? -1 : (int)strtol(text, NULL, 10);

	free(text);
	return number;
}

const char *database_compare(struct database *db, const char *mode, const struct listing *transactions,
	const struct listing *subscriptions)
{
	const char *const values[] = {mode, db->since, db->began, transactions->json.data,
		subscriptions->json.data,
		transactions->is_complete && subscriptions->is_complete ? "true" : "false"};

	free(db->answer);
	db->answer = ask(db, COMPARE, 6, values);
	return db->answer;
}

int database_store(struct database *db, const char *document)
{
	const char *const values[] = {document};

	return ask_count(db, STORE, 1, values) < 0 ? -1 : 0;
}

int database_grant(struct database *db, const char *mode, const char *order_id, const char *email,
	const char *product_id, const char *until, const char *provider_order_id)
{
	char made_up[512];
	char note[512];
	const char *const values[] = {
		order_id != NULL ? order_id : made_up, email, product_id, until, note, mode};

	snprintf(made_up, sizeof made_up, "order:%s", provider_order_id);
	snprintf(note, sizeof note, NOTE "%s", provider_order_id);
	const int count = ask_count(db, GRANT, 6, values);
	return count > 0 ? 1 : count;
}

int database_clear(struct database *db, const char *mode)
{
	const char *const values[] = {mode};

	return ask_count(db, CLEAR, 1, values);
}
