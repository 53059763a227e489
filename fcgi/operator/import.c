#include "config.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "common/progress.h"
#include "fcgi/commit/store.h"
#include "body_reader.h"
#include "commands.h"
#include "intake.h"

#define CONNECT_MS 10000

struct import {
	struct store *store;
	struct body_reader reader;
	struct progress progress;
	uint64_t seen;
	uint64_t committed; /* for the first time */
	uint64_t duplicates;
	uint64_t left;
};

/* item is the number of the line, as a pointer. */
static void settled(void *context, struct delivery *delivery, void *item)
{
	struct import *import = context;

	switch (delivery->outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
		import->committed++;
		break;
	case DELIVERY_DUPLICATE:
		import->duplicates++;
		break;
	default:
		import->left++;
		progress_clear(&import->progress);
		fprintf(stderr, "%s:%" PRIuPTR ": %s\n", import->reader.path, (uintptr_t)item,
			delivery->detail);
		break;
	}
}

static int import_bodies(struct import *import)
{
	enum body_reader_result result;
	char error[BODY_READER_ERROR_SIZE];
	struct intake_body body = {.timestamp = -1};
	struct intake intake;

	intake_begin(&intake, import->store, settled, import);
	for (;;) {
		result = body_reader_next(&import->reader, &body.bytes, &body.len, error);
		if (result == BODY_READER_END || result == BODY_READER_FAILED)
			break;
		import->seen++;
		if (result == BODY_READER_TOO_LONG) {
			import->left++;
			progress_clear(&import->progress);
			fprintf(stderr, "%s:%lu: longer than 64 MiB\n", import->reader.path,
				import->reader.line);
			continue;
		}
		/* NOLINTNEXTLINE(performance-no-int-to-ptr): it is never used as one */
		if (!intake_add(&intake, &body, (void *)(uintptr_t)import->reader.line))
			break;
		progress_show(&import->progress, import->reader.read, import->reader.size, import->seen);
	}
	bool going = (result == BODY_READER_END || result == BODY_READER_FAILED) && intake_end(&intake);
	progress_clear(&import->progress);
	if (result == BODY_READER_FAILED)
		return command_failed("bagelhook import", error);
	if (going)
		return 0;
	fprintf(stderr, "bagelhook import: %s: broken off at or before line %lu, run it again: %s\n",
		import->reader.path, import->reader.line, intake.error);
	return EXIT_NOT_ALL;
}

static int import_file(struct import *import, const char *path)
{
	char error[BODY_READER_ERROR_SIZE];
	int status = EXIT_NOT_ALL;

	progress_begin(&import->progress, path);
	if (body_reader_open(&import->reader, path, error) != 0)
		return command_failed("bagelhook import", error);
	status = import_bodies(import);
	body_reader_close(&import->reader);
	return status;
}

int import_run(const struct options *options)
{
	struct import import = {.store = store_new(options->database)};
	int status = 0;

	if (import.store == NULL)
		return command_failed("bagelhook import", "out of memory");
	if (store_connect(import.store, CONNECT_MS) != PG_READY) {
		status = command_failed("bagelhook import", store_error(import.store));
	} else {
		for (size_t i = 0; i < options->file_count; i++)
			if (import_file(&import, options->files[i]) != 0)
				status = EXIT_NOT_ALL;
		printf("%" PRIu64 " bodies: %" PRIu64 " committed, %" PRIu64 " had been there, %" PRIu64
		       " left\n",
			import.seen, import.committed, import.duplicates, import.left);
		if (import.left > 0)
			status = EXIT_NOT_ALL;
	}
	store_free(import.store);
	return status;
}
