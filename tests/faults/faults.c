/* Preloaded into a program under test, makes chosen calls fail: memory, and system calls that
 * would otherwise need a broken disk or a full system. A test maps the file that FAULTS names, too, and
 * says there which calls, and which of them.
 *
 * Allocations that libfcgi makes are passed over: it ends the process where it gets no memory, which is
 * why the responder makes sure beforehand that there is some. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* As tests/harness/faults.py lays it out. */
struct faults {
	char call[24];          /* which call fails; "": none. "memory" is every allocation */
	_Atomic uint32_t error; /* with this errno; 0: it does not fail, but hangs while armed */
	_Atomic uint32_t armed;
	uint64_t skip;         /* after so many of them */
	uint64_t times;        /* and so many times */
	_Atomic uint64_t seen; /* such calls since it was armed */
	_Atomic uint64_t failed;
};

static struct faults *faults;

/* What the C library calls its own, for those who replace it. NOLINTBEGIN */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
/* NOLINTEND */

__attribute__((constructor)) static void map_faults(void)
{
	const char *path = getenv("FAULTS");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED)
		faults = mapped;
	close(fd);
}

static void disarm(void)
{
	atomic_store(&faults->armed, 0);
}

/* Once main() has ended nothing fails any more: what counts coverage, which writes its counts then, does not
 * survive it. */
static void disarm_at_exit(void)
{
	static atomic_bool registered;

	if (!atomic_exchange(&registered, true))
		atexit(disarm);
}

static bool is_armed_for(const char *call)
{
	return faults != NULL && atomic_load(&faults->armed) != 0 && strcmp(faults->call, call) == 0;
}

/* Counts a call that the test has chosen. Whether it is to fail; errno is set then. */
static bool strikes(void)
{
	disarm_at_exit();
	uint64_t before = atomic_fetch_add(&faults->seen, 1);

	if (before < faults->skip || before - faults->skip >= faults->times)
		return false;
	atomic_fetch_add(&faults->failed, 1);
	errno = (int)atomic_load(&faults->error);
	if (errno != 0)
		return true;
	while (atomic_load(&faults->armed) != 0)
		nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL);
	return false;
}

static bool fails(const char *call)
{
	return is_armed_for(call) && strikes();
}

static bool is_of_libfcgi(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) != 0 && info.dli_fname != NULL
		&& strstr(info.dli_fname, "libfcgi") != NULL;
}

static bool memory_fails(const void *caller)
{
	return is_armed_for("memory") && !is_of_libfcgi(caller) && strikes();
}

void *malloc(size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	void *got = memory_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);

	if (got == NULL)
		return ENOMEM;
	*memory = got;
	return 0;
}

/* The C library's function of this name. */
static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

/* A system call that says with -1 that it failed. */
#define FAILING(type, name, parameters, arguments)                                                           \
	type name parameters                                                                                 \
	{                                                                                                    \
		static type(*_Atomic real) parameters;                                                       \
                                                                                                             \
		if (fails(#name))                                                                            \
			return -1;                                                                           \
		if (atomic_load(&real) == NULL)                                                              \
			atomic_store(&real, (type(*) parameters)next(#name));                                \
		return atomic_load(&real) arguments;                                                         \
	}

FAILING(ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len))
FAILING(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
FAILING(int, close, (int fd), (fd))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, stat, (const char *path, struct stat *status), (path, status))
FAILING(int, fstat, (int fd, struct stat *status), (fd, status))
FAILING(int, fstatvfs, (int fd, struct statvfs *status), (fd, status))
FAILING(int, flock, (int fd, int operation), (fd, operation))
FAILING(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
FAILING(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
FAILING(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
FAILING(int, getentropy, (void *bytes, size_t len), (bytes, len))
FAILING(int, poll, (struct pollfd * polled, nfds_t count, int timeout), (polled, count, timeout))
FAILING(int, epoll_create1, (int flags), (flags))
FAILING(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
	(epoll, operation, fd, event))
FAILING(int, epoll_wait, (int epoll, struct epoll_event *events, int count, int timeout),
	(epoll, events, count, timeout))
FAILING(int, socket, (int family, int type, int protocol), (family, type, protocol))
FAILING(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len))
FAILING(int, listen, (int fd, int backlog), (fd, backlog))
FAILING(int, accept, (int fd, struct sockaddr *address, socklen_t *len), (fd, address, len))
FAILING(ssize_t, send, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags))
FAILING(ssize_t, recv, (int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags))
FAILING(int, pipe, (int fds[2]), (fds))
FAILING(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit), (resource, limit))

int openat(int fd, const char *path, int flags, ...)
{
	static int (*_Atomic real)(int, const char *, int, ...);
	mode_t mode = 0;
	va_list more;

	va_start(more, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(more, mode_t);
	va_end(more);
	if (fails("openat"))
		return -1;
	if (atomic_load(&real) == NULL)
		atomic_store(&real, (int (*)(int, const char *, int, ...))next("openat"));
	return atomic_load(&real)(fd, path, flags, mode);
}

/* Says what is wrong by what it returns. */
int pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *argument), void *argument)
{
	static int (*_Atomic real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (fails("pthread_create"))
		return errno;
	if (atomic_load(&real) == NULL)
		atomic_store(&real,
			(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))next(
				"pthread_create"));
	return atomic_load(&real)(thread, attributes, run, argument);
}
