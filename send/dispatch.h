/* Delivers parcels, one after the other, as often and as fast as was asked for. */
#ifndef BAGELHOOK_DISPATCH_H
#define BAGELHOOK_DISPATCH_H

#include "options.h"
#include "parcels.h"
#include "post.h"

/* Delivers, and prints answers and summary. Returns the exit status: EXIT_ALL where all went as it
 * should, answered 200 in the end, or, where bodies are corrupted, 401. Blocks; SIGINT and SIGTERM end
 * it within a second, and a second one at once. Sets the target's interrupted. */
int dispatch(const struct options *, const struct parcels *, struct post_target *);

#endif
