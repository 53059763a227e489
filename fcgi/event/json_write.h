/* JSON trees as text again, in a form that PostgreSQL's jsonb takes. */
#ifndef BAGELHOOK_JSON_WRITE_H
#define BAGELHOOK_JSON_WRITE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/buffer.h"

enum json_write_numbers {
	JSON_WRITE_OWN_DIGITS, /* as they were written, but that zero is 0 */
	JSON_WRITE_CANONICAL   /* equal values alike; see number_canonical() */
};

/* Appends a value of a tree of json_text_load() as JSON without white space, the keys of each object
 * in the order of their bytes. Of keys that are equal only because something in them was replaced with
 * U+FFFD, one is written: one that had U+FFFD itself, else the bytewise first of what was replaced.
 * Returns false if there were such keys. Without memory the buffer fails. */
bool json_write(const json_t *value, enum json_write_numbers, struct buffer *);

#endif
