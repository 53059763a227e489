/* Names of spool files. They sort by age, say how large the file is, and are unique among all processes: nanoseconds of
 * the real clock, bytes, random digits. */
#ifndef BAGELHOOK_SPOOL_NAME_H
#define BAGELHOOK_SPOOL_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a name, and NUL. */
#define SPOOL_NAME_SIZE 64

/* Makes a name for a file of this size that begins to be written now. False, with errno, where
 * the system gives no random bytes. Any thread. */
bool spool_name_make(size_t size, char name[SPOOL_NAME_SIZE]);

/* Returns true if a text is such a name; *size is then what it says. Any thread. */
bool spool_name_parse(const char *text, int64_t *size);

/* When a file of this name began to be written, in Unix time. Any thread. */
double spool_name_time(const char *name);

/* Puts a name, of at most SPOOL_NAME_SIZE - 1 bytes, where it belongs among count sorted ones;
 * where there are already size of them, the last of all drops out. Returns how many there are. */
size_t spool_name_insert(char names[][SPOOL_NAME_SIZE], size_t count, size_t size, const char *name);

#endif
