#include "config.h"

#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

/* Every secret at its longest, with its line end, and a byte to notice a longer file. */
#define FILE_MAX (SECRETS_MAX * (SECRETS_MAX_LEN + 2) + 1)

void secrets_wipe(struct secrets *secrets)
{
	explicit_bzero(secrets, sizeof *secrets);
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t')
			return false;
	return true;
}

/* Takes over one line. Returns NULL, or what is wrong with it. */
static const char *add_line(struct secrets *secrets, const char *line, size_t len)
{
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0)
		return NULL;
	if (memchr(line, '\0', len) != NULL)
		return "a NUL byte";
	if (is_blank(line, len))
		return "only white space, which anyone could guess";
	if (len > SECRETS_MAX_LEN)
		return "longer than 512 bytes";
	if (secrets->count == SECRETS_MAX)
		return "more than 16 secrets";
	memcpy(secrets->secret[secrets->count].key, line, len);
	secrets->secret[secrets->count].len = len;
	secrets->count++;
	return NULL;
}

/* Takes over the lines of a file's content; where one is wrong, *number is its number. */
static const char *add_lines(struct secrets *secrets, const char *content, size_t size, unsigned long *number)
{
	const char *wrong = NULL;

	for (*number = 1; size > 0; ++*number) {
		const char *end = memchr(content, '\n', size);
		size_t len = end == NULL ? size : (size_t)(end - content);

		wrong = add_line(secrets, content, len);
		if (wrong != NULL)
			break;
		size -= end == NULL ? len : len + 1;
		content += end == NULL ? len : len + 1;
	}
	return wrong;
}

static void take_version(const struct stat *status, struct secrets_version *version)
{
	memset(version, 0, sizeof *version);
	/* What is read from a pipe is not there a second time. */
	if (!S_ISREG(status->st_mode))
		return;
	version->device = status->st_dev;
	version->inode = status->st_ino;
	version->size = status->st_size;
	version->modified = status->st_mtim;
	version->changed = status->st_ctim;
}

void secrets_look(const char *path, struct secrets_version *version)
{
	struct stat status;

	memset(version, 0, sizeof *version);
	if (stat(path, &status) == 0)
		take_version(&status, version);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool secrets_same_version(const struct secrets_version *a, const struct secrets_version *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size
		&& same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

/* A group that may read somebody else's file is how we get to read it (root's file, our group; or
 * the access control list that systemd gives a credential, which shows as the group's bits). To a
 * file of our own nobody else needs access. */
static void warn_if_open(const struct stat *status, const char *path)
{
	mode_t needless = S_IRWXO;

	if (status->st_uid == geteuid())
		needless |= S_IRWXG;
	if ((status->st_mode & needless) != 0)
		log_record(LOG_WARN,
			"the secret file is open to others, chmod it to 600 (or 640 for a group of ours)",
			LOG_PAIRS("file", path));
}

/* Reads up to size bytes, past nobody's buffer. The number of bytes, or -1 with errno. */
static ssize_t read_all(int fd, char *content, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, content + len, size - len);

		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return -1;
		len += got < 0 ? 0 : (size_t)got;
	}
	return (ssize_t)len;
}

/* Parses what was read. Returns 0, or -1 with the reason in error. */
static int take_content(const char *path, const char *content, size_t size, struct secrets *secrets,
	char *error, size_t error_size)
{
	unsigned long number = 0;
	const char *wrong = add_lines(secrets, content, size, &number);

	if (wrong != NULL)
		snprintf(error, error_size, "secret file %s, line %lu: %s", path, number, wrong);
	else if (size == FILE_MAX)
		snprintf(error, error_size, "secret file %s: too long for 16 secrets", path);
	else if (secrets->count == 0)
		snprintf(error, error_size,
			"the secret file %s holds no secret: write the webhook's signing secret into it, one "
			"per line",
			path);
	else
		return 0;
	return -1;
}

int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size)
{
	char content[FILE_MAX];
	struct stat file;
	ssize_t size = -1;
	int status = -1;

	memset(secrets, 0, sizeof *secrets);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &file) == 0)
		size = read_all(fd, content, sizeof content);
	if (size < 0) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
	} else {
		take_version(&file, &secrets->version);
		status = take_content(path, content, (size_t)size, secrets, error, error_size);
	}
	if (status == 0)
		warn_if_open(&file, path);
	if (fd >= 0)
		close(fd);
	explicit_bzero(content, sizeof content);
	if (status != 0)
		secrets_wipe(secrets);
	return status;
}
