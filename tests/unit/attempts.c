#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempts.h"

char attempts_spool[256];
char attempts_socket[256];
struct sandbox attempts_have;
int attempts_abi;

static char top[64];

int result_of(long returned)
{
	return returned < 0 ? errno : 0;
}

/* Calls it in a process of its own. */
static int in_child(bool sandboxed, attempt_function *attempt)
{
	const char *const sockets[] = {attempts_socket, NULL};
	const struct sandbox_access access = {attempts_spool, sockets};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		if (sandboxed && sandbox_enter(&access, &sandbox, error) != 0) {
			fprintf(stderr, "%s\n", error);
			_exit(ENTER_FAILED);
		}
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : ATTEMPT_DIED;
}

int inside(attempt_function *attempt)
{
	return in_child(true, attempt);
}

int outside(attempt_function *attempt)
{
	return in_child(false, attempt);
}

const char *below(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", top, name);
	return path;
}

int try_open(const char *name, int flags)
{
	int fd = open(below(name), flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

void attempts_remove(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): a path of ours */
}

void attempts_prepare(void)
{
	static const char *const directories[] = {
		"other", "other/empty", "run", "spool", "spool/new", "spool/tmp"};
	static const char *const files[] = {"other/file", "run/socket", "spool/tmp/file"};

	strcpy(top, "/tmp/check_sandbox.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	for (size_t i = 0; i < COUNT(directories); i++)
		ck_assert_int_eq(mkdir(below(directories[i]), 0700), 0);
	for (size_t i = 0; i < COUNT(files); i++)
		ck_assert_int_eq(try_open(files[i], O_WRONLY | O_CREAT | O_EXCL), 0);
	snprintf(attempts_spool, sizeof attempts_spool, "%s", below("spool"));
	snprintf(attempts_socket, sizeof attempts_socket, "%s", below("run/socket"));
}

/* In a process of its own. */
void attempts_look(void)
{
	const struct sandbox_access nothing = {NULL, NULL};
	char error[SANDBOX_ERROR_SIZE];
	int status;
	int ends[2];

	if (pipe(ends) != 0)
		abort();
	pid_t child = fork();
	if (child == 0) {
		if (sandbox_enter(&nothing, &attempts_have, error) != 0
			|| write(ends[1], &attempts_have, sizeof attempts_have) != sizeof attempts_have)
			_exit(1);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0
		|| read(ends[0], &attempts_have, sizeof attempts_have) != sizeof attempts_have)
		abort();
	if (sscanf(attempts_have.landlock, "ABI %d", &attempts_abi)
		!= 1) /* NOLINT(cert-err34-c): our own text */
		attempts_abi = 0;
}

int attempts_run(Suite *suite, bool all)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("seccomp: %s; landlock: %s\n", attempts_have.seccomp, attempts_have.landlock);
	if (failed > 0)
		return 1;
	/* What could not be tried is to be seen. */
	return all ? 0 : 77;
}
