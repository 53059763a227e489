/* bagelhook-verify: compares the database with what BagelPay's API lists. A program of its own, because it
 * holds the API key, which the responder must not. */
#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "api.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/text.h"
#include "database.h"
#include "fcgi/commit/pg.h"
#include "key.h"
#include "listing.h"
#include "options.h"
#include "report.h"

/* Lists and documents go back to the system when they are freed. */
#define LARGE_BYTES (1024 * 1024)

static int complain(const char *problem)
{
	log_complaint("bagelhook-verify", problem);
	return EXIT_CANNOT_COMPARE;
}

static int enter_sandbox(const struct options *options)
{
	const struct sandbox_access nothing = {NULL, NULL};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (options->no_sandbox || sandbox_enter(&nothing, &sandbox, error) == 0)
		return 0;
	complain(error);
	return -1;
}

/* Returns 0 if the login has the rights that this run needs. */
static int check_rights(const struct options *options, const struct database *db)
{
	char problem[256];

	if (!db->may_store) {
		snprintf(problem, sizeof problem,
			"the result will not be stored: GRANT bagelpay_verify TO \"%.64s\";",
			PQuser(db->session.pg));
		complain(problem);
	}
	if (!options->apply || db->may_grant)
		return 0;
	snprintf(problem, sizeof problem, "--apply: GRANT bagelpay_app TO \"%.64s\"; lets it grant",
		PQuser(db->session.pg));
	complain(problem);
	return -1;
}

/* Reads both lists. */
static int read_lists(const struct options *options, const char *url, struct listing *transactions,
	struct listing *subscriptions)
{
	struct key key;
	char error[API_ERROR_SIZE];
	struct api *api = NULL;
	int status = -1;

	if (key_read(options->key_file, &key, error) != 0) {
		complain(error);
		return -1;
	}
	api = api_open(url, options->ca_file, &key, error);
	key_wipe(&key);
	if (api != NULL && listing_read(transactions, api, error) == 0
		&& listing_read(subscriptions, api, error) == 0)
		status = 0;
	api_close(api);
	if (status != 0)
		complain(error);
	return status;
}

/* Returns 0 unless the lists are of the other mode. */
static int check_mode(
	const char *mode, const struct listing *transactions, const struct listing *subscriptions)
{
	const size_t other = transactions->other_mode + subscriptions->other_mode;
	char problem[256];

	if (other == 0 || other < transactions->count + subscriptions->count)
		return 0;
	snprintf(problem, sizeof problem,
		"all that BagelPay lists is of another mode than %s: give the API key of the %s environment, "
		"or the other --mode",
		mode, mode);
	complain(problem);
	return -1;
}

/* Returns a difference's text, or NULL. */
static const char *part(const json_t *difference, const char *name)
{
	return json_string_value(json_object_get(difference, name));
}

/* A longer one cannot be a part of the key of an order. */
#define NAME_MAX_LEN 200

/* Grants what missing payments paid for, and clears grants whose payments are here. Returns 0, or -1. */
static int apply(struct database *db, const char *mode, struct report *report)
{
	size_t i;
	json_t *one;

	json_array_foreach(json_object_get(report->document, "differences"), i, one)
	{
		const char *const kind = part(one, "kind");

		if (kind == NULL || strcmp(kind, "missing_payment") != 0
			|| !json_is_true(json_object_get(one, "affects_access"))
			|| !json_is_false(json_object_get(one, "is_guess"))
			|| part(one, "customer_email") == NULL || part(one, "product_id") == NULL
			|| part(one, "until") == NULL || part(one, "provider_order_id") == NULL
			|| strlen(part(one, "provider_order_id")) > NAME_MAX_LEN)
			continue;
		const int granted =
			database_grant(db, mode, part(one, "order_id"), part(one, "customer_email"),
				part(one, "product_id"), part(one, "until"), part(one, "provider_order_id"));
		if (granted < 0)
			return -1;
		report->granted += granted;
	}
	report->cleared = database_clear(db, mode);
	return report->cleared < 0 ? -1 : 0;
}

/* Compares, once more after something was granted, and stores the result. Returns 0 with the report, or -1.
 */
static int compare(const struct options *options, struct database *db, const struct listing *transactions,
	const struct listing *subscriptions, struct report *report)
{
	const char *const mode = options_mode(options);
	const char *document = database_compare(db, mode, transactions, subscriptions);
	char problem[256];

	if (document == NULL || report_open(report, document) != 0)
		return -1;
	const json_int_t strange = report_strange(report);
	if (strange > 0) {
		snprintf(problem, sizeof problem,
			"BagelPay lists none of the %" JSON_INTEGER_FORMAT
			" payments that are here: give the API key of their account and mode",
			strange);
		snprintf(db->session.error, sizeof db->session.error, "%s", problem);
		return -1;
	}
	if (options->apply) {
		if (apply(db, mode, report) != 0)
			return -1;
		const int granted = report->granted;
		const int cleared = report->cleared;
		if (granted + cleared > 0) {
			document = database_compare(db, mode, transactions, subscriptions);
			report_close(report);
			report->document = NULL;
			if (document == NULL || report_open(report, document) != 0)
				return -1;
			report->granted = granted;
			report->cleared = cleared;
		}
	}
	return db->may_store ? database_store(db, document) : 0;
}

static int print(const struct options *options, const struct report *report)
{
	if (options->json && report_print_json(report) != 0)
		return complain("no memory for the report");
	if (!options->json)
		report_print(report);
	if (fflush(stdout) != 0 || ferror(stdout))
		return complain("the report could not be written");
	return report_differs(report) ? EXIT_DIFFER : EXIT_AGREE;
}

static int verify(const struct options *options, struct database *db)
{
	const char *const mode = options_mode(options);
	const char *const url = options->url != NULL ? options->url
		: options->mode == 0                 ? "https://live.bagelpay.io"
						     : "https://test.bagelpay.io";
	struct listing transactions = {.kind = ITEM_TRANSACTION, .mode = mode, .until = db->until};
	struct listing subscriptions = {.kind = ITEM_SUBSCRIPTION, .mode = mode};
	struct report report = {.document = NULL};
	int status = EXIT_CANNOT_COMPARE;

	if (read_lists(options, url, &transactions, &subscriptions) == 0
		&& check_mode(mode, &transactions, &subscriptions) == 0) {
		if (compare(options, db, &transactions, &subscriptions, &report) == 0)
			status = print(options, &report);
		else
			complain(db->session.error[0] != '\0' ? db->session.error
							      : "no memory for the database's answer");
	}
	report_close(&report);
	listing_done(&transactions);
	listing_done(&subscriptions);
	return status;
}

int main(int argc, char *argv[])
{
	struct options options;
	struct database db;
	int status = EXIT_CANNOT_COMPARE;

	/* The API key and personal data are in memory: no core dumps, and no looking in by others of the same
	 * user. */
	prctl(PR_SET_DUMPABLE, 0);
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* NOLINT(concurrency-mt-unsafe) */
	/* A connection that is closed is an error like another. */
	signal(SIGPIPE, SIG_IGN);
	const int usage = options_read(argc, argv, &options);
	if (usage >= 0)
		return usage;
	if (pg_set_defaults("bagelhook-verify", "read-write", "bagelpay_reader") != 0)
		return complain(text_error(errno));
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return complain("libcurl cannot be initialised");
	if (enter_sandbox(&options) == 0) {
		if (database_open(&db, options.database, options.since) != 0)
			complain(db.session.error);
		else if (check_rights(&options, &db) == 0)
			status = verify(&options, &db);
		database_close(&db);
	}
	curl_global_cleanup();
	return status;
}
