/* What BagelPay's API lists, item by item: read tolerantly, and written as the database compares it. */
#ifndef BAGELHOOK_VERIFY_ITEMS_H
#define BAGELHOOK_VERIFY_ITEMS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/buffer.h"
#include "common/digest.h"
#include "common/moment.h"

enum item_kind { ITEM_TRANSACTION, ITEM_SUBSCRIPTION };

struct item {
	char identity[DIGEST_LEN
		+ 1]; /* the same for the same item, however often it is listed; "": no memory */
	char created_at[MOMENT_SIZE]; /* as if in UTC where it has no zone; "" if it cannot be read */
	bool other_mode;              /* it says that it is of the other mode, and is not to be compared */
};

/* Reads one item of a list: a value of a tree of json_text.h. Appends a flat JSON object of texts to *out,
 * which sql/deploy/listings.sql reads; what is missing or cannot be read is left out, and named in its member
 * unread if nothing can be compared without it. No number passes through a double. Names may be in snake_case
 * or in camelCase. Does not block. */
void item_read(enum item_kind, const json_t *value, const char *mode, struct buffer *out, struct item *);

#endif
