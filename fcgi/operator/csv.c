#include "config.h"

#include "csv.h"

#include <errno.h>

static int next_byte(const struct csv *csv)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this thread's */
	return getc_unlocked(csv->file);
}

/* The next byte, with CRLF as LF. */
static int next(const struct csv *csv)
{
	int c = next_byte(csv);

	if (c == '\r' && (c = next_byte(csv)) != '\n') {
		if (c != EOF)
			ungetc(c, csv->file);
		c = '\r';
	}
	return c;
}

static void wrong(struct csv *csv, const char *error)
{
	if (csv->error == NULL)
		csv->error = error;
}

static void begin_field(struct csv *csv)
{
	if (csv->count == CSV_FIELDS_MAX)
		wrong(csv, "more than 64 fields");
	else
		csv->starts[csv->count++] = csv->text.len;
}

static void put(struct csv *csv, int c)
{
	const char byte = (char)c;

	if (c == '\0')
		wrong(csv, "a NUL byte");
	else if (csv->text.len >= CSV_RECORD_MAX)
		wrong(csv, "longer than 1 MiB: is a quote not closed?");
	else
		buffer_put(&csv->text, &byte, 1);
}

/* Reads the rest of a field behind its opening quote. Returns what follows the closing one. */
static int read_quoted(struct csv *csv)
{
	int c;

	for (;;) {
		c = next_byte(csv);
		if (c == '"' && (c = next(csv)) != '"')
			break;
		if (c == EOF) {
			wrong(csv, "a quote is not closed");
			break;
		}
		csv->lines += c == '\n';
		put(csv, c);
	}
	if (c != ',' && c != '\n' && c != EOF)
		wrong(csv, "text behind a closing quote");
	return c;
}

/* Reads a record that begins with c. */
static void read_record(struct csv *csv, int c)
{
	for (;; c = next(csv)) {
		begin_field(csv);
		if (c == '"')
			c = read_quoted(csv);
		for (; c != ',' && c != '\n' && c != EOF; c = next(csv)) {
			if (c == '"')
				wrong(csv,
					"a quote inside a field that does not begin with one: \"say "
					"\"\"hi\"\"\" is right");
			put(csv, c);
		}
		buffer_put(&csv->text, "", 1);
		if (c != ',')
			return;
	}
}

enum csv_result csv_next(struct csv *csv)
{
	int c;

	buffer_clear(&csv->text);
	csv->count = 0;
	csv->error = NULL;
	do {
		csv->line = ++csv->lines;
		c = next(csv);
		if (csv->line == 1 && c == 0xef && (next_byte(csv) != 0xbb || next_byte(csv) != 0xbf))
			wrong(csv, "the text is not UTF-8");
		else if (csv->line == 1 && c == 0xef)
			c = next(csv);
	} while (c == '\n');
	if (c != EOF)
		read_record(csv, c);
	if (ferror(csv->file))
		return CSV_FAILED;
	if (buffer_failed(&csv->text)) {
		errno = ENOMEM;
		return CSV_FAILED;
	}
	if (c == EOF)
		return CSV_END;
	return csv->error == NULL ? CSV_RECORD : CSV_WRONG;
}

char *csv_field(const struct csv *csv, size_t number)
{
	return csv->text.data + csv->starts[number];
}

void csv_done(struct csv *csv)
{
	buffer_done(&csv->text);
}
