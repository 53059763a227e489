/* Three parts, of which each covers what the others do not. No new privileges: whatever would be
 * executed gains nothing by set-user-id bits; the other two demand it. seccomp: system calls that
 * serve none of our purposes fail with EPERM, as they would for lack of a right, rather than end
 * the process, which would make a webhook lost of a library's harmless attempt. Landlock: the
 * kernel's own answer to which files may be changed, by their place and not by their owner. */
#include "config.h"

#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif
#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif

#include "log.h"
#include "text.h"

static int fail(char error[SANDBOX_ERROR_SIZE], const char *what, int reason)
{
	snprintf(error, SANDBOX_ERROR_SIZE, "sandbox: %s: %s (--no-sandbox goes without it)", what,
		text_error(reason));
	return -1;
}

#ifdef HAVE_SECCOMP

/* Those that the architecture does not have are negative, and libseccomp passes over them. */
static const int refused_calls[] = {
	/* Other programs. */
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(uselib),
/* The leak checker looks at its own process by ptrace(2). */
#ifndef SANITIZED
	SCMP_SYS(ptrace),
#endif
	/* Other processes: their memory, descriptors and doings. */
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(perf_event_open),
	/* Programs for the kernel, which matters where somebody runs us as root. */
	SCMP_SYS(bpf),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
};

/* The filter, to be released by the caller, or NULL with a negative error number in *result. */
static scmp_filter_ctx make_filter(int *result)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	*result = -ENOMEM;
	if (filter == NULL)
		return NULL;
	/* The numbers of other ABIs, which a 64-bit process can use, too, mean other calls. None of
	 * our code uses them, so all of them are refused. */
	*result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	if (*result == 0)
		*result = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	/* A sanitizer's own thread may be there already. */
	if (*result == 0)
		*result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; *result == 0 && i < sizeof refused_calls / sizeof refused_calls[0]; i++)
		*result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
	if (*result == 0)
		return filter;
	seccomp_release(filter);
	return NULL;
}

static int refuse_calls(struct sandbox *sandbox, char error[SANDBOX_ERROR_SIZE])
{
	int result;
	scmp_filter_ctx filter = make_filter(&result);

	/* Where there is no seccomp(2), not even threads can be synchronised by it. */
	if (filter == NULL && result == -EOPNOTSUPP) {
		snprintf(sandbox->seccomp, sizeof sandbox->seccomp, "not available: %s", text_error(-result));
		return 0;
	}
	if (filter != NULL) {
		result = seccomp_load(filter);
		seccomp_release(filter);
	}
	if (result != 0)
		return fail(error, "seccomp", -result);
	snprintf(sandbox->seccomp, sizeof sandbox->seccomp,
#ifdef SANITIZED
		"exec refused, ptrace left to the sanitizers"
#else
		"exec and ptrace refused"
#endif
	);
	return 0;
}

#else

static int refuse_calls(struct sandbox *sandbox, char error[SANDBOX_ERROR_SIZE])
{
	(void)error;
	snprintf(sandbox->seccomp, sizeof sandbox->seccomp, "not built in");
	return 0;
}

#endif

#if defined HAVE_LINUX_LANDLOCK_H && defined SYS_landlock_create_ruleset

/* The header may be older than the kernel. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* The ways to change files that the first version of Landlock knows. */
#define CHANGES                                                                                              \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE      \
		| LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG   \
		| LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO                                \
		| LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* The C library has no functions for them. */
static int create_ruleset(const struct landlock_ruleset_attr *attributes, size_t size, uint32_t flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}

/* Allows it beneath a directory. Returns 0, or -1 with errno. */
static int allow(int ruleset, const char *directory, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	int result = -1;

	rule.parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd >= 0) {
		result = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U);
		int reason = errno;
		close(rule.parent_fd);
		errno = reason;
	}
	return result;
}

/* Landlock knows no single file that may be removed, only directories whose files may be. */
static int allow_removal(int ruleset, const char *socket)
{
	char *directory = strdup(socket);
	char *slash = directory == NULL ? NULL : strrchr(directory, '/');
	int result = -1;

	if (slash != NULL) {
		slash[slash == directory] = '\0';
		result = allow(ruleset, directory, LANDLOCK_ACCESS_FS_REMOVE_FILE);
	}
	free(directory);
	return result;
}

static int add_rules(int ruleset, const struct sandbox_access *access, uint64_t changes)
{
	if (access->spool != NULL && allow(ruleset, access->spool, changes) != 0)
		return -1;
#ifdef COVERAGE_DIRECTORY
	/* Where a build for measuring coverage writes its counters at exit. */
	if (allow(ruleset, COVERAGE_DIRECTORY, changes) != 0)
		return -1;
#endif
	for (size_t i = 0; access->sockets != NULL && access->sockets[i] != NULL; i++)
		if (allow_removal(ruleset, access->sockets[i]) != 0)
			return -1;
	return 0;
}

static int confine_writing(
	const struct sandbox_access *access, struct sandbox *sandbox, char error[SANDBOX_ERROR_SIZE])
{
	int version = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t changes = CHANGES;

	/* Not in this kernel, turned off, or hidden by a container's filter: all are told apart
	 * only by the error. */
	if (version < 0) {
		snprintf(sandbox->landlock, sizeof sandbox->landlock, "not available: %s", text_error(errno));
		return 0;
	}
	if (version >= 2)
		changes |= LANDLOCK_ACCESS_FS_REFER;
	else if (access->spool != NULL) {
		snprintf(sandbox->landlock, sizeof sandbox->landlock,
			"not available: ABI 1 cannot rename between the spool's directories");
		return 0;
	}
	if (version >= 3)
		changes |= LANDLOCK_ACCESS_FS_TRUNCATE;
	/* Execution is handled, and allowed nowhere: that holds where seccomp is not to be had. */
	const struct landlock_ruleset_attr attributes = {
		.handled_access_fs = changes | LANDLOCK_ACCESS_FS_EXECUTE};
	int ruleset = create_ruleset(&attributes, sizeof attributes, 0);
	if (ruleset < 0)
		return fail(error, "landlock", errno);
	int result = add_rules(ruleset, access, changes);
	if (result == 0)
		result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0U);
	int reason = errno;
	close(ruleset);
	if (result != 0)
		return fail(error, "landlock", reason);
	snprintf(sandbox->landlock, sizeof sandbox->landlock, "ABI %d", version);
	return 0;
}

#else

static int confine_writing(
	const struct sandbox_access *access, struct sandbox *sandbox, char error[SANDBOX_ERROR_SIZE])
{
	(void)access;
	(void)error;
	snprintf(sandbox->landlock, sizeof sandbox->landlock, "not built in");
	return 0;
}

#endif

int sandbox_enter(
	const struct sandbox_access *access, struct sandbox *sandbox, char error[SANDBOX_ERROR_SIZE])
{
	memset(sandbox, 0, sizeof *sandbox);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(error, "no_new_privs", errno);
	if (confine_writing(access, sandbox, error) != 0)
		return -1;
	return refuse_calls(sandbox, error);
}

int sandbox_enter_and_log(bool switched_off, const struct sandbox_access *access, char error[SANDBOX_ERROR_SIZE])
{
	struct sandbox sandbox;

	if (switched_off) {
		log_record(LOG_WARN, "the sandbox is switched off", NULL);
		return 0;
	}
	if (sandbox_enter(access, &sandbox, error) != 0)
		return -1;
	log_record(LOG_INFO, "sandbox",
		LOG_PAIRS("no_new_privs", "yes", "seccomp", sandbox.seccomp, "landlock", sandbox.landlock));
	return 0;
}
