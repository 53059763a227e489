/* libpq tries the hosts of a list by itself. Two things it does not do: bound a host that accepts and says
 * nothing, unless it may block (and a call that blocks cannot be told to report the SQLSTATE of a refused
 * login); and begin anywhere but with the first host. */
#include "config.h"

#include "pg.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/thread.h"

#define HINT_LOGIN "check the user in --database, the password in PGPASSFILE, and the server's pg_hba.conf"

/* How often to look whether an attempt to connect was interrupted. */
#define LOOK_MS 200

static const char *const route_names[PG_ROUTE_LISTS] = {"host", "hostaddr", "port"};

/* --- waiting and reading ------------------------------------------------------------------------------ */

void pg_reason(const char *message, char reason[PG_ERROR_SIZE])
{
	size_t len = 0;

	reason[0] = '\0';
	for (size_t line_len; *message != '\0'; message += line_len + (message[line_len] == '\n')) {
		line_len = strcspn(message, "\n");
		/* Hints of libpq's begin with a tab. The place in the server's source comes with verbose
		 * errors. */
		if (line_len == 0 || message[0] == '\t' || strncmp(message, "LOCATION:", 9) == 0
			|| len >= PG_ERROR_SIZE)
			continue;
		len += (size_t)snprintf(reason + len, PG_ERROR_SIZE - len, "%s%.*s", len == 0 ? "" : "; ",
			(int)line_len, message);
	}
}

/* Adds to the end of an error, as far as there is room, what it does not say yet. */
static void append(char error[PG_ERROR_SIZE], const char *separator, const char *more)
{
	size_t len = strlen(error);

	if (strstr(error, more) == NULL)
		snprintf(error + len, PG_ERROR_SIZE - len, "%s%s", len == 0 ? "" : separator, more);
}

/* Waits for the socket to be ready for the events of poll(2). False when the deadline passed or there is no
 * socket. */
static bool wait_for(PGconn *pg, short events, int64_t deadline_ms)
{
	struct pollfd socket = {.fd = PQsocket(pg), .events = events};

	while (socket.fd >= 0) {
		const int64_t left = deadline_ms - clock_ms();

		if (left <= 0)
			return false;
		const int ready = poll(&socket, 1, left > 60000 ? 60000 : (int)left);
		if (ready != 0 && (ready > 0 || errno != EINTR))
			return ready > 0;
	}
	return false;
}

bool pg_next_result(PGconn *pg, int64_t deadline_ms, PGresult **result)
{
	const size_t said = strlen(PQerrorMessage(pg));

	*result = NULL;
	for (;;) {
		const int unsent = PQflush(pg);

		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(pg))
			break;
		/* If libpq has no memory for a result, it says so, and waits for another one, which need not
		 * come. */
		if (strlen(PQerrorMessage(pg)) != said)
			return false;
		/* While sending, also read: a server that waits for its answers to be taken would otherwise
		 * never take what is sent. */
		if (!wait_for(pg, unsent > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms) || !PQconsumeInput(pg))
			return false;
	}
	*result = PQgetResult(pg);
	return PQstatus(pg) == CONNECTION_OK || *result != NULL;
}

PGresult *pg_query(PGconn *pg, const char *statement, int64_t deadline_ms)
{
	PGresult *last = NULL;
	PGresult *result;

	if (!PQsendQuery(pg, statement))
		return NULL;
	do {
		if (!pg_next_result(pg, deadline_ms, &result)) {
			PQclear(result);
			PQclear(last);
			return NULL;
		}
		if (result != NULL) {
			PQclear(last);
			last = result;
		}
	} while (result != NULL);
	return last;
}

/* --- hosts -------------------------------------------------------------------------------------------- */

/* The value of an option, "" if it has none. */
static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val != NULL)
			return options->val;
	return "";
}

