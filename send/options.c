#include "config.h"

#include "options.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/arguments.h"
#include "print.h"
#include "story.h"

/* Groups of the help. */
enum { INPUT = 1, MADE_UP = 2, CONTENT = 4, DELIVERY = 8, PROGRAM = 16, ALL = 31 };

#define AT(member) offsetof(struct options, member)

static const struct argument table[] = {
	{INPUT, "stdin", NULL, ARGUMENT_SWITCH, AT(lines), 0, 0, 0, NULL,
		"bodies from standard input, one a line, each delivered when it is read, as bagelhook export\n"
		"      writes them"},
	{INPUT, "secret-file", "BAGELHOOK_SECRET_FILE", ARGUMENT_MAYBE, AT(secret_file), 0, 0, 0, "FILE",
		"the first secret of FILE signs"},
	{INPUT, "timestamp", NULL, ARGUMENT_TEXT, AT(timestamp), 0, 0, 0, "N",
		"the signed timestamp in Unix seconds (default: now)"},
	{INPUT, "timeout", NULL, ARGUMENT_NUMBER, AT(timeout_s), 1, 86400, 30, "SECONDS", "for each delivery"},
	{INPUT, "ca-file", NULL, ARGUMENT_TEXT, AT(ca_file), 0, 0, 0, "FILE",
		"the authorities, as PEM, that may vouch for URL's server (default: the system's)"},
	{INPUT, "json", NULL, ARGUMENT_SWITCH, AT(json), 0, 0, 0, NULL, "each line as JSON"},
	{MADE_UP, "event", NULL, ARGUMENT_TEXTS, AT(events), 0, 0, 0, "TYPE",
		"one event, now; several are of one order"},
	{MADE_UP, "story", NULL, ARGUMENT_TEXTS, AT(stories), 0, 0, 0, "NAME",
		"a life that ends now: trial, renewals, refund, dispute or failed-renewal"},
	{MADE_UP, "count", NULL, ARGUMENT_NUMBER, AT(count), 1, 10000, 1, "N",
		"so many of them, each with an order and a customer of its own"},
	{MADE_UP, "at", NULL, ARGUMENT_FROM, AT(at), 0, 0, 0, "MOMENT",
		"when the last event happened (default: now)"},
	{MADE_UP, "console", NULL, ARGUMENT_TEXT, AT(console), 0, 0, 0, "URL",
		"the console's address: each line ends with that of the order's page"},
	{CONTENT, "order-id", NULL, ARGUMENT_TEXT, AT(subject.order_id), 0, 0, 0, "ID",
		"the merchant's metadata.order_id"},
	{CONTENT, "email", NULL, ARGUMENT_TEXT, AT(subject.email), 0, 0, 0, "ADDRESS", "the customer's"},
	{CONTENT, "customer", NULL, ARGUMENT_TEXT, AT(subject.customer_id), 0, 0, 0, "ID",
		"the customer's id (default: follows from the e-mail; a FILE's stays)"},
	{CONTENT, "user", NULL, ARGUMENT_TEXT, AT(subject.user_id), 0, 0, 0, "ID", "the merchant's metadata.user_id"},
	{CONTENT, "metadata", NULL, ARGUMENT_TEXTS, AT(subject.metadata), 0, 0, 0, "K=V",
		"metadata.K is the text V; may be given several times"},
	{CONTENT, "product", NULL, ARGUMENT_TEXT, AT(subject.product_id), 0, 0, 0, "ID", "the product's id"},
	{CONTENT, "units", NULL, ARGUMENT_NUMBER, AT(subject.units), 0, INT32_MAX, -1, "N", "of a subscription"},
	{CONTENT, "amount", NULL, ARGUMENT_TEXT, AT(subject.amount), 0, 0, 0, "NUMBER",
		"the order's, digit by digit; a FILE's other amounts stay (default: 10.00)"},
	{CONTENT, "mode", NULL, ARGUMENT_WORD, AT(mode), 0, 0, -1, "test|live", "of the events (default: test)"},
	{DELIVERY, "duplicate", NULL, ARGUMENT_NUMBER, AT(duplicates), 1, 1000, 0, "N", "each N times more"},
	{DELIVERY, "shuffle", NULL, ARGUMENT_SWITCH, AT(shuffle), 0, 0, 0, NULL, "in a random order"},
	{DELIVERY, "seed", NULL, ARGUMENT_NUMBER, AT(seed), 0, 999999999, -1, "N",
		"the order that an earlier --shuffle had"},
	{DELIVERY, "corrupt", NULL, ARGUMENT_SWITCH, AT(corrupt), 0, 0, 0, NULL,
		"with one bit of each body changed after signing: all is well if all are 401"},
	{DELIVERY, "retries", NULL, ARGUMENT_SWITCH, AT(retries), 0, 0, 0, NULL,
		"whatever is not answered 200 up to six times more, as BagelPay does, but one at a time"},
	{DELIVERY, "retry-interval", NULL, ARGUMENT_SECONDS, AT(retry_interval_s), 0, 86400, -1, "SECONDS",
		"with --retries, the time between tries; 60 if not given"},
	{DELIVERY, "rate", NULL, ARGUMENT_SECONDS, AT(rate), 0, 1000000, -1, "N",
		"at most N deliveries a second, above 0"},
	{PROGRAM, "help", NULL, ARGUMENT_SWITCH, AT(help), 0, 0, 0, NULL, "print this, then exit; -h does the same"},
	{PROGRAM, "version", NULL, ARGUMENT_SWITCH, AT(version), 0, 0, 0, NULL, "print the version, then exit"},
	{.name = NULL},
};

