/* The file is read and judged as a whole before the database is asked: what is wrong is told at once, and the
 * transaction, for which responders wait, is short. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "common/text.h"
#include "commands.h"
#include "csv.h"
#include "session.h"

/* Customers in one call of bagelpay.adopt(), which takes about a millisecond for each. */
#define BATCH 500
#define ID_MAX 255
#define EMAIL_MAX 320
/* The schema puts this before a user to make the order's id. */
#define ORDER_OF_USER "adopted:"

enum column { ORDER_ID, USER_ID, EMAIL, PRODUCT_ID, PAID_UNTIL, NOTE, COLUMNS };

static const struct {
	const char *name;
	const char *member; /* of the JSON that bagelpay.adopt() takes */
	size_t max;
} columns[COLUMNS] = {
	[ORDER_ID] = {"order_id", "order_id", ID_MAX},
	[USER_ID] = {"user_id", "user_id", ID_MAX},
	[EMAIL] = {"email", "email", EMAIL_MAX},
	[PRODUCT_ID] = {"product_id", "product_id", ID_MAX},
	[PAID_UNTIL] = {"paid_until", "until", MOMENT_SIZE},
	[NOTE] = {"note", "note", CSV_RECORD_MAX},
};

struct customer {
	unsigned long line;
	char *json;
	char *key; /* the same for two lines only if they are about the same item */
	bool is_repeated;
};

struct adopt {
	const struct options *options;
	struct csv csv;
	size_t at[COLUMNS]; /* the field of each column; SIZE_MAX: none */
	size_t fields;
	struct customer *customers;
	size_t count;
	size_t size;
	uint64_t lines;
	uint64_t wrong;
	uint64_t granted;
	uint64_t changed;
	uint64_t unchanged;
};

/* Names a wrong line, and the column and its value, if there are. */
static void complain_of(
	struct adopt *adopt, unsigned long line, const char *column, const char *value, const char *what)
{
	char place[4200];
	char text[1024];

	snprintf(place, sizeof place, "%s:%lu", adopt->options->files[0], line);
	if (column == NULL)
		snprintf(text, sizeof text, "%s", what);
	else if (value[0] == '\0')
		snprintf(text, sizeof text, "%s: %s", column, what);
	else
		snprintf(text, sizeof text, "%s: \"%.200s\": %s", column, value, what);
	log_complaint(place, text);
}

/* --- reading ----------------------------------------------------------------------------------------- */

/* Finds the columns by the first record. Returns false after a complaint. */
static bool read_header(struct adopt *adopt)
{
	const unsigned long line = adopt->csv.line;
	const char *missing = NULL;

	for (size_t i = 0; i < COLUMNS; i++)
		adopt->at[i] = SIZE_MAX;
	adopt->fields = adopt->csv.count;
	for (size_t i = 0; i < adopt->fields; i++) {
		const char *name = csv_field(&adopt->csv, i);
		size_t column = 0;

		while (column < COLUMNS && strcmp(name, columns[column].name) != 0)
			column++;
		if (column == COLUMNS || adopt->at[column] != SIZE_MAX) {
			complain_of(adopt, line, "header", name,
				column < COLUMNS ? "twice"
						 : "must be one of order_id, user_id, email, product_id, "
						   "paid_until, note");
			return false;
		}
		adopt->at[column] = i;
	}
	if (adopt->at[ORDER_ID] == SIZE_MAX && adopt->at[USER_ID] == SIZE_MAX)
		missing = "needs a column order_id or user_id";
	else if (adopt->at[EMAIL] == SIZE_MAX)
		missing = "needs a column email";
	else if (adopt->at[PRODUCT_ID] == SIZE_MAX)
		missing = "needs a column product_id";
	else if (adopt->at[PAID_UNTIL] == SIZE_MAX)
		missing = "needs a column paid_until, which is empty for what has no end";
	if (missing != NULL)
		complain_of(adopt, line, "header", "", missing);
	return missing == NULL;
}

