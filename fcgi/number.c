#include "config.h"

#include "number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INTEGER_DIGITS 15
#define MAX_DECIMALS 6
/* An exponent beyond this is out of a double's range whatever the (at most 1000) digits
 * before it are; bounding it here keeps the arithmetic on positions from overflowing. */
#define EXPONENT_BOUND 100000

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The number of digits at text, which ends at len. */
static size_t digits_at(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && is_digit(text[n]))
		n++;
	return n;
}

bool number_is_zero(const char *text, size_t len)
{
	for (size_t i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++)
		if (text[i] >= '1' && text[i] <= '9')
			return false;
	return true;
}

/* The value of a non-zero number as a double is 0 or infinite. strtod(3) wants a NUL, and
 * what is left of the digits after the first few hundred does not move the result across
 * either bound. */
static bool out_of_range(const char *text, size_t len)
{
	char copy[NUMBER_MAX_DIGITS + 32];

	if (number_is_zero(text, len))
		return false;
	if (len >= sizeof copy) /* cannot be: NUMBER_MAX_DIGITS, sign, point, e and sign fit */
		return true;
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, NULL);
	return value == 0.0 || isinf(value);
}

enum number_check number_check(const char *text, size_t len)
{
	size_t at = 0;
	size_t digits;
	size_t total = 0;

	if (at < len && text[at] == '-')
		at++;
	digits = digits_at(text + at, len - at);
	if (digits == 0 || (digits > 1 && text[at] == '0'))
		return NUMBER_MALFORMED;
	at += digits;
	total += digits;
	if (at < len && text[at] == '.') {
		at++;
		digits = digits_at(text + at, len - at);
		if (digits == 0)
			return NUMBER_MALFORMED;
		at += digits;
		total += digits;
	}
	if (at < len && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		if (at < len && (text[at] == '+' || text[at] == '-'))
			at++;
		digits = digits_at(text + at, len - at);
		if (digits == 0)
			return NUMBER_MALFORMED;
		at += digits;
		total += digits;
	}
	if (at != len)
		return NUMBER_MALFORMED;
	if (total > NUMBER_MAX_DIGITS)
		return NUMBER_LONG;
	return out_of_range(text, len) ? NUMBER_OUT_OF_RANGE : NUMBER_OK;
}

bool number_is_integer(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(text[i]) && !(i == 0 && text[i] == '-'))
			return false;
	return len > 0;
}

/* The exponent of a number that passed the grammar, held within EXPONENT_BOUND. */
static long exponent_of(const char *text, size_t len)
{
	long value = 0;
	bool negative = false;
	size_t at = 0;

	while (at < len && text[at] != 'e' && text[at] != 'E')
		at++;
	if (at == len)
		return 0;
	at++;
	if (text[at] == '+' || text[at] == '-') {
		negative = text[at] == '-';
		at++;
	}
	for (; at < len; at++)
		if (value < EXPONENT_BOUND)
			value = value * 10 + (text[at] - '0');
	return negative ? -value : value;
}

const char *number_amount(const char *text, size_t len, char out[AMOUNT_SIZE])
{
	char digits[NUMBER_MAX_DIGITS + 1];
	long count = 0; /* significant digits, without leading zeros */
	long point = 0; /* where the decimal point stands, counted from the first of them */
	bool seen_point = false;
	bool negative = text[0] == '-';

	for (size_t i = negative ? 1 : 0; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
		if (text[i] == '.') {
			seen_point = true;
			continue;
		}
		if (count > 0 || text[i] != '0') {
			digits[count++] = text[i];
			if (!seen_point)
				point++;
		} else if (seen_point) {
			point--;
		}
	}
	while (count > 0 && digits[count - 1] == '0')
		count--;
	if (count == 0) {
		memcpy(out, "0", 2);
		return NULL;
	}
	if (negative)
		return "negative";
	point += exponent_of(text, len);
	if (point > MAX_INTEGER_DIGITS)
		return "not below 10^15";
	if (count - point > MAX_DECIMALS)
		return "more than 6 decimals";

	size_t at = 0;
	/* From the first place that is written to the last; the digits stand at 0 to count. */
	long first = point < 1 ? point - 1 : 0;
	long last = count > point ? count : point;
	for (long i = first; i < last; i++) {
		if (i == point)
			out[at++] = '.';
		if (i < 0 || i >= count)
			out[at++] = '0';
		else
			out[at++] = digits[i];
	}
	out[at] = '\0';
	return NULL;
}
