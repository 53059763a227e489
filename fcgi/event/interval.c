#include "config.h"

#include "interval.h"

#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define MAX_COUNT 1000
/* Digits of MAX_COUNT. */
#define MAX_COUNT_DIGITS 4
#define MONTHS_OF_A_YEAR 12

/* One of the two is 0. */
struct span {
	const char *word; /* in lower case */
	int days;
	int months;
};

static const struct span units[] = {
	{"day", 1, 0},
	{"week", 7, 0},
	{"month", 0, 1},
	{"year", 0, MONTHS_OF_A_YEAR},
};

/* Beside the units themselves, and those with a number before them. */
static const struct span words[] = {
	{"daily", 1, 0},
	{"weekly", 7, 0},
	{"monthly", 0, 1},
	{"quarter", 0, 3},
	{"quarterly", 0, 3},
	{"half-yearly", 0, 6},
	{"semiannual", 0, 6},
	{"yearly", 0, MONTHS_OF_A_YEAR},
	{"annual", 0, MONTHS_OF_A_YEAR},
	{"annually", 0, MONTHS_OF_A_YEAR},
};

static bool is_word(const char *text, size_t len, const char *word)
{
	if (len != strlen(word))
		return false;
	for (size_t i = 0; i < len; i++)
		if (text_lower(text[i]) != word[i])
			return false;
	return true;
}

static const struct span *find(const struct span spans[], size_t count, const char *text, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (is_word(text, len, spans[i].word))
			return &spans[i];
	return NULL;
}

static void print(int number, const char *unit, char out[INTERVAL_SIZE])
{
	snprintf(out, INTERVAL_SIZE, "%d %s%s", number, unit, number == 1 ? "" : "s");
}

bool interval_parse(const char *text, size_t len, char out[INTERVAL_SIZE])
{
	const struct span *span = find(words, sizeof words / sizeof words[0], text, len);
	size_t at = 0;
	int count = 0;

	while (at < len && at < MAX_COUNT_DIGITS && text[at] >= '0' && text[at] <= '9')
		count = count * 10 + (text[at++] - '0');
	if (at > 0) {
		if (count < 1 || count > MAX_COUNT)
			return false;
		if (at < len && text[at] == ' ')
			at++;
		if (at < len && text_lower(text[len - 1]) == 's')
			len--;
	} else {
		count = 1;
	}
	if (span == NULL)
		span = find(units, sizeof units / sizeof units[0], text + at, len - at);
	if (span == NULL)
		return false;
	const int months = count * span->months;
	if (span->days > 0)
		print(count * span->days, "day", out);
	else if (months % MONTHS_OF_A_YEAR == 0)
		print(months / MONTHS_OF_A_YEAR, "year", out);
	else
		print(months, "month", out);
	return true;
}