static bool is_email(const char *text, size_t len)
{
	const char *at = strchr(text, '@');

	return at != NULL && at > text && at[1] != '\0' && strcspn(text, " \t\r\n,;<>\"") == len;
}

/* Returns what is wrong with a value, or NULL. */
static const char *judge(enum column column, const char *text, size_t len, char moment[MOMENT_SIZE])
{
	json_t *json = json_stringn(text, len);
	const bool is_utf8 = json != NULL;

	json_decref(json);
	if (!is_utf8)
		return "the text is not UTF-8";
	if (len == 0)
		return column == EMAIL || column == PRODUCT_ID ? "missing" : NULL;
	if (column == EMAIL && !is_email(text, len))
		return "not an e-mail address";
	if (column == PAID_UNTIL && !moment_read(text, len, true, moment))
		return "must be a day such as 2026-01-31, whose end is meant, or a moment such as "
		       "2026-01-31T08:00:00Z, or "
		       "empty for no end";
	return len > columns[column].max ? "too long" : NULL;
}

/* Puts the values of a record into JSON, and into a key. Returns false after a complaint. */
static bool read_values(struct adopt *adopt, struct buffer *json, struct buffer *key)
{
	char moment[MOMENT_SIZE] = "";
	char none[1] = "";
	size_t id_len[2] = {0};

	for (size_t i = 0; i < COLUMNS; i++) {
		char *field = adopt->at[i] == SIZE_MAX ? none : csv_field(&adopt->csv, adopt->at[i]);
		const char *value = field;
		size_t len = strlen(field);

		text_trim(&value, &len);
		field[value - field + (ptrdiff_t)len] = '\0';
		const char *wrong = judge((enum column)i, value, len, moment);
		if (wrong != NULL) {
			complain_of(adopt, adopt->csv.line, columns[i].name, value, wrong);
			return false;
		}
		if (i <= USER_ID)
			id_len[i] = len;
		if (len > 0) {
			buffer_printf(json, "%s\"%s\":", json->len == 0 ? "{" : ",", columns[i].member);
			buffer_puts_json(json, i == PAID_UNTIL ? moment : value);
		}
		for (size_t at = 0; i <= PRODUCT_ID && at < len; at++) {
			char c = value[at];

			if (i == EMAIL)
				c = text_lower(c);
			buffer_put(key, &c, 1);
		}
		if (i <= PRODUCT_ID)
			buffer_puts(key, "\x1f");
	}
	buffer_puts(json, "}");
	if (id_len[ORDER_ID] == 0 && id_len[USER_ID] == 0)
		complain_of(adopt, adopt->csv.line, "order_id, user_id", "", "one of them is needed");
	else if (id_len[ORDER_ID] == 0 && id_len[USER_ID] > ID_MAX - strlen(ORDER_OF_USER))
		complain_of(adopt, adopt->csv.line, "user_id", "", "too long: give an order_id, too");
	else
		return true;
	return false;
}

/* Adds the customer of a record. Returns 1, 0 after a complaint about it, or -1 without memory. */
static int add_customer(struct adopt *adopt)
{
	struct buffer json;
	struct buffer key;

	if (adopt->count == adopt->size) {
		const size_t size = adopt->size == 0 ? 1024 : adopt->size * 2;
		struct customer *larger = reallocarray(adopt->customers, size, sizeof *larger);

		if (larger == NULL)
			return -1;
		adopt->customers = larger;
		adopt->size = size;
	}
	buffer_init(&json);
	buffer_init(&key);
	const bool is_right = read_values(adopt, &json, &key);
	const bool failed = buffer_failed(&json) || buffer_failed(&key);
	if (!is_right || failed) {
		buffer_done(&json);
		buffer_done(&key);
		return failed ? -1 : 0;
	}
	adopt->customers[adopt->count++] = (struct customer){adopt->csv.line, json.data, key.data, false};
	return 1;
}

