#include "config.h"

#include "arguments.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Longer words are like no other. */
#define WORD_MAX 64

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters have to be put in, left out, replaced, or exchanged with their neighbour to make one word
 * of the other: the optimal string alignment distance, by rows (before the last, the last, this one).
 * SIZE_MAX if one is too long. */
static size_t distance_between(const char *one, const char *other)
{
	size_t rows[3][WORD_MAX + 1];
	const size_t one_len = strlen(one);
	const size_t other_len = strlen(other);

	if (one_len > WORD_MAX || other_len > WORD_MAX)
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

const char *arguments_nearest(const char *word, const char *const names[])
{
	const char *nearest = NULL;
	size_t least_distance = SIZE_MAX;

	for (; *names != NULL; names++) {
		const size_t distance = distance_between(word, *names);

		if (distance < least_distance) {
			least_distance = distance;
			nearest = *names;
		}
	}
	/* A suggestion that was not meant is worse than none. */
	return least_distance <= 1 + strlen(word) / 4 ? nearest : NULL;
}

void arguments_begin(struct arguments *a, int argc, char **argv, const struct argument *table)
{
	*a = (struct arguments){.argc = argc, .argv = argv, .next = 1, .table = table};
}

static int refuse_unknown(struct arguments *a, const char *name)
{
	const char *names[WORD_MAX + 1];
	size_t count = 0;

	for (; count < WORD_MAX && a->table[count].name != NULL; count++)
		names[count] = a->table[count].name;
	names[count] = NULL;
	const char *nearest = arguments_nearest(name, names);
	if (nearest != NULL)
		snprintf(a->error, sizeof a->error, "unknown option --%.100s; did you mean --%s?", name,
			nearest);
	else
		snprintf(a->error, sizeof a->error, "unknown option --%.100s; try --help", name);
	return ARGUMENTS_WRONG;
}

/* An option without its dashes: name, or name=value. */
static int take_option(struct arguments *a, char *option)
{
	char *equals = strchr(option, '=');
	const size_t len = equals == NULL ? strlen(option) : (size_t)(equals - option);
	int i = 0;

	while (a->table[i].name != NULL
		&& (strncmp(a->table[i].name, option, len) != 0 || a->table[i].name[len] != '\0'))
		i++;
	if (a->table[i].name == NULL) {
		char name[WORD_MAX + 1];

		snprintf(name, sizeof name, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX), option);
		return refuse_unknown(a, name);
	}
	a->value = equals == NULL ? NULL : equals + 1;
	if (a->table[i].has_value && a->value == NULL && a->next < a->argc)
		a->value = a->argv[a->next++];
	if (a->table[i].has_value == (a->value != NULL))
		return i;
	snprintf(a->error, sizeof a->error, "--%s: %s", a->table[i].name,
		a->table[i].has_value ? "needs a value" : "takes no value");
	return ARGUMENTS_WRONG;
}

int arguments_next(struct arguments *a)
{
	static char help[] = "help";

	while (a->next < a->argc) {
		char *argument = a->argv[a->next++];

		if (a->only_words || argument[0] != '-' || argument[1] == '\0') {
			a->argv[++a->words] = argument;
		} else if (strcmp(argument, "--") == 0) {
			a->only_words = true;
		} else if (argument[1] == '-') {
			return take_option(a, argument + 2);
		} else if (strcmp(argument, "-h") == 0) {
			return take_option(a, help);
		} else {
			snprintf(a->error, sizeof a->error, "unknown option %.100s; try --help", argument);
			return ARGUMENTS_WRONG;
		}
	}
	return ARGUMENTS_END;
}
