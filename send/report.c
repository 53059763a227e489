#include "config.h"

#include "report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "print.h"

#define BAR_WIDTH 30

void report_begin(struct report *report, size_t expected, bool retries)
{
	memset(report, 0, sizeof *report);
	report->expected = expected;
	report->began_ms = clock_ms();
	report->bar = (expected > 1 || retries) && isatty(STDERR_FILENO);
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

static void print_outcome(const struct post_answer *answer)
{
	if (answer->outcome != NULL) {
		print_text(stdout, answer->outcome);
	} else if (answer->error != NULL) {
		print_text(stdout, answer->error);
		if (answer->detail != NULL) {
			fputs(": ", stdout);
			print_text(stdout, answer->detail);
		}
		if (answer->spooled != -1)
			fputs(answer->spooled ? ", spooled" : ", not spooled", stdout);
	} else {
		fputs("unexpected response: is this bagelhook's URL?", stdout);
	}
}

void report_answer(
	struct report *report, const char *label, enum post_result result, const struct post_answer *answer)
{
	count_answer(report, result, answer);
	clear_bar(report);
	print_text(stdout, label);
	if (result == POST_ANSWERED) {
		printf("\t%ld\t", answer->status);
		print_outcome(answer);
	} else {
		fputs("\t-\t", stdout);
		print_text(stdout, answer->reason);
	}
	fputc('\t', stdout);
	print_text(stdout, answer->event_id != NULL ? answer->event_id : "-");
	fputc('\n', stdout);
	/* Line by line even into a pipe: whoever waits sees each answer when it comes. */
	fflush(stdout);
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
