#include "config.h"

#include "parcels.h"

#include <stdlib.h>
#include <string.h>

bool parcels_add(struct parcels *parcels, const char *label, unsigned char *body, size_t len)
{
	char *copy = strdup(label);
	struct parcel *larger =
		copy == NULL ? NULL : reallocarray(parcels->parcel, parcels->count + 1, sizeof *larger);

	if (larger == NULL) {
		free(copy);
		free(body);
		return false;
	}
	larger[parcels->count].label = copy;
	larger[parcels->count].body = body;
	larger[parcels->count].len = len;
	parcels->parcel = larger;
	parcels->count++;
	return true;
}

void parcels_free(struct parcels *parcels)
{
	for (size_t i = 0; i < parcels->count; i++) {
		free(parcels->parcel[i].label);
		free(parcels->parcel[i].body);
	}
	free(parcels->parcel);
	*parcels = (struct parcels){0};
}

size_t *parcels_order(
	const struct parcels *parcels, size_t duplicates, const unsigned int *seed, size_t *count)
{
	const size_t each = duplicates + 1;
	size_t *order = calloc(parcels->count * each + 1, sizeof *order);

	if (order == NULL)
		return NULL;
	*count = parcels->count * each;
	for (size_t i = 0; i < *count; i++)
		order[i] = i / each;
	if (seed == NULL)
		return order;
	unsigned int state = *seed;
	for (size_t i = *count; i > 1; i--) {
		size_t other = (size_t)rand_r(&state) % i;
		size_t number = order[i - 1];

		order[i - 1] = order[other];
		order[other] = number;
	}
	return order;
}
