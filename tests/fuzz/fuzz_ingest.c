/* The database takes every event, and every dead letter: BAGELHOOK_FUZZ_DATABASE is a connection
 * string to a migrated database that may be filled. */
#include "config.h"

#include <string.h>

#include "common/clock.h"
#include "fcgi/commit/delivery.h"
#include "fcgi/commit/store.h"
#include "target.h"

#define PATIENCE_MS 10000

const char fuzz_target_name[] = "ingest";

static struct store *store;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *database = getenv("BAGELHOOK_FUZZ_DATABASE");

	(void)argc;
	(void)argv;
	if (database == NULL) {
		fputs("BAGELHOOK_FUZZ_DATABASE is not set\n", stderr);
		exit(77);
	}
	store = store_new(database);
	MUST(store != NULL);
	if (store_connect(store, PATIENCE_MS) == PG_READY)
		return 0;
	fprintf(stderr, "%s\n", store_error(store));
	exit(1);
}

/* 08, 40, 53, 57: connection, concurrency, resources, operator. No event is to blame for those. */
static int may_be(const char *sqlstate)
{
	static const char *const classes[] = {"08", "40", "53", "57"};

	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return 1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *body = malloc(size > 0 ? size : 1);
	struct delivery *delivery = body == NULL ? NULL : delivery_new(body, size);

	MUST(delivery != NULL);
	memcpy(body, data, size);
	delivery->timestamp = 1757842163;
	if (delivery_parse(delivery) != EVENT_NO_MEMORY) {
		const struct store_limits limits = {PATIENCE_MS, PATIENCE_MS, clock_ms() + PATIENCE_MS, false};
		enum store_result result = store_commit(store, &delivery, 1, &limits);

		if (result != STORE_OK && !may_be(store_sqlstate(store))) {
			fprintf(stderr, "%s\n", store_error(store));
			abort();
		}
	}
	delivery_free(delivery);
	return 0;
}
