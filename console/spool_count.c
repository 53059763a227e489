#include "config.h"

#include "spool_count.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"

#define FRESH_MS 2000

struct tally {
	long files;
	int64_t bytes;
	time_t oldest; /* 0: none */
};

/* Counts the regular files of one directory of the spool. Returns 0 or an errno. */
static int tally_directory(const char *spool, const char *name, struct tally *tally)
{
	char path[4096];
	struct dirent *entry;
	struct stat status;
	int len = snprintf(path, sizeof path, "%s/%s", spool, name);

	*tally = (struct tally){0, 0, 0};
	if (len < 0 || (size_t)len >= sizeof path)
		return ENAMETOOLONG;
	DIR *directory = opendir(path);
	if (directory == NULL)
		return errno;
	/* A directory of our own, which no other thread reads. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((entry = readdir(directory)) != NULL) {
		/* One that was drained meanwhile is not there any more. */
		if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0
			|| !S_ISREG(status.st_mode))
			continue;
		tally->files++;
		tally->bytes += status.st_size;
		if (tally->oldest == 0 || status.st_mtime < tally->oldest)
			tally->oldest = status.st_mtime;
	}
	closedir(directory);
	return 0;
}

static void write_count(const char *spool, struct buffer *out)
{
	struct tally waiting;
	struct tally corrupt;
	int failed = tally_directory(spool, "new", &waiting);

	if (failed == 0)
		failed = tally_directory(spool, "corrupt", &corrupt);
	if (failed != 0) {
		buffer_puts(out, "{\"known\":false,\"why\":");
		buffer_puts_json(out, text_error(failed));
		buffer_puts(out, "}");
		return;
	}
	buffer_printf(out, "{\"known\":true,\"files\":%ld,\"bytes\":%" PRId64 ",\"oldest\":", waiting.files,
		waiting.bytes);
	if (waiting.oldest == 0)
		buffer_puts(out, "null");
	else
		buffer_printf(out, "%" PRId64, (int64_t)(time(NULL) - waiting.oldest));
	buffer_printf(out, ",\"corrupt\":%ld}", corrupt.files);
}

void spool_count(const char *directory, struct buffer *out)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct buffer last;
	static int64_t counted_ms = INT64_MIN / 2;

	if (directory == NULL) {
		buffer_puts(out, "{\"known\":false,\"why\":\"not told where the spool is (--spool)\"}");
		return;
	}
	pthread_mutex_lock(&lock);
	if (clock_ms() - counted_ms > FRESH_MS) {
		buffer_clear(&last);
		write_count(directory, &last);
		counted_ms = clock_ms();
	}
	if (buffer_failed(&last))
		buffer_puts(out, "{\"known\":false,\"why\":\"out of memory\"}");
	else
		buffer_put(out, last.data, last.len);
	pthread_mutex_unlock(&lock);
}
