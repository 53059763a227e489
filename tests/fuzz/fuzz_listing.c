/* Answers of BagelPay's API, up to what the database gets of them: flat objects of texts, of which none is a
 * number. The first byte chooses the list. */
#include "config.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "fcgi/event/json_text.h"
#include "target.h"
#include "verify/api.h"
#include "verify/listing.h"

const char fuzz_target_name[] = "listing";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* One line of printable ASCII: it goes to a terminal. */
static void check_error(const char *error)
{
	const size_t len = strnlen(error, API_ERROR_SIZE);

	MUST(len > 0 && len < API_ERROR_SIZE);
	for (size_t i = 0; i < len; i++)
		MUST(error[i] >= 0x20 && error[i] <= 0x7e);
}

static void check_listing(const struct listing *listing)
{
	const char *name;
	size_t i;
	json_t *item;
	json_t *text;

	if (listing->count == 0)
		return;
	char *json = malloc(listing->json.len + 2);
	MUST(json != NULL);
	memcpy(json, listing->json.data, listing->json.len);
	memcpy(json + listing->json.len, "]", 2);
	MUST(strlen(json) == listing->json.len + 1);
	json_t *array = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	MUST(json_array_size(array) == listing->count);
	json_array_foreach(array, i, item)
	{
		MUST(json_is_object(item));
		json_object_foreach(item, name, text)
			MUST(json_is_string(text) && json_string_length(text) > 0);
	}
	json_decref(array);
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct listing listing = {.mode = "live", .until = "2026-01-01 00:00:00.000000+00"};
	struct api_page page;
	char error[API_ERROR_SIZE] = "";
	bool older;

	if (size == 0)
		return 0;
	listing.kind = (data[0] & 1) != 0 ? ITEM_TRANSACTION : ITEM_SUBSCRIPTION;
	buffer_init(&listing.json);
	const long code = api_read_page((const char *)data + 1, size - 1, &page, error);
	MUST(code == 0 || code == 200 || (code >= 400 && code < 600));
	if (code == 0)
		check_error(error);
	if (code == 200) {
		const long added = listing_add(&listing, page.items, &older);

		MUST(added >= 0 && (size_t)added == listing.count);
		MUST(listing_add(&listing, page.items, &older) == 0);
	}
	json_text_done();
	check_listing(&listing);
	listing_done(&listing);
	return 0;
}
