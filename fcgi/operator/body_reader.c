#include "config.h"

#include "body_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/text.h"
#include "fcgi/event/json_text.h"

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

/* A body is signed without what surrounds it in a file. Returns true if anything is left. */
static bool trim(const char **body, size_t *len)
{
	text_trim(body, len);
	return *len > 0;
}

static bool is_document(const char *text, size_t len)
{
	struct json_text json;
	bool document = json_text_load((const unsigned char *)text, len, &json) == JSON_TEXT_OK;

	json_text_done();
	return document;
}

static enum body_reader_result fail(
	const struct body_reader *reader, const char *what, char error[BODY_READER_ERROR_SIZE])
{
	snprintf(error, BODY_READER_ERROR_SIZE, "%s: %s", reader->path, what);
	return BODY_READER_FAILED;
}

/* The next byte, or EOF. */
static int next_byte(const struct body_reader *reader)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this thread's */
	return getc_unlocked(reader->file);
}

/* Room for one byte more in text. */
static bool grow(struct body_reader *reader)
{
	if (reader->text_len < reader->text_size)
		return true;
	size_t size = reader->text_size == 0 ? 4096 : reader->text_size * 2;
	char *text = realloc(reader->text, size);

	if (text == NULL)
		return false;
	reader->text = text;
	reader->text_size = size;
	return true;
}

/* Reads a line, with its end, into text. What is longer than a document may be is passed over, and
 * *too_long set. Returns 1, 0 at the end of the file, or -1 with errno. */
static int read_text(struct body_reader *reader, bool *too_long)
{
	int c = EOF;

	reader->text_len = 0;
	*too_long = false;
	while ((c = next_byte(reader)) != EOF) {
		reader->read++;
		if (reader->text_len > DOCUMENT_MAX)
			*too_long = true;
		else if (!grow(reader)) {
			errno = ENOMEM;
			return -1;
		} else
			reader->text[reader->text_len++] = (char)c;
		if (c == '\n')
			return 1;
	}
	if (ferror(reader->file))
		return -1;
	return reader->text_len > 0;
}

/* Reads the next line that is not empty into text. */
static enum body_reader_result read_line(
	struct body_reader *reader, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE])
{
	bool too_long;
	int got;

	while ((got = read_text(reader, &too_long)) > 0) {
		reader->line = ++reader->lines;
		if (too_long)
			return BODY_READER_TOO_LONG;
		*body = reader->text;
		*len = reader->text_len;
		/* Some editors begin a file with a byte order mark, which is no part of the content. */
		if (reader->line == 1 && *len >= 3 && memcmp(*body, "\xef\xbb\xbf", 3) == 0) {
			*body += 3;
			*len -= 3;
		}
		if (trim(body, len))
			return BODY_READER_BODY;
	}
	return got == 0 ? BODY_READER_END : fail(reader, text_error(errno), error);
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

/* Reads the rest of the file behind what is in text, as far as that may be a document. */
static int read_rest(struct body_reader *reader)
{
	int c;

	while (reader->text_len <= DOCUMENT_MAX && (c = next_byte(reader)) != EOF) {
		if (!grow(reader)) {
			errno = ENOMEM;
			return -1;
		}
		reader->text[reader->text_len++] = (char)c;
		reader->read++;
	}
	return ferror(reader->file) ? -1 : 0;
}

static enum body_reader_result read_first(
	struct body_reader *reader, const char **body, size_t *len, char error[BODY_READER_ERROR_SIZE])
{
	enum body_reader_result result = read_line(reader, body, len, error);

	reader->state = READER_LINES;
	if (result != BODY_READER_BODY || is_document(*body, *len))
		return result;
	/* Where the document begins, in a text that may move when it grows. */
	const size_t begins = (size_t)(*body - reader->text);
	if (read_rest(reader) != 0)
		return fail(reader, text_error(errno), error);
	if (reader->text_len > DOCUMENT_MAX)
		return fail(reader,
			"neither a JSON document a line nor, in at most 64 MiB, one in all of the file",
			error);
	*body = reader->text + begins;
	*len = reader->text_len - begins;
	trim(body, len);
	if (is_document(*body, *len)) {
		reader->state = READER_DONE;
		return BODY_READER_BODY;
	}
	/* Its first line is broken, or it has but one. */
	reader->state = READER_TEXT;
	reader->at = begins;
	reader->line--;
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
