/* Rotation of secrets: those in use are those of the file, also after it was changed. */
#ifndef BAGELHOOK_ROTATION_H
#define BAGELHOOK_ROTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/handler.h"
#include "secrets.h"

#define ROTATION_ERROR_SIZE 512

struct rotation {
	struct handler *handler;
	const char *path;              /* NULL: there is no file, and nothing to do */
	struct secrets_version in_use; /* the file as the secrets were read from it */
	struct secrets_version seen;   /* as it was at the last look */
	int64_t look_at_ms;
	char reported[ROTATION_ERROR_SIZE]; /* why it could not be read, as logged; empty: it could */
};

/* Begins with secrets that were read from the file at path and are in use by the handler;
 * both path and handler must outlive it. */
void rotation_begin(struct rotation *, struct handler *, const char *path, const struct secrets *);

/* To be called by the time that it returns (clock_ms()), and at any other time. Looks at the file
 * twice a second, and reads it again once it has been changed and then left alone between two looks, or
 * at once where asked to. Secrets that cannot be read leave those in use as they are; why is logged
 * once. What there is to say of a file that was read is logged, too. Blocks on the file system. One
 * thread at a time. */
int64_t rotation_look(struct rotation *, bool asked);

/* Logs how many signatures each secret has matched, by its position in the file. */
void rotation_log_matches(const struct rotation *);

#endif
