/* A whole list of BagelPay's API, read page by page while it changes. */
#ifndef BAGELHOOK_VERIFY_LISTING_H
#define BAGELHOOK_VERIFY_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "api.h"
#include "common/buffer.h"
#include "common/digest.h"
#include "items.h"

struct listing_slot;

/* Begins as all zeros, but for what the caller sets. */
struct listing {
	enum item_kind kind; /* set by the caller */
	const char *mode;    /* set by the caller: live or test */
	const char *until;   /* set by the caller: no item before this moment, as MOMENT_UTC writes it, is
				needed; NULL: all are */
	struct buffer json;  /* a JSON array of items, as item_read() writes them, each once */
	size_t count;        /* items, each once */
	size_t other_mode;   /* of these, such as say that they are of the other mode */
	bool is_complete;    /* nothing that is needed is missing */
	/* Private. */
	struct listing_slot *slots; /* a hash table of the items */
	size_t slot_count;
	long pages;      /* that were added so far */
	long first_page; /* of this pass over the list */
	size_t shown;    /* items of this pass: those that no earlier page of it had */
	char last_created_at[MOMENT_SIZE];
	bool falls; /* a later item was older than one before it, and none was more than an hour newer */
	bool rises;
};

/* Reads the list to its end, or, if it is sorted from the newest on, up to what is not needed. An item that
 * appears again, because the list shifts or a page is repeated, counts once; a list that shows fewer items
 * than it says is read again, up to three times, also because those that were removed pull others past the
 * reader. Shows its progress on a terminal. Returns 0, or -1 with the reason, one line, in error. Blocks. */
int listing_read(struct listing *, struct api *, char error[API_ERROR_SIZE]);

/* Adds the items of a page. Returns how many of them are new; -1 without memory, or beyond 256 MiB.
 * *all_older is set to true if each is older than what is needed. */
long listing_add(struct listing *, const json_t *items, bool *all_older);

void listing_done(struct listing *);

#endif
