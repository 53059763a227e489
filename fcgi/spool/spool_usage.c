#include "config.h"

#include "spool_usage.h"

#include <dirent.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"

#include "spool_dir.h"
#include "spool_name.h"

/* How long a count of the files is good for. */
#define COUNT_MS 1000

void spool_usage_init(struct spool_usage *usage, const struct spool_limits *limits)
{
	*usage = (struct spool_usage){.limits = *limits, .counted_ms = INT64_MIN};
}

static void count_files(struct spool_usage *usage, int fd)
{
	DIR *directory = directory_stream(fd);
	int64_t size;

	if (directory == NULL)
		return;
	usage->files = 0;
	usage->bytes = 0;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;) {
		usage->files++;
		if (spool_name_parse(entry->d_name, &size))
			usage->bytes += size;
	}
	closedir(directory);
	usage->counted_ms = clock_ms();
}

bool spool_usage_look(int fresh, int corrupt, struct spool_contents *contents)
{
	char oldest[SPOOL_NAME_SIZE] = "";
	DIR *directory = directory_stream(fresh);
	int64_t size;

	memset(contents, 0, sizeof *contents);
	if (directory == NULL)
		return false;
	for (const struct dirent *entry; (entry = directory_next(directory)) != NULL;) {
		if (!spool_name_parse(entry->d_name, &size))
			continue;
		contents->files++;
		contents->bytes += size;
		if (oldest[0] == '\0' || strcmp(entry->d_name, oldest) < 0)
			memcpy(oldest, entry->d_name, strlen(entry->d_name) + 1);
	}
	closedir(directory);
	if (contents->files > 0)
		contents->oldest_s = (double)clock_real_us() / 1e6 - spool_name_time(oldest);
	directory = directory_stream(corrupt);
	if (directory == NULL)
		return false;
	while (directory_next(directory) != NULL)
		contents->corrupt++;
	closedir(directory);
	return true;
}

void spool_usage_refresh(struct spool_usage *usage, int directory)
{
	struct statvfs fs;

	if (usage->counted_ms == INT64_MIN || clock_ms() - usage->counted_ms >= COUNT_MS)
		count_files(usage, directory);
	usage->room = 0;
	if (fstatvfs(directory, &fs) == 0)
		usage->room = ((int64_t)fs.f_bavail - (int64_t)fs.f_blocks / 100 * usage->limits.free_percent)
			* (int64_t)fs.f_frsize;
}

const char *spool_usage_reached(const struct spool_usage *usage, size_t size)
{
	if (usage->files >= usage->limits.files)
		return "it holds as many files as --spool-files allows";
	if (usage->bytes + (int64_t)size > usage->limits.bytes)
		return "it holds as many bytes as --spool-bytes allows";
	if ((int64_t)size > usage->room)
		return "its disk has no more free than --spool-free wants";
	return NULL;
}

void spool_usage_add(struct spool_usage *usage, size_t size)
{
	usage->files++;
	usage->bytes += (int64_t)size;
	usage->room -= (int64_t)size;
}

void spool_usage_remove(struct spool_usage *usage, int64_t size)
{
	usage->files--;
	usage->bytes -= size;
}
