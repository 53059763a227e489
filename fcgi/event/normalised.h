/* An event while it is being normalised: the JSON members that the database takes, and the digest
 * that says whether two bodies mean the same. */
#ifndef BAGELHOOK_NORMALISED_H
#define BAGELHOOK_NORMALISED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "json_text.h"

/* The buffers fail without memory; normalised_failed() says so at the end. */
struct normalised {
	struct buffer members;     /* "name":value, comma separated */
	struct buffer local_times; /* the same, of times without zone, as text */
	struct buffer warnings;    /* JSON strings, comma separated */
	/* The bytes that the digest covers. For each field that has a value, in the order in which they are
	 * added: its name, a space, the length of its value in bytes, a colon, the value, a line end. */
	struct buffer content;
};

/* Nothing normalised yet, without allocation. */
void normalised_init(struct normalised *);

/* Frees what it owns. */
void normalised_done(struct normalised *);

/* Returns true if any of the calls below found no memory. */
bool normalised_failed(const struct normalised *);

/* Adds a field whose value is a text. */
void normalised_text(struct normalised *, const char *name, const char *text, size_t len);

/* Adds a field whose value is an integer, true or false, given as its JSON text. */
void normalised_literal(struct normalised *, const char *name, const char *literal);

/* Adds a time without zone, whose meaning is a setting in the database. */
void normalised_local_time(struct normalised *, const char *name, const char *text, size_t len);

/* Adds the metadata: an object, or a text that holds one; otherwise a warning, unless it is absent,
 * null or blank. In the digest its keys are sorted and its numbers canonical, so that their order and
 * spelling make no difference. */
void normalised_metadata(struct normalised *, const json_t *metadata);

/* Adds a warning: the path from the body's root, and what is wrong there. */
void normalised_warning(struct normalised *, const char *path, const char *what);

/* Adds a warning for each kind of text that was replaced when the JSON at this path was read. */
void normalised_replacements(struct normalised *, const char *path, const struct json_text *);

/* Completes the members of an event: local times, warnings, the digest and the id. If id is empty,
 * the event is given one made of the digest. size: of id, with room for that. Returns false without
 * memory. */
bool normalised_finish(struct normalised *, char *id, size_t size);

#endif
