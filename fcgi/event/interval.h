/* How often a subscription is billed, as the provider writes it. */
#ifndef BAGELHOOK_INTERVAL_H
#define BAGELHOOK_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that hold any interval, and NUL. */
#define INTERVAL_SIZE 24

/* Reads a word (monthly, quarter, annual, ...) or a number from 1 to 1000 and a unit ("3months",
 * "2 weeks"), in any case. Writes it as PostgreSQL reads an interval, in days, months or years;
 * equal lengths have equal texts. Returns false for any other text. */
bool interval_parse(const char *text, size_t len, char out[INTERVAL_SIZE]);

#endif
