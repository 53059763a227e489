/* What someone who made a typing error may have meant. */
#ifndef BAGELHOOK_NEAREST_H
#define BAGELHOOK_NEAREST_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

/* Words are compared up to here. */
#define NEAREST_MAX 64

/* How many letters have to be put in, left out, replaced, or exchanged with their neighbour to make
 * one word of the other. Words longer than NEAREST_MAX have nothing to do with any other: SIZE_MAX. */
size_t nearest_distance(const char *one, const char *other);

/* Whether a word at this distance is near enough to be suggested for what was said. */
bool nearest_is_near(size_t distance, const char *said);

/* The option of a table for getopt_long(3) that was probably meant by a word of the command line ("--admn",
 * "--admn=x"); its name, the table's own, or NULL where none is near. */
const char *nearest_option(const char *word, const struct option *table);

#endif
