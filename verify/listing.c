#include "config.h"

#include "listing.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"

#define LISTING_MAX_BYTES ((size_t)256 * 1024 * 1024)
#define PASSES_MAX 3
#define PAGES_MAX 100000
/* Pages in sequence on which nothing is new: a list that only shifts has none. */
#define IDLE_PAGES_MAX 3
#define FIRST_SLOTS 4096
#define IDENTITY_LEN (DIGEST_LEN / 2)

/* --- identities
 * --------------------------------------------------------------------------------------------- */

struct listing_slot {
	char identity[IDENTITY_LEN]; /* its beginning; empty: no item */
	long page;                   /* the page that had it first, in the latest pass that had it */
};

/* Returns the slot of an item, or the empty one where it belongs. */
static struct listing_slot *find_slot(
	struct listing_slot *slots, size_t count, const char identity[IDENTITY_LEN])
{
	uint64_t at = 0;

	memcpy(&at, identity, sizeof at);
	/* Hex digits have four random bits in each byte. */
	at = (at ^ (at >> 29)) * UINT64_C(0x9e3779b97f4a7c15);
	for (at = (at >> 32) & (count - 1); slots[at].identity[0] != '\0'; at = (at + 1) & (count - 1))
		if (memcmp(slots[at].identity, identity, IDENTITY_LEN) == 0)
			break;
	return &slots[at];
}

/* Makes room for one more. */
static bool grow(struct listing *listing)
{
	const size_t count = listing->slot_count == 0 ? FIRST_SLOTS : listing->slot_count * 2;

	if (listing->count < listing->slot_count / 2)
		return true;
	struct listing_slot *larger = calloc(count, sizeof *larger);
	if (larger == NULL)
		return false;
	for (size_t i = 0; i < listing->slot_count; i++)
		if (listing->slots[i].identity[0] != '\0')
			*find_slot(larger, count, listing->slots[i].identity) = listing->slots[i];
	free(listing->slots);
	listing->slots = larger;
	listing->slot_count = count;
	return true;
}

/* --- pages
 * -------------------------------------------------------------------------------------------------- */

/* Returns the text up to hours, of which later ones sort behind earlier ones. */
static int compare_hours(const char *a, const char *b)
{
	return strncmp(a, b, sizeof "YYYY-MM-DD HH" - 1);
}

/* Notes how the list is sorted. Within an hour the sequence means nothing. */
static void note_sequence(struct listing *listing, const struct item *item)
{
	if (item->created_at[0] == '\0')
		return;
	if (listing->last_created_at[0] != '\0') {
		const int sign = compare_hours(item->created_at, listing->last_created_at);

		listing->falls |= sign < 0;
		listing->rises |= sign > 0;
	}
	memcpy(listing->last_created_at, item->created_at, sizeof listing->last_created_at);
}

/* Appends a comma, or the bracket that the array begins with. */
static void begin_item(struct listing *listing)
{
	buffer_puts(&listing->json, listing->count == 0 ? "[" : ",");
}

long listing_add(struct listing *listing, const json_t *items, bool *all_older)
{
	long added = 0;

	listing->pages++;
	*all_older = json_array_size(items) > 0;
	for (size_t i = 0; i < json_array_size(items); i++) {
		const size_t before = listing->json.len;
		struct item item;

		if (!grow(listing) || before > LISTING_MAX_BYTES)
			return -1;
		begin_item(listing);
		item_read(listing->kind, json_array_get(items, i), listing->mode, &listing->json, &item);
		if (buffer_failed(&listing->json) || item.identity[0] == '\0')
			return -1;
		*all_older &= item.created_at[0] != '\0' && listing->until != NULL
			&& strcmp(item.created_at, listing->until) < 0;
		struct listing_slot *slot = find_slot(listing->slots, listing->slot_count, item.identity);
		const bool known = slot->identity[0] != '\0';
		/* Items that nothing tells apart may stand on one page. */
		if (!known || slot->page < listing->first_page || slot->page == listing->pages) {
			slot->page = listing->pages;
			listing->shown++;
		}
		if (known) {
			listing->json.len = before;
			continue;
		}
		note_sequence(listing, &item);
		memcpy(slot->identity, item.identity, IDENTITY_LEN);
		listing->count++;
		listing->other_mode += item.other_mode;
		added++;
	}
	return added;
}

/* Reads from the first page on, at most *pages of them, and sets *pages to their number. again: all may have
 * been read before. Returns 0 with *total as the list says it on the first page, which later ones add to, or
 * -1. */
static int read_once(struct listing *listing, struct api *api, bool again, long *pages,
	struct progress *progress, int64_t *total, char error[API_ERROR_SIZE])
{
	const char *const name = listing->kind == ITEM_TRANSACTION ? "transactions" : "subscriptions";
	const long most = *pages;
	int idle = 0;

	listing->last_created_at[0] = '\0';
	listing->first_page = listing->pages + 1;
	listing->shown = 0;
	for (long number = 1; number <= most; number++) {
		struct api_page page;
		bool all_older;

		*pages = number;
		if (api_get(api, name, number, &page, error) != 0)
			return -1;
		if (number == 1)
			*total = page.total;
		const size_t size = json_array_size(page.items);
		const long added = listing_add(listing, page.items, &all_older);
		if (added < 0) {
			snprintf(error, API_ERROR_SIZE, "no memory for the list of %s: give a later --since",
				name);
			return -1;
		}
		progress_show(progress, (int64_t)listing->count, *total, listing->count);
		idle = added > 0 || again ? 0 : idle + 1;
		listing->is_complete = all_older && listing->falls && !listing->rises;
		/* A total can be wrong, and a server may have its own idea of a page's size. */
		if (listing->is_complete || size == 0 || idle == IDLE_PAGES_MAX
			|| (size < API_PAGE_SIZE && *total >= 0 && listing->shown >= (size_t)*total))
			return 0;
	}
	return 0;
}

int listing_read(struct listing *listing, struct api *api, char error[API_ERROR_SIZE])
{
	struct progress progress;
	int64_t total = -1;
	long pages = PAGES_MAX;
	int status = 0;

	buffer_init(&listing->json);
	progress_begin(&progress, listing->kind == ITEM_TRANSACTION ? "transactions" : "subscriptions");
	for (int pass = 0; status == 0 && !listing->is_complete && pass < PASSES_MAX; pass++) {
		/* By a page more, as it may have grown. */
		pages += pass > 0;
		status = read_once(listing, api, pass > 0, &pages, &progress, &total, error);
		listing->is_complete |= total < 0 || listing->shown >= (size_t)total;
	}
	progress_clear(&progress);
	if (status != 0)
		return -1;
	/* The database lists what could not be read. */
	if (!listing->is_complete) {
		begin_item(listing);
		buffer_printf(
			&listing->json, "{\"unread\":\"total: is %" PRId64 ", but fewer are shown\"}", total);
		listing->count++;
	}
	buffer_puts(&listing->json, listing->count == 0 ? "[]" : "]");
	if (!buffer_failed(&listing->json))
		return 0;
	snprintf(error, API_ERROR_SIZE, "no memory for the lists");
	return -1;
}

void listing_done(struct listing *listing)
{
	buffer_done(&listing->json);
	free(listing->slots);
}
