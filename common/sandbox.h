/* The rights that the process gives up once it has opened what it needs, so that a bug in it, found by
 * somebody else, is worth less: it runs no other program, looks into no other process, and writes
 * nowhere but into the spool. Reading, connecting and what is already open stay as they were.
 * Nothing of it can be taken back. */
#ifndef BAGELHOOK_SANDBOX_H
#define BAGELHOOK_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#define SANDBOX_ERROR_SIZE 512

/* Places that may still be written. */
struct sandbox_access {
	const char *spool;          /* a directory, with all that is beneath it; NULL: none */
	const char *const *sockets; /* Unix sockets to be removed at the end, NULL after the last; or NULL */
};

/* The parts that are in force, one line of text each, or why they are not. */
struct sandbox {
	char seccomp[128];
	char landlock[128];
};

/* Shuts the calling thread in, and all threads and processes that it will start; so it belongs
 * before the first thread. A part that this kernel lacks, or this build, is left out, and
 * *sandbox says so. Returns 0, or -1 with the reason, one line, in error, where a part that there
 * is cannot be put in force; then some of it may be. */
int sandbox_enter(const struct sandbox_access *, struct sandbox *, char error[SANDBOX_ERROR_SIZE]);

/* The same, and logs what is in force; or, if it is switched off, that. */
int sandbox_enter_and_log(bool switched_off, const struct sandbox_access *, char error[SANDBOX_ERROR_SIZE]);

#endif
