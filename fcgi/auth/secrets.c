#include "config.h"

#include "secrets.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

/* Room for comments, too. */
#define FILE_MAX ((size_t)256 * 1024)
/* Letters of what could be meant as a prefix. */
#define PREFIX_MAX 12

void secrets_wipe(struct secrets *secrets)
{
	explicit_bzero(secrets, sizeof *secrets);
}

/* A line, or what is left of it. */
struct line {
	const char *at;
	size_t len;
};

/* Drops a prefix, in this case or in another one. */
static bool take_prefix(struct line *line, const char *prefix, bool any_case)
{
	const size_t len = strlen(prefix);

	if (line->len < len
		|| (any_case ? strncasecmp(line->at, prefix, len) : memcmp(line->at, prefix, len)) != 0)
		return false;
	line->at += len;
	line->len -= len;
	return true;
}

/* Returns true for spaces and control characters, those of ASCII and those that an editor or a web page
 * brings along: no-break and other spaces, soft hyphens, zero-width characters, directions, a byte order
 * mark. */
static bool has_invisible(const struct line *line)
{
	/* The first two bytes in UTF-8, and the range of the last one. */
	static const unsigned char ranges[][4] = {{0xe2, 0x80, 0x80, 0x8f}, {0xe2, 0x80, 0xa8, 0xaf},
		{0xe2, 0x81, 0x9f, 0xaf}, {0xe3, 0x80, 0x80, 0x80}, {0xef, 0xbb, 0xbf, 0xbf},
		{0xe1, 0x9a, 0x80, 0x80}};
	const unsigned char *bytes = (const unsigned char *)line->at;

	for (size_t i = 0; i < line->len; i++) {
		const unsigned char next = i + 1 < line->len ? bytes[i + 1] : 0;
		const unsigned char last = i + 2 < line->len ? bytes[i + 2] : 0;

		if (bytes[i] <= ' ' || bytes[i] == 0x7f
			|| (bytes[i] == 0xc2 && ((next >= 0x80 && next <= 0xa0) || next == 0xad)))
			return true;
		for (size_t j = 0; j < sizeof ranges / sizeof ranges[0]; j++)
			if (bytes[i] == ranges[j][0] && next == ranges[j][1] && last >= ranges[j][2]
				&& last <= ranges[j][3])
				return true;
	}
	return false;
}

/* Returns true for NAME=value, as in a file of environment variables. Base64 may end with =, so that an empty value
 * counts only behind a name such as WEBHOOK_SECRET: capitals with an underscore. */
static bool is_assignment(const struct line *line)
{
	size_t len = 0;
	bool is_name = false;

	for (; len < line->len && (isalnum((unsigned char)line->at[len]) || line->at[len] == '_'); len++)
		is_name = is_name || line->at[len] == '_';
	if (len == 0 || len == line->len || line->at[len] != '=' || isdigit((unsigned char)line->at[0]))
		return false;
	for (size_t i = 0; i < len && is_name; i++)
		is_name = !islower((unsigned char)line->at[i]);
	while (len < line->len && line->at[len] == '=')
		len++;
	return len < line->len || is_name;
}

static bool is_quoted(const struct line *line)
{
	const char first = line->at[0];

	return line->len > 1 && strchr("\"'`", first) != NULL && line->at[line->len - 1] == first;
}

/* Returns NULL, or why this is no secret and what to do. */
static const char *find_fault(const struct line *line, const struct secrets *secrets)
{
	if (line->len == 0)
		return "no secret behind the prefix: write it on the same line";
	if (is_quoted(line))
		return "quotes around the secret: remove them";
	if (is_assignment(line))
		return "NAME=value: write the value alone";
	if (has_invisible(line))
		return "white space, a control character or an invisible character inside the secret: write "
		       "the secret "
		       "alone on the line, as plain text";
	if (line->len > SECRETS_MAX_LEN)
		return "longer than 1024 bytes: write one secret per line";
	if (secrets->count == SECRETS_MAX)
		return "more than 64 secrets: remove those that are not used any more";
	return NULL;
}

/* Takes over one line. Returns NULL, or what is wrong with it. */
static const char *add_line(struct secrets *secrets, struct line line)
{
	unsigned modes = SECRET_BOTH;

	text_trim(&line.at, &line.len);
	if (line.len == 0 || line.at[0] == '#')
		return NULL;
	if (take_prefix(&line, "live:", false))
		modes = SECRET_LIVE;
	else if (take_prefix(&line, "test:", false))
		modes = SECRET_TEST;
	else if (take_prefix(&line, "live:", true) || take_prefix(&line, "test:", true))
		return "a prefix in capital letters: write live: or test:";
	text_trim(&line.at, &line.len);
	const char *fault = find_fault(&line, secrets);
	if (fault != NULL)
		return fault;
	struct secret *secret = &secrets->secret[secrets->count++];
	memcpy(secret->key, line.at, line.len);
	secret->len = line.len;
	secret->modes = modes;
	return NULL;
}

