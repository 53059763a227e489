#include "config.h"

#include "records.h"

#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	records_done(r);
	r->skipped = r->header_len > 0;
	r->ended = r->ended || r->state != RECORDS_STDIN;
	r->state = RECORDS_BEGIN;
	r->begin_len = 0;
}

void records_done(struct records *r)
{
	buffer_done(&r->params);
	buffer_done(&r->body);
	free((void *)r->envp);
	r->envp = NULL;
	r->envp_size = 0;
}

bool records_idle(const struct records *r)
{
	return r->state == RECORDS_BEGIN && r->header_len == 0;
}

size_t records_size(const struct records *r)
{
	return r->params.len + r->body.len + r->envp_size;
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

/* The lengths of the pair that begins at *at, which is moved to its name. False where it is cut. */
static bool take_pair(const unsigned char **at, const unsigned char *end, size_t *name, size_t *value)
{
	if (!take_length(at, end, name) || !take_length(at, end, value))
		return false;
	return *name <= (size_t)(end - *at) && *value <= (size_t)(end - *at) - *name;
}

/* Counts the parameters. False unless names and values fill them exactly, and hold no NUL, at which a text
 * would end: what is checked would not be what was sent. */
static bool count_params(const struct buffer *params, size_t *count)
{
	const unsigned char *at = (const unsigned char *)params->data;
	const unsigned char *end = params->len == 0 ? at : at + params->len;

	for (*count = 0; at < end; ++*count) {
		size_t name;
		size_t value;

		if (!take_pair(&at, end, &name, &value) || memchr(at, '\0', name + value) != NULL)
			return false;
		at += name + value;
	}
	return true;
}

/* Makes texts of the parameters, in place: "=" and NUL take no more than the two lengths did. */
static enum records_result read_params(struct records *r)
{
	const unsigned char *at = (const unsigned char *)r->params.data;
	char *to = r->params.data;
	size_t count;

	if (!count_params(&r->params, &count))
		return RECORDS_INVALID;
	r->envp = (char **)calloc(count + 1, sizeof *r->envp);
	if (r->envp == NULL)
		return RECORDS_NO_MEMORY;
	r->envp_size = (count + 1) * sizeof *r->envp;
	const unsigned char *end = count == 0 ? at : at + r->params.len;
	for (size_t i = 0; i < count; i++) {
		size_t name = 0;
		size_t value = 0;

		take_pair(&at, end, &name, &value);
		r->envp[i] = to;
		memmove(to, at, name);
		to[name] = '=';
		memmove(to + name + 1, at + name, value);
		to += name + 1 + value;
		*to++ = '\0';
		at += name + value;
	}
	return RECORDS_HEAD;
}

/* Returns true if a record is to be passed over: it begins a request while this one is not complete, or
 * belongs to one that was refused for that, or to one that has been answered meanwhile. */
static bool is_skipped(const struct records *r, uint16_t id)
{
	const unsigned char type = r->header[1];

	if (r->state == RECORDS_BEGIN)
		return (id == r->id && (type == FCGI_ABORT_REQUEST || (type == FCGI_STDIN && !r->ended)))
			|| (type != FCGI_BEGIN_REQUEST && id == r->refused_id);
	return id != r->id && (type == FCGI_BEGIN_REQUEST || id == r->refused_id);
}

/* Checks a header, once all of it is there. */
static enum records_result take_header(struct records *r)
{
	const unsigned char *header = r->header;
	const uint16_t id = (uint16_t)(header[2] << 8 | header[3]);

	r->content_left = (size_t)header[4] << 8 | header[5];
	r->padding_left = header[6];
	if (header[0] != FCGI_VERSION_1)
		return RECORDS_INVALID;
	r->skipped = false;
	if (id == FCGI_NULL_REQUEST_ID) {
		r->management_len = 0;
		return RECORDS_MORE;
	}
	r->skipped = is_skipped(r, id);
	if (r->skipped)
		return RECORDS_MORE;
	if (r->state == RECORDS_BEGIN) {
		r->id = id;
		r->ended = false;
		return header[1] == FCGI_BEGIN_REQUEST && r->content_left == sizeof r->begin ? RECORDS_MORE
											: RECORDS_INVALID;
	}
	if (id != r->id)
		return RECORDS_INVALID;
	if (header[1] == FCGI_ABORT_REQUEST)
		return RECORDS_ABORTED;
	if (header[1] != (r->state == RECORDS_PARAMS ? FCGI_PARAMS : FCGI_STDIN))
		return RECORDS_INVALID;
	if (r->state == RECORDS_PARAMS && r->params.len + r->content_left > r->limits->params)
		return RECORDS_TOO_LONG;
	return RECORDS_MORE;
}

static bool is_management(const struct records *r)
{
	return (r->header[2] << 8 | r->header[3]) == FCGI_NULL_REQUEST_ID;
}

/* Content of the record that is being read. */
static enum records_result take_content(struct records *r, const unsigned char *bytes, size_t len)
{
	struct buffer *to = r->state == RECORDS_PARAMS ? &r->params : &r->body;

	if (r->skipped)
		return RECORDS_MORE;
	if (is_management(r)) {
		const size_t room = sizeof r->management - r->management_len;

		memcpy(r->management + r->management_len, bytes, len < room ? len : room);
		r->management_len += len < room ? len : room;
		return RECORDS_MORE;
	}
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
	if (is_management(r))
		return RECORDS_MANAGEMENT;
	if (r->skipped) {
		if (r->state == RECORDS_BEGIN && r->header[1] == FCGI_STDIN && empty)
			r->ended = true;
		if (r->header[1] != FCGI_BEGIN_REQUEST)
			return RECORDS_MORE;
		r->refused_id = (uint16_t)(r->header[2] << 8 | r->header[3]);
		return RECORDS_MULTIPLEXED;
	}
	switch (r->state) {
	case RECORDS_BEGIN:
		r->state = RECORDS_PARAMS;
		return (r->begin[0] << 8 | r->begin[1]) == FCGI_RESPONDER ? RECORDS_MORE : RECORDS_WRONG_ROLE;
	case RECORDS_PARAMS:
		if (!empty)
			return RECORDS_MORE;
		r->state = RECORDS_STDIN;
		return read_params(r);
	case RECORDS_STDIN:
		r->ended = empty;
		break;
	}
	return r->ended ? RECORDS_COMPLETE : RECORDS_MORE;
}

enum records_result records_feed(struct records *r, const unsigned char *bytes, size_t len, size_t *all_taken)
{
	enum records_result result = RECORDS_MORE;

	*all_taken = 0;
	while (len > 0 && result == RECORDS_MORE) {
		size_t taken;

		if (r->header_len < FCGI_HEADER_LEN) {
			taken = FCGI_HEADER_LEN - r->header_len < len ? FCGI_HEADER_LEN - r->header_len : len;
			memcpy(r->header + r->header_len, bytes, taken);
			r->header_len += taken;
			if (r->header_len == FCGI_HEADER_LEN)
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
		if (result == RECORDS_MORE && r->header_len == FCGI_HEADER_LEN && r->content_left == 0
			&& r->padding_left == 0)
			result = end_record(r);
	}
	return result;
}

const char *records_fault(const struct records *r)
{
	const unsigned char *header = r->header;
	size_t letters = 0;

	if (header[0] == FCGI_VERSION_1)
		return "FastCGI records that are malformed, or none of a responder's";
	if (header[0] == 0x16 && header[1] == 3)
		return "TLS: this is a FastCGI listener, clients and proxies connect to the web server";
	if (memcmp(header, "PROXY ", 6) == 0)
		return "the PROXY protocol: turn it off for this listener";
	while (letters < sizeof r->header && header[letters] >= 'A' && header[letters] <= 'Z')
		letters++;
	if (letters >= 3 && (letters == sizeof r->header || header[letters] == ' '))
		return "HTTP: this is a FastCGI listener, clients and proxies connect to the web server";
	return "no FastCGI record";
}

bool records_keep(const struct records *r)
{
	return (r->begin[2] & FCGI_KEEP_CONN) != 0;
}

/* libfcgi calls this at the end of the bytes. */
static void end_stream(FCGX_Stream *in)
{
	in->isClosed = 1;
}

void records_open_stream(FCGX_Stream *in, void *bytes, size_t len)
{
	*in = (FCGX_Stream){.rdNext = bytes, .stop = (unsigned char *)bytes + len, .isReader = 1,
		.fillBuffProc = end_stream};
	in->stopUnget = in->rdNext;
}

void records_open(struct records *r, FCGX_Request *fcgi, FCGX_Stream *in)
{
	static unsigned char nothing[1];

	if (r->body.len > 0)
		records_open_stream(in, r->body.data, r->body.len);
	else
		records_open_stream(in, nothing, 0);
	*fcgi = (FCGX_Request){
		.requestId = r->id, .role = FCGI_RESPONDER, .in = in, .envp = r->envp, .ipcFd = -1};
}

static void put_record(struct buffer *out, int type, uint16_t id, const void *content, size_t len)
{
	const unsigned char header[FCGI_HEADER_LEN] = {FCGI_VERSION_1, (unsigned char)type,
		(unsigned char)(id >> 8), (unsigned char)(id & 0xff), (unsigned char)(len >> 8),
		(unsigned char)(len & 0xff), 0, 0};

	buffer_put(out, header, sizeof header);
	buffer_put(out, content, len);
}

void records_put_answer(const struct records *r, const void *answer, size_t len, struct buffer *out)
{
	/* Status 0, and the request is complete. */
	static const unsigned char end[FCGI_HEADER_LEN] = {0};

	for (size_t at = 0; at < len; at += CONTENT_MAX)
		put_record(out, FCGI_STDOUT, r->id, (const char *)answer + at,
			len - at < CONTENT_MAX ? len - at : CONTENT_MAX);
	put_record(out, FCGI_STDOUT, r->id, "", 0);
	put_record(out, FCGI_END_REQUEST, r->id, end, sizeof end);
}

/* Appends one name and its value, if the name is one that section 4.1 knows. */
static void put_value(const struct records *r, const unsigned char *name, size_t len, struct buffer *out)
{
	static const char *const names[] = {FCGI_MAX_CONNS, FCGI_MAX_REQS, FCGI_MPXS_CONNS};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char value[24];

		if (strlen(names[i]) != len || memcmp(names[i], name, len) != 0)
			continue;
		/* One request at a time on each connection. */
		const int digits =
			snprintf(value, sizeof value, "%zu", i < 2 ? r->limits->connections : (size_t)0);
		const unsigned char lengths[2] = {(unsigned char)len, (unsigned char)digits};
		buffer_put(out, lengths, sizeof lengths);
		buffer_put(out, name, len);
		buffer_put(out, value, (size_t)digits);
	}
}

void records_put_values(const struct records *r, struct buffer *out)
{
	const unsigned char *at = r->management;
	const unsigned char *end = at + r->management_len;
	const unsigned char type = r->header[1];
	struct buffer values;
	size_t name;
	size_t value;

	if (type != FCGI_GET_VALUES) {
		const unsigned char unknown[FCGI_HEADER_LEN] = {type};

		put_record(out, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, unknown, sizeof unknown);
		return;
	}
	buffer_init(&values);
	while (at < end && take_pair(&at, end, &name, &value)) {
		put_value(r, at, name, &values);
		at += name + value;
	}
	out->failed = out->failed || buffer_failed(&values);
	put_record(out, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, values.data, values.len);
	buffer_done(&values);
}
