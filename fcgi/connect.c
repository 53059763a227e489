/* libpq tries the hosts of a list one after the other by itself, but without blocking calls it
 * goes on to the next one only when a host says no, and waits for ever for one that says nothing.
 * So that a dead machine does not hide a living one, each host is tried here on its own, with a
 * deadline of its own. */
#include "config.h"

#include "connect.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* What libpq names all hosts and ports of a list by. */
enum place { PLACE_HOST, PLACE_HOSTADDR, PLACE_PORT, PLACE_COUNT };
static const char *const place_names[PLACE_COUNT] = {"host", "hostaddr", "port"};

/* Of one host; NULL where nothing was said. */
struct place_values {
	char *value[PLACE_COUNT]; /* owned */
};

/* A server that is gone without a word is noticed within about half a minute, also in the middle
 * of a statement, whose deadline is shorter. Users can say otherwise in the connection string. */
static const char *const defaults[][2] = {
	{"keepalives_idle", "10"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "30000"},
	{"fallback_application_name", "bagelhook"},
	{"target_session_attrs", "primary"},
};

#define DEFAULT_COUNT (sizeof defaults / sizeof defaults[0])

/* libpq has no accessor for the SQLSTATE of a failed connection, but with verbose errors
 * its message has it, as "SEVERITY:  SQLSTATE: text", the severity in the server's
 * language. Copies it, and cuts it out of the line. */
static void take_sqlstate(char line[CONNECTION_ERROR_SIZE], char sqlstate[6])
{
	sqlstate[0] = '\0';
	for (char *at = strstr(line, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
		char *code = at + 3;
		size_t len = 0;

		while (len < 5 && (isdigit((unsigned char)code[len]) || isupper((unsigned char)code[len])))
			len++;
		if (len == 5 && code[5] == ':' && code[6] == ' ') {
			memcpy(sqlstate, code, 5);
			sqlstate[5] = '\0';
			memmove(code, code + 7, strlen(code + 7) + 1);
			return;
		}
	}
}

/* Appends what people can do about it. */
static void add_mend(char error[CONNECTION_ERROR_SIZE], const char *mend)
{
	size_t len = strlen(error);

	snprintf(error + len, CONNECTION_ERROR_SIZE - len, ": %s", mend);
}

static enum connection_result classify(PGconn *pg, char error[CONNECTION_ERROR_SIZE])
{
	char sqlstate[6];

	connection_first_line(PQerrorMessage(pg), error);
	take_sqlstate(error, sqlstate);
	/* All else the server may get over: starting up, too many connections, shutting down. */
	if (strncmp(sqlstate, "28", 2) == 0 || PQconnectionNeedsPassword(pg))
		add_mend(error,
			"check the user in --database, the password in PGPASSFILE, and the server's "
			"pg_hba.conf");
	else if (strncmp(sqlstate, "3D", 2) == 0)
		add_mend(error,
			"create it with createdb, then run sqitch deploy (in the directory sql of "
			"bagelhook)");
	else if (strncmp(sqlstate, "42", 2) == 0)
		add_mend(error, "grant the user CONNECT on it");
	else
		return CONNECTION_UNREACHABLE;
	return CONNECTION_REFUSED;
}

/* Whether libpq can make out where to connect to: the connection string is one, and the
 * service that it names is there. Asked only after connecting failed at once, which a
 * server that is down on a Unix socket does as well. */
static bool is_meaningful(const char *conninfo)
{
	const char *const keywords[] = {"dbname", "connect_timeout", NULL};
	const char *const values[] = {conninfo, "2", NULL};

	return PQpingParams(keywords, values, 1) != PQPING_NO_ATTEMPT;
}

/* Begins to connect, to the one host or to all of them. NULL without memory. */
static PGconn *begin(const char *conninfo, const struct place_values *place)
{
	/* Of a parameter that comes twice, the last one with a value counts; the connection string
	 * stands for all that are in it. */
	const char *keywords[DEFAULT_COUNT + PLACE_COUNT + 3];
	const char *values[sizeof keywords / sizeof keywords[0]];
	size_t used = 0;

	for (; used < DEFAULT_COUNT; used++) {
		keywords[used] = defaults[used][0];
		values[used] = defaults[used][1];
	}
	keywords[used] = "dbname";
	values[used++] = conninfo;
	keywords[used] = "client_encoding";
	values[used++] = "UTF8";
	for (size_t i = 0; place != NULL && i < PLACE_COUNT; i++) {
		keywords[used] = place_names[i];
		values[used++] = place->value[i];
	}
	keywords[used] = NULL;
	values[used] = NULL;
	PGconn *pg = PQconnectStartParams(keywords, values, 1);
	/* So that a failure says its SQLSTATE. */
	if (pg != NULL)
		PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	return pg;
}

/* Goes on until it is connected or not. */
static enum connection_result finish(
	PGconn *pg, const char *conninfo, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE])
{
	/* As if PQconnectPoll() had asked to write, by its documentation. */
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(pg) == CONNECTION_BAD) {
		connection_first_line(PQerrorMessage(pg), error);
		return is_meaningful(conninfo) ? CONNECTION_UNREACHABLE : CONNECTION_REFUSED;
	}
	while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
		if (!connection_wait(pg, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms)) {
			snprintf(error, CONNECTION_ERROR_SIZE, "no answer from the database in time");
			return CONNECTION_UNREACHABLE;
		}
		state = PQconnectPoll(pg);
	}
	if (state != PGRES_POLLING_OK)
		return classify(pg, error);
	if (PQsetnonblocking(pg, 1) != 0) {
		connection_first_line(PQerrorMessage(pg), error);
		return CONNECTION_UNREACHABLE;
	}
	PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	return CONNECTION_OPENED;
}

