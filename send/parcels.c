#include "config.h"

#include "parcels.h"

#include <stdlib.h>
#include <string.h>

bool parcels_add(
	struct parcels *parcels, const char *label, const char *order_id, unsigned char *body, size_t len)
{
	struct parcel parcel = {.label = strdup(label),
		.order_id = order_id == NULL ? NULL : strdup(order_id),
		.body = body,
		.len = len};
	const bool copied = parcel.label != NULL && (order_id == NULL || parcel.order_id != NULL);
	struct parcel *larger =
		copied ? reallocarray(parcels->parcel, parcels->count + 1, sizeof *larger) : NULL;

	if (larger == NULL) {
		parcel_free(&parcel);
		return false;
	}
	parcels->parcel = larger;
	larger[parcels->count++] = parcel;
	return true;
}

void parcel_free(struct parcel *parcel)
{
	free(parcel->label);
	free(parcel->order_id);
	free(parcel->body);
}

void parcels_free(struct parcels *parcels)
{
	for (size_t i = 0; i < parcels->count; i++)
		parcel_free(&parcels->parcel[i]);
	free(parcels->parcel);
	*parcels = (struct parcels){0};
}
