#include "config.h"

#include "input.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "print.h"

enum { SECRET_MAX_BYTES = 4096, BODY_MAX_BYTES = 64 * 1024 * 1024 };

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

unsigned char *input_secret(const char *name, size_t *len)
{
	unsigned char *bytes;
	size_t end = 0;

	if ((bytes = read_file(name, SECRET_MAX_BYTES, len)) == NULL) {
		complain(name, text_error(errno));
		return NULL;
	}
	while (end < *len && bytes[end] != '\n')
		end++;
	if (end > 0 && bytes[end - 1] == '\r')
		end--;
	if (end == 0) {
		complain(name, "the first line is empty: no secret");
		OPENSSL_cleanse(bytes, *len);
		free(bytes);
		return NULL;
	}
	OPENSSL_cleanse(bytes + end, *len - end);
	*len = end;
	return bytes;
}

unsigned char *input_body(const char *name, size_t *len)
{
	return read_file(name, BODY_MAX_BYTES, len);
}
