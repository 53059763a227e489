/* Numbers as JSON writes them, kept as text: no digit of an amount or an id is ever
 * passed through a double. */
#ifndef BAGELHOOK_NUMBER_H
#define BAGELHOOK_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Digits that a number may have before it is refused. */
#define NUMBER_MAX_DIGITS 1000

/* Bytes that hold any amount: 15 digits, a point, 6 decimals, NUL. */
#define AMOUNT_SIZE 24

enum number_check {
	NUMBER_OK,
	NUMBER_MALFORMED,   /* not the number grammar of RFC 8259, section 6 */
	NUMBER_LONG,        /* more than NUMBER_MAX_DIGITS digits */
	NUMBER_OUT_OF_RANGE /* a double would be infinite, or zero though the number is not */
};

/* Checks a text of len bytes. */
enum number_check number_check(const char *text, size_t len);

/* Whether a number that passed number_check() is an integer by its grammar: no fraction
 * and no exponent. */
bool number_is_integer(const char *text, size_t len);

/* Whether a number that passed number_check() is zero, whatever its exponent. */
bool number_is_zero(const char *text, size_t len);

/* Writes the value of a number that passed number_check() as a plain decimal with no
 * superfluous zero. Returns NULL, or what keeps it from being an amount: a number x with
 * 0 <= x < 10^15 and at most 6 decimals. */
const char *number_amount(const char *text, size_t len, char out[AMOUNT_SIZE]);

#endif
