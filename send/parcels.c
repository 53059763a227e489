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

void parcel_free(struct parcel *parcel)
{
	free(parcel->label);
	free(parcel->body);
}

void parcels_free(struct parcels *parcels)
{
	for (size_t i = 0; i < parcels->count; i++)
		parcel_free(&parcels->parcel[i]);
	free(parcels->parcel);
	*parcels = (struct parcels){0};
}
