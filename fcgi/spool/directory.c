#include "config.h"

#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

DIR *directory_stream(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = own < 0 ? NULL : fdopendir(own);

	if (directory == NULL && own >= 0) {
		int error = errno;

		close(own);
		errno = error;
	}
	return directory;
}

const struct dirent *directory_next(DIR *directory)
{
	const struct dirent *entry;

	do
		entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe): no stream is shared */
	while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}
