/* The sandbox from within: each attempt is made by a process of its own, first as a control outside
 * of it and then inside. An attempt returns 0, or the error number with which it failed. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ENTER_FAILED 250
#define ATTEMPT_DIED 251

typedef int attempt_function(void);

static char top[64] = "/tmp/check_sandbox.XXXXXX";
static char spool[256];
static char socket_path[256];
/* What this kernel and this build have. */
static struct sandbox have;
static int landlock_abi;

static int result_of(long returned)
{
	return returned < 0 ? errno : 0;
}

/* Calls it in a process of its own. */
static int in_child(bool sandboxed, attempt_function *attempt)
{
	const char *const sockets[] = {socket_path, NULL};
	const struct sandbox_access access = {spool, sockets};
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

static int inside(attempt_function *attempt)
{
	return in_child(true, attempt);
}

static int outside(attempt_function *attempt)
{
	return in_child(false, attempt);
}

/* --- system calls ---------------------------------------------------------------------------- */

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

/* --- files ----------------------------------------------------------------------------------- */

/* A path below the test's directory. */
static const char *below(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", top, name);
	return path;
}

static void fill_address(struct sockaddr_un *address, const char *name)
{
	const char *path = below(name);

	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	ck_assert_uint_lt(strlen(path), sizeof address->sun_path);
	memcpy(address->sun_path, path, strlen(path));
}

static int try_open(const char *name, int flags)
{
	int fd = open(below(name), flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int try_rename(const char *from, const char *to)
{
	char old[256];

	snprintf(old, sizeof old, "%s", below(from));
	return result_of(rename(old, below(to)));
}

static int bind_at(const char *name)
{
	struct sockaddr_un address;

	fill_address(&address, name);
	return result_of(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}

static int create_outside(void)
{
	return try_open("other/new", O_WRONLY | O_CREAT | O_EXCL);
}
static int write_outside(void)
{
	return try_open("other/file", O_WRONLY);
}
static int append_outside(void)
{
	return try_open("other/file", O_RDWR | O_APPEND);
}
static int remove_outside(void)
{
	return result_of(unlink(below("other/file")));
}
static int make_directory_outside(void)
{
	return result_of(mkdir(below("other/directory"), 0700));
}
static int remove_directory_outside(void)
{
	return result_of(rmdir(below("other/empty")));
}
static int link_outside(void)
{
	return result_of(symlink("file", below("other/link")));
}
static int make_fifo_outside(void)
{
	return result_of(mkfifo(below("other/fifo"), 0600));
}
static int bind_outside(void)
{
	return bind_at("other/socket");
}
static int rename_outside(void)
{
	return try_rename("other/file", "other/renamed");
}
static int create_beside_the_socket(void)
{
	return try_open("run/new", O_WRONLY | O_CREAT | O_EXCL);
}
static int bind_beside_the_socket(void)
{
	return bind_at("run/new");
}
static int cut_outside(void)
{
	return result_of(truncate(below("other/file"), 0));
}
static int cut_by_opening(void)
{
	return try_open("other/file", O_RDONLY | O_TRUNC);
}
static int move_into_the_spool(void)
{
	return try_rename("other/file", "spool/new/file");
}
static int move_out_of_the_spool(void)
{
	return try_rename("spool/tmp/file", "other/moved");
}

static int write_by_a_link_in_the_spool(void)
{
	if (symlink("../other/file", below("spool/link")) != 0)
		return 0;
	return try_open("spool/link", O_WRONLY);
}

static void *write_in_thread(void *result)
{
	*(int *)result = write_outside();
	return NULL;
}

static int write_outside_in_a_new_thread(void)
{
	pthread_t thread;
	int result = 0;

	if (pthread_create(&thread, NULL, write_in_thread, &result) != 0)
		return ENTER_FAILED;
	pthread_join(thread, NULL);
	return result;
}

struct file_row {
	attempt_function *attempt;
	int abi; /* the first that knows of it */
};

static const struct file_row forbidden[] = {
	{create_outside, 1},
	{write_outside, 1},
	{append_outside, 1},
	{write_outside_in_a_new_thread, 1},
	{remove_outside, 1},
	{make_directory_outside, 1},
	{remove_directory_outside, 1},
	{link_outside, 1},
	{make_fifo_outside, 1},
	{bind_outside, 1},
	{rename_outside, 1},
	{create_beside_the_socket, 1},
	{bind_beside_the_socket, 1},
	{move_into_the_spool, 1},
	{move_out_of_the_spool, 1},
	{write_by_a_link_in_the_spool, 1},
	{cut_outside, 3},
	{cut_by_opening, 3},
};

static void remove_all(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): a path of ours */
}

static void make_all(void)
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
	snprintf(spool, sizeof spool, "%s", below("spool"));
	snprintf(socket_path, sizeof socket_path, "%s", below("run/socket"));
}

START_TEST(test_forbidden_file)
{
	const struct file_row *row = &forbidden[_i];

	if (row->abi > landlock_abi) {
		printf("skipped: Landlock's ABI %d does not know of attempt %d\n", landlock_abi, _i);
		return;
	}
	ck_assert_int_eq(inside(row->attempt), EACCES);
	ck_assert_int_eq(outside(row->attempt), 0);
}
END_TEST

static int read_outside(void)
{
	return try_open("other/file", O_RDONLY);
}
static int write_in_spool(void)
{
	return try_open("spool/tmp/new", O_WRONLY | O_CREAT | O_EXCL);
}
static int cut_in_spool(void)
{
	return result_of(truncate(below("spool/tmp/file"), 1));
}
static int rename_in_spool(void)
{
	return try_rename("spool/tmp/file", "spool/new/file");
}
static int remove_in_spool(void)
{
	return result_of(unlink(below("spool/tmp/file")));
}
static int make_directory_in_spool(void)
{
	return result_of(mkdir(below("spool/corrupt"), 0700));
}
static int remove_the_socket(void)
{
	return result_of(unlink(below("run/socket")));
}

static int write_in_memory(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	return fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 ? 0 : errno;
}

static int write_standard_error(void)
{
	return result_of(write(STDERR_FILENO, "", 0));
}

/* Somebody else's socket, as PostgreSQL's or the name service's. */
static int connect_outside(void)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	fill_address(&address, "other/listening");
	return result_of(connect(fd, (struct sockaddr *)&address, sizeof address));
}

static attempt_function *const allowed[] = {read_outside, write_in_spool, cut_in_spool, rename_in_spool,
	remove_in_spool, make_directory_in_spool, remove_the_socket, write_in_memory, write_standard_error,
	connect_outside};

START_TEST(test_allowed)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	fill_address(&address, "other/listening");
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(inside(allowed[_i]), 0);
	close(fd);
}
END_TEST

