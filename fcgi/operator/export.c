#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "common/text.h"
#include "commands.h"
#include "session.h"

/* Writes a body as one line. JSON has raw line breaks only as white space between tokens, where a space means
 * the same; an event is a duplicate by its content. Returns false if standard output does not take it. */
static bool write_line(const char *body, size_t len)
{
	const char *const end = body + len;

	while (body < end) {
		const char *from = body;

		while (body < end && *body != '\n' && *body != '\r')
			body++;
		fwrite(from, 1, (size_t)(body - from), stdout);
		if (body++ < end)
			putchar(' ');
	}
	putchar('\n');
	return !ferror(stdout);
}

/* Writes all rows; *missing counts events without a body. Returns 0, or an exit status after a complaint. */
static int write_bodies(struct session *session, uint64_t *missing)
{
	PGresult *row;
	int found;

	while ((found = session_next(session, &row)) > 0) {
		const bool is_missing = PQgetisnull(row, 0, 0);
		const bool written =
			is_missing || write_line(PQgetvalue(row, 0, 0), (size_t)PQgetlength(row, 0, 0));

		PQclear(row);
		*missing += is_missing;
		if (!written)
			break;
	}
	if (found < 0)
		return command_failed("bagelhook export", session->error);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : command_failed("bagelhook export", text_error(errno));
}

int export_run(const struct options *options)
{
	static const char *const modes[] = {[OPTIONS_LIVE] = "live", [OPTIONS_TEST] = "test"};
	const char *const values[] = {options->since[0] == '\0' ? NULL : options->since,
		options->until[0] == '\0' ? NULL : options->until,
		options->mode == OPTIONS_ANY_MODE ? NULL : modes[options->mode], options->order};
	char error[128];
	uint64_t missing = 0;
	struct session session;
	int status;

	if (session_open(&session, options->database, "bagelpay_owner or bagelpay_console") != 0
		/* Operators' events have no digest, and never had a body. */
		|| session_stream(&session,
			   "SELECT b.body"
			   " FROM bagelpay.events AS e LEFT JOIN bagelpay.event_bodies AS b ON b.event_id = "
			   "e.event_id"
			   " WHERE e.digest IS NOT NULL"
			   " AND ($1::timestamptz IS NULL OR e.received_at >= $1)"
			   " AND ($2::timestamptz IS NULL OR e.received_at < $2)"
			   " AND ($3::text IS NULL OR e.mode = $3) AND ($4::text IS NULL OR e.order_id = $4)"
			   " ORDER BY e.received_at, e.event_id",
			   4, values)
			!= 0)
		status = command_failed("bagelhook export", session.error);
	else
		status = write_bodies(&session, &missing);
	session_close(&session);
	if (status == 0 && missing > 0) {
		snprintf(error, sizeof error,
			"%" PRIu64 " events are left out: their bodies were removed by retention or erasure",
			missing);
		status = command_failed("bagelhook export", error);
	}
	return status;
}
