#include "config.h"

#include "records.h"

#include <string.h>

#define HEADER_LEN 8
#define RECORD_VERSION 1
/* Section 8 */
enum type { BEGIN_REQUEST = 1, ABORT_REQUEST = 2, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };
#define ROLE_RESPONDER 1
#define FLAG_KEEP_CONN 1
#define CONTENT_MAX 65528U /* a multiple of 8, as section 3.3 advises */

void records_init(struct records *r, const struct records_limits *limits)
{
	memset(r, 0, sizeof *r);
	r->limits = limits;
	buffer_init(&r->params);
	buffer_init(&r->body);
}

void records_next(struct records *r)
{
	const uint16_t id = r->id;
	const uint16_t refused_id = r->refused_id;

	records_done(r);
	records_init(r, r->limits);
	r->id = id;
	r->refused_id = refused_id;
}

void records_done(struct records *r)
{
	buffer_done(&r->params);
	buffer_done(&r->body);
}

size_t records_size(const struct records *r)
{
	return r->params.size + r->body.size;
}

/* A length of section 3.4: one byte, or four with the highest bit set. False where it is cut. */
static bool take_length(const unsigned char **at, const unsigned char *end, size_t *length)
{
	if (*at == end)
		return false;
	if ((**at & 0x80) == 0) {
		*length = *(*at)++;
		return true;
	}
	if (end - *at < 4)
		return false;
	*length = (size_t)(**at & 0x7f) << 24 | (size_t)(*at)[1] << 16 | (size_t)(*at)[2] << 8 | (*at)[3];
	*at += 4;
	return true;
}

/* Whether names and values fill the parameters exactly, and hold no NUL, at which libfcgi would
 * end them: what is checked would not be what was sent. */
static bool check_params(const struct buffer *params)
{
	const unsigned char *at = (const unsigned char *)params->data;

	if (params->len == 0)
		return true;
	const unsigned char *end = at + params->len;
	while (at < end) {
		size_t name;
		size_t value;

		if (!take_length(&at, end, &name) || !take_length(&at, end, &value))
			return false;
		if (name > (size_t)(end - at) || value > (size_t)(end - at) - name)
			return false;
		if (memchr(at, '\0', name + value) != NULL)
			return false;
		at += name + value;
	}
	return true;
}

/* Returns true if a record is to be passed over: it begins a request while this one is not complete, or
 * belongs to one that was refused for that, or gives a request up that has been answered meanwhile. */
static bool is_skipped(const struct records *r, uint16_t id)
{
	const unsigned char type = r->header[1];

	if (r->state == RECORDS_BEGIN)
		return (type == ABORT_REQUEST && id == r->id)
			|| (type != BEGIN_REQUEST && id == r->refused_id);
	return id != r->id && (type == BEGIN_REQUEST || id == r->refused_id);
}

/* Checks a header, once all of it is there. */
static enum records_result take_header(struct records *r)
{
	const unsigned char *header = r->header;
	const uint16_t id = (uint16_t)(header[2] << 8 | header[3]);

	r->content_left = (size_t)header[4] << 8 | header[5];
	r->padding_left = header[6];
	if (header[0] != RECORD_VERSION || id == 0)
		return RECORDS_INVALID;
	r->skipped = is_skipped(r, id);
	if (r->skipped)
		return RECORDS_MORE;
	if (r->state == RECORDS_BEGIN) {
		r->id = id;
		return header[1] == BEGIN_REQUEST && r->content_left == sizeof r->begin ? RECORDS_MORE
											: RECORDS_INVALID;
	}
	if (id != r->id)
		return RECORDS_INVALID;
	if (header[1] == ABORT_REQUEST)
		return RECORDS_ABORTED;
	if (header[1] != (r->state == RECORDS_PARAMS ? PARAMS : STDIN))
		return RECORDS_INVALID;
	if (r->state == RECORDS_PARAMS && r->params.len + r->content_left > r->limits->params)
		return RECORDS_TOO_LONG;
	return RECORDS_MORE;
}

/* Content of the record that is being read. */
static enum records_result take_content(struct records *r, const unsigned char *bytes, size_t len)
{
	struct buffer *to = r->state == RECORDS_PARAMS ? &r->params : &r->body;