static const struct {
	unsigned group;
	const char *heading;
} groups[] = {
	{INPUT,
		"Usage: bagelhook-send [OPTIONS] URL (FILE... | --stdin)\n"
		"Sign bodies as BagelPay does, POST them to URL and print one line for each, tab-separated:\n"
		"file or event, HTTP status, outcome or error, event id. A FILE's exact bytes are sent; FILE - is\n"
		"standard input. With several deliveries, a summary goes to standard error.\n\n"},
	{MADE_UP,
		"\nEvents made up, of an order of their own (and of ada@example.com, but for --email). Their lines\n"
		"have the order's id behind the event's:\n"},
	{CONTENT,
		"\nWhat they say. A FILE that is changed gets an event id of its own; all else in it stays:\n"},
	{DELIVERY, "\nHow they are delivered:\n"},
	{PROGRAM, "\n"},
};

static void print_help(void)
{
	for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
		fputs(groups[i].heading, stdout);
		arguments_help(table, groups[i].group, stdout);
	}
	puts("\nExits with 0 if every body was answered 200 in the end (with --corrupt, 401), 1 if not, 2 if the\n"
	     "command line or the secret is unusable, 130 if Ctrl-C ended it, 143 if SIGTERM did.");
}

static int usage_error(const char *subject, const char *problem)
{
	complain(subject, problem);
	fputs("Try bagelhook-send --help.\n", stderr);
	return EXIT_USAGE;
}

/* JSON's grammar of a number, without a sign or an exponent. */
static bool is_amount(const char *text)
{
	const size_t whole = strspn(text, "0123456789");
	const char *rest = text + whole;

	if (whole == 0 || (whole > 1 && text[0] == '0'))
		return false;
	if (*rest == '.') {
		const size_t decimals = strspn(rest + 1, "0123456789");
		if (decimals == 0)
			return false;
		rest += 1 + decimals;
	}
	return *rest == '\0';
}

/* Text that can stand in JSON. */
static bool is_text(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string != NULL;
}

