/* Files' bodies with what the command line says otherwise. */
#ifndef BAGELHOOK_CHANGE_H
#define BAGELHOOK_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "body.h"

/* Returns true if the command line changes bodies. */
bool change_wanted(const struct subject *);

/* Sets in an event's body what the subject sets: the customer's e-mail and id, the product's id, the order's
 * amount and the subscription's units where the body has them, metadata and mode wherever they belong. The
 * body gets an event id of its own, as the provider never sends two under one. All other members stay, their
 * numbers digit by digit. Says on standard error what could not be set. Takes the bytes over, and returns the
 * caller's to free; NULL after a complaint that names the file. Does not block. */
unsigned char *change_body(
	const char *name, const struct subject *, unsigned char *bytes, size_t len, size_t *changed_len);

#endif