static size_t count_elements(const char *list)
{
	size_t count = 1;

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

/* The rest of a list from its element of this index on. */
static const char *rest_of(const char *list, size_t index)
{
	for (; index > 0; index--)
		list = strchr(list, ',') + 1;
	return list;
}

/* Returns true if the text is the list's element of this index. A list of one holds for all. */
static bool is_element(const char *list, size_t count, size_t index, const char *text)
{
	if (count_elements(list) < count)
		return true;
	list = rest_of(list, index);
	return strcspn(list, ",") == strlen(text) && strncmp(list, text, strlen(text)) == 0;
}

/* Lets the next walk begin behind the host that libpq has tried last; without memory it begins as this one did.
 * Returns how many hosts this one has passed; *count: of how many. */
static size_t route_behind(struct pg_route *route, PGconn *pg, size_t *count)
{
	char *lists[PG_ROUTE_LISTS] = {NULL};
	bool failed = false;
	PQconninfoOption *options = PQconninfo(pg);
	const char *hosts = option_value(options, "host");
	const char *ports = option_value(options, "port");
	size_t passed = 1;

	if (hosts[0] == '\0')
		hosts = option_value(options, "hostaddr");
	*count = count_elements(hosts);
	while (passed < *count
		&& !(is_element(hosts, *count, passed - 1, PQhost(pg))
			&& is_element(ports, *count, passed - 1, PQport(pg))))
		passed++;
	for (size_t i = 0; i < PG_ROUTE_LISTS && passed < *count; i++) {
		const char *list = option_value(options, route_names[i]);

		if (count_elements(list) == *count) {
			const char *rest = rest_of(list, passed);

			if (asprintf(&lists[i], "%s,%.*s", rest, (int)(rest - list - 1), list) < 0) {
				lists[i] = NULL;
				failed = true;
			}
		}
	}
	/* All or none: they belong together. */
	for (size_t i = 0; i < PG_ROUTE_LISTS; i++) {
		if (failed) {
			free(lists[i]);
		} else if (lists[i] != NULL) {
			free(route->lists[i]);
			route->lists[i] = lists[i];
		}
	}
	PQconninfoFree(options);
	return passed;
}

void pg_route_done(struct pg_route *route)
{
	for (size_t i = 0; i < PG_ROUTE_LISTS; i++)
		free(route->lists[i]);
}

/* --- connecting --------------------------------------------------------------------------------------- */

static const char *needed_group = "bagelpay_ingest";

int pg_set_defaults(const char *program, const char *servers, const char *group)
{
	needed_group = group;
	/* The environment is the one place that connection string and service file go before. */
	return setenv("PGAPPNAME", program, 0) == 0			    /* NOLINT(concurrency-mt-unsafe) */
			&& setenv("PGTARGETSESSIONATTRS", servers, 0) == 0 /* NOLINT(concurrency-mt-unsafe) */
		? 0
		: -1;
}

int pg_check_conninfo(const char *conninfo, char error[], size_t size)
{
	char *reason = NULL;

	if (conninfo == NULL || (strchr(conninfo, '=') == NULL && strstr(conninfo, "://") == NULL))
		return 0;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &reason);
	if (parsed == NULL)
		snprintf(error, size, "--database: %.*s", reason == NULL ? 0 : (int)strcspn(reason, "\n"),
			reason == NULL ? "" : reason);
	PQconninfoFree(parsed);
	PQfreemem(reason);
	return parsed == NULL ? -1 : 0;
}

/* Notices within about half a minute that a server is gone without a word, unless something else was said. */
static void keep_alive(PGconn *pg, const PQconninfoOption *options)
{
	static const struct {
		const char *keyword;
		int option;
		int value;
	} wanted[] = {
		{"keepalives_idle", TCP_KEEPIDLE, 10},
		{"keepalives_interval", TCP_KEEPINTVL, 5},
		{"keepalives_count", TCP_KEEPCNT, 3},
		{"tcp_user_timeout", TCP_USER_TIMEOUT, 30000},
	};

	/* A Unix socket has none of these. */
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		if (option_value(options, wanted[i].keyword)[0] == '\0')
			setsockopt(PQsocket(pg), IPPROTO_TCP, wanted[i].option, &wanted[i].value,
				sizeof wanted[i].value);
}

/* libpq has no accessor for the SQLSTATE of a failed connection, but with verbose errors its message has it,
 * as "SEVERITY:  SQLSTATE: text", the severity in the server's language. Removes all of these, and copies the
 * last, which is the reason why libpq went no further. */
static void take_sqlstate(char text[PG_ERROR_SIZE], char sqlstate[6])
{
	sqlstate[0] = '\0';
	for (char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
		char *code = at + 3;
		size_t len = 0;

		while (len < 5 && (isdigit((unsigned char)code[len]) || isupper((unsigned char)code[len])))
			len++;
		if (len == 5 && code[5] == ':' && code[6] == ' ') {
			memcpy(sqlstate, code, 5);
			sqlstate[5] = '\0';
			memmove(code, code + 7, strlen(code + 7) + 1);
		}
	}
}

