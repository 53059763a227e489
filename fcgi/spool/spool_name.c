#include "config.h"

#include "spool_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIME_DIGITS 19
#define RANDOM_DIGITS 16
/* So that sizes can be added up. */
#define SIZE_DIGITS 11

bool spool_name_make(size_t size, char name[SPOOL_NAME_SIZE])
{
	struct timespec now;
	uint64_t chance;

	if (getentropy(&chance, sizeof chance) != 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, SPOOL_NAME_SIZE, "%010" PRId64 "%09ld-%zu-%016" PRIx64, (int64_t)now.tv_sec,
		now.tv_nsec, size, chance);
	return true;
}

bool spool_name_parse(const char *text, int64_t *size)
{
	char *end;

	if (strspn(text, "0123456789") != TIME_DIGITS || text[TIME_DIGITS] != '-'
		|| strlen(text) >= SPOOL_NAME_SIZE)
		return false;
	text += TIME_DIGITS + 1;
	if (strspn(text, "0123456789") == 0 || strspn(text, "0123456789") > SIZE_DIGITS)
		return false;
	*size = strtoll(text, &end, 10);
	return *end == '-' && strspn(end + 1, "0123456789abcdef") == RANDOM_DIGITS
		&& end[RANDOM_DIGITS + 1] == '\0';
}

double spool_name_time(const char *name)
{
	return strtod(name, NULL) / 1e9;
}

size_t spool_name_insert(char names[][SPOOL_NAME_SIZE], size_t count, size_t size, const char *name)
{
	size_t low = 0;
	size_t high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == size)
		return count;
	if (count < size)
		count++;
	memmove(names[low + 1], names[low], (count - low - 1) * sizeof names[0]);
	snprintf(names[low], SPOOL_NAME_SIZE, "%s", name);
	return count;
}