/* How many hosts the connection string, the environment and the service together name. */
static size_t count_hosts(PQconninfoOption *options, const char *lists[PLACE_COUNT])
{
	size_t count = 1;

	for (const PQconninfoOption *option = options; option->keyword != NULL; option++)
		for (size_t i = 0; i < PLACE_COUNT; i++)
			if (strcmp(option->keyword, place_names[i]) == 0)
				lists[i] = option->val;
	const char *hosts = lists[PLACE_HOSTADDR] != NULL && lists[PLACE_HOSTADDR][0] != '\0'
		? lists[PLACE_HOSTADDR]
		: lists[PLACE_HOST];
	for (; hosts != NULL && *hosts != '\0'; hosts++)
		count += *hosts == ',';
	return count;
}

/* The element of a list at an index, malloc()ed; where it has but one, that is everybody's. */
static char *element(const char *list, size_t index)
{
	if (list == NULL)
		return NULL;
	while (index > 0 && strchr(list, ',') != NULL) {
		list = strchr(list, ',') + 1;
		index--;
	}
	return strndup(list, strcspn(list, ","));
}

/* Tries each host in turn. What is refused by one may be welcome at another. */
static enum connection_result try_hosts(const char *conninfo, const char *const lists[PLACE_COUNT],
	size_t count, int timeout_ms, PGconn **out, char error[CONNECTION_ERROR_SIZE])
{
	enum connection_result result = CONNECTION_REFUSED;

	for (size_t i = 0; i < count; i++) {
		struct place_values place;
		char said[CONNECTION_ERROR_SIZE] = "out of memory";
		enum connection_result one = CONNECTION_UNREACHABLE;

		for (size_t j = 0; j < PLACE_COUNT; j++)
			place.value[j] = element(lists[j], i);
		PGconn *pg = begin(conninfo, &place);
		if (pg != NULL)
			one = finish(pg, conninfo, clock_ms() + timeout_ms, said);
		for (size_t j = 0; j < PLACE_COUNT; j++)
			free(place.value[j]);
		if (one == CONNECTION_OPENED) {
			*out = pg;
			return one;
		}
		PQfinish(pg);
		/* What may pass is what is worth telling. */
		if (i == 0 || one == CONNECTION_UNREACHABLE) {
			result = one;
			memcpy(error, said, sizeof said);
		}
	}
	return result;
}

enum connection_result connect_open(
	const char *conninfo, int timeout_ms, PGconn **out, char error[CONNECTION_ERROR_SIZE])
{
	const char *lists[PLACE_COUNT] = {NULL};
	enum connection_result result = CONNECTION_UNREACHABLE;
	PGconn *pg = begin(conninfo, NULL);
	PQconninfoOption *options = pg == NULL ? NULL : PQconninfo(pg);

	if (options == NULL) {
		snprintf(error, CONNECTION_ERROR_SIZE, "out of memory");
		PQfinish(pg);
		return result;
	}
	size_t count = count_hosts(options, lists);
	if (count > 1) {
		PQfinish(pg);
		result = try_hosts(conninfo, lists, count, timeout_ms, out, error);
	} else {
		result = finish(pg, conninfo, clock_ms() + timeout_ms, error);
		if (result == CONNECTION_OPENED)
			*out = pg;
		else
			PQfinish(pg);
	}
	PQconninfoFree(options);
	return result;
}