static bool is_url(const char *text)
{
	return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static int check_texts(const struct options *options)
{
	const struct subject *subject = &options->subject;
	const struct {
		const char *name;
		const char *text;
	} texts[] = {{"--order-id", subject->order_id}, {"--email", subject->email},
		{"--customer", subject->customer_id}, {"--user", subject->user_id},
		{"--product", subject->product_id}, {"--console", options->console}};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (texts[i].text != NULL && !is_text(texts[i].text))
			return usage_error(texts[i].name, "is no UTF-8");
	for (size_t i = 0; i < subject->metadata.count; i++) {
		const char *text = subject->metadata.texts[i];

		if (!is_text(text) || text[0] == '=' || strchr(text, '=') == NULL)
			return usage_error(
				"--metadata", "wants a name and a text, in UTF-8, such as plan=gold");
		if (strncmp(text, "order_id=", 9) == 0 || strncmp(text, "user_id=", 8) == 0)
			return usage_error(
				"--metadata", "sets neither order_id nor user_id: use --order-id or --user");
	}
	return -1;
}

/* The values that have a grammar of their own. */
static int check_values(const struct options *options)
{
	const char *amount = options->subject.amount;
	const size_t digits = options->timestamp == NULL ? 1 : strspn(options->timestamp, "0123456789");

	if (options->timestamp != NULL && (digits == 0 || digits > 12 || options->timestamp[digits] != '\0'))
		return usage_error("--timestamp", "wants Unix seconds, 1 to 12 digits");
	if (options->ca_file != NULL && access(options->ca_file, R_OK) != 0)
		return usage_error("--ca-file", "cannot be read");
	for (size_t i = 0; i < options->events.count; i++)
		if (!story_event_known(options->events.texts[i]))
			return usage_error("--event wants one of", story_event_names);
	for (size_t i = 0; i < options->stories.count; i++)
		if (!story_known(options->stories.texts[i]))
			return usage_error("--story wants one of", story_names);
	if (options->console != NULL && !is_url(options->console))
		return usage_error("--console", "wants an address such as http://127.0.0.1:8081/");
	if (amount != NULL && !is_amount(amount))
		return usage_error("--amount", "wants a number such as 397.16");
	if (options->rate == 0)
		return usage_error("--rate", "wants a number above 0");
	return check_texts(options);
}

/* Options that do not go together. */
static int check(const struct options *options)
{
	const bool made_up = options->stories.count > 0 || options->events.count > 0;
	int stdins = options->lines;

	if (options->url == NULL || (options->file_count == 0 && !made_up && !options->lines))
		return usage_error("usage", "bagelhook-send [OPTIONS] URL FILE..., or --stdin, --story or --event");
	if (options->stories.count > 1 || (options->stories.count == 1 && options->events.count > 0))
		return usage_error(
			"--story", "can be given once, and not with --event: run bagelhook-send for each");
	if (!made_up && (options->count > 1 || options->at[0] != '\0' || options->console != NULL))
		return usage_error("--count, --at and --console", "are only for --story and --event");
	for (size_t i = 0; i < options->file_count; i++)
		if (strcmp(options->files[i], "-") == 0 && ++stdins > 1)
			return usage_error("-", "standard input can be read only once");
	if (options->lines && options->shuffle)
		return usage_error("--shuffle", "cannot be used with --stdin, whose lines are delivered as they are read");
	if (options->corrupt && options->retries)
		return usage_error("--corrupt", "cannot be retried into a 200");
	if (options->secret_file == NULL)
		return usage_error("no secret", "give --secret-file FILE or set BAGELHOOK_SECRET_FILE");
	return -1;
}

int options_read(int argc, char **argv, struct options *options)
{
	char error[ARGUMENTS_ERROR_SIZE];

	const size_t room = (size_t)argc + 1;
	*options = (struct options){.texts = calloc(3 * room, sizeof *options->texts)};
	if (options->texts == NULL) {
		complain("no memory", "for the command line");
		return EXIT_NOT_ALL;
	}
	options->stories.texts = options->texts;
	options->events.texts = options->texts + room;
	options->subject.metadata.texts = options->texts + 2 * room;
	const int words = arguments_take(table, ALL, options, argc, argv, error);
	if (words < 0)
		return usage_error("usage", error);
	if (options->help) {
		print_help();
		return EXIT_ALL;
	}
	if (options->version) {
		puts("bagelhook-send " PACKAGE_VERSION);
		return EXIT_ALL;
	}
	options->shuffle |= options->seed >= 0;
	if (options->seed < 0)
		options->seed = (long)((unsigned int)(time(NULL) ^ getpid()) % 1000000000);
	options->retries |= options->retry_interval_s >= 0;
	if (options->retry_interval_s < 0)
		options->retry_interval_s = 60;
	if (options->mode >= 0)
		options->subject.mode = options->mode == 0 ? "test" : "live";
	if (words > 0) {
		options->url = argv[1];
		options->files = argv + 2;
		options->file_count = (size_t)words - 1;
	}
	const int status = check_values(options);
	return status != -1 ? status : check(options);
}

void options_done(struct options *options)
{
	free(options->texts);
}
