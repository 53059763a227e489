/* Events made up: the documented ones, and whole lives of an order. */
#ifndef BAGELHOOK_STORY_H
#define BAGELHOOK_STORY_H

#include <stdbool.h>

#include "body.h"
#include "parcels.h"

/* Their names, for messages, with commas between them. */
extern const char story_names[];
extern const char story_event_names[];

/* Return true if there is such a story, or such a documented event. */
bool story_known(const char *name);
bool story_event_known(const char *name);

/* Adds the events of a story, in the order in which they happened, the last one now. The order,
 * unless the subject names one, is a new one. False without memory, or such a story. */
bool story_tell(const char *name, const struct subject *, struct parcels *);

/* Adds single events, of one order and its one customer, as if they happened one after the other,
 * the last one now. False without memory, or where one of them is unknown. */
bool story_events(const char *const *names, size_t count, const struct subject *, struct parcels *);

#endif
