/* libpq with deadlines: connecting to the host that takes events, one statement at a time, and giving a
 * server up. One thread at a time for each connection. */
#ifndef BAGELHOOK_PG_H
#define BAGELHOOK_PG_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_ERROR_SIZE 1024
#define PG_REMEDY_SIZE 512
#define PG_ROUTE_LISTS 3

enum pg_state {
	PG_READY,
	PG_AWAY,     /* no answer, or not now: try again later */
	PG_UNUSABLE, /* login refused, no such database, schema missing or not fitting: people must act */
	PG_SETTINGS  /* bagelpay.settings names something that does not exist any more: people must act */
};

/* The hosts of the connection string in the sequence of the next walk: lists of host, hostaddr and port, or
 * NULL while it begins with the first one. All zero at first. */
struct pg_route {
	atomic_bool interrupted; /* set by any thread: no attempt to connect goes on for long */
	char *lists[PG_ROUTE_LISTS]; /* owned */
};

/* Frees what it owns. */
void pg_route_done(struct pg_route *);

/* Unless connection string, service or environment say otherwise: names the program, for those who look at
 * pg_stat_activity, and the servers that libpq looks for, as target_session_attrs. group is a literal: the role whose
 * rights the program needs, for remedies. In main(), before any thread is started. Returns 0, or -1 with errno. */
int pg_set_defaults(const char *program, const char *servers, const char *group);

/* Returns 0 if libpq can read a connection string (NULL: there is none), else -1 with the reason, one line, in error.
 * One without = is the name of a database. Does not block. */
int pg_check_conninfo(const char *conninfo, char error[], size_t size);

/* Connects by libpq's conventions; conninfo may be NULL. libpq tries the hosts in turn; where it ends early
 * (a login refused, a host that accepts and says nothing), another walk begins behind that host until each
 * had its turn. Blocks: timeout_ms for each address that says nothing, unless connect_timeout is set, and as
 * long as names are looked up. route may be NULL; otherwise the walk begins where it says, and where it
 * fails, the next one begins behind the last host tried. On PG_READY the caller owns *pg (PQfinish()), which
 * does not block from now on; otherwise error holds one line: all that libpq says, and what to do. */
enum pg_state pg_connect(
	const char *conninfo, int timeout_ms, struct pg_route *route, PGconn **pg, char error[PG_ERROR_SIZE]);

/* Ends a connection to a server that does not answer, or takes no events, and lets the next walk begin behind
 * this host. What still runs there is cancelled, in a thread of its own, as that may block. Does not block.
 */
void pg_give_up(PGconn *pg, struct pg_route *);

/* Sends what is queued and waits for the next result, until the deadline. Returns false when it passed or the
 * connection is lost; *result may be NULL, as PQgetResult() says. */
bool pg_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result);

/* Runs one statement, text results. Returns what PQgetResult() did, to be cleared, or NULL when the deadline
 * passed or the connection is lost. */
PGresult *pg_query(PGconn *pg, const char *statement, int64_t deadline_ms);

/* The lines of a message of libpq's as one, without hints. */
void pg_reason(const char *message, char reason[PG_ERROR_SIZE]);

/* Writes the command that brings the database to the newest schema. Does not block. */
void pg_deploy_remedy(const PGconn *pg, char remedy[PG_REMEDY_SIZE]);

#endif
