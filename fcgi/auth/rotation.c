/* Looking at the file from time to time, by name, sees what notifications would miss: a symbolic
 * link on the way that now leads elsewhere, a directory that was mounted over, a network's file
 * system. */
#include "config.h"

#include "rotation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"

#define LOOK_MS 500
/* Numbers of 20 digits, each with its comma. */
#define MATCHES_SIZE (SECRETS_MAX * 21 + 1)

void rotation_begin(
	struct rotation *rotation, struct handler *handler, const char *path, const struct secrets *secrets)
{
	memset(rotation, 0, sizeof *rotation);
	rotation->handler = handler;
	rotation->path = path;
	rotation->in_use = secrets->version;
	rotation->seen = secrets->version;
	rotation->look_at_ms = clock_ms() + LOOK_MS;
}

/* "12,0": the first secret has matched twelve times, the second one never. */
static void format_matches(struct handler *handler, char text[MATCHES_SIZE])
{
	uint64_t matches[SECRETS_MAX];
	size_t count = handler_matches(handler, matches);
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(
			text + len, MATCHES_SIZE - len, "%s%" PRIu64, i == 0 ? "" : ",", matches[i]);
}

static void keep(struct rotation *rotation, bool asked, const char *reason)
{
	char matches[MATCHES_SIZE];

	if (asked || strcmp(rotation->reported, reason) != 0) {
		format_matches(rotation->handler, matches);
		log_record(LOG_ERROR, "keeping the secrets as they were",
			LOG_PAIRS("reason", reason, "matches", matches));
	}
	snprintf(rotation->reported, sizeof rotation->reported, "%s", reason);
}

static void read_again(struct rotation *rotation, bool asked)
{
	struct secrets secrets;
	struct stat status;
	char error[ROTATION_ERROR_SIZE];
	char before[MATCHES_SIZE];
	char matches[MATCHES_SIZE];
	char count[8];
	bool same;

	/* Opening a pipe could wait for ever. */
	if (stat(rotation->path, &status) == 0 && !S_ISREG(status.st_mode)) {
		keep(rotation, asked, "the secret file is no regular file, and can be read only once");
		return;
	}
	if (secrets_read(rotation->path, &secrets, error, sizeof error) != 0) {
		keep(rotation, asked, error);
		return;
	}
	snprintf(count, sizeof count, "%zu", secrets.count);
	rotation->seen = secrets.version;
	/* A moment early: what is matched until they are replaced is not in it. */
	format_matches(rotation->handler, before);
	int failed = handler_set_secrets(rotation->handler, &secrets, &same);
	secrets_wipe(&secrets);
	if (failed != 0) {
		keep(rotation, asked, "out of memory");
		return;
	}
	rotation->in_use = rotation->seen;
	if (same && !asked && rotation->reported[0] == '\0')
		return;
	rotation->reported[0] = '\0';
	format_matches(rotation->handler, matches);
	log_record(LOG_INFO, "read the secrets again",
		LOG_PAIRS("secrets", count, "matches", matches, "matches_before", same ? NULL : before));
}

int64_t rotation_look(struct rotation *rotation, bool asked)
{
	int64_t now_ms = clock_ms();
	struct secrets_version version;

	if (rotation->path == NULL)
		return INT64_MAX;
	if (!asked && now_ms < rotation->look_at_ms)
		return rotation->look_at_ms;
	rotation->look_at_ms = now_ms + LOOK_MS;
	secrets_look(rotation->path, &version);
	/* One that somebody still writes to would be read by half. */
	bool settled = secrets_same_version(&version, &rotation->seen);
	rotation->seen = version;
	if (asked || (settled && !secrets_same_version(&version, &rotation->in_use)))
		read_again(rotation, asked);
	return rotation->look_at_ms;
}

void rotation_log_matches(const struct rotation *rotation)
{
	char matches[MATCHES_SIZE];

	if (rotation->path == NULL)
		return;
	format_matches(rotation->handler, matches);
	log_record(LOG_INFO, "signatures matched, by the secret's position", LOG_PAIRS("matches", matches));
}
