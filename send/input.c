#include "config.h"

#include "input.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "print.h"

enum { SECRET_MAX_BYTES = 256 * 1024, BODY_MAX_BYTES = 64 * 1024 * 1024 };

/* As input_body(), of a stream, and at most max bytes. */
static unsigned char *read_all(FILE *in, size_t max, size_t *len)
{
	unsigned char *bytes = NULL, *larger;
	size_t capacity = 0, used = 0, got;

	for (;;) {
		if (used == capacity) {
			capacity = capacity == 0 ? 16384 : capacity * 2;
			if ((larger = realloc(bytes, capacity)) == NULL)
				goto err;
			bytes = larger;
		}
		errno = 0;
		got = fread(bytes + used, 1, capacity - used, in);
		used += got;
		if (used > max) {
			errno = EFBIG;
			goto err;
		}
		if (got == 0)
			break;
	}
	if (ferror(in)) {
		if (errno == 0)
			errno = EIO;
		goto err;
	}
	*len = used;
	return bytes;
err:
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, used);
	free(bytes);
	return NULL;
}

/* As input_body(), and at most max bytes. */
static unsigned char *read_file(const char *name, size_t max, size_t *len)
{
	int is_stdin = strcmp(name, "-") == 0;
	unsigned char *bytes;
	FILE *in;
	int saved;

	if ((in = is_stdin ? stdin : fopen(name, "rb")) == NULL)
		return NULL;
	bytes = read_all(in, max, len);
	saved = errno;
	if (!is_stdin)
		fclose(in);
	errno = saved;
	return bytes;
}

/* Finds the first secret from a position on: a line that is neither empty nor a comment, without the white
 * space around it and the prefix that says for which mode it is. Returns its length, 0 if there is none. */
static size_t first_secret(const unsigned char *bytes, size_t len, size_t *at)
{
	size_t end;

	for (;; *at = end) {
		while (*at < len && text_is_space((char)bytes[*at]))
			++*at;
		for (end = *at; end < len && bytes[end] != '\n';)
			end++;
		if (*at == len || bytes[*at] != '#')
			break;
	}
	if (end - *at >= 5 && (memcmp(bytes + *at, "live:", 5) == 0 || memcmp(bytes + *at, "test:", 5) == 0))
		*at += 5;
	while (*at < end && text_is_space((char)bytes[*at]))
		++*at;
	while (end > *at && text_is_space((char)bytes[end - 1]))
		end--;
	return end - *at;
}

unsigned char *input_secret(const char *name, size_t *len)
{
	unsigned char *bytes = read_file(name, SECRET_MAX_BYTES, len);

	if (bytes == NULL) {
		const bool is_secret = text_is_secret(name, errno);

		complain(is_secret ? "--secret-file" : name, is_secret ? TEXT_NO_FILE : text_error(errno));
		return NULL;
	}
	/* A byte order mark. */
	size_t at = *len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	const size_t secret_len = first_secret(bytes, *len, &at);
	if (secret_len == 0) {
		complain(name, "no secret in it");
		OPENSSL_cleanse(bytes, *len);
		free(bytes);
		return NULL;
	}
	memmove(bytes, bytes + at, secret_len);
	OPENSSL_cleanse(bytes + secret_len, *len - secret_len);
	*len = secret_len;
	return bytes;
}

unsigned char *input_body(const char *name, size_t *len)
{
	return read_file(name, BODY_MAX_BYTES, len);
}

unsigned char *input_line(unsigned long *number, size_t *len)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t got;

	errno = 0;
	while ((got = getline(&line, &size, stdin)) > 0) {
		++*number;
		if (line[got - 1] == '\n')
			got--;
		if (got > BODY_MAX_BYTES) {
			errno = EFBIG;
			break;
		}
		if (got > 0) {
			*len = (size_t)got;
			return (unsigned char *)line;
		}
	}
	free(line);
	return NULL;
}
