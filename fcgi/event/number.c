#include "config.h"

#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INTEGER_DIGITS 15
#define MAX_DECIMALS 6
/* An exponent beyond this is out of a double's range whatever the (at most 1000) digits
 * before it are; bounding it here keeps the arithmetic on positions from overflowing. */
#define EXPONENT_BOUND 100000
/* So many digits are within a double's range wherever the point stands among them. */
#define IN_RANGE_DIGITS 300

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
	bool exponent = false;

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
		exponent = true;
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
	return (exponent || total > IN_RANGE_DIGITS) && out_of_range(text, len) ? NUMBER_OUT_OF_RANGE
										: NUMBER_OK;
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

/* The value of a number, whatever its spelling. */
struct decimal {
	bool negative; /* never of zero */
	long count;    /* significant digits, 0 of zero */
	long point;    /* where the decimal point stands, counted from the first of them */
	char digits[NUMBER_MAX_DIGITS + 1];
};

static void decompose(const char *text, size_t len, struct decimal *d)
{
	const size_t sign = text[0] == '-';
	bool seen_point = false;

	d->count = 0;
	d->point = 0;
	for (size_t i = sign; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
		if (text[i] == '.') {
			seen_point = true;
			continue;
		}
		if (d->count > 0 || text[i] != '0') {
			d->digits[d->count++] = text[i];
			if (!seen_point)
				d->point++;
		} else if (seen_point) {
			d->point--;
		}
	}
	while (d->count > 0 && d->digits[d->count - 1] == '0')
		d->count--;
	d->negative = sign > 0 && d->count > 0;
	d->point = d->count > 0 ? d->point + exponent_of(text, len) : 0;
}

/* Writes the value without exponent and superfluous zeros. The caller knows that it fits. */
static size_t write_plain(const struct decimal *d, char *out)
{
	size_t at = 0;
	/* From the first place that is written to the last; the digits stand at 0 to count. */
	const long first = d->point < 1 ? d->point - 1 : 0;
	const long last = d->count > d->point ? d->count : d->point;

	if (d->count == 0) {
		memcpy(out, "0", 2);
		return 1;
	}
	if (d->negative)
		out[at++] = '-';
	for (long i = first; i < last; i++) {
		if (i == d->point)
			out[at++] = '.';
		out[at++] = '0';
		if (i >= 0 && i < d->count)
			out[at - 1] = d->digits[i];
	}
	out[at] = '\0';
	return at;
}

const char *number_amount(const char *text, size_t len, char out[AMOUNT_SIZE])
{
	struct decimal d;

	decompose(text, len, &d);
	if (d.negative)
		return "negative";
	if (d.point > MAX_INTEGER_DIGITS)
		return "not below 10^15";
	if (d.count - d.point > MAX_DECIMALS)
		return "more than 6 decimals";
	write_plain(&d, out);
	return NULL;
}

size_t number_integer(const char *text, size_t len, char out[INTEGER_SIZE])
{
	struct decimal d;

	decompose(text, len, &d);
	if (d.count > d.point)
		return 0;
	const size_t size = (size_t)d.point + d.negative;
	return size < INTEGER_SIZE ? write_plain(&d, out) : size;
}

size_t number_canonical(const char *text, size_t len, char out[NUMBER_CANONICAL_SIZE])
{
	struct decimal d;

	decompose(text, len, &d);
	if (d.count == 0)
		return write_plain(&d, out);
	return (size_t)snprintf(out, NUMBER_CANONICAL_SIZE, "%s%.*se%ld", d.negative ? "-" : "", (int)d.count,
		d.digits, d.point);
}
