/* From an address to an answer: the page's files, and the views as JSON. */
#ifndef BAGELHOOK_ROUTES_H
#define BAGELHOOK_ROUTES_H

#include "common/buffer.h"
#include "database.h"
#include "page.h"

/* Shared by all workers. */
struct views {
	const struct page *page;
	const char *admin;    /* the responder's --admin-listen; NULL: not known */
	const char *database; /* a connection string, or NULL */
};

/* Answers a request, as a whole CGI response in out. method, uri and if_none_match (the browser's header) as the web
 * server gives them, NULL where it gives none; uri may have a query. The database is this worker's own. Blocks for
 * some seconds at most. */
void routes_answer(const struct views *, struct database *, const char *method, const char *uri,
	const char *if_none_match, struct buffer *out);

/* Answers a request that cannot be served now. Does not block. */
void routes_refuse(struct buffer *out);

#endif
