#include "config.h"

#include "page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define MAX_FILE ((size_t)1024 * 1024)

/* index.html is what / is. */
static const char *const names[PAGE_FILES] = {"index.html", "style.css", "icon.svg", "answers.js", "api.js",
	"body.js", "dead_letters.js", "deliveries.js", "delivery.js", "dom.js", "filters.js", "find.js",
	"moments.js", "order.js", "overview.js", "plots.js", "script.js", "timeline.js", "words.js"};

static const struct {
	const char *ending;
	const char *type;
} types[] = {
	{".html", "text/html; charset=utf-8"},
	{".css", "text/css; charset=utf-8"},
	{".js", "text/javascript; charset=utf-8"},
	{".svg", "image/svg+xml"},
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
		int len = snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		int failed = len < 0 || (size_t)len >= sizeof path ? ENAMETOOLONG
								   : read_file(path, &page->files[i]);

		if (failed != 0) {
			snprintf(error, PAGE_ERROR_SIZE, "--page: %.300s/%s: %s", directory, names[i],
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

static const char *type_of(const char *name)
{
	const char *ending = strrchr(name, '.');

	for (size_t i = 0; ending != NULL && i < sizeof types / sizeof types[0]; i++)
		if (strcmp(ending, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}

struct page_file page_find(const struct page *page, const char *path)
{
	const char *name = strcmp(path, "/") == 0 ? "/index.html" : path;

	for (size_t i = 0; i < PAGE_FILES; i++)
		if (name[0] == '/' && strcmp(name + 1, names[i]) == 0)
			return (struct page_file){type_of(names[i]), &page->files[i]};
	return (struct page_file){NULL, NULL};
}
