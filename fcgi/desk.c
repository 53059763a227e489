#include "config.h"

#include "desk.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

bool desk_open(struct desk *desk)
{
	buffer_init(&desk->records);
	buffer_init(&desk->out);
	desk->file = memfd_create("bagelhook", MFD_CLOEXEC);
	return desk->file >= 0;
}

void desk_close(struct desk *desk)
{
	if (desk->file >= 0)
		close(desk->file);
	buffer_done(&desk->records);
	buffer_done(&desk->out);
}

bool desk_lay_out(struct desk *desk, const struct records *records)
{
	buffer_clear(&desk->records);
	records_put(records, &desk->records);
	if (buffer_failed(&desk->records)) {
		buffer_done(&desk->records);
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
	/* What is behind its end is an older request's. */
	return ftruncate(desk->file, (off_t)desk->records.len) == 0 && lseek(desk->file, 0, SEEK_SET) == 0;
}

bool desk_accept(struct desk *desk, FCGX_Request *fcgi)
{
	/* Without a listening socket it cannot accept behind our back. With keepConnection
	 * unset, FCGX_Accept_r() would first close the descriptor. */
	FCGX_InitRequest(fcgi, -1, 0);
	fcgi->ipcFd = desk->file;
	fcgi->keepConnection = 1;
	return FCGX_Accept_r(fcgi) == 0;
}
