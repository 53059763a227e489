#include "config.h"

#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"

#define DRAW_MS 100
#define BAR_WIDTH 30

void progress_begin(struct progress *progress, const char *what)
{
	progress->what = what;
	progress->shown = isatty(STDERR_FILENO);
	progress->began_ms = clock_ms();
	progress->drawn_ms = progress->began_ms - DRAW_MS;
}

void progress_show(struct progress *progress, int64_t done, int64_t total, uint64_t count)
{
	char bar[BAR_WIDTH + 1];
	int64_t now = clock_ms();
	int64_t passed = now - progress->began_ms;

	if (!progress->shown || now - progress->drawn_ms < DRAW_MS)
		return;
	progress->drawn_ms = now;
	int64_t filled = total > 0 ? done * BAR_WIDTH / total : 0;
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s ", progress->what);
	if (total > 0)
		fprintf(stderr, "[%s] %3" PRId64 " %%, ", bar, done * 100 / total);
	fprintf(stderr, "%" PRIu64 ", %" PRIu64 " a second\x1b[K", count,
		passed > 0 ? count * 1000 / (uint64_t)passed : 0);
	fflush(stderr);
}

void progress_clear(struct progress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\x1b[K", stderr);
	fflush(stderr);
	progress->drawn_ms = clock_ms() - DRAW_MS;
}
