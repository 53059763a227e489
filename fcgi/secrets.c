#include "config.h"

#include "secrets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "text.h"

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

static void warn_if_open(FILE *file, const char *path)
{
	struct stat status;

	if (fstat(fileno(file), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
		log_record(LOG_WARN, "secret file is open to others, chmod o-rw it", LOG_PAIRS("file", path));
}

int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size)
{
	char content[FILE_MAX];
	unsigned long number = 0;
	int status = -1;

	memset(secrets, 0, sizeof *secrets);
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
		return -1;
	}
	/* The stream's own buffer would keep a copy of the secrets. */
	setvbuf(file, NULL, _IONBF, 0);
	size_t size = fread(content, 1, sizeof content, file);
	const char *wrong = ferror(file) ? NULL : add_lines(secrets, content, size, &number);
	if (ferror(file)) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
	} else if (wrong != NULL) {
		snprintf(error, error_size, "secret file %s, line %lu: %s", path, number, wrong);
	} else if (size == sizeof content) {
		snprintf(error, error_size, "secret file %s: too long for 16 secrets", path);
	} else if (secrets->count == 0) {
		snprintf(error, error_size,
			"the secret file %s holds no secret: write the webhook's signing secret into it, one "
			"per "
			"line",
			path);
	} else {
		warn_if_open(file, path);
		status = 0;
	}
	fclose(file);
	explicit_bzero(content, sizeof content);
	if (status != 0)
		secrets_wipe(secrets);
	return status;
}
