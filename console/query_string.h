/* The parameters behind the question mark of an address. */
#ifndef BAGELHOOK_QUERY_STRING_H
#define BAGELHOOK_QUERY_STRING_H

#include <stddef.h>

/* Longer values, decoded and with their NUL, are refused. No id, time or e-mail comes near it. */
#define QUERY_VALUE_SIZE 2048

enum query_result {
	QUERY_FOUND,
	QUERY_ABSENT,   /* not there, or empty */
	QUERY_MALFORMED /* too long, a broken escape, or an escaped NUL */
};

/* Looks for the first parameter of a name, and decodes its value: %XX, and + for a space. What bytes
 * it then has is for the database to judge. */
enum query_result query_find(const char *query, const char *name, char value[QUERY_VALUE_SIZE]);

#endif
