/* The fields below the envelope: where under `object` each is looked for, what it must
 * be, and how it is normalised. None of them costs the event: what cannot be used is
 * named in a warning. */
#ifndef BAGELHOOK_FIELDS_H
#define BAGELHOOK_FIELDS_H

#include <jansson.h>

#include "buffer.h"

/* What normalising an event writes into. */
struct normalised {
	struct buffer members;     /* "name":value, comma separated */
	struct buffer local_times; /* the same, of times without zone, as text */
	struct buffer warnings;    /* JSON strings, comma separated */
};

/* Appends a member whose value is a string. */
void normalised_text(struct buffer *members, const char *name, const char *text, size_t len);

/* Appends the name of a member and a colon; the value is the caller's to append. */
void normalised_name(struct buffer *members, const char *name);

/* Appends a warning: the path from the body's root, and what is wrong. */
void normalised_warning(struct normalised *, const char *path, const char *what);

/* The value at a path of keys joined by points, below an object; NULL where a step is
 * missing or no object. */
const json_t *fields_at(const json_t *object, const char *path);

/* Normalises all fields below the envelope. object is the body's `object`. */
void fields_normalise(const json_t *object, struct normalised *);

#endif
