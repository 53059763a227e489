#include "config.h"

#include "delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"

struct delivery *delivery_new(unsigned char *body, size_t body_len)
{
	struct delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery == NULL)
		return NULL;
	delivery->body = body;
	delivery->body_len = body_len;
	delivery->timestamp = -1;
	delivery->modes = SECRET_BOTH;
	delivery->received_us = clock_real_us();
	atomic_init(&delivery->holders, 1);
	return delivery;
}

static unsigned mode_bit(const char *mode)
{
	return strcmp(mode, "live") == 0 ? SECRET_LIVE : SECRET_TEST;
}

static void reject_mode(struct delivery *delivery)
{
	snprintf(delivery->detail, sizeof delivery->detail,
		"mode: %s, but the secret that signed it is for %s events", delivery->event->mode,
		delivery->modes == SECRET_LIVE ? "live" : "test");
	delivery->traces = delivery->event;
	delivery->event = NULL;
	delivery->dead_letter = "mode";
	delivery->wrong_mode = true;
}

enum event_result delivery_parse(struct delivery *delivery)
{
	struct event *parsed;
	enum event_result result = event_parse(delivery->body, delivery->body_len, &parsed, delivery->detail);

	if (result == EVENT_OK)
		delivery->event = parsed;
	else
		delivery->traces = parsed;
	if (result == EVENT_INVALID)
		delivery->dead_letter = "invalid";
	if (result == EVENT_OK && (delivery->modes & mode_bit(parsed->mode)) == 0)
		reject_mode(delivery);
	return result;
}

const char *delivery_loggable_id(const struct delivery *delivery)
{
	const struct event *event = delivery->event;

	return event != NULL && text_is_id(event->id, sizeof event->id) ? event->id : NULL;
}

size_t delivery_size(const struct delivery *delivery)
{
	return delivery->body_len + (delivery->event == NULL ? 0 : delivery->event->members_len)
		+ (delivery->traces == NULL ? 0 : delivery->traces->members_len);
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
	event_free(delivery->traces);
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
