#include "config.h"

#include "body.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Jansson's numbers are doubles, which do not keep digits. So amounts are strings that nobody
 * would write, until the tree has become text. */
#define AMOUNT_MARK                                                                                          \
	"\x01"                                                                                               \
	"amount"                                                                                             \
	"\x01"
#define AMOUNT_MARK_WRITTEN "\"\\u0001amount\\u0001\""

json_t *body_amount(void)
{
	return json_string(AMOUNT_MARK);
}

struct body_id body_new_id(const char *prefix)
{
	struct body_id id;
	unsigned char random[10] = {0};
	size_t len = (size_t)snprintf(id.text, sizeof id.text, "%s", prefix);

	/* Not a secret: without randomness, ids are merely not unique. */
	if (RAND_bytes(random, (int)sizeof random) != 1)
		len += (size_t)snprintf(id.text + len, sizeof id.text - len, "0");
	for (size_t i = 0; i < sizeof random && len + 3 <= sizeof id.text; i++)
		len += (size_t)snprintf(id.text + len, sizeof id.text - len, "%02x", random[i]);
	return id;
}

/* Replaces every mark in the text. NULL without memory. */
static char *put_amount(const char *text, const char *amount)
{
	const size_t mark_len = sizeof AMOUNT_MARK_WRITTEN - 1;
	size_t marks = 0;

	for (const char *at = text; (at = strstr(at, AMOUNT_MARK_WRITTEN)) != NULL; at += mark_len)
		marks++;
	char *out = malloc(strlen(text) + marks * strlen(amount) + 1);
	if (out == NULL)
		return NULL;
	char *end = out;
	for (const char *at; (at = strstr(text, AMOUNT_MARK_WRITTEN)) != NULL; text = at + mark_len)
		end += sprintf(end, "%.*s%s", (int)(at - text), text, amount);
	strcpy(end, text);
	return out;
}

unsigned char *body_write(const json_t *event, const char *amount, size_t *len)
{
	char *text = json_dumps(event, JSON_INDENT(2));
	char *body = text == NULL ? NULL : put_amount(text, amount);

	free(text);
	*len = body == NULL ? 0 : strlen(body);
	return (unsigned char *)body;
}
