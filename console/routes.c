#include "config.h"

#include "routes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "query_string.h"
#include "spool_count.h"

#define MAX_PARAMETERS 9
#define MAX_PATH 128

/* The browser may do only this with anything from here: run our script, use our style, ask us. Nothing
 * comes from elsewhere, nothing goes elsewhere, and no other page may frame it. */
static const char headers[] =
	"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
	"X-Content-Type-Options: nosniff\r\n"
	"Referrer-Policy: no-referrer\r\n"
	"Cross-Origin-Resource-Policy: same-origin\r\n"
	"Cross-Origin-Opener-Policy: same-origin\r\n";

/* Each view is one statement with parameters, in the order in which it has them. */
static const struct view {
	const char *path;
	const char *statement;
	const char *parameters[MAX_PARAMETERS + 1];
} views[] = {
	{"/api/overview", "SELECT bagelpay_internal.console_overview(coalesce($1, '1h'), $2::timestamptz)",
		{"range", "since"}},
	{"/api/days", "SELECT bagelpay_internal.console_days()", {NULL}},
	{"/api/attention", "SELECT bagelpay_internal.console_attention()", {NULL}},
	{"/api/deliveries",
		"SELECT bagelpay_internal.console_deliveries($1::timestamptz, $2, $3::timestamptz, $4, $5, "
		"$6, $7, "
		"$8, $9::boolean)",
		{"before_at", "before_id", "since", "mode", "type", "outcome", "order", "event", "warned"}},
	{"/api/delivery", "SELECT bagelpay_internal.console_delivery($1)", {"event"}},
	{"/api/order", "SELECT bagelpay_internal.console_order($1, $2)", {"mode", "order"}},
	{"/api/customer", "SELECT bagelpay_internal.console_customer($1, $2)", {"kind", "value"}},
	{"/api/customer-attention", "SELECT bagelpay_internal.console_customer_attention($1, $2)",
		{"kind", "value"}},
	{"/api/search", "SELECT bagelpay_internal.console_search($1, $2::integer)", {"q", "skip"}},
	{"/api/dead-letters", "SELECT bagelpay_internal.console_dead_letters($1::bigint, $2::boolean, $3)",
		{"before", "resolved", "q"}},
	{"/api/dead-letter", "SELECT bagelpay_internal.console_dead_letter($1::bigint)", {"id"}},
};

static void begin(struct buffer *out, const char *status, const char *type, const char *caching)
{
	buffer_printf(out, "Status: %s\r\nContent-Type: %s\r\nCache-Control: %s\r\n", status, type, caching);
	buffer_puts(out, headers);
}

static void begin_json(struct buffer *out, const char *status)
{
	/* Personal data has no place in a cache. */
	begin(out, status, "application/json", "no-store");
}

static void answer_error(struct buffer *out, const char *status, const char *more, const char *error)
{
	begin_json(out, status);
	buffer_puts(out, more);
	buffer_puts(out, "\r\n{\"error\":");
	buffer_puts_json(out, error);
	buffer_puts(out, "}\n");
}

/* A file at an address with its version never changes there. Of any other address the browser asks again, and is told
 * in a few bytes that it has it. The ETag is a weak one, because web servers compress, and some then change it. */
static void answer_file(struct buffer *out, const struct page_file *file, const char *version, const char *query,
	const char *if_none_match)
{
	bool lasting = strncmp(query, "v=", 2) == 0 && strcmp(query + 2, version) == 0;
	bool known = if_none_match != NULL && strstr(if_none_match, version) != NULL;

	begin(out, known ? "304 Not Modified" : "200 OK", file->type,
		lasting ? "private, max-age=31536000, immutable" : "no-cache");
	buffer_printf(out, "ETag: W/\"%s\"\r\n\r\n", version);
	if (!known)
		buffer_put(out, file->content->data, file->content->len);
}

static void answer_spool(struct buffer *out, const char *admin)
{
	begin_json(out, "200 OK");
	buffer_puts(out, "\r\n");
	spool_count(admin, out);
}

