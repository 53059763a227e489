#include "config.h"

#include "secrets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "text.h"

void secrets_wipe(struct secrets *secrets)
{
	explicit_bzero(secrets, sizeof *secrets);
}

/* Takes over one line without its end. Returns NULL, or what is wrong with it. */
static const char *add_line(struct secrets *secrets, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len == 0)
		return NULL;
	if (len > SECRETS_MAX_LEN)
		return "a secret is too long";
	if (secrets->count == SECRETS_MAX)
		return "too many secrets";
	memcpy(secrets->secret[secrets->count].key, line, len);
	secrets->secret[secrets->count].len = len;
	secrets->count++;
	return NULL;
}

int secrets_read(const char *path, struct secrets *secrets, char *error, size_t error_size)
{
	/* Room for the longest secret, one byte more to notice a longer one, line end, NUL. */
	char line[SECRETS_MAX_LEN + 4];
	struct stat status;
	const char *wrong = NULL;
	unsigned long number = 0;

	memset(secrets, 0, sizeof *secrets);
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
		return -1;
	}
	/* The stream's own buffer would keep a copy of the secrets. */
	setvbuf(file, NULL, _IONBF, 0);
	while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
		number++;
		wrong = add_line(secrets, line, strlen(line));
	}
	explicit_bzero(line, sizeof line);
	if (wrong != NULL) {
		snprintf(error, error_size, "secret file %s, line %lu: %s", path, number, wrong);
	} else if (ferror(file)) {
		snprintf(error, error_size, "cannot read the secret file %s: %s", path, text_error(errno));
	} else if (secrets->count == 0) {
		snprintf(error, error_size,
			"the secret file %s holds no secret: write the webhook's signing secret into it, one "
			"per line",
			path);
	} else {
		if (fstat(fileno(file), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
			log_record(LOG_WARN, "secret file is open to others, chmod o-rw it",
				LOG_PAIRS("file", path));
		fclose(file);
		return 0;
	}
	fclose(file);
	secrets_wipe(secrets);
	return -1;
}
