#include "config.h"

#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"

/* A larger file is another one. */
#define FILE_MAX (64 * 1024)

/* Returns what keeps a line from being a key, or NULL. */
static const char *check(const char *text, size_t len)
{
	if (len > KEY_MAX_LEN)
		return "is too long: is it the right file?";
	if (text_plain(text, len) != len || memchr(text, ' ', len) != NULL)
		return "has quotes, white space or other characters that no key has: write the key alone "
		       "into it";
	if (memchr(text, '=', len) != NULL && len > 0 && memchr(text, '=', len) != text + len - 1
		&& strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
			== (size_t)((const char *)memchr(text, '=', len) - text))
		return "has NAME=value: write the key alone into it";
	return NULL;
}

static int take(
	const char *path, const char *content, size_t size, struct key *key, char error[KEY_ERROR_SIZE])
{
	const char *fault = "holds no key: write BagelPay's API key into it";

	if (size >= 3 && memcmp(content, "\xef\xbb\xbf", 3) == 0) {
		content += 3;
		size -= 3;
	}
	while (size > 0) {
		const char *end = memchr(content, '\n', size);
		const char *line = content;
		size_t len = end == NULL ? size : (size_t)(end - content);

		content += end == NULL ? len : len + 1;
		size -= end == NULL ? len : len + 1;
		text_trim(&line, &len);
		if (len == 0 || line[0] == '#')
			continue;
		fault = check(line, len);
		if (fault == NULL) {
			memcpy(key->text, line, len);
			key->text[len] = '\0';
			return 0;
		}
		break;
	}
	snprintf(error, KEY_ERROR_SIZE, "the key file %.300s %s", path, fault);
	return -1;
}

int key_read(const char *path, struct key *key, char error[KEY_ERROR_SIZE])
{
	static char content[FILE_MAX];
	size_t size = 0;
	ssize_t got = 1;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && size < sizeof content
		&& (got = read(fd, content + size, sizeof content - size)) != 0) {
		if (got < 0 && errno != EINTR)
			break;
		size += got < 0 ? 0 : (size_t)got;
	}
	int status = -1;
	if (fd < 0 || got < 0)
		snprintf(error, KEY_ERROR_SIZE, "cannot read the key file %.300s: %s", path,
			text_error(errno));
	else
		status = take(path, content, size, key, error);
	if (fd >= 0)
		close(fd);
	explicit_bzero(content, sizeof content);
	return status;
}

void key_wipe(struct key *key)
{
	explicit_bzero(key, sizeof *key);
}
