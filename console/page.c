#include "config.h"

#include "page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define MAX_FILE ((size_t)1024 * 1024)

#define VERSION_MARK "@VERSION@"

/* index.html is what / is. */
static const char *const names[PAGE_FILES] = {"index.html", "style.css", "icon.svg", "script.js"};
/* The place in names[] of what is made of the modules, and of what names the version. */
#define SCRIPT 3
#define INDEX 0

/* The modules of script.js. Each one follows those that it imports. */
static const char *const modules[] = {"text.js", "time.js", "search_input.js", "json_text.js", "remedies.js",
	"table_text.js", "verdicts.js", "grouping.js", "geometry.js", "answers.js", "api.js", "dom.js", "parts.js",
	"body.js", "timeline.js", "charts.js", "view.js", "filters.js", "delivery_rows.js", "deliveries.js", "delivery.js",
	"dead_letters.js", "attention.js", "overview.js", "order.js", "find.js", "customer.js", "main.js"};

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

static bool begins(const char *line, const char *word)
{
	return strncmp(line, word, strlen(word)) == 0;
}

/* Appends a module to a script in which all modules share one scope: imports go, and exports become plain declarations.
 * Both begin at the beginning of a line, and an import ends with the first semicolon. */
static void append_module(const char *module, struct buffer *script)
{
	const char *line = module;

	while (*line != '\0') {
		if (begins(line, "import "))
			line += strcspn(line, ";");
		else if (begins(line, "export "))
			line += strlen("export ");
		size_t len = strcspn(line, "\n");
		if (*line != ';')
			buffer_put(script, line, len + (line[len] == '\n'));
		line += len + (line[len] == '\n');
	}
}

/* Returns 0, or an errno. */
static int read_module(const char *path, struct buffer *script)
{
	struct buffer module;
	int failed;

	buffer_init(&module);
	failed = read_file(path, &module);
	if (failed == 0 && module.len > 0)
		append_module(module.data, script);
	buffer_done(&module);
	return failed == 0 && buffer_failed(script) ? ENOMEM : failed;
}

/* Reads one file of the directory into a buffer, as a module or as it is. Returns 0, or -1 with the reason in error. */
static int read_part(const char *directory, const char *name, bool module, struct buffer *into,
	char error[PAGE_ERROR_SIZE])
{
	char path[4096];
	int len = snprintf(path, sizeof path, "%s/%s", directory, name);
	int failed = ENAMETOOLONG;

	if (len >= 0 && (size_t)len < sizeof path)
		failed = module ? read_module(path, into) : read_file(path, into);
	if (failed == 0)
		return 0;
	snprintf(error, PAGE_ERROR_SIZE, "--page: %.300s/%s: %s", directory, name, text_error(failed));
	return -1;
}

/* Computes the version, and puts it where index.html names it. False without memory. */
static bool set_version(struct page *page)
{
	struct buffer *index = &page->files[INDEX];
	struct buffer all;
	char *mark;
	bool done;

	buffer_init(&all);
	for (size_t i = 0; i < PAGE_FILES; i++)
		buffer_put(&all, page->files[i].data, page->files[i].len);
	done = !buffer_failed(&all) && digest_hex(all.data, all.len, NULL, 0, page->version);
	buffer_done(&all);
	page->version[strlen(VERSION_MARK)] = '\0';
	while (done && index->len > 0 && (mark = strstr(index->data, VERSION_MARK)) != NULL)
		memcpy(mark, page->version, strlen(VERSION_MARK));
	return done;
}

int page_read(struct page *page, const char *directory, char error[PAGE_ERROR_SIZE])
{
	int failed = 0;

	for (size_t i = 0; i < PAGE_FILES; i++)
		buffer_init(&page->files[i]);
	for (size_t i = 0; i < PAGE_FILES && failed == 0; i++)
		if (i != SCRIPT)
			failed = read_part(directory, names[i], false, &page->files[i], error);
	for (size_t i = 0; i < sizeof modules / sizeof modules[0] && failed == 0; i++)
		failed = read_part(directory, modules[i], true, &page->files[SCRIPT], error);
	if (failed == 0 && !set_version(page)) {
		snprintf(error, PAGE_ERROR_SIZE, "--page: %s", text_error(ENOMEM));
		failed = -1;
	}
	if (failed != 0)
		page_done(page);
	return failed;
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
