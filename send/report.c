#include "config.h"

#include "report.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "print.h"

#define BAR_WIDTH 30

void report_begin(struct report *report, size_t expected, const struct options *options)
{
	memset(report, 0, sizeof *report);
	report->options = options;
	report->expected = expected;
	report->began_ms = clock_ms();
	report->bar = (expected > 1 || options->retries) && isatty(STDERR_FILENO);
}

static void clear_bar(const struct report *report)
{
	if (report->bar)
		fputs("\r\033[K", stderr);
}

void report_progress(const struct report *report)
{
	const size_t done = report->settled * BAR_WIDTH / (report->expected > 0 ? report->expected : 1);

	struct tm fields;
	char moment[16];

	if (!report->bar)
		return;
	fputs("\r\033[K[", stderr);
	for (size_t i = 0; i < BAR_WIDTH; i++)
		fputc(i < done ? '#' : '.', stderr);
	fprintf(stderr, "] %zu of %zu", report->settled, report->expected);
	if (report->waiting > 0)
		fprintf(stderr, ", %zu to be tried again", report->waiting);
	if (report->waiting > 0 && report->next_try > time(NULL)
		&& localtime_r(&report->next_try, &fields) != NULL
		&& strftime(moment, sizeof moment, "%H:%M:%S", &fields) > 0)
		fprintf(stderr, ", next at %s", moment);
	fflush(stderr);
}

static void count(struct report *report, const char *text)
{
	size_t i = 0;

	while (i < REPORT_KINDS - 1 && report->kind[i].count > 0 && strcmp(report->kind[i].text, text) != 0)
		i++;
	if (report->kind[i].count++ == 0)
		snprintf(report->kind[i].text, sizeof report->kind[i].text, "%s", text);
}

static void count_answer(struct report *report, enum post_result result, const struct post_answer *answer)
{
	char text[sizeof report->kind[0].text];
	const char *word = answer->outcome != NULL ? answer->outcome : answer->error;

	report->tries++;
	if (result == POST_UNREACHABLE)
		snprintf(text, sizeof text, "unreachable");
	else if (result == POST_BROKEN)
		snprintf(text, sizeof text, "no answer");
	else
		snprintf(text, sizeof text, "%ld %s%s", answer->status, word != NULL ? word : "",
			answer->spooled == 1 ? ", spooled" : "");
	count(report, text);
}

/* Returns what an answer means that is not bagelhook's, or why there is none; NULL if the answer says it
 * itself. */
static const char *explanation(enum post_result result, const struct post_answer *answer)
{
	if (result != POST_ANSWERED)
		return answer->reason;
	if (answer->status == 404)
		return "not found: the path of the URL is probably wrong";
	return answer->outcome != NULL || answer->error != NULL
		? NULL
		: "unexpected response: is this bagelhook's URL?";
}

/* Returns the address of an order's page in the console, the caller's to free; NULL if it is not known. */
static char *order_page(const struct options *options, const char *order_id)
{
	const char *console = options->console;
	char *page = NULL;

	if (console == NULL || order_id == NULL)
		return NULL;
	/* As it is copied from a browser. */
	size_t len = strcspn(console, "#");
	while (len > 0 && console[len - 1] == '/')
		len--;
	char *escaped = curl_easy_escape(NULL, order_id, 0);
	if (escaped != NULL
		&& asprintf(&page, "%.*s/#/order/%s/%s", (int)len, console, subject_mode(&options->subject),
			   escaped)
			< 0)
		page = NULL;
	curl_free(escaped);
	return page;
}

static void print_outcome(const struct post_answer *answer)
{
	if (answer->outcome != NULL) {
		print_text(stdout, answer->outcome);
		return;
	}
	print_text(stdout, answer->error);
	if (answer->detail != NULL) {
		fputs(": ", stdout);
		print_text(stdout, answer->detail);
	}
	if (answer->spooled != -1)
		fputs(answer->spooled ? ", spooled" : ", not spooled", stdout);
}

static void print_column(const char *text)
{
	fputc('\t', stdout);
	print_text(stdout, text);
}

static void print_line(const struct parcel *parcel, enum post_result result, const struct post_answer *answer,
	const char *page)
{
	const char *explained = explanation(result, answer);

	print_text(stdout, parcel->label);
	if (result == POST_ANSWERED)
		printf("\t%ld\t", answer->status);
	else
		fputs("\t-\t", stdout);
	if (explained != NULL)
		print_text(stdout, explained);
	else
		print_outcome(answer);
	print_column(answer->event_id != NULL ? answer->event_id : "-");
	if (parcel->order_id != NULL)
		print_column(parcel->order_id);
	if (page != NULL)
		print_column(page);
	fputc('\n', stdout);
}

/* Returns text from outside as JSON, escaped as for a terminal if it is no UTF-8. */
static json_t *text_json(const char *text)
{
	json_t *value = text == NULL ? json_null() : json_string(text);
	char *escaped = NULL;
	size_t len;

	if (value != NULL)
		return value;
	FILE *out = open_memstream(&escaped, &len);
	if (out != NULL) {
		print_text(out, text);
		fclose(out);
	}
	value = json_string(escaped);
	free(escaped);
	return value;
}

static void print_json(const struct parcel *parcel, enum post_result result, const struct post_answer *answer,
	const char *page)
{
	json_t *line = json_pack("{s:o, s:o, s:s?, s:s?, s:s?, s:o, s:o, s:s?, s:s?, s:s?}", "source",
		text_json(parcel->label), "status",
		result == POST_ANSWERED ? json_integer(answer->status) : json_null(), "outcome",
		answer->outcome, "error", answer->error, "detail", answer->detail, "spooled",
		answer->spooled == -1 ? json_null() : json_boolean(answer->spooled), "reason",
		text_json(explanation(result, answer)), "event_id", answer->event_id, "order_id",
		parcel->order_id, "order_page", page);

	if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) != 0)
		complain("no memory", "for a delivery's line");
	else
		fputc('\n', stdout);
	json_decref(line);
}

void report_answer(struct report *report, const struct parcel *parcel, enum post_result result,
	const struct post_answer *answer)
{
	char *page = order_page(report->options, parcel->order_id);

	count_answer(report, result, answer);
	clear_bar(report);
	if (report->options->json)
		print_json(parcel, result, answer, page);
	else
		print_line(parcel, result, answer, page);
	/* Line by line even into a pipe: whoever waits sees each answer when it comes. */
	fflush(stdout);
	free(page);
}

void report_end(struct report *report)
{
	const double seconds = (double)(clock_ms() - report->began_ms) / 1000;

	clear_bar(report);
	if (report->tries == 0 || (report->expected < 2 && report->tries < 2))
		return;
	fprintf(stderr, "%zu of %zu deliveries in %.1f s", report->settled, report->expected, seconds);
	if (report->tries > report->expected)
		fprintf(stderr, ", %zu tries", report->tries);
	fputs(":\n", stderr);
	for (size_t i = 0; i < REPORT_KINDS && report->kind[i].count > 0; i++) {
		fprintf(stderr, "%7zu  ", report->kind[i].count);
		print_text(stderr, report->kind[i].text);
		fputc('\n', stderr);
	}
}
