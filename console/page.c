#include "config.h"

#include "page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define MAX_FILE ((size_t)1024 * 1024)

static const struct {
	const char *path; /* of the address */
	const char *name;
	const char *type;
} files[PAGE_FILES] = {
	{"/", "index.html", "text/html; charset=utf-8"},
	{"/style.css", "style.css", "text/css; charset=utf-8"},
	{"/script.js", "script.js", "text/javascript; charset=utf-8"},
	{"/icon.svg", "icon.svg", "image/svg+xml"},
};

static int read_file(const char *path, struct buffer *content)
{
	FILE *file = fopen(path, "rbe");
	char bytes[8192];
	size_t got;
	int failed;

	if (file == NULL)
		return errno;
	while ((got = fread(bytes, 1, sizeof bytes, file)) > 0 && content->len <= MAX_FILE)
		buffer_put(content, bytes, got);
	failed = ferror(file) ? errno : 0;
	fclose(file);
	if (failed != 0)
		return failed;
	if (content->len > MAX_FILE)
		return EFBIG;
	return buffer_failed(content) ? ENOMEM : 0;
}

int page_read(struct page *page, const char *directory, char error[PAGE_ERROR_SIZE])
{
	char path[4096];

	for (size_t i = 0; i < PAGE_FILES; i++)
		buffer_init(&page->files[i]);
	for (size_t i = 0; i < PAGE_FILES; i++) {
		int len = snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
		int failed = len < 0 || (size_t)len >= sizeof path ? ENAMETOOLONG
								   : read_file(path, &page->files[i]);

		if (failed != 0) {
			snprintf(error, PAGE_ERROR_SIZE, "--page: %.300s/%s: %s", directory, files[i].name,
				text_error(failed));
			page_done(page);
			return -1;
		}
	}
	return 0;
}

void page_done(struct page *page)
{
	for (size_t i = 0; i < PAGE_FILES; i++)
		buffer_done(&page->files[i]);
}

struct page_file page_find(const struct page *page, const char *path)
{
	for (size_t i = 0; i < PAGE_FILES; i++)
		if (strcmp(path, files[i].path) == 0)
			return (struct page_file){files[i].type, &page->files[i]};
	return (struct page_file){NULL, NULL};
}