/* Reads the records behind the header. Returns false without memory, or if the file cannot be read; errno
 * says why. */
static bool read_records(struct adopt *adopt)
{
	enum csv_result result;

	while ((result = csv_next(&adopt->csv)) == CSV_RECORD || result == CSV_WRONG) {
		int added = 0;

		adopt->lines++;
		if (result == CSV_WRONG)
			complain_of(adopt, adopt->csv.line, NULL, NULL, adopt->csv.error);
		else if (adopt->csv.count != adopt->fields)
			complain_of(adopt, adopt->csv.line, NULL, NULL,
				adopt->csv.count < adopt->fields ? "fewer fields than the header"
								 : "more fields than the header");
		else
			added = add_customer(adopt);
		if (added < 0) {
			errno = ENOMEM;
			return false;
		}
		adopt->wrong += added == 0;
	}
	return result == CSV_END;
}

static int compare_lines(const void *left, const void *right)
{
	const struct customer *a = left;
	const struct customer *b = right;

	return (a->line > b->line) - (a->line < b->line);
}

static int compare_keys(const void *left, const void *right)
{
	const int order = strcmp(((const struct customer *)left)->key, ((const struct customer *)right)->key);

	return order != 0 ? order : compare_lines(left, right);
}

/* Two lines about one item: if they had two ends, each run would change one into the other. */
static void find_repeated(struct adopt *adopt)
{
	struct customer *customers = adopt->customers;
	char text[80];

	qsort(customers, adopt->count, sizeof *customers, compare_keys);
	for (size_t i = 1, first = 0; i < adopt->count; i++) {
		if (strcmp(customers[i].key, customers[first].key) != 0) {
			first = i;
			continue;
		}
		snprintf(text, sizeof text, "the same order, user, e-mail and product as line %lu",
			customers[first].line);
		complain_of(adopt, customers[i].line, NULL, NULL, text);
		customers[i].is_repeated = true;
		adopt->wrong++;
	}
	qsort(customers, adopt->count, sizeof *customers, compare_lines);
}

/* Reads the file. Returns 0, or an exit status after a complaint. */
static int read_file(struct adopt *adopt)
{
	const char *path = adopt->options->files[0];
	const bool is_stdin = strcmp(path, "-") == 0;
	enum csv_result result;
	int status = EXIT_NOT_ALL;

	adopt->csv.file = is_stdin ? stdin : fopen(path, "re");
	if (adopt->csv.file == NULL) {
		log_complaint(path, text_error(errno));
		return status;
	}
	errno = 0;
	result = csv_next(&adopt->csv);
	if (result == CSV_END)
		complain_of(adopt, 1, "header", "", "missing: the file is empty");
	else if (result == CSV_WRONG)
		complain_of(adopt, adopt->csv.line, "header", "", adopt->csv.error);
	else if (result == CSV_FAILED)
		log_complaint(path, text_error(errno));
	else if (read_header(adopt)) {
		if (read_records(adopt))
			status = 0;
		else
			log_complaint(path, text_error(errno));
	}
	if (status == 0 && adopt->count > 0)
		find_repeated(adopt);
	if (!is_stdin)
		fclose(adopt->csv.file);
	return status;
}

/* --- granting ---------------------------------------------------------------------------------------- */

/* Runs a statement without rows. Returns false with the reason in the session's error. */
static bool run(struct session *session, const char *statement)
{
	PGresult *result = session_query(session, statement, 0, NULL);

	PQclear(result);
	return result != NULL;
}

static bool begin(struct session *session)
{
	char limit[64];

	/* The server must not go on with a statement that the command no longer waits for. */
	snprintf(limit, sizeof limit, "SET LOCAL statement_timeout = %d", SESSION_ANSWER_MS);
	return run(session, "BEGIN ISOLATION LEVEL READ COMMITTED") && run(session, limit);
}

