/* libpq tries the hosts of a list one after the other by itself, but without blocking calls it
 * goes on to the next one only when a host says no, and waits for ever for one that says nothing.
 * So that a dead machine does not hide a living one, each host is tried here on its own, with a
 * deadline of its own. */
#include "config.h"

#include "connect.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "schema.h"

/* What names one host; in a list, the elements of the same index belong together. */
enum place { PLACE_HOST, PLACE_HOSTADDR, PLACE_PORT, PLACE_COUNT };
static const char *const place_names[PLACE_COUNT] = {"host", "hostaddr", "port"};

/* A server that is gone without a word is noticed within about half a minute, also in the middle
 * of a statement, whose deadline is shorter. Each holds where nothing else was said. */
static const char *const defaults[][2] = {
	{"keepalives_idle", "10"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "30000"},
	{"fallback_application_name", "bagelhook"},
	{"target_session_attrs", "read-write"},
};

#define DEFAULT_COUNT (sizeof defaults / sizeof defaults[0])
#define OPTIONS_MAX 128

/* All that libpq knows of where and how to connect, from the connection string, the service and the
 * environment. Texts belong to the array of options. */
struct target {
	PQconninfoOption *options; /* owned */
	const char *lists[PLACE_COUNT];
	size_t hosts;
};

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
	char remedy[SCHEMA_REMEDY_SIZE];
	char mend[CONNECTION_ERROR_SIZE - 64];

	connection_first_line(PQerrorMessage(pg), error);
	take_sqlstate(error, sqlstate);
	/* All else the server may get over: starting up, too many connections, shutting down. */
	if (strncmp(sqlstate, "28", 2) == 0 || PQconnectionNeedsPassword(pg))
		add_mend(error,
			"check the user in --database, the password in PGPASSFILE, and the server's "
			"pg_hba.conf");
	else if (strncmp(sqlstate, "3D", 2) == 0) {
		schema_deploy_remedy(pg, remedy);
		snprintf(mend, sizeof mend, "create it: createdb --host='%s' --port=%s '%s'; then %s",
			PQhost(pg), PQport(pg), PQdb(pg), remedy);
		add_mend(error, mend);
	} else if (strncmp(sqlstate, "42", 2) == 0) {
		snprintf(mend, sizeof mend, "run, as its owner: GRANT CONNECT ON DATABASE \"%s\" TO \"%s\"",
			PQdb(pg), PQuser(pg));
		add_mend(error, mend);
	} else
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

