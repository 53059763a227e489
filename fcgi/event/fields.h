/* The fields below the envelope: where under `object` each is looked for, what it must
 * be, and how it is normalised. None of them costs the event: what cannot be used is
 * named in a warning. */
#ifndef BAGELHOOK_FIELDS_H
#define BAGELHOOK_FIELDS_H

#include <jansson.h>

#include "normalised.h"

/* Normalises all fields below the envelope. object is the body's `object`. */
void fields_normalise(const json_t *object, struct normalised *);

/* Normalises the fields by which a person may know a body that is no event: customer_email,
 * request_id and metadata. object may be of any type, and NULL. */
void fields_normalise_traces(const json_t *object, struct normalised *);

#endif