	if (r->skipped)
		return RECORDS_MORE;
	if (r->state == RECORDS_BEGIN) {
		memcpy(r->begin + r->begin_len, bytes, len);
		r->begin_len += len;
		return RECORDS_MORE;
	}
	buffer_put(to, bytes, len);
	if (buffer_failed(to))
		return RECORDS_NO_MEMORY;
	return r->body.len > r->limits->body ? RECORDS_COMPLETE : RECORDS_MORE;
}

/* The end of a record, its padding included. An empty one ends a stream. */
static enum records_result end_record(struct records *r)
{
	const bool empty = r->header[4] == 0 && r->header[5] == 0;

	r->header_len = 0;
	if (r->skipped) {
		if (r->header[1] != BEGIN_REQUEST)
			return RECORDS_MORE;
		r->refused_id = (uint16_t)(r->header[2] << 8 | r->header[3]);
		return RECORDS_MULTIPLEXED;
	}
	switch (r->state) {
	case RECORDS_BEGIN:
		r->state = RECORDS_PARAMS;
		return (r->begin[0] << 8 | r->begin[1]) == ROLE_RESPONDER ? RECORDS_MORE : RECORDS_WRONG_ROLE;
	case RECORDS_PARAMS:
		if (!empty)
			return RECORDS_MORE;
		r->state = RECORDS_STDIN;
		return check_params(&r->params) ? RECORDS_MORE : RECORDS_INVALID;
	case RECORDS_STDIN:
		break;
	}
	return empty ? RECORDS_COMPLETE : RECORDS_MORE;
}

enum records_result records_feed(struct records *r, const unsigned char *bytes, size_t len, size_t *all_taken)
{
	enum records_result result = RECORDS_MORE;

	*all_taken = 0;
	while (len > 0 && result == RECORDS_MORE) {
		size_t taken;

		if (r->header_len < HEADER_LEN) {
			taken = HEADER_LEN - r->header_len < len ? HEADER_LEN - r->header_len : len;
			memcpy(r->header + r->header_len, bytes, taken);
			r->header_len += taken;
			if (r->header_len == HEADER_LEN)
				result = take_header(r);
		} else if (r->content_left > 0) {
			taken = r->content_left < len ? r->content_left : len;
			r->content_left -= taken;
			result = take_content(r, bytes, taken);
		} else {
			taken = r->padding_left < len ? r->padding_left : len;
			r->padding_left -= taken;
		}
		bytes += taken;
		len -= taken;
		*all_taken += taken;
		if (result == RECORDS_MORE && r->header_len == HEADER_LEN && r->content_left == 0
			&& r->padding_left == 0)
			result = end_record(r);
	}
	return result;
}

bool records_keep(const struct records *r)
{
	return (r->begin[2] & FLAG_KEEP_CONN) != 0;
}

static void put_record(
	const struct records *r, struct buffer *out, enum type type, const void *content, size_t len)
{
	const unsigned char header[HEADER_LEN] = {RECORD_VERSION, (unsigned char)type,
		(unsigned char)(r->id >> 8), (unsigned char)(r->id & 0xff), (unsigned char)(len >> 8),
		(unsigned char)(len & 0xff), 0, 0};

	buffer_put(out, header, sizeof header);
	buffer_put(out, content, len);
}

static void put_stream(
	const struct records *r, struct buffer *out, enum type type, const struct buffer *content)
{
	for (size_t at = 0; at < content->len; at += CONTENT_MAX) {
		size_t len = content->len - at < CONTENT_MAX ? content->len - at : CONTENT_MAX;

		put_record(r, out, type, content->data + at, len);
	}
	put_record(r, out, type, "", 0);
}

void records_put(const struct records *r, struct buffer *out)
{
	static const unsigned char begin[HEADER_LEN] = {0, ROLE_RESPONDER};

	put_record(r, out, BEGIN_REQUEST, begin, sizeof begin);
	put_stream(r, out, PARAMS, &r->params);
	put_stream(r, out, STDIN, &r->body);
}

void records_put_answer(const struct records *r, const void *answer, size_t len, struct buffer *out)
{
	/* Status 0, and the request is complete. */
	static const unsigned char end[HEADER_LEN] = {0};

	put_record(r, out, STDOUT, answer, len);
	put_record(r, out, STDOUT, "", 0);
	put_record(r, out, END_REQUEST, end, sizeof end);
}
