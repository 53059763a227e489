/* Attempts within the sandbox and without, for the tests of it: each is made by a process of its own. */
#ifndef BAGELHOOK_ATTEMPTS_H
#define BAGELHOOK_ATTEMPTS_H

#include <check.h>
#include <stdbool.h>

#include "common/sandbox.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ENTER_FAILED 250
#define ATTEMPT_DIED 251

/* Returns 0, or the error number with which it failed. */
typedef int attempt_function(void);

/* The spool and the socket of the sandbox, below the test's directory. */
extern char attempts_spool[256];
extern char attempts_socket[256];

/* What this kernel and this build have, and Landlock's ABI, 0 without. */
extern struct sandbox attempts_have;
extern int attempts_abi;

/* What a system call returned, as an attempt returns it. */
int result_of(long returned);

/* Makes an attempt, as it is, or in the sandbox first. Returns what it did, or one of the numbers above. */
int outside(attempt_function *attempt);
int inside(attempt_function *attempt);

/* A path below the test's directory; good until the next call. */
const char *below(const char *name);

/* Opens and closes a file below it. */
int try_open(const char *name, int flags);

/* A fixture for each test: the directory, with what the attempts are made on. */
void attempts_prepare(void);
void attempts_remove(void);

/* Finds out, before anything else, what there is; and runs a suite. Returns main()'s exit status: 77 where
 * not all could be tried. */
void attempts_look(void);
int attempts_run(Suite *suite, bool all);

#endif
