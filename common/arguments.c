#include "config.h"

#include "arguments.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moment.h"

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

/* A search for the name that is nearest to a mistyped word. */
struct proposal {
	const char *word;
	const char *nearest; /* NULL: none */
	size_t distance;
};

static void propose(struct proposal *proposal, const char *name)
{
	const size_t distance = distance_between(proposal->word, name);

	/* A suggestion that was not meant is worse than none. */
	if (distance < proposal->distance && distance <= 1 + strlen(proposal->word) / 4) {
		proposal->distance = distance;
		proposal->nearest = name;
	}
}

/* The position of a word among those between bars, or -1. */
static long find_word(const char *words, const char *text)
{
	const size_t len = strlen(text);

	for (long i = 0;; i++) {
		const size_t word_len = strcspn(words, "|");

		if (word_len == len && memcmp(words, text, len) == 0)
			return i;
		if (words[word_len] == '\0')
			return -1;
		words += word_len + 1;
	}
}

/* Returns true if the text is a number within the limits; *value holds it then. */
static bool read_number(const struct argument *argument, const char *text, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, argument->kind == ARGUMENT_MODE ? 8 : 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value >= argument->lowest
		&& *value <= argument->highest;
}

static bool read_seconds(const struct argument *argument, const char *text, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && isfinite(*value)
		&& *value >= (double)argument->lowest && *value <= (double)argument->highest;
}

/* Sets one option from a text. name is how the user said it. */
static int set(void *options, const struct argument *argument, const char *name, const char *text,
	char error[ARGUMENTS_ERROR_SIZE])
{
	void *member = (char *)options + argument->offset;
	struct argument_texts *texts = member;
	bool on;
	long number;
	double seconds;

	switch (argument->kind) {
	case ARGUMENT_TEXT:
		memcpy(member, &text, sizeof text);
		if (text[0] != '\0')
			return 0;
		snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: must not be empty", name);
		break;
	case ARGUMENT_MAYBE:
		text = text[0] == '\0' ? NULL : text;
		memcpy(member, &text, sizeof text);
		return 0;
	case ARGUMENT_TEXTS:
		texts->texts[texts->count++] = text;
		return 0;
	case ARGUMENT_SWITCH:
		on = find_word("1|yes|true", text) >= 0;
		memcpy(member, &on, sizeof on);
		if (on || find_word("0|no|false", text) >= 0)
			return 0;
		snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: must be yes or no, not \"%.100s\"", name, text);
		break;
	case ARGUMENT_WORD:
		number = find_word(argument->argument, text);
		memcpy(member, &number, sizeof number);
		if (number >= 0)
			return 0;
		snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: must be one of %s, not \"%.100s\"", name,
			argument->argument, text);
		break;
	case ARGUMENT_FROM:
	case ARGUMENT_TO:
		if (moment_read(text, strlen(text), argument->kind == ARGUMENT_TO, member))
			return 0;
		snprintf(error, ARGUMENTS_ERROR_SIZE,
			"%s: must be a day such as 2026-01-31, or a moment such as 2026-01-31T08:00:00Z, not "
			"\"%.100s\"",
			name, text);
		break;
	case ARGUMENT_NUMBER:
	case ARGUMENT_MODE:
		if (read_number(argument, text, &number)) {
			memcpy(member, &number, sizeof number);
			return 0;
		}
		snprintf(error, ARGUMENTS_ERROR_SIZE,
			argument->kind == ARGUMENT_MODE
				? "%s: must be an octal mode from %lo to %lo, not \"%.100s\""
				: "%s: must be a number from %ld to %ld, not \"%.100s\"",
			name, (unsigned long)argument->lowest, (unsigned long)argument->highest, text);
		break;
	case ARGUMENT_SECONDS:
		if (read_seconds(argument, text, &seconds)) {
			memcpy(member, &seconds, sizeof seconds);
			return 0;
		}
		snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: must be a number from %ld to %ld, not \"%.100s\"", name,
			argument->lowest, argument->highest, text);
		break;
	}
	return -1;
}

static void set_default(void *options, const struct argument *argument)
{
	void *member = (char *)options + argument->offset;
	const double seconds = (double)argument->otherwise;

	if (argument->kind == ARGUMENT_NUMBER || argument->kind == ARGUMENT_MODE || argument->kind == ARGUMENT_WORD)
		memcpy(member, &argument->otherwise, sizeof argument->otherwise);
	else if (argument->kind == ARGUMENT_SECONDS)
		memcpy(member, &seconds, sizeof seconds);
}

static int take_environment(
	const struct argument table[], unsigned command, void *options, char error[ARGUMENTS_ERROR_SIZE])
{
	for (const struct argument *argument = table; argument->name != NULL; argument++) {
		/* Only the main thread runs yet. */
		const char *text = argument->variable == NULL
			? NULL
			: getenv(argument->variable); /* NOLINT(concurrency-mt-unsafe) */

		set_default(options, argument);
		/* Unit files and containers set variables to nothing where they mean none. */
		if (text != NULL && text[0] != '\0' && (argument->commands & command) != 0
			&& set(options, argument, argument->variable, text, error) != 0)
			return -1;
	}
	return 0;
}

