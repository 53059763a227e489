/* Changes of single members of JSON text, which leave every other byte as it is: a tree of Jansson's,
 * written again, would lose digits. */
#ifndef BAGELHOOK_PATCH_H
#define BAGELHOOK_PATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Text that a parser has already taken for one JSON value. The text is owned, by malloc(3). */
struct patch {
	char *text;
	size_t len;
};

/* Where a member is: names from the outermost object inwards, up to NULL. */
typedef const char *const patch_path[4];

enum patch_result {
	PATCH_DONE,
	PATCH_ABSENT, /* there is no such member, or no object to hold it */
	PATCH_NO_MEMORY
};

/* Whether there is such a member. */
bool patch_has(const struct patch *, patch_path);

/* Replaces the member's value by JSON text. */
enum patch_result patch_replace(struct patch *, patch_path, const char *value);

/* The same, or adds it to the object that it belongs in, where that exists. */
enum patch_result patch_set(struct patch *, patch_path, const char *value);

#endif
