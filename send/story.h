/* Events made up: the documented ones, and whole lives of an order. */
#ifndef BAGELHOOK_STORY_H
#define BAGELHOOK_STORY_H

#include <stdbool.h>

#include "options.h"
#include "parcels.h"

/* Their names, for messages, with commas between them. */
extern const char story_names[];
extern const char story_event_names[];

/* Return true if there is such a story, or such a documented event. */
bool story_known(const char *name);
bool story_event_known(const char *name);

/* Adds the events that the command line asks for: a story, or single events as if they happened one after the
 * other, the last one at --at or now. There are as many of these lives as --count says, each with an order
 * and a customer of its own, unless the subject names one. False without memory. Does not block. */
bool story_tell(const struct options *, struct parcels *);

#endif
