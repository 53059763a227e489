/* Rotation of secrets: a thread looks at the secrets' file, and replaces those in use when it changes. Nobody
 * waits for that thread, as the file system may hang. */
#ifndef BAGELHOOK_ROTATION_H
#define BAGELHOOK_ROTATION_H

#include <stdbool.h>

#include "secrets.h"
#include "signature.h"

struct rotation;

/* Starts the thread. version is the file's at path from which the verifier has its secrets; path NULL: there
 * is no file, and rotation_watch() only tells the service manager. Path and verifier must outlive the rotation. Looks twice a
 * second, and reads the file once it has changed and then stayed the same between two looks. A file that
 * cannot be used leaves the secrets in use as they are. Logs what it reads, once. Returns NULL without a
 * thread or a descriptor. One at a time in a process. */
struct rotation *rotation_start(
	const char *path, const struct secrets_version *version, struct signature_verifier *verifier);

/* Logs, once, that the file system has hung for 5 seconds. If asked, also has the file read now, tells the service
 * manager, and logs the result. Does not block. Call it every few seconds, always from one thread. */
void rotation_watch(struct rotation *, bool asked);

/* Ends the rotation and logs how many signatures each secret has matched, by its position in the file. If the
 * file system hangs, leaves the thread to the end of the process; it does not use the verifier any more.
 * Waits at most for verifications that are under way. NULL is allowed. */
void rotation_stop(struct rotation *);

#endif