/* Grants the customers [from, to). Returns false with the reason in the session's error. */
static bool grant(struct adopt *adopt, struct session *session, size_t from, size_t to)
{
	struct buffer json;
	uint64_t *const counts[] = {&adopt->granted, &adopt->changed, &adopt->unchanged};
	PGresult *result = NULL;

	buffer_init(&json);
	for (size_t i = from; i < to; i++)
		if (!adopt->customers[i].is_repeated) {
			buffer_puts(&json, json.len == 0 ? "[" : ",");
			buffer_puts(&json, adopt->customers[i].json);
		}
	buffer_puts(&json, json.len == 0 ? "[]" : "]");
	const char *const values[] = {json.data, adopt->options->mode == OPTIONS_TEST ? "test" : "live"};
	if (buffer_failed(&json))
		snprintf(session->error, sizeof session->error, "%s", text_error(ENOMEM));
	else
		result = session_query(session,
			"SELECT pg_catalog.count(*) FILTER (WHERE outcome = 'granted')::text,"
			" pg_catalog.count(*) FILTER (WHERE outcome = 'changed')::text,"
			" pg_catalog.count(*) FILTER (WHERE outcome = 'unchanged')::text"
			" FROM bagelpay.adopt($1::json, $2)",
			2, values);
	for (int i = 0; result != NULL && i < 3; i++)
		*counts[i] += strtoull(PQgetvalue(result, 0, i), NULL, 10);
	buffer_done(&json);
	PQclear(result);
	return result != NULL;
}

/* Grants all customers, in as many transactions as the options allow. Returns 0, or an exit status after a
 * complaint. */
static int grant_all(struct adopt *adopt, struct session *session)
{
	const bool one_by_one = adopt->options->keep_going && !adopt->options->dry_run;
	struct progress progress;
	bool fine = begin(session);

	progress_begin(&progress, adopt->options->files[0]);
	for (size_t from = 0; fine && from < adopt->count; from += BATCH) {
		const size_t to = from + BATCH < adopt->count ? from + BATCH : adopt->count;

		fine = grant(adopt, session, from, to)
			&& (!one_by_one || (run(session, "COMMIT") && begin(session)));
		progress_show(&progress, (int64_t)to, (int64_t)adopt->count, to);
	}
	fine = fine && run(session, adopt->options->dry_run ? "ROLLBACK" : "COMMIT");
	progress_clear(&progress);
	return fine ? 0 : command_failed("bagelhook adopt", session->error);
}

static int adopt_customers(struct adopt *adopt)
{
	struct session session;
	int status;

	if (session_open(&session, adopt->options->database, "bagelpay_app or bagelpay_owner") != 0)
		status = command_failed("bagelhook adopt", session.error);
	else
		status = grant_all(adopt, &session);
	session_close(&session);
	return status;
}

int adopt_run(const struct options *options)
{
	struct adopt adopt = {.options = options};
	int status = read_file(&adopt);

	if (status == 0 && adopt.wrong > 0 && !options->keep_going) {
		printf("%" PRIu64 " lines: %" PRIu64 " wrong; nothing was changed\n", adopt.lines,
			adopt.wrong);
		status = EXIT_NOT_ALL;
	} else if (status == 0 && (status = adopt_customers(&adopt)) == 0) {
		printf("%" PRIu64 " lines: %" PRIu64 " granted, %" PRIu64 " changed, %" PRIu64
		       " unchanged, %" PRIu64 " wrong%s\n",
			adopt.lines, adopt.granted, adopt.changed, adopt.unchanged, adopt.wrong,
			options->dry_run ? "; nothing was changed, as told" : "");
		status = adopt.wrong > 0 ? EXIT_NOT_ALL : 0;
	}
	for (size_t i = 0; i < adopt.count; i++) {
		free(adopt.customers[i].json);
		free(adopt.customers[i].key);
	}
	free(adopt.customers);
	csv_done(&adopt.csv);
	return status;
}
