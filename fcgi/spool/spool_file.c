/* The head is text, so that an operator can read it with what is at hand; the body follows as
 * it is. Each line is there once and in one order, so that a file has one reading. */
#include "config.h"

#include "spool_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"

#define FIRST_LINE "bagelhook-spool 2\n"
/* The first line of files that older responders wrote, without `received`. */
#define FIRST_LINE_1 "bagelhook-spool 1\n"
#define DIGEST_NAME "sha256 "
/* Where what the digest covers begins. */
#define COVERED (sizeof FIRST_LINE - 1 + sizeof DIGEST_NAME - 1 + DIGEST_LEN + 1)

bool spool_file_head(const struct delivery *delivery, struct buffer *head)
{
	char covered[SPOOL_FILE_HEAD_MAX];
	char digest[DIGEST_LEN + 1];
	int len = 0;

	len += snprintf(covered, sizeof covered, "received %" PRId64 "\n", delivery->received_us);
	if (delivery->timestamp >= 0)
		len += snprintf(covered + len, sizeof covered - (size_t)len, "timestamp %" PRId64 "\n",
			delivery->timestamp);
	if (delivery->signature[0] != '\0')
		len += snprintf(
			covered + len, sizeof covered - (size_t)len, "signature %s\n", delivery->signature);
	if (delivery->modes != SECRET_BOTH)
		len += snprintf(covered + len, sizeof covered - (size_t)len, "mode %s\n",
			delivery->modes == SECRET_LIVE ? "live" : "test");
	len += snprintf(covered + len, sizeof covered - (size_t)len, "length %zu\n\n", delivery->body_len);
	if (!digest_hex(covered, (size_t)len, delivery->body, delivery->body_len, digest))
		return false;
	buffer_clear(head);
	buffer_printf(head, FIRST_LINE DIGEST_NAME "%s\n%s", digest, covered);
	return !buffer_failed(head);
}

/* The rest of a file that is being read. */
struct rest {
	const unsigned char *at;
	size_t len;
};

static bool take(struct rest *rest, const char *text)
{
	size_t len = strlen(text);

	if (rest->len < len || memcmp(rest->at, text, len) != 0)
		return false;
	rest->at += len;
	rest->len -= len;
	return true;
}

/* A number without leading zeros, and the line's end. */
static bool take_number(struct rest *rest, int64_t *number)
{
	size_t digits = 0;

	*number = 0;
	while (digits < rest->len && rest->at[digits] >= '0' && rest->at[digits] <= '9') {
		if (digits == 18)
			return false;
		*number = *number * 10 + (rest->at[digits] - '0');
		digits++;
	}
	if (digits == 0 || (digits > 1 && rest->at[0] == '0'))
		return false;
	rest->at += digits;
	rest->len -= digits;
	return take(rest, "\n");
}

static bool is_hex(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Hex digits in lower case, and the line's end. */
static bool take_hex(struct rest *rest, size_t digits, char *hex)
{
	if (rest->len < digits)
		return false;
	for (size_t i = 0; i < digits; i++)
		if (!is_hex(rest->at[i]))
			return false;
	memcpy(hex, rest->at, digits);
	hex[digits] = '\0';
	rest->at += digits;
	rest->len -= digits;
	return take(rest, "\n");
}

static enum spool_file_result corrupt(char reason[SPOOL_FILE_REASON_SIZE], const char *text)
{
	snprintf(reason, SPOOL_FILE_REASON_SIZE, "%s", text);
	return SPOOL_FILE_CORRUPT;
}

enum spool_file_result spool_file_parse(const unsigned char *file, size_t len, int64_t changed_us,
	struct delivery **out, char reason[SPOOL_FILE_REASON_SIZE])
{
	struct rest rest = {file, len};
	char wanted[DIGEST_LEN + 1];
	char digest[DIGEST_LEN + 1];
	char signature[SIGNATURE_LEN + 1] = "";
	int64_t received_us = changed_us;
	int64_t timestamp = -1;
	unsigned modes = SECRET_BOTH;
	int64_t length;

	const bool dated = take(&rest, FIRST_LINE);
	if (!dated && !take(&rest, FIRST_LINE_1))
		return corrupt(reason, "does not begin as a spool file does");
	if (!take(&rest, DIGEST_NAME) || !take_hex(&rest, DIGEST_LEN, wanted))
		return corrupt(reason, "no checksum");
	if (!digest_hex(file + COVERED, len - COVERED, "", 0, digest))
		return SPOOL_FILE_NO_MEMORY;
	if (strcmp(digest, wanted) != 0)
		return corrupt(reason, "cut or changed: the checksum does not match");
	if (dated && (!take(&rest, "received ") || !take_number(&rest, &received_us)))
		return corrupt(reason, "received: not a number");
	if (take(&rest, "timestamp ") && !take_number(&rest, &timestamp))
		return corrupt(reason, "timestamp: not a number");
	if (take(&rest, "signature ") && !take_hex(&rest, SIGNATURE_LEN, signature))
		return corrupt(reason, "signature: not 64 hex digits");
	if (take(&rest, "mode live\n"))
		modes = SECRET_LIVE;
	else if (take(&rest, "mode test\n"))
		modes = SECRET_TEST;
	if (!take(&rest, "length ") || !take_number(&rest, &length) || !take(&rest, "\n"))
		return corrupt(reason, "no length");
	if ((uint64_t)length != rest.len)
		return corrupt(reason, "the body is not as long as the file says");

	/* A body of no bytes is a body, too. */
	unsigned char *body = malloc(rest.len + 1);
	struct delivery *delivery = body == NULL ? NULL : delivery_new(body, rest.len);
	if (delivery == NULL) {
		free(body);
		return SPOOL_FILE_NO_MEMORY;
	}
	memcpy(body, rest.at, rest.len);
	delivery->received_us = received_us;
	delivery->timestamp = timestamp;
	delivery->modes = modes;
	memcpy(delivery->signature, signature, sizeof signature);
	*out = delivery;
	return SPOOL_FILE_OK;
}
