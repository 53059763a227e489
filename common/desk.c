#include "config.h"

#include "desk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What libfcgi allocates for a request: three streams with their buffers; and for a parameter, which
 * takes two bytes at the least, a block and its share of a growing array. */
#define FCGI_BYTES ((size_t)32 * 1024)
#define FCGI_PARAM_BYTES ((size_t)64)

bool desk_open(struct desk *desk)
{
	buffer_init(&desk->records);
	buffer_init(&desk->out);
	desk->file = memfd_create("bagelhook", MFD_CLOEXEC);
	if (desk->file < 0)
		return false;
	/* Kept, so that without memory at least that can be said. */
	if (buffer_reserve(&desk->records, DESK_ANSWER_SIZE) && buffer_reserve(&desk->out, DESK_ANSWER_SIZE))
		return true;
	errno = ENOMEM;
	return false;
}

void desk_close(struct desk *desk)
{
	if (desk->file >= 0)
		close(desk->file);
	buffer_done(&desk->records);
	buffer_done(&desk->out);
}

/* Whether there is memory for what libfcgi will make of a request: it ends the process where it gets
 * none. Another thread may still take it; that cannot be helped from here. */
static bool has_memory_for(const struct records *records)
{
	/* A compiler would take a block that nobody uses for one that is always there. */
	void *volatile block =
		malloc(FCGI_BYTES + records->params.len + records->params.len / 2 * FCGI_PARAM_BYTES);

	free(block);
	return block != NULL;
}

bool desk_lay_out(struct desk *desk, const struct records *records)
{
	/* No record begins like this: an older request, whose end the file may still hold, is never read on.
	 */
	static const char end[8] = {0};

	buffer_clear(&desk->records);
	records_put(records, &desk->records);
	buffer_put(&desk->records, end, sizeof end);
	if (buffer_failed(&desk->records) || !has_memory_for(records)) {
		errno = ENOMEM;
		return false;
	}
	for (size_t at = 0; at < desk->records.len;) {
		ssize_t written =
			pwrite(desk->file, desk->records.data + at, desk->records.len - at, (off_t)at);

		if (written < 0)
			return false;
		at += (size_t)written;
	}
	return lseek(desk->file, 0, SEEK_SET) == 0;
}

bool desk_accept(struct desk *desk, FCGX_Request *fcgi)
{
	/* Without a listening socket it cannot accept behind our back. With keepConnection
	 * unset, FCGX_Accept_r() would first close the descriptor. */
	FCGX_InitRequest(fcgi, -1, 0);
	fcgi->ipcFd = desk->file;
	fcgi->keepConnection = 1;
	if (FCGX_Accept_r(fcgi) == 0)
		return true;
	/* It has closed what it could not read a request from. */
	desk->file = memfd_create("bagelhook", MFD_CLOEXEC);
	errno = EIO;
	return false;
}
