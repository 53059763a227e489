/* Delivers parcels, one after the other, as often and as fast as was asked for. */
#ifndef BAGELHOOK_DISPATCH_H
#define BAGELHOOK_DISPATCH_H

#include <stdbool.h>

#include "options.h"
#include "parcels.h"
#include "post.h"

/* Delivers, and prints answers and summary. Whether all went as it should: answered 200 in the
 * end, or, where bodies are corrupted, 401. Blocks; SIGINT and SIGTERM end it early. */
bool dispatch(const struct options *, const struct parcels *, const struct post_target *);

#endif
