/* The sandbox from within: files and sockets, with a control outside of it, and what goes on. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attempts.h"

static void fill_address(struct sockaddr_un *address, const char *name)
{
	const char *path = below(name);

	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	ck_assert_uint_lt(strlen(path), sizeof address->sun_path);
	memcpy(address->sun_path, path, strlen(path));
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

START_TEST(test_forbidden_file)
{
	const struct file_row *row = &forbidden[_i];

	if (row->abi > attempts_abi) {
		printf("skipped: Landlock's ABI %d does not know of attempt %d\n", attempts_abi, _i);
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

int main(void)
{
	Suite *suite = suite_create("sandbox: files");
	TCase *everywhere = tcase_create("everywhere");
	TCase *landlock = tcase_create("landlock");

	attempts_look();
	tcase_add_checked_fixture(everywhere, attempts_prepare, attempts_remove);
	tcase_add_loop_test(everywhere, test_allowed, 0, COUNT(allowed));
	tcase_add_test(everywhere, test_no_new_privileges);
	suite_add_tcase(suite, everywhere);
	tcase_add_checked_fixture(landlock, attempts_prepare, attempts_remove);
	tcase_add_loop_test(landlock, test_forbidden_file, 0, COUNT(forbidden));
	tcase_add_test(landlock, test_failure);
	/* Beside a spool, ABI 1 is not used. */
	if (attempts_abi >= 2)
		suite_add_tcase(suite, landlock);
	return attempts_run(suite, attempts_abi >= 2);
}
