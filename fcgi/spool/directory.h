/* Reading directories that are open. */
#ifndef BAGELHOOK_DIRECTORY_H
#define BAGELHOOK_DIRECTORY_H

#include <dirent.h>

/* A stream, from the beginning, on a directory that is open as fd, which stays as it is. NULL with
 * errno; to be closed with closedir(). */
DIR *directory_stream(int fd);

/* The next entry but . and .., NULL behind the last. A stream is one thread's at a time. */
const struct dirent *directory_next(DIR *);

#endif
