#include "config.h"

#include "body_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "json_text.h"
#include "text.h"

/* The longest body there can be (--max-body). */
#define DOCUMENT_MAX ((size_t)64 * 1024 * 1024)

int body_reader_open(struct body_reader *reader, const char *path, char error[BODY_READER_ERROR_SIZE])
{
	struct stat status;

	memset(reader, 0, sizeof *reader);
	reader->path = path;
	reader->state = READER_FIRST;
	reader->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (reader->file == NULL) {
		snprintf(error, BODY_READER_ERROR_SIZE, "%s: %s", path, text_error(errno));
		return -1;
	}
	if (fstat(fileno(reader->file), &status) == 0 && S_ISREG(status.st_mode))
		reader->size = (int64_t)status.st_size;
	return 0;
}

void body_reader_close(struct body_reader *reader)
{
	if (reader->file != NULL && reader->file != stdin)
		fclose(reader->file);
	free(reader->text);
	reader->file = NULL;
	reader->text = NULL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A body is signed without what surrounds it in a file. Whether anything is left. */
static bool trim(const char **body, size_t *len)
{
	while (*len > 0 && is_space((*body)[0])) {
		++*body;
		--*len;
	}
	while (*len > 0 && is_space((*body)[*len - 1]))
		--*len;
	return *len > 0;
}

static bool is_document(const char *text, size_t len)
{
	char reason[80];
	json_t *tree = NULL;
	bool document = json_text_load((const unsigned char *)text, len, &tree, reason, sizeof reason)
		== JSON_TEXT_OK;

	json_text_done(&tree);
	return document;
}

static enum body_reader_result fail(
	const struct body_reader *reader, const char *what, char error[BODY_READER_ERROR_SIZE])
{
	snprintf(error, BODY_READER_ERROR_SIZE, "%s: %s", reader->path, what);
	return BODY_READER_FAILED;
}

/* Reads the next line that is not empty into text. */
static enum body_reader_result read_line(
	struct body_reader *reader, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE])
{
	for (;;) {
		errno = 0;
		ssize_t got = getline(&reader->text, &reader->text_size, reader->file);

		if (got < 0 && ferror(reader->file))
			return fail(reader, text_error(errno), error);
		if (got < 0 && !feof(reader->file))
			return fail(reader, text_error(ENOMEM), error);
		if (got < 0)
			return BODY_READER_END;
		reader->read += got;
		reader->lines++;
		reader->line = reader->lines;
		reader->text_len = (size_t)got;
		*body = reader->text;
		*len = reader->text_len;
		if (trim(body, len))
			return BODY_READER_BODY;
	}
}

/* The next line that is not empty of a text that is in memory. */
static enum body_reader_result take_line(struct body_reader *reader, const char **body, size_t *len)
{
	while (reader->at < reader->text_len) {
		const char *start = reader->text + reader->at;
		const char *end = memchr(start, '\n', reader->text_len - reader->at);

		*body = start;
		*len = end == NULL ? reader->text_len - reader->at : (size_t)(end - start);
		reader->at += *len + 1;
		reader->line++;
		if (trim(body, len))
			return BODY_READER_BODY;
	}
	return BODY_READER_END;
}

/* Reads all the rest behind what is in text. False where it is too long or memory is short. */
static bool read_rest(struct body_reader *reader)
{
	for (;;) {
		if (reader->text_len == reader->text_size) {
			size_t size = reader->text_size * 2;
			char *text = size > 4 * DOCUMENT_MAX ? NULL : realloc(reader->text, size);

			if (text == NULL)
				return false;
			reader->text = text;
			reader->text_size = size;
		}
		size_t got = fread(reader->text + reader->text_len, 1, reader->text_size - reader->text_len,
			reader->file);
		if (got == 0)
			return !ferror(reader->file) && reader->text_len <= DOCUMENT_MAX;
		reader->text_len += got;
		reader->read += (int64_t)got;
	}
}

static enum body_reader_result read_first(
	struct body_reader *reader, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE])
{
	enum body_reader_result result = read_line(reader, body, len, error);
	unsigned long first = reader->line;

	reader->state = READER_LINES;
	if (result != BODY_READER_BODY || is_document(*body, *len))
		return result;
	if (!read_rest(reader))
		return fail(reader,
			"neither a JSON document a line nor, in at most 64 MiB, one in all of the file",
			error);
	*body = reader->text;
	*len = reader->text_len;
	trim(body, len);
	if (is_document(*body, *len)) {
		reader->state = READER_DONE;
		return BODY_READER_BODY;
	}
	/* Its first line is broken, or it has but one. */
	reader->state = READER_TEXT;
	reader->line = first - 1;
	return take_line(reader, body, len);
}

enum body_reader_result body_reader_next(
	struct body_reader *reader, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE])
{
	switch (reader->state) {
	case READER_FIRST:
		return read_first(reader, body, len, error);
	case READER_LINES:
		return read_line(reader, body, len, error);
	case READER_TEXT:
		return take_line(reader, body, len);
	case READER_DONE:
		break;
	}
	return BODY_READER_END;
}
