#include "config.h"

#include "request.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Decimal digits as a size; false for anything else, such as the -1 that some web servers send for a body of
 * unknown length. What does not fit is SIZE_MAX, which no limit allows. */
static bool parse_length(const char *text, size_t *length)
{
	*length = 0;
	if (text == NULL || *text == '\0')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		size_t digit = (size_t)(*text - '0');

		*length = *length > (SIZE_MAX - digit) / 10 ? SIZE_MAX : *length * 10 + digit;
	}
	return *text == '\0';
}

/* The value of a header, or NULL. Of one that came twice, neither is to be believed: it is taken
 * for the list that most web servers make of them, which no check of ours lets pass. */
static const char *find_header(FCGX_ParamArray params, const char *name)
{
	const size_t len = strlen(name);
	const char *found = NULL;

	for (; *params != NULL; params++) {
		if (strncmp(*params, name, len) != 0 || (*params)[len] != '=')
			continue;
		if (found != NULL)
			return ",";
		found = *params + len + 1;
	}
	return found;
}

/* Reads until the buffer is full or the stream ends. */
static size_t read_all(FCGX_Stream *in, unsigned char *buffer, size_t size)
{
	size_t len = 0;

	while (len < size) {
		size_t wanted = size - len < INT_MAX ? size - len : INT_MAX;
		int got = FCGX_GetStr((char *)buffer + len, (int)wanted, in);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	return len;
}

enum request_result request_check_head(FCGX_ParamArray params, size_t max_body, size_t *length)
{
	const char *method = FCGX_GetParam("REQUEST_METHOD", params);

	if (method == NULL || strcmp(method, "POST") != 0)
		return REQUEST_WRONG_METHOD;
	if (!parse_length(FCGX_GetParam("CONTENT_LENGTH", params), length))
		return REQUEST_NO_LENGTH;
	return *length > max_body ? REQUEST_TOO_LONG : REQUEST_OK;
}

enum request_result request_read(
	FCGX_Stream *in, FCGX_ParamArray params, size_t max_body, struct request *request)
{
	unsigned char beyond;
	size_t length;

	memset(request, 0, sizeof *request);
	request->id = FCGX_GetParam("REQUEST_ID", params);
	/* Apache's mod_unique_id has a name of its own for it. */
	if (request->id == NULL)
		request->id = FCGX_GetParam("UNIQUE_ID", params);
	const enum request_result head = request_check_head(params, max_body, &length);
	if (head != REQUEST_OK)
		return head;
	request->signature = find_header(params, "HTTP_BAGELPAY_SIGNATURE");
	request->timestamp = find_header(params, "HTTP_TIMESTAMP");
	request->body = malloc(length > 0 ? length : 1);
	if (request->body == NULL)
		return REQUEST_NO_MEMORY;
	request->body_len = read_all(in, request->body, length);
	/* libfcgi takes the end of the stream for the end of the body, whatever was announced. */
	if (request->body_len < length)
		return REQUEST_SHORT;
	if (read_all(in, &beyond, 1) > 0)
		return REQUEST_LONGER;
	return REQUEST_OK;
}

void request_done(struct request *request)
{
	free(request->body);
	request->body = NULL;
}
