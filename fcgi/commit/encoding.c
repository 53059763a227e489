#include "config.h"

#include "encoding.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "common/moment.h"

/* How much of its memory a batch leaves to the next one. */
#define KEPT_BYTES ((size_t)8 * 1024 * 1024)

/* From PostgreSQL's pg_type.dat. */
#define BYTEA_OID 17
#define INT4_OID 23
#define TEXT_OID 25
#define JSON_OID 114
#define BYTEA_ARRAY_OID 1001
#define TEXT_ARRAY_OID 1009

const Oid encoding_types[ENCODING_PARAMETERS] = {JSON_OID, BYTEA_ARRAY_OID, TEXT_ARRAY_OID, INT4_OID};

static void put_int32(struct buffer *b, size_t value)
{
	uint32_t network = htonl((uint32_t)value);

	buffer_put(b, &network, sizeof network);
}

static void put_delivery(struct buffer *b, const struct delivery *delivery)
{
	const struct event *event = delivery->dead_letter == NULL ? delivery->event : delivery->traces;
	char received_at[MOMENT_SIZE];

	moment_print(delivery->received_us, received_at);
	buffer_puts(b, "{\"received_at\":\"");
	buffer_puts(b, received_at);
	buffer_puts(b, "\"");
	if (delivery->timestamp >= 0) {
		buffer_puts(b, ",\"signed_timestamp\":");
		buffer_put_size(b, (size_t)delivery->timestamp);
	}
	if (delivery->dead_letter != NULL) {
		buffer_printf(b, ",\"outcome\":\"%s\",\"detail\":", delivery->dead_letter);
		buffer_puts_json(b, delivery->detail);
	}
	if (event != NULL) {
		buffer_puts(b, ",");
		buffer_put(b, event->members, event->members_len);
	}
	buffer_puts(b, "}");
}

/* Begins an array in the binary format of array_recv(): one dimension, whether there are NULLs, element type,
 * size, lower bound. Each element follows as its length and bytes, a NULL as the length -1. */
static void put_array(struct buffer *b, Oid element, bool has_nulls, size_t count)
{
	buffer_clear(b);
	put_int32(b, 1);
	put_int32(b, has_nulls);
	put_int32(b, element);
	put_int32(b, count);
	put_int32(b, 1);
}

bool encoding_make(struct encoding *encoding, struct delivery *const batch[], size_t count)
{
	buffer_clear(&encoding->deliveries);
	put_array(&encoding->bodies, BYTEA_OID, false, count);
	put_array(&encoding->signatures, TEXT_OID, true, count);
	for (size_t i = 0; i < count; i++) {
		buffer_puts(&encoding->deliveries, i == 0 ? "[" : ",");
		put_delivery(&encoding->deliveries, batch[i]);
		put_int32(&encoding->bodies, batch[i]->body_len);
		buffer_put(&encoding->bodies, batch[i]->body, batch[i]->body_len);
		size_t signature_len = strlen(batch[i]->signature);
		put_int32(&encoding->signatures, signature_len > 0 ? signature_len : UINT32_MAX);
		buffer_put(&encoding->signatures, batch[i]->signature, signature_len);
	}
	buffer_puts(&encoding->deliveries, "]");
	/* libpq counts in int. */
	if (encoding->bodies.len > INT_MAX || encoding->deliveries.len > INT_MAX)
		return false;
	return !buffer_failed(&encoding->deliveries) && !buffer_failed(&encoding->bodies)
		&& !buffer_failed(&encoding->signatures);
}

bool encoding_recycle(struct encoding *encoding)
{
	const bool large = encoding->bodies.len + encoding->deliveries.len > KEPT_BYTES;

	buffer_recycle(&encoding->deliveries, KEPT_BYTES);
	buffer_recycle(&encoding->bodies, KEPT_BYTES);
	buffer_recycle(&encoding->signatures, KEPT_BYTES);
	return large;
}

void encoding_done(struct encoding *encoding)
{
	buffer_done(&encoding->deliveries);
	buffer_done(&encoding->bodies);
	buffer_done(&encoding->signatures);
}
