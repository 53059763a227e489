/* The static files of the page, read once. Its modules become one script, so that a browser asks once. */
#ifndef BAGELHOOK_PAGE_H
#define BAGELHOOK_PAGE_H

#include "common/buffer.h"
#include "common/digest.h"

#define PAGE_ERROR_SIZE 512
#define PAGE_FILES 4

struct page {
	struct buffer files[PAGE_FILES];
	char version[DIGEST_LEN + 1]; /* of all files together, as hex digits: their ETag, and v= in their addresses */
};

struct page_file {
	const char *type;
	const struct buffer *content;
};

/* Reads them from a directory. Returns 0, or -1 with the reason, one line, in error. */
int page_read(struct page *, const char *directory, char error[PAGE_ERROR_SIZE]);

/* Frees what page_read() read. */
void page_done(struct page *);

/* The file at a path of the address; content is NULL where there is none. */
struct page_file page_find(const struct page *, const char *path);

#endif