static int has_no_new_privileges(void)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "re");
	bool found = false;

	while (status != NULL && fgets(line, sizeof line, status) != NULL)
		found = found || strcmp(line, "NoNewPrivs:\t1\n") == 0;
	return found ? 0 : EINVAL;
}

START_TEST(test_no_new_privileges)
{
	ck_assert_int_eq(inside(has_no_new_privileges), 0);
}
END_TEST

static int enter_without_a_spool(void)
{
	const struct sandbox_access access = {"/nonexistent/spool", NULL};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (sandbox_enter(&access, &sandbox, error) == 0)
		return 0;
	return strcmp(error, "sandbox: landlock: No such file or directory (--no-sandbox goes without it)")
			== 0
		? ENOENT
		: EINVAL;
}

START_TEST(test_failure)
{
	ck_assert_int_eq(outside(enter_without_a_spool), ENOENT);
}
END_TEST

/* --- what is not there ------------------------------------------------------------------------- */

struct hidden_row {
	long call;
	uint32_t least; /* only where its third argument is not less than this */
	int reason;
	const char *seccomp;
	const char *landlock; /* as they begin; NULL: as ever */
	const char *error;    /* NULL: it goes on */
};

static const struct hidden_row hidden[] = {
	{SYS_seccomp, 0, ENOSYS, "not available: ", NULL, NULL},
	{SYS_seccomp, 0, EPERM, "not available: ", NULL, NULL},
	/* That the call is there is found out without a filter. */
	{SYS_seccomp, 1, ENOMEM, NULL, NULL, "sandbox: seccomp: Cannot allocate memory"},
#ifdef SYS_landlock_create_ruleset
	{SYS_landlock_create_ruleset, 0, ENOSYS, NULL, "not available: Function not implemented", NULL},
	{SYS_landlock_create_ruleset, 0, EOPNOTSUPP, NULL, "not available: Operation not supported", NULL},
	{SYS_landlock_add_rule, 0, ENOMEM, NULL, NULL, "sandbox: landlock: Cannot allocate memory"},
	{SYS_landlock_restrict_self, 0, EPERM, NULL, NULL, "sandbox: landlock: Operation not permitted"},
#endif
	{SYS_prctl, 0, EPERM, NULL, NULL, "sandbox: no_new_privs: Operation not permitted"},
};

