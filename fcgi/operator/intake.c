/* A batch that fails for one delivery's sake goes again, one by one, as the committer does it;
 * but here nobody waits for an answer, so that a locked order is simply waited for. */
#include "config.h"

#include "intake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "fcgi/event/event.h"

#define CONNECT_MS 10000
#define COMMIT_MS 60000
#define LOCK_MS 10000
#define MAX_TRIES 5
/* A batch that has reached this gets no further body: PostgreSQL takes messages of up to 1 GiB. */
#define MAX_BYTES ((size_t)16 * 1024 * 1024)

void intake_begin(struct intake *intake, struct store *store, intake_settled *settled, void *context)
{
	memset(intake, 0, sizeof *intake);
	intake->store = store;
	intake->settled = settled;
	intake->context = context;
}

static void settle(struct intake *intake, size_t i)
{
	intake->settled(intake->context, intake->batch[i], intake->items[i]);
	delivery_free(intake->batch[i]);
}

static enum store_result commit(struct intake *intake, size_t first, size_t count)
{
	enum store_result result = STORE_RETRY;

	for (int tries = 0; result == STORE_RETRY && tries < MAX_TRIES; tries++) {
		const struct store_limits limits = {LOCK_MS, COMMIT_MS, clock_ms() + COMMIT_MS, false};

		result = store_commit(intake->store, intake->batch + first, count, &limits);
	}
	return result;
}

/* Returns true if the database is there; connects anew if needed. */
static bool is_there(struct intake *intake)
{
	if (store_connected(intake->store) || store_connect(intake->store, CONNECT_MS) == PG_READY)
		return true;
	intake->error = store_error(intake->store);
	return false;
}

/* Commits one alone. Whether the database is of use to the ones behind. */
static bool commit_one(struct intake *intake, size_t i)
{
	struct delivery *delivery = intake->batch[i];
	const char *what = "cannot be committed";
	char sqlstate[8];
	enum store_result result = is_there(intake) ? commit(intake, i, 1) : STORE_UNAVAILABLE;

	snprintf(sqlstate, sizeof sqlstate, "%s", store_sqlstate(intake->store));
	switch (result) {
	case STORE_OK:
		settle(intake, i);
		return true;
	case STORE_REFUSED:
		what = "refused by the database";
		break;
	case STORE_LOCKED:
	case STORE_RETRY:
		what = "its order is locked by somebody else";
		break;
	case STORE_TOO_SLOW:
		what = "takes the database longer than it may";
		break;
	case STORE_FAILED:
		break;
	case STORE_UNAVAILABLE:
	case STORE_UNKNOWN:
		/* Perhaps it is this one that the database chokes on. */
		if (!is_there(intake))
			return false;
		what = "the database gave no answer to it";
		break;
	}
	/* Not in the server's words, which may quote the event. */
	delivery->outcome = DELIVERY_FAILED;
	snprintf(delivery->detail, sizeof delivery->detail, sqlstate[0] == '\0' ? "%s" : "%s (SQLSTATE %s)",
		what, sqlstate);
	settle(intake, i);
	return true;
}

bool intake_end(struct intake *intake)
{
	size_t count = intake->count;
	size_t settled = 0;

	intake->count = 0;
	intake->bytes = 0;
	if (count > 1 && is_there(intake) && commit(intake, 0, count) == STORE_OK)
		for (; settled < count; settled++)
			settle(intake, settled);
	while (settled < count && commit_one(intake, settled))
		settled++;
	if (settled == count)
		return true;
	for (; settled < count; settled++)
		delivery_free(intake->batch[settled]);
	return false;
}

bool intake_add(struct intake *intake, const struct intake_body *body, void *item)
{
	unsigned char *copy = malloc(body->len > 0 ? body->len : 1);
	struct delivery *delivery = copy == NULL ? NULL : delivery_new(copy, body->len);

	if (delivery == NULL) {
		free(copy);
		intake->error = text_error(ENOMEM);
		return false;
	}
	memcpy(copy, body->bytes, body->len);
	delivery->timestamp = body->timestamp;
	if (body->signature != NULL && strlen(body->signature) == SIGNATURE_LEN)
		memcpy(delivery->signature, body->signature, sizeof delivery->signature);
	if (body->received_us > 0)
		delivery->received_us = body->received_us;
	switch (delivery_parse(delivery)) {
	case EVENT_OK:
		break;
	case EVENT_INVALID:
		delivery->outcome = DELIVERY_DEAD_LETTER;
		intake->settled(intake->context, delivery, item);
		delivery_free(delivery);
		return true;
	case EVENT_NO_MEMORY:
		delivery_free(delivery);
		intake->error = text_error(ENOMEM);
		return false;
	}
	intake->batch[intake->count] = delivery;
	intake->items[intake->count++] = item;
	intake->bytes += body->len;
	return (intake->count < INTAKE_BATCH && intake->bytes < MAX_BYTES) || intake_end(intake);
}
