#include "config.h"

#include "moment.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 2000-01-01 and 3000-01-01, 00:00 UTC, as Unix seconds. */
#define FIRST_SECOND INT64_C(946684800)
#define END_SECOND INT64_C(32503680000)
#define FIRST_MILLISECOND INT64_C(100000000000)
/* Beyond this no number is in range, and fewer digits fit an int64_t. */
#define MAX_EPOCH_DIGITS 18

/* Reads exactly count digits, or returns -1. */
static int digits(const char *text, size_t len, size_t at, size_t count)
{
	int value = 0;

	if (at + count > len)
		return -1;
	for (size_t i = at; i < at + count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Writes a number in count digits and the character behind them; returns the end. */
static char *print_digits(char *out, int number, size_t count, char behind)
{
	for (size_t i = count; i-- > 0; number /= 10)
		out[i] = (char)('0' + number % 10);
	out[count] = behind;
	return out + count + 1;
}

/* strftime(3) and snprintf(3) take four times as many instructions, and each event needs this at least twice.
 */
static void print(int64_t second, int microsecond, char between, const char *zone, char out[MOMENT_SIZE])
{
	const time_t moment = (time_t)second;
	struct tm utc;

	gmtime_r(&moment, &utc);
	out = print_digits(out, utc.tm_year + 1900, 4, '-');
	out = print_digits(out, utc.tm_mon + 1, 2, '-');
	out = print_digits(out, utc.tm_mday, 2, between);
	out = print_digits(out, utc.tm_hour, 2, ':');
	out = print_digits(out, utc.tm_min, 2, ':');
	out = print_digits(out, utc.tm_sec, 2, '.');
	out = print_digits(out, microsecond, 6, '\0');
	memcpy(out - 1, zone, strlen(zone) + 1);
}

static enum moment_kind parse_epoch(const char *text, size_t len, char out[MOMENT_SIZE])
{
	int64_t value = 0;

	if (len > MAX_EPOCH_DIGITS || text[0] == '0')
		return MOMENT_INVALID;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (text[i] - '0');
	int64_t milliseconds = value >= FIRST_MILLISECOND ? value : value * 1000;
	if (milliseconds < FIRST_SECOND * 1000 || milliseconds >= END_SECOND * 1000)
		return MOMENT_INVALID;
	print(milliseconds / 1000, (int)(milliseconds % 1000) * 1000, ' ', "+00", out);
	return MOMENT_UTC;
}

/* Reads a zone that fills the text from at to its end, in seconds east of UTC. */
static bool parse_zone(const char *text, size_t len, size_t at, int *east)
{
	if (len - at == 1 && text[at] == 'Z') {
		*east = 0;
		return true;
	}
	if (text[at] != '+' && text[at] != '-')
		return false;
	int hours = digits(text, len, at + 1, 2);
	int minutes = 0;
	if (len - at == 5)
		minutes = digits(text, len, at + 3, 2);
	else if (len - at == 6 && text[at + 3] == ':')
		minutes = digits(text, len, at + 4, 2);
	else if (len - at != 3)
		return false;
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*east = (hours * 60 + minutes) * 60;
	if (text[at] == '-')
		*east = -*east;
	return true;
}

enum moment_kind moment_parse(const char *text, size_t len, char out[MOMENT_SIZE])
{
	size_t at = 0;

	out[0] = '\0';
	while (at < len && text[at] >= '0' && text[at] <= '9')
		at++;
	if (at == len && len > 0)
		return parse_epoch(text, len, out);

	if (len < 19 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ')
		|| text[13] != ':' || text[16] != ':')
		return MOMENT_INVALID;
	int year = digits(text, len, 0, 4);
	int month = digits(text, len, 5, 2);
	int day = digits(text, len, 8, 2);
	int hour = digits(text, len, 11, 2);
	int minute = digits(text, len, 14, 2);
	int second = digits(text, len, 17, 2);
	if (year < 2000 || year > 2999 || month < 1 || month > 12 || day < 1
		|| day > days_in_month(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59
		|| second < 0 || second > 59)
		return MOMENT_INVALID;

	int microsecond = 0;
	at = 19;
	if (at < len && text[at] == '.') {
		int unit = 100000;

		for (at = 20; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
			if (at == 26)
				return MOMENT_INVALID;
			microsecond += (text[at] - '0') * unit;
			unit /= 10;
		}
		if (at == 20)
			return MOMENT_INVALID;
	}
	if (at == len)
		return MOMENT_LOCAL;

	int east = 0;
	if (!parse_zone(text, len, at, &east))
		return MOMENT_INVALID;
	struct tm civil = {.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second};
	print((int64_t)timegm(&civil) - east, microsecond, ' ', "+00", out);
	return MOMENT_UTC;
}

bool moment_read(const char *text, size_t len, bool is_end, char out[MOMENT_SIZE])
{
	char whole[MOMENT_SIZE];
	const bool is_date = len == 10 && text[4] == '-';
	enum moment_kind kind = is_date ? MOMENT_LOCAL : moment_parse(text, len, out);

	if (kind == MOMENT_LOCAL) {
		len = (size_t)snprintf(
			whole, sizeof whole, "%.*s%s", (int)len, text, is_date ? "T00:00:00Z" : "Z");
		kind = moment_parse(whole, len, out);
	}
	/* 24:00 is the next day's 00:00. */
	if (is_date && is_end && kind == MOMENT_UTC) {
		out[11] = '2';
		out[12] = '4';
	}
	return kind == MOMENT_UTC;
}

void moment_print(int64_t microseconds, char out[MOMENT_SIZE])
{
	print(microseconds / 1000000, (int)(microseconds % 1000000), 'T', "Z", out);
}