static void answer_view(struct buffer *out, struct database *db, const struct view *view, const char *query)
{
	char values[MAX_PARAMETERS][QUERY_VALUE_SIZE];
	const char *given[MAX_PARAMETERS] = {NULL};
	char error[PG_ERROR_SIZE];
	PGresult *result;
	int count = 0;

	for (; view->parameters[count] != NULL; count++) {
		switch (query_find(query, view->parameters[count], values[count])) {
		case QUERY_FOUND:
			given[count] = values[count];
			break;
		case QUERY_ABSENT:
			break;
		case QUERY_MALFORMED:
			snprintf(error, sizeof error, "%s: invalid value", view->parameters[count]);
			answer_error(out, "400 Bad Request", "", error);
			return;
		}
	}
	switch (database_ask(db, view->statement, count, given, &result, error)) {
	case DATABASE_ANSWERED:
		begin_json(out, "200 OK");
		buffer_puts(out, "\r\n");
		buffer_put(out, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
		PQclear(result);
		break;
	case DATABASE_NOTHING:
		answer_error(out, "404 Not Found", "", "There is no such thing");
		break;
	case DATABASE_REFUSED:
		log_record(LOG_INFO, "a view was asked for with a wrong value", LOG_PAIRS("path", view->path));
		answer_error(out, "400 Bad Request", "", "This address has an invalid value");
		break;
	case DATABASE_TOO_LONG:
		log_record(LOG_WARN, "a view took too long", LOG_PAIRS("path", view->path));
		answer_error(out, "503 Service Unavailable", "Retry-After: 5\r\n",
			"The database takes too long to answer");
		break;
	case DATABASE_BUSY:
		log_record(LOG_WARN, "the database is busy", LOG_PAIRS("path", view->path, "reason", error));
		answer_error(out, "503 Service Unavailable", "Retry-After: 5\r\n",
			"The database is busy: what is asked for is locked");
		break;
	case DATABASE_AWAY:
		log_record(LOG_WARN, "the database does not answer", LOG_PAIRS("reason", error));
		answer_error(
			out, "503 Service Unavailable", "Retry-After: 5\r\n", "The database does not answer");
		break;
	case DATABASE_UNFIT:
		log_record(LOG_ERROR, "the database is not one to show", LOG_PAIRS("reason", error));
		answer_error(out, "503 Service Unavailable", "",
			"The database is not set up for the console; its log says why");
		break;
	}
}

static void answer_get(const struct views *shared, struct database *db, const char *uri, const char *if_none_match,
	struct buffer *out)
{
	char path[MAX_PATH];
	size_t len = uri == NULL ? 0 : strcspn(uri, "?");

	if (len < sizeof path && uri != NULL) {
		const char *query = uri[len] == '?' ? uri + len + 1 : "";

		memcpy(path, uri, len);
		path[len] = '\0';
		struct page_file file = page_find(shared->page, path);
		if (file.content != NULL) {
			answer_file(out, &file, shared->page->version, query, if_none_match);
			return;
		}
		if (strcmp(path, "/api/spool") == 0) {
			answer_spool(out, shared->admin);
			return;
		}
		for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
			if (strcmp(path, views[i].path) == 0) {
				answer_view(out, db, &views[i], query);
				return;
			}
		}
	}
	answer_error(out, "404 Not Found", "", "There is no such page");
}

void routes_answer(const struct views *shared, struct database *db, const char *method, const char *uri,
	const char *if_none_match, struct buffer *out)
{
	bool head = method != NULL && strcmp(method, "HEAD") == 0;

	if (head || (method != NULL && strcmp(method, "GET") == 0))
		answer_get(shared, db, uri, if_none_match, out);
	else
		answer_error(out, "405 Method Not Allowed", "Allow: GET, HEAD\r\n", "Only GET and HEAD");
	/* The same, without what follows the headers. */
	if (head && !buffer_failed(out))
		out->len = (size_t)((const char *)memmem(out->data, out->len, "\r\n\r\n", 4) - out->data) + 4;
}

void routes_refuse(struct buffer *out)
{
	answer_error(out, "503 Service Unavailable", "Retry-After: 5\r\n", "Too many requests at once");
}