/* The half of it that differs between small numbers. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define THIRD_ARGUMENT offsetof(struct seccomp_data, args[2])
#else
#define THIRD_ARGUMENT (offsetof(struct seccomp_data, args[2]) + sizeof(uint32_t))
#endif

/* From now on the call fails so, as in a container that hides it. */
static bool hide(const struct hidden_row *row)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, THIRD_ARGUMENT),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, row->least, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)row->reason),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {COUNT(steps), steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
		&& prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static const struct hidden_row *chosen;

static int enter_where_it_is_hidden(void)
{
	const struct hidden_row *row = chosen;
	const char *const sockets[] = {socket_path, NULL};
	const struct sandbox_access access = {spool, sockets};
	struct sandbox sandbox;
	char error[SANDBOX_ERROR_SIZE];

	if (!hide(row))
		return ENTER_FAILED;
	if (sandbox_enter(&access, &sandbox, error) != 0)
		return row->error != NULL && begins(error, row->error) ? 0 : EINVAL;
	return row->error == NULL && begins(sandbox.seccomp, row->seccomp == NULL ? "exec" : row->seccomp)
			&& begins(sandbox.landlock, row->landlock == NULL ? "ABI" : row->landlock)
		? 0
		: EINVAL;
}

/* What is not there is left out, and said; what is there and fails ends the start. */
START_TEST(test_hidden)
{
	chosen = &hidden[_i];
	ck_assert_int_eq(outside(enter_where_it_is_hidden), 0);
}
END_TEST

/* Finds out, in a process of its own, what there is. */
static void look(void)
{
	const struct sandbox_access nothing = {NULL, NULL};
	char error[SANDBOX_ERROR_SIZE];
	int status;
	int ends[2];

	if (pipe(ends) != 0)
		abort();
	pid_t child = fork();
	if (child == 0) {
		if (sandbox_enter(&nothing, &have, error) != 0
			|| write(ends[1], &have, sizeof have) != sizeof have)
			_exit(1);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0
		|| read(ends[0], &have, sizeof have) != sizeof have)
		abort();
	if (sscanf(have.landlock, "ABI %d", &landlock_abi) != 1) /* NOLINT(cert-err34-c): our own text */
		landlock_abi = 0;
}

int main(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *everywhere = tcase_create("everywhere");
	TCase *seccomp = tcase_create("seccomp");
	TCase *landlock = tcase_create("landlock");
	TCase *both = tcase_create("both");
	bool has_seccomp;

	look();
	has_seccomp = strncmp(have.seccomp, "exec", 4) == 0;
	tcase_add_checked_fixture(everywhere, make_all, remove_all);
	tcase_add_loop_test(everywhere, test_allowed, 0, COUNT(allowed));
	tcase_add_test(everywhere, test_no_new_privileges);
	suite_add_tcase(suite, everywhere);
	tcase_add_checked_fixture(seccomp, make_all, remove_all);
	tcase_add_loop_test(seccomp, test_call, 0, COUNT(calls));
#ifdef SANITIZED
	tcase_add_test(seccomp, test_ptrace_is_left_to_sanitizers);
#endif
	if (has_seccomp)
		suite_add_tcase(suite, seccomp);
	tcase_add_checked_fixture(landlock, make_all, remove_all);
	tcase_add_loop_test(landlock, test_forbidden_file, 0, COUNT(forbidden));
	tcase_add_test(landlock, test_failure);
	/* Beside a spool, ABI 1 is not used. */
	if (landlock_abi >= 2)
		suite_add_tcase(suite, landlock);
	tcase_add_checked_fixture(both, make_all, remove_all);
	tcase_add_loop_test(both, test_hidden, 0, COUNT(hidden));
	if (has_seccomp && landlock_abi >= 2)
		suite_add_tcase(suite, both);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	printf("seccomp: %s; landlock: %s\n", have.seccomp, have.landlock);
	if (failed > 0)
		return 1;
	/* What could not be tried is to be seen. */
	return has_seccomp && landlock_abi >= 2 ? 0 : 77;
}