int arguments_check_environment(
	const struct argument table[], const char *prefix, const char *program, char error[ARGUMENTS_ERROR_SIZE])
{
	for (char **variable = environ; *variable != NULL; variable++) {
		const size_t len = strcspn(*variable, "=");
		const struct argument *argument = table;
		char name[WORD_MAX + 1];
		struct proposal proposal = {name, NULL, SIZE_MAX};

		if (strncmp(*variable, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX), *variable);
		for (; argument->name != NULL; argument++) {
			if (argument->variable == NULL)
				continue;
			if (strcmp(argument->variable, name) == 0)
				break;
			propose(&proposal, argument->variable);
		}
		if (argument->name != NULL)
			continue;
		if (proposal.nearest != NULL)
			snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: no such variable; did you mean %s?", name,
				proposal.nearest);
		else
			snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: no such variable; see %s --help", name, program);
		return -1;
	}
	return 0;
}

/* Finds an option by its name, whose end is marked by its length. */
static const struct argument *find(
	const struct argument table[], unsigned command, const char *name, size_t len, char error[ARGUMENTS_ERROR_SIZE])
{
	char word[WORD_MAX + 1];
	struct proposal proposal = {word, NULL, SIZE_MAX};

	snprintf(word, sizeof word, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX), name);
	for (const struct argument *argument = table; argument->name != NULL; argument++) {
		if ((argument->commands & command) == 0)
			continue;
		if (strcmp(argument->name, word) == 0)
			return argument;
		propose(&proposal, argument->name);
	}
	if (proposal.nearest != NULL)
		snprintf(error, ARGUMENTS_ERROR_SIZE, "unknown option --%s; did you mean --%s?", word,
			proposal.nearest);
	else
		snprintf(error, ARGUMENTS_ERROR_SIZE, "unknown option --%s; try --help", word);
	return NULL;
}

int arguments_take(const struct argument table[], unsigned command, void *options, int argc, char *argv[],
	char error[ARGUMENTS_ERROR_SIZE])
{
	bool only_words = false;
	int words = 0;

	if (take_environment(table, command, options, error) != 0)
		return -1;
	for (int next = 1; next < argc;) {
		char *word = argv[next++];
		char name[WORD_MAX + 3];

		if (only_words || word[0] != '-' || word[1] == '\0') {
			argv[++words] = word;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			only_words = true;
			continue;
		}
		if (word[1] != '-' && strcmp(word, "-h") != 0) {
			snprintf(error, ARGUMENTS_ERROR_SIZE, "unknown option %.100s; try --help", word);
			return -1;
		}
		const char *option = word[1] == '-' ? word + 2 : "help";
		const char *value = strchr(option, '=');
		const struct argument *argument = find(
			table, command, option, value == NULL ? strlen(option) : (size_t)(value - option), error);
		if (argument == NULL)
			return -1;
		const bool is_switch = argument->kind == ARGUMENT_SWITCH;
		if (value != NULL)
			value++;
		else if (!is_switch && next < argc)
			value = argv[next++];
		snprintf(name, sizeof name, "--%s", argument->name);
		if (is_switch && value != NULL) {
			snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: takes no value", name);
			return -1;
		}
		if (is_switch)
			value = "yes";
		if (value == NULL) {
			snprintf(error, ARGUMENTS_ERROR_SIZE, "%s: needs a value", name);
			return -1;
		}
		if (set(options, argument, name, value, error) != 0)
			return -1;
	}
	return words;
}

/* Prints the limits and the default, where there are some. */
static void print_limits(const struct argument *argument, FILE *out)
{
	const char *word = argument->argument;

	switch (argument->kind) {
	case ARGUMENT_NUMBER:
	case ARGUMENT_SECONDS:
		if (argument->otherwise >= argument->lowest)
			fprintf(out, " (%ld to %ld; default %ld)", argument->lowest, argument->highest,
				argument->otherwise);
		else if (argument->highest < LONG_MAX)
			fprintf(out, " (%ld to %ld)", argument->lowest, argument->highest);
		break;
	case ARGUMENT_MODE:
		fprintf(out, " (octal; default %lo)", (unsigned long)argument->otherwise);
		break;
	case ARGUMENT_WORD:
		for (long i = 0; i < argument->otherwise; i++)
			word += strcspn(word, "|") + 1;
		if (argument->otherwise >= 0)
			fprintf(out, " (default %.*s)", (int)strcspn(word, "|"), word);
		break;
	default:
		break;
	}
}

void arguments_help(const struct argument table[], unsigned command, FILE *out)
{
	for (const struct argument *argument = table; argument->name != NULL; argument++) {
		if ((argument->commands & command) == 0)
			continue;
		fprintf(out, "  --%s%s%s\n      %s", argument->name, argument->argument == NULL ? "" : " ",
			argument->argument == NULL ? "" : argument->argument, argument->help);
		print_limits(argument, out);
		fprintf(out, "\n");
		if (argument->variable != NULL)
			fprintf(out, "      %s\n", argument->variable);
	}
}
