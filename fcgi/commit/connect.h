/* Opening a connection to PostgreSQL, to whichever of its hosts takes events. Used by store.c and
 * dead_letters.c. */
#ifndef BAGELHOOK_CONNECT_H
#define BAGELHOOK_CONNECT_H

#include "connection.h"

enum connection_result {
	CONNECTION_OPENED,
	CONNECTION_UNREACHABLE, /* nobody answers, or not now: try again later */
	CONNECTION_REFUSED      /* the server answers and will not have us: people must mend that */
};

/* Connects by libpq's conventions; conninfo may be NULL. Of several hosts the first that is no
 * standby is taken, unless target_session_attrs says otherwise. Blocks, at most timeout_ms for
 * each host, but for the resolving of their names. On CONNECTION_OPENED the caller owns *pg
 * (PQfinish()); otherwise error holds the reason, one line. */
enum connection_result connect_open(
	const char *conninfo, int timeout_ms, PGconn **pg, char error[CONNECTION_ERROR_SIZE]);

#endif
