#include "config.h"

#include "delivery.h"

#include <stdlib.h>
#include <time.h>

struct delivery *delivery_new(unsigned char *body, size_t body_len)
{
	pthread_condattr_t attributes;
	struct delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery == NULL)
		return NULL;
	if (pthread_condattr_init(&attributes) != 0) {
		free(delivery);
		return NULL;
	}
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&delivery->finished, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0) {
		free(delivery);
		return NULL;
	}
	delivery->body = body;
	delivery->body_len = body_len;
	delivery->timestamp = -1;
	return delivery;
}

void delivery_free(struct delivery *delivery)
{
	if (delivery == NULL)
		return;
	pthread_cond_destroy(&delivery->finished);
	event_free(delivery->event);
	free(delivery->body);
	free(delivery);
}
