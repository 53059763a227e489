/* What bagelhook-verify asks the database. One thread. */
#ifndef BAGELHOOK_VERIFY_DATABASE_H
#define BAGELHOOK_VERIFY_DATABASE_H

#include <stdbool.h>

#include "common/moment.h"
#include "fcgi/operator/session.h"
#include "listing.h"

struct database {
	struct session session;
	char since[MOMENT_SIZE]; /* transactions of this moment and later are compared */
	char until[MOMENT_SIZE]; /* none before this one is needed */
	char began[MOMENT_SIZE]; /* now, by the database's clock */
	bool may_store;
	bool may_grant;
	char *answer; /* what database_compare() returned; owned */
};

/* Connects, and looks what the login may do. since: "" for 35 days ago. Returns 0, or -1 with the reason in
 * session.error. Blocks, as session_open() does. */
int database_open(struct database *, const char *conninfo, const char *since);

/* Compares both lists with what is stored. Returns the JSON document of bagelpay_internal.verify(), which
 * lives until the next call; NULL with the reason in session.error. Blocks for SESSION_ANSWER_MS at most. */
const char *database_compare(struct database *, const char *mode, const struct listing *transactions,
	const struct listing *subscriptions);

/* Stores such a document. Returns 0, or -1 with the reason in session.error. Blocks as database_compare(). */
int database_store(struct database *, const char *document);

/* Grants what a missing payment paid for, until its period's end, unless it was granted before or an operator
 * revoked anything of the order since. Returns 1 if it did, 0 if not, -1 with the reason in session.error.
 * Blocks as database_compare(). */
int database_grant(struct database *, const char *mode, const char *order_id, const char *email,
	const char *product_id, const char *until, const char *provider_order_id);

/* Clears such grants whose payment is here meanwhile, if nothing was decided on their order since. Returns
 * how many, or -1 with the reason in session.error. Blocks as database_compare(). */
int database_clear(struct database *, const char *mode);

void database_close(struct database *);

#endif