/* The database, percent-encoded as Sqitch's target wants it. */
static void encode(const char *name, char *encoded, size_t size)
{
	size_t len = 0;

	for (; *name != '\0' && len + 4 <= size; name++)
		len += (size_t)snprintf(encoded + len, size - len,
			isalnum((unsigned char)*name) || *name == '_' ? "%c" : "%%%02X",
			(unsigned char)*name);
	encoded[len] = '\0';
}

void pg_deploy_remedy(const PGconn *pg, char remedy[PG_REMEDY_SIZE])
{
	char name[256] = "";

	encode(PQdb(pg), name, sizeof name);
	snprintf(remedy, PG_REMEDY_SIZE,
		"run, as a role that may create roles: PGHOST='%s' PGPORT=%s sqitch --chdir " SQL_DIRECTORY
		" deploy db:pg:%s",
		PQhost(pg), PQport(pg), name);
}

/* Returns true if libpq takes this for a place to connect to. It finds a wrong port or address when their
 * turn comes, and anything else at once, like a server that is down on a Unix socket. */
static bool is_meaningful(const char *conninfo, const char *reason, bool at_once)
{
	static const char *const late[] = {
		"invalid port number", "invalid integer value", "could not parse network address"};
	const char *const keywords[] = {"dbname", "connect_timeout", NULL};
	const char *const values[] = {conninfo, "2", NULL};

	for (size_t i = 0; i < sizeof late / sizeof late[0]; i++)
		if (strstr(reason, late[i]) != NULL)
			return false;
	/* It costs a connection, so only if libpq does not say that it has tried one. */
	return !at_once || strstr(reason, "connection to server") != NULL
		|| PQpingParams(keywords, values, 1) != PQPING_NO_ATTEMPT;
}

/* The reason why a walk failed, added to error. */
static enum pg_state judge(const char *conninfo, const PGconn *pg, bool at_once, char error[PG_ERROR_SIZE])
{
	char reason[PG_ERROR_SIZE];
	char sqlstate[6];
	char remedy[PG_REMEDY_SIZE];
	char mend[PG_ERROR_SIZE];

	pg_reason(PQerrorMessage(pg), reason);
	take_sqlstate(reason, sqlstate);
	if (!is_meaningful(conninfo, reason, at_once)) {
		append(error, "; ",
			conninfo != NULL && conninfo[0] != '\0' ? "--database" : "PGHOST, PGPORT and so on");
		append(error, ": ", reason);
		return PG_UNUSABLE;
	}
	append(error, "; ", reason);
	/* All else the server may get over: starting up, too many connections, shutting down. Only the words, if the
	 * server speaks English, tell why it refuses a login before it asks for a password. */
	if (strcmp(sqlstate, "28000") == 0 && strstr(reason, " does not exist") != NULL)
		snprintf(mend, sizeof mend, "run, as a role that may create roles: CREATE ROLE \"%s\" LOGIN IN ROLE %s",
			PQuser(pg), needed_group);
	else if (strcmp(sqlstate, "28000") == 0 && strstr(reason, " is not permitted to log in") != NULL)
		snprintf(mend, sizeof mend, "run, as a role that may create roles: ALTER ROLE \"%s\" LOGIN", PQuser(pg));
	else if (strncmp(sqlstate, "28", 2) == 0 || PQconnectionNeedsPassword(pg))
		snprintf(mend, sizeof mend, "%s", HINT_LOGIN);
	else if (strncmp(sqlstate, "3D", 2) == 0) {
		pg_deploy_remedy(pg, remedy);
		snprintf(mend, sizeof mend, "create it: createdb --host='%s' --port=%s '%s'; then %s",
			PQhost(pg), PQport(pg), PQdb(pg), remedy);
	} else if (strncmp(sqlstate, "42", 2) == 0) {
		snprintf(mend, sizeof mend, "run, as its owner: GRANT CONNECT ON DATABASE \"%s\" TO \"%s\"",
			PQdb(pg), PQuser(pg));
	} else {
		return PG_AWAY;
	}
	/* A line of details ends like a sentence. */
	const size_t len = strlen(error);
	if (len > 0 && error[len - 1] == '.')
		error[len - 1] = '\0';
	append(error, ": ", mend);
	return PG_UNUSABLE;
}

/* Lets libpq go through the hosts. Returns true if it is connected to one; *silent: one did not answer in
 * time. */
