/* A connection's bytes, however they arrive: in pieces they mean what they mean as a whole. The first byte
 * says how many lengths of pieces follow, which are taken in turn. */
#include "config.h"

#include <string.h>

#include "common/records.h"
#include "target.h"

const char fuzz_target_name[] = "records";

static const struct records_limits limits = {10000, 10000, 10};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* Answers a management record, which gives what can be parsed again. */
static void check_values(const struct records *records)
{
	struct buffer out;

	buffer_init(&out);
	records_put_values(records, &out);
	MUST(!buffer_failed(&out));
	MUST(out.len >= 8 && out.len == 8 + ((size_t)(unsigned char)out.data[4] << 8 | (unsigned char)out.data[5]));
	buffer_done(&out);
}

/* Takes all of it in, beyond what does not end a request. */
static enum records_result feed_all(struct records *records, const unsigned char *bytes, size_t len)
{
	enum records_result result;
	size_t taken;

	while ((result = records_feed(records, bytes, len, &taken)) == RECORDS_MULTIPLEXED || result == RECORDS_HEAD
		|| result == RECORDS_MANAGEMENT) {
		MUST(taken > 0 && taken <= len);
		if (result == RECORDS_MANAGEMENT)
			check_values(records);
		bytes += taken;
		len -= taken;
	}
	MUST(taken <= len && (result != RECORDS_MORE || taken == len));
	return result;
}

/* Of a body that is too long, as much is kept as came with the byte that made it so. */
static void check_same(const struct records *whole, const struct records *pieces)
{
	size_t len = whole->body.len;

	MUST(whole->state == pieces->state && whole->id == pieces->id);
	MUST(whole->params.len == pieces->params.len);
	MUST(whole->params.len == 0
		|| memcmp(whole->params.data, pieces->params.data, whole->params.len) == 0);
	MUST((len > limits.body) == (pieces->body.len > limits.body));
	if (len > limits.body)
		len = limits.body;
	else
		MUST(len == pieces->body.len);
	MUST(len == 0 || memcmp(whole->body.data, pieces->body.data, len) == 0);
}

/* What libfcgi reads of a request is the request. */
static void check_opened(struct records *records)
{
	FCGX_Request request;
	FCGX_Stream in;
	size_t len = 0;

	records_open(records, &request, &in);
	for (char **text = request.envp; *text != NULL; text++)
		MUST(strchr(*text, '=') != NULL);
	for (int byte; (byte = FCGX_GetChar(request.in)) != -1; len++)
		MUST(len < records->body.len && byte == (unsigned char)records->body.data[len]);
	MUST(len == records->body.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum records_result result = RECORDS_MORE;
	struct records whole;
	struct records pieces;

	if (size == 0 || size - 1 < data[0])
		return 0;
	const uint8_t *lengths = data + 1;
	const size_t count = data[0];
	const uint8_t *bytes = lengths + count;
	const size_t len = size - 1 - count;

	records_init(&whole, &limits);
	enum records_result expected = feed_all(&whole, bytes, len);

	records_init(&pieces, &limits);
	for (size_t at = 0, i = 0; at < len && result == RECORDS_MORE; i++) {
		/* Without any: byte by byte. */
		size_t piece = count == 0 ? 1 : (size_t)lengths[i % count] + 1;

		if (piece > len - at)
			piece = len - at;
		result = feed_all(&pieces, bytes + at, piece);
		at += piece;
	}
	MUST(result == expected);
	check_same(&whole, &pieces);
	if (expected == RECORDS_COMPLETE)
		check_opened(&whole);
	records_done(&whole);
	records_done(&pieces);
	return 0;
}
