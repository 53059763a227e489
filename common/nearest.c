#include "config.h"

#include "nearest.h"

#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The optimal string alignment distance, by rows: before the last, the last, this one. */
size_t nearest_distance(const char *one, const char *other)
{
	size_t rows[3][NEAREST_MAX + 1];
	const size_t one_len = strlen(one);
	const size_t other_len = strlen(other);

	if (one_len > NEAREST_MAX || other_len > NEAREST_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= other_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= one_len; i++) {
		size_t *row = rows[i % 3];
		const size_t *last = rows[(i - 1) % 3];
		const size_t *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= other_len; j++) {
			const size_t replaced = last[j - 1] + (one[i - 1] != other[j - 1]);

			row[j] = least(least(last[j], row[j - 1]) + 1, replaced);
			if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
	}
	return rows[one_len % 3][other_len];
}

bool nearest_is_near(size_t distance, const char *said)
{
	/* A suggestion that was not meant is worse than none. */
	return distance <= 1 + strlen(said) / 4;
}

const char *nearest_option(const char *word, const struct option *table)
{
	const char *name = word + strspn(word, "-");
	const size_t len = strcspn(name, "=");
	char said[NEAREST_MAX + 1];
	const char *nearest = NULL;
	size_t distance = SIZE_MAX;

	if (len > NEAREST_MAX)
		return NULL;
	memcpy(said, name, len);
	said[len] = '\0';
	for (; table->name != NULL; table++) {
		const size_t one = nearest_distance(said, table->name);

		if (one < distance) {
			distance = one;
			nearest = table->name;
		}
	}
	/* What was said as it is in the table is wrong in another way. */
	return distance > 0 && nearest_is_near(distance, said) ? nearest : NULL;
}