static size_t count_elements(const char *list)
{
	size_t count = 1;

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static bool has_value(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* As libpq reads it, which passes over spaces. */
static bool is_port(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	return end != text && end[strspn(end, " \t")] == '\0' && value >= 1 && value <= 65535;
}

/* An IPv6 address may name its zone. */
static bool is_address(const char *text)
{
	unsigned char address[sizeof(struct in6_addr)];
	char plain[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");

	if (len >= sizeof plain)
		return false;
	memcpy(plain, text, len);
	plain[len] = '\0';
	return (text[len] == '\0' && inet_pton(AF_INET, plain, address) == 1)
		|| inet_pton(AF_INET6, plain, address) == 1;
}

static void target_done(struct target *target)
{
	PQconninfoFree(target->options);
}

/* The element of a list at an index, malloc()ed; where it has but one, that is everybody's. An
 * empty one means the usual. NULL without. */
static char *take_element(const char *list, size_t index)
{
	if (list == NULL)
		return NULL;
	while (index > 0 && strchr(list, ',') != NULL) {
		list = strchr(list, ',') + 1;
		index--;
	}
	return list[0] == ',' || list[0] == '\0' ? NULL : strndup(list, strcspn(list, ","));
}

/* libpq takes a port or an address that is none for a host that does not answer. */
static bool places_are_meaningful(const struct target *target, char error[CONNECTION_ERROR_SIZE])
{
	static const enum place checked[] = {PLACE_PORT, PLACE_HOSTADDR};

	for (size_t i = 0; i < sizeof checked / sizeof checked[0]; i++) {
		const char *list = target->lists[checked[i]];

		for (size_t j = 0; has_value(list) && j < count_elements(list); j++) {
			char *one = take_element(list, j);
			bool good =
				one == NULL || (checked[i] == PLACE_PORT ? is_port(one) : is_address(one));

			if (!good)
				snprintf(error, CONNECTION_ERROR_SIZE, "%s: \"%.100s\" is no %s",
					place_names[checked[i]], one,
					checked[i] == PLACE_PORT ? "number from 1 to 65535" : "IP address");
			free(one);
			if (!good)
				return false;
		}
	}
	return true;
}

/* Puts in front of an error where the settings are from. */
static void add_origin(const char *conninfo, char error[CONNECTION_ERROR_SIZE])
{
	char said[CONNECTION_ERROR_SIZE];

	memcpy(said, error, sizeof said);
	snprintf(error, CONNECTION_ERROR_SIZE, "%s: %.*s",
		has_value(conninfo) ? "--database" : "PGHOST, PGPORT and so on", CONNECTION_ERROR_SIZE - 32,
		said);
}

/* Asks libpq. Returns CONNECTION_OPENED, though nothing is opened yet, or why there is nothing to
 * connect to. */
static enum connection_result find_target(
	const char *conninfo, struct target *target, char error[CONNECTION_ERROR_SIZE])
{
	const char *const keywords[] = {"dbname", NULL};
	const char *const values[] = {conninfo, NULL};
	enum connection_result result = CONNECTION_OPENED;
	PGconn *pg = PQconnectStartParams(keywords, values, 1);

	memset(target, 0, sizeof *target);
	target->options = pg == NULL ? NULL : PQconninfo(pg);
	if (target->options == NULL) {
		snprintf(error, CONNECTION_ERROR_SIZE, "out of memory");
		result = CONNECTION_UNREACHABLE;
	} else if (PQstatus(pg) == CONNECTION_BAD && !is_meaningful(conninfo)) {
		connection_first_line(PQerrorMessage(pg), error);
		result = CONNECTION_REFUSED;
	}
	PQfinish(pg);
	for (PQconninfoOption *option = target->options; option != NULL && option->keyword != NULL; option++)
		for (size_t i = 0; i < PLACE_COUNT; i++)
			if (strcmp(option->keyword, place_names[i]) == 0)
				target->lists[i] = option->val;
	if (result == CONNECTION_OPENED && !places_are_meaningful(target, error))
		result = CONNECTION_REFUSED;
	if (result == CONNECTION_REFUSED)
		add_origin(conninfo, error);
	target->hosts = 1;
	if (has_value(target->lists[PLACE_HOSTADDR]))
		target->hosts = count_elements(target->lists[PLACE_HOSTADDR]);
	else if (has_value(target->lists[PLACE_HOST]))
		target->hosts = count_elements(target->lists[PLACE_HOST]);
	return result;
}

/* What holds for an option where nothing was said; NULL: what was said. libpq fills in what it
 * would use itself. */
static const char *own_default(const PQconninfoOption *option)
{
	bool said = has_value(option->val)
		&& (option->compiled == NULL || strcmp(option->val, option->compiled) != 0);

	for (size_t i = 0; i < DEFAULT_COUNT; i++)
		if (!said && strcmp(option->keyword, defaults[i][0]) == 0)
			return defaults[i][1];
	return NULL;
}

/* Begins to connect to one host. NULL without memory. */
static PGconn *begin(const struct target *target, char *const place[PLACE_COUNT])
{
	const char *keywords[OPTIONS_MAX + 2];
	const char *values[OPTIONS_MAX + 2];
	size_t used = 0;

	for (const PQconninfoOption *option = target->options; option->keyword != NULL && used < OPTIONS_MAX;
		option++) {
		const char *other = own_default(option);

		keywords[used] = option->keyword;
		values[used] = other == NULL ? option->val : other;
		for (size_t i = 0; i < PLACE_COUNT; i++)
			if (strcmp(option->keyword, place_names[i]) == 0)
				values[used] = place[i];
		if (values[used] != NULL && strcmp(option->keyword, "client_encoding") != 0)
			used++;
	}
	keywords[used] = "client_encoding";
	values[used++] = "UTF8";
	keywords[used] = NULL;
	values[used] = NULL;
	PGconn *pg = PQconnectStartParams(keywords, values, 0);
	/* So that a failure says its SQLSTATE. */
	if (pg != NULL)
		PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	return pg;
}

/* Goes on until it is connected or not. */
static enum connection_result finish(PGconn *pg, int64_t deadline_ms, char error[CONNECTION_ERROR_SIZE])
{
	/* As if PQconnectPoll() had asked to write, by its documentation. */
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(pg) == CONNECTION_BAD) {
		connection_first_line(PQerrorMessage(pg), error);
		return CONNECTION_UNREACHABLE;
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

static enum connection_result try_host(const struct target *target, size_t index, int timeout_ms,
	PGconn **out, char error[CONNECTION_ERROR_SIZE])
{
	enum connection_result result = CONNECTION_UNREACHABLE;
	char *place[PLACE_COUNT];

	for (size_t i = 0; i < PLACE_COUNT; i++)
		place[i] = take_element(target->lists[i], index);
	PGconn *pg = begin(target, place);
	for (size_t i = 0; i < PLACE_COUNT; i++)
		free(place[i]);
	snprintf(error, CONNECTION_ERROR_SIZE, "out of memory");
	if (pg != NULL)
		result = finish(pg, clock_ms() + timeout_ms, error);
	if (result == CONNECTION_OPENED)
		*out = pg;
	else
		PQfinish(pg);
	return result;
}

enum connection_result connect_open(
	const char *conninfo, int timeout_ms, PGconn **out, char error[CONNECTION_ERROR_SIZE])
{
	struct target target;
	enum connection_result result = find_target(conninfo, &target, error);
	bool refused = true;

	for (size_t i = 0; i < target.hosts && result == CONNECTION_OPENED; i++) {
		char said[CONNECTION_ERROR_SIZE];
		enum connection_result one = try_host(&target, i, timeout_ms, out, said);
		size_t len = i == 0 ? 0 : strlen(error);

		if (one == CONNECTION_OPENED) {
			target_done(&target);
			return one;
		}
		/* What may pass at one of them is worth trying again. */
		refused = refused && one == CONNECTION_REFUSED;
		snprintf(error + len, CONNECTION_ERROR_SIZE - len, "%s%s", len == 0 ? "" : "; ", said);
	}
	if (result == CONNECTION_OPENED)
		result = refused ? CONNECTION_REFUSED : CONNECTION_UNREACHABLE;
	target_done(&target);
	return result;
}
