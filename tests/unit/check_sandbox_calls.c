/* The sandbox from within: system calls, first as a control outside of it. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempts.h"

static char *const true_arguments[] = {(char[]){"true"}, NULL};
static char *const no_environment[] = {NULL};

static int try_execve(void)
{
	return result_of(execve("/bin/true", true_arguments, no_environment));
}

static int try_execveat(void)
{
	return result_of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", true_arguments, no_environment, 0));
}

/* A program that is in no directory at all. */
static int try_program_in_memory(void)
{
	char bytes[4096];
	ssize_t got;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);
	int to = memfd_create("program", MFD_CLOEXEC);

	while ((got = read(from, bytes, sizeof bytes)) > 0)
		if (write(to, bytes, (size_t)got) != got)
			return errno;
	return result_of(fexecve(to, true_arguments, no_environment));
}

static int try_spawn(void)
{
	pid_t child;

	return posix_spawn(&child, "/bin/true", NULL, NULL, true_arguments, no_environment);
}

static int try_ptrace(void)
{
	return result_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_reading_memory(void)
{
	char from = 1;
	char to = 0;
	struct iovec local = {&to, 1};
	struct iovec remote = {&from, 1};

	return result_of(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}

static int try_writing_memory(void)
{
	char from = 1;
	char to = 0;
	struct iovec local = {&from, 1};
	struct iovec remote = {&to, 1};

	return result_of(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
}

static int try_taking_a_descriptor(void)
{
	int process = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return result_of(syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0));
}

static int try_loading_a_module(void)
{
	return result_of(syscall(SYS_finit_module, -1, "", 0));
}

static void *execve_in_thread(void *result)
{
	*(int *)result = try_execve();
	return NULL;
}

static int try_execve_in_a_new_thread(void)
{
	pthread_t thread;
	int result = 0;

	if (pthread_create(&thread, NULL, execve_in_thread, &result) != 0)
		return ENTER_FAILED;
	pthread_join(thread, NULL);
	return result;
}

#if defined __x86_64__ && !defined __ILP32__
/* The numbers of i386, which a 64-bit process reaches as well: execve is 11. */
static int try_execve_of_i386(void)
{
	/* It takes addresses of 32 bits. */
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long result = 11;

	if (low == MAP_FAILED)
		return errno;
	strcpy(low, "/bin/true");
	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"(low), "c"(0), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)-result;
}

/* Those of x32 have a bit of their own: execve is 520. */
static int try_execve_of_x32(void)
{
	return result_of(syscall(0x40000000 + 520, "/bin/true", true_arguments, no_environment));
}
#endif

struct call_row {
	attempt_function *attempt;
	/* Whether anybody may, without a sandbox. */
	bool allowed_outside;
};

static const struct call_row calls[] = {
	{try_execve, true},
	{try_execveat, true},
	{try_program_in_memory, true},
	{try_spawn, true},
	{try_execve_in_a_new_thread, true},
#ifndef SANITIZED
	{try_ptrace, true},
#endif
	{try_reading_memory, true},
	{try_writing_memory, true},
	{try_taking_a_descriptor, true},
	{try_loading_a_module, false},
#if defined __x86_64__ && !defined __ILP32__
	{try_execve_of_i386, false},
	{try_execve_of_x32, false},
#endif
};

START_TEST(test_call)
{
	const struct call_row *row = &calls[_i];

	if (row->allowed_outside)
		ck_assert_int_eq(outside(row->attempt), 0);
	/* A kernel without the system calls of i386 ends whoever makes one. */
	else if (outside(row->attempt) == ATTEMPT_DIED)
		return;
	ck_assert_int_eq(inside(row->attempt), EPERM);
}
END_TEST

#ifdef SANITIZED
START_TEST(test_ptrace_is_left_to_sanitizers)
{
	ck_assert_int_eq(inside(try_ptrace), 0);
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("sandbox: system calls");
	TCase *seccomp = tcase_create("seccomp");

	attempts_look();
	const bool has_seccomp = strncmp(attempts_have.seccomp, "exec", 4) == 0;
	tcase_add_checked_fixture(seccomp, attempts_prepare, attempts_remove);
	tcase_add_loop_test(seccomp, test_call, 0, COUNT(calls));
#ifdef SANITIZED
	tcase_add_test(seccomp, test_ptrace_is_left_to_sanitizers);
#endif
	if (has_seccomp)
		suite_add_tcase(suite, seccomp);
	return attempts_run(suite, has_seccomp);
}
