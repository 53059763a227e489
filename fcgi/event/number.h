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

/* Bytes that hold an integer of 255 characters, and NUL. */
#define INTEGER_SIZE 256

/* Bytes that hold any number in its canonical form: sign, digits, e, exponent, NUL. */
#define NUMBER_CANONICAL_SIZE (NUMBER_MAX_DIGITS + 32)

enum number_check {
	NUMBER_OK,
	NUMBER_MALFORMED,   /* not the number grammar of RFC 8259, section 6 */
	NUMBER_LONG,        /* more than NUMBER_MAX_DIGITS digits */
	NUMBER_OUT_OF_RANGE /* a double would be infinite, or zero though the number is not */
};

/* Checks a text of len bytes. */
enum number_check number_check(const char *text, size_t len);

/* Returns true if a number that passed number_check() is zero, whatever its exponent. */
bool number_is_zero(const char *text, size_t len);

/* Writes the value of a number that passed number_check() as a plain decimal with no
 * superfluous zero. Returns NULL, or what keeps it from being an amount: a number x with
 * 0 <= x < 10^15 and at most 6 decimals. */
const char *number_amount(const char *text, size_t len, char out[AMOUNT_SIZE]);

/* Writes the digits of a number that passed number_check() and whose value is an integer: 1.23e2
 * becomes 123, -0 becomes 0. Returns their length with the sign; 0 if the value is no integer. If
 * they do not fit, the length is at least INTEGER_SIZE and nothing is written. */
size_t number_integer(const char *text, size_t len, char out[INTEGER_SIZE]);

/* Writes a number that passed number_check() so that equal values have equal texts: 0, or the
 * significant digits and a power of ten, by which a point before them is moved (12.50 becomes
 * 125e2). Returns the length. */
size_t number_canonical(const char *text, size_t len, char out[NUMBER_CANONICAL_SIZE]);

#endif
