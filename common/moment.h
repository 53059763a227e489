/* Times as the provider writes them. */
#ifndef BAGELHOOK_MOMENT_H
#define BAGELHOOK_MOMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of "YYYY-MM-DD HH:MM:SS.ffffff+00" and NUL. */
#define MOMENT_SIZE 40

enum moment_kind {
	MOMENT_INVALID, /* neither of the forms below, or not in the years 2000 to 2999 */
	MOMENT_UTC,     /* with zone: out is the moment in UTC, as above */
	MOMENT_LOCAL    /* without zone: what it means is a setting's to say; out is "" */
};

/* Reads YYYY-MM-DD, T or a space, HH:MM:SS, optionally a point and 1 to 6 digits,
 * optionally Z, +HH, +HHMM or +HH:MM (or with a minus); or digits: Unix seconds, from
 * 10^11 up milliseconds. The year is judged as it is written, that of a number in UTC. */
enum moment_kind moment_parse(const char *text, size_t len, char out[MOMENT_SIZE]);

/* Reads what a person writes: one of the forms above, in UTC if it has no zone, or YYYY-MM-DD, which is all
 * of that day in UTC: its end if is_end, else its start. Returns true if it is one; out is the moment in UTC
 * as PostgreSQL reads it. */
bool moment_read(const char *text, size_t len, bool is_end, char out[MOMENT_SIZE]);

/* Writes a moment, in microseconds since 1970-01-01 00:00 UTC, as YYYY-MM-DDTHH:MM:SS.ffffffZ. */
void moment_print(int64_t microseconds, char out[MOMENT_SIZE]);

#endif
