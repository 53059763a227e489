#include "config.h"

#include "delivery.h"

#include <stdlib.h>

struct delivery *delivery_new(unsigned char *body, size_t body_len)
{
	struct delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery == NULL)
		return NULL;
	delivery->body = body;
	delivery->body_len = body_len;
	delivery->timestamp = -1;
	atomic_init(&delivery->holders, 1);
	return delivery;
}

struct delivery *delivery_hold(struct delivery *delivery)
{
	atomic_fetch_add(&delivery->holders, 1);
	return delivery;
}

void delivery_free(struct delivery *delivery)
{
	if (delivery == NULL || atomic_fetch_sub(&delivery->holders, 1) > 1)
		return;
	event_free(delivery->event);
	free(delivery->body);
	free(delivery);
}

void delivery_list_init(struct delivery_list *list)
{
	list->first = NULL;
	list->end = &list->first;
	list->count = 0;
}

void delivery_list_add(struct delivery_list *list, struct delivery *delivery)
{
	delivery->next = NULL;
	*list->end = delivery;
	list->end = &delivery->next;
	list->count++;
}

struct delivery *delivery_list_take(struct delivery_list *list)
{
	struct delivery *delivery = list->first;

	if (delivery == NULL)
		return NULL;
	list->first = delivery->next;
	if (list->first == NULL)
		list->end = &list->first;
	list->count--;
	return delivery;
}