static bool walk(PGconn *pg, int timeout_ms, const atomic_bool *interrupted, bool *silent)
{
	/* As if PQconnectPoll() had asked to write, by its documentation. */
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	char current[512] = "";
	bool cut = false;
	int64_t deadline_ms = 0;

	while (PQstatus(pg) != CONNECTION_BAD
		&& (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING)) {
		char address[sizeof current];

		snprintf(address, sizeof address, "%s %s %s", PQhost(pg), PQhostaddr(pg), PQport(pg));
		if (strcmp(address, current) != 0) {
			memcpy(current, address, sizeof current);
			deadline_ms = clock_ms() + timeout_ms;
			cut = false;
		}
		const int64_t look_ms = clock_ms() + LOOK_MS;
		if (!wait_for(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
			    look_ms < deadline_ms ? look_ms : deadline_ms)) {
			if (!atomic_load(interrupted) && clock_ms() < deadline_ms && PQsocket(pg) >= 0)
				continue;
			*silent = true;
			if (cut || atomic_load(interrupted))
				return false;
			/* To libpq the host has closed the connection, so that it goes on to the next address
			 * if there is one for it. */
			cut = true;
			shutdown(PQsocket(pg), SHUT_RDWR);
		}
		state = PQconnectPoll(pg);
	}
	return state == PGRES_POLLING_OK;
}

/* Otherwise libpq would write what a server says beside its answers to standard error, where the log is. */
static void ignore(void *context, const char *message)
{
	(void)context;
	(void)message;
}

/* One walk. */
static enum pg_state try_hosts(const char *conninfo, int timeout_ms, const struct pg_route *route,
	PGconn **out, char error[PG_ERROR_SIZE])
{
	const char *const keywords[] = {"dbname", "client_encoding", "host", "hostaddr", "port", NULL};
	const char *const values[] = {conninfo, "UTF8", route->lists[0], route->lists[1], route->lists[2], NULL};
	bool silent = false;
	PGconn *pg = PQconnectStartParams(keywords, values, 1);
	PQsetNoticeProcessor(pg, ignore, NULL);
	PQconninfoOption *options = pg == NULL ? NULL : PQconninfo(pg);

	*out = pg;
	if (options == NULL) {
		append(error, "; ", "out of memory");
		return PG_AWAY;
	}
	const bool at_once = PQstatus(pg) == CONNECTION_BAD;
	const long own_timeout_s = strtol(option_value(options, "connect_timeout"), NULL, 10);
	if (own_timeout_s > 0 && own_timeout_s < 3600)
		timeout_ms = (int)own_timeout_s * 1000;
	/* So that a failure says its SQLSTATE. */
	PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	enum pg_state result = PG_READY;
	if (!walk(pg, timeout_ms, &route->interrupted, &silent) || PQsetnonblocking(pg, 1) != 0) {
		if (silent)
			append(error, "; ", "no answer from the database in time");
		result = judge(conninfo, pg, at_once, error);
	}
	keep_alive(pg, options);
	PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	PQconninfoFree(options);
	return result;
}

enum pg_state pg_connect(
	const char *conninfo, int timeout_ms, struct pg_route *route, PGconn **out, char error[PG_ERROR_SIZE])
{
	struct pg_route own = {0};
	enum pg_state result = PG_AWAY;
	size_t passed = 0;
	size_t count = 1;

	if (route == NULL)
		route = &own;
	error[0] = '\0';
	*out = NULL;
	while (passed < count && !atomic_load(&route->interrupted)) {
		const enum pg_state one = try_hosts(conninfo, timeout_ms, route, out, error);

		if (one == PG_READY)
			result = one;
		if (one == PG_READY || *out == NULL)
			break;
		/* If one of several waits for people, that is the result. */
		if (one == PG_UNUSABLE)
			result = one;
		passed += route_behind(route, *out, &count);
		PQfinish(*out);
		*out = NULL;
	}
	pg_route_done(&own);
	return result;
}

/* --- giving up ---------------------------------------------------------------------------------------- */

static atomic_bool cancelling;

static void *cancel(void *request)
{
	char ignored[256];

	PQcancel(request, ignored, sizeof ignored);
	PQfreeCancel(request);
	atomic_store(&cancelling, false);
	return NULL;
}

void pg_give_up(PGconn *pg, struct pg_route *route)
{
	PGcancel *request = PQtransactionStatus(pg) == PQTRANS_ACTIVE ? PQgetCancel(pg) : NULL;
	size_t count;

	route_behind(route, pg, &count);
	PQfinish(pg);
	/* One at a time: a server that does not take it either need not be asked by more. */
	if (request == NULL || atomic_exchange(&cancelling, true)) {
		PQfreeCancel(request);
	} else if (thread_start_detached(cancel, request) != 0) {
		PQfreeCancel(request);
		atomic_store(&cancelling, false);
	}
}