/* Returns NULL, or what is odd about the last secret of a file. */
static const char *find_oddity(const struct secrets *secrets)
{
	const struct secret *last = &secrets->secret[secrets->count - 1];
	size_t letters = 0;

	if (last->len < SECRETS_SHORT_LEN)
		return "a secret is shorter than 16 characters: is it all of the webhook's signing secret?";
	while (letters < PREFIX_MAX && isalpha(last->key[letters]))
		letters++;
	if (letters > 0 && last->key[letters] == ':')
		return "a secret begins with a prefix that is neither live: nor test:, and counts as part of it";
	for (const struct secret *other = secrets->secret; other < last; other++)
		if (other->len == last->len && memcmp(other->key, last->key, last->len) == 0)
			return "a secret is there a second time";
	return NULL;
}

static void warn_if_odd(const char *path, const struct secrets *secrets, size_t count, unsigned long number)
{
	const char *oddity = secrets->count == count ? NULL : find_oddity(secrets);
	char line[24];

	if (oddity == NULL)
		return;
	snprintf(line, sizeof line, "%lu", number);
	log_record(LOG_WARN, oddity, LOG_PAIRS("file", path, "line", line));
}

/* Takes over the lines of a file's content. If one is wrong, *number is its number. */
static const char *add_lines(
	const char *path, struct secrets *secrets, struct line content, unsigned long *number)
{
	take_prefix(&content, "\xef\xbb\xbf", false);
	for (*number = 1; content.len > 0; ++*number) {
		const char *end = memchr(content.at, '\n', content.len);
		const size_t len = end == NULL ? content.len : (size_t)(end - content.at);
		const size_t used = end == NULL ? len : len + 1;
		const size_t count = secrets->count;
		const char *fault = add_line(secrets, (struct line){content.at, len});

		if (fault != NULL)
			return fault;
		warn_if_odd(path, secrets, count, *number);
		content.at += used;
		content.len -= used;
	}
	return NULL;
}

static void take_version(const struct stat *status, struct secrets_version *version)
{
	memset(version, 0, sizeof *version);
	/* A pipe can be read only once. */
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

/* A file of another user may be readable by its group: that is how we read root's file, and how the access control
 * list of a systemd credential shows. A file of our own needs no reader but us. */
static void warn_if_open(const struct stat *status, const char *path)
{
	mode_t needless = S_IRWXO;
	char remedy[512];

	if (status->st_uid == geteuid())
		needless |= S_IRWXG;
	if ((status->st_mode & needless) == 0)
		return;
	snprintf(remedy, sizeof remedy, "chmod %s= %s", needless == S_IRWXO ? "o" : "go", path);
	log_record(LOG_WARN, "the secret file is open to others", LOG_PAIRS("file", path, "remedy", remedy));
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
	const char *fault = NULL;

	if (size == FILE_MAX)
		snprintf(error, error_size, "secret file %s: longer than 256 KiB: is it the right file?",
			path);
	else if (memchr(content, '\0', size) != NULL)
		snprintf(error, error_size,
			"secret file %s: NUL bytes in it: save it as UTF-8, not as UTF-16", path);
	else if ((fault = add_lines(path, secrets, (struct line){content, size}, &number)) != NULL)
		snprintf(error, error_size, "secret file %s, line %lu: %s", path, number, fault);
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
	char *content = malloc(FILE_MAX);
	struct stat file;
	ssize_t size = -1;
	int status = -1;

	memset(secrets, 0, sizeof *secrets);
	int fd = content == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &file) == 0)
		size = read_all(fd, content, FILE_MAX);
	if (size < 0 && text_is_secret(path, errno)) {
		snprintf(error, error_size, "--secret-file: " TEXT_NO_FILE);
	} else if (size < 0) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
	} else {
		take_version(&file, &secrets->version);
		status = take_content(path, content, (size_t)size, secrets, error, error_size);
	}
	if (status == 0)
		warn_if_open(&file, path);
	if (fd >= 0)
		close(fd);
	if (content != NULL)
		explicit_bzero(content, FILE_MAX);
	free(content);
	if (status != 0)
		secrets_wipe(secrets);
	return status;
}
