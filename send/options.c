#include "config.h"

#include "options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/arguments.h"
#include "print.h"
#include "story.h"

enum { TIMEOUT_DEFAULT_S = 30, TIMEOUT_MAX_S = 86400, RETRY_INTERVAL_S = 60, DUPLICATES_MAX = 1000 };

static const char usage_text[] =
	"Usage: bagelhook-send [OPTIONS] URL (FILE... | --stdin)\n"
	"Sign bodies as BagelPay does, POST them to URL and print one line for each, tab-separated:\n"
	"file or event, HTTP status, outcome or error, event id. A FILE's exact bytes are sent; FILE - is\n"
	"standard input. With several deliveries, a summary goes to standard error.\n"
	"\n"
	"  --stdin              bodies from standard input, one a line, each delivered when it is read,\n"
	"                       as bagelhook export writes them\n"
	"  --secret-file FILE   the first secret of FILE signs\n"
	"                       (default: the file named by $BAGELHOOK_SECRET_FILE)\n"
	"  --timestamp N        the signed timestamp in Unix seconds (default: now)\n"
	"  --timeout SECONDS    for each delivery (default: 30)\n"
	"  --ca-file FILE       the authorities, as PEM, that may vouch for URL's server (default: the\n"
	"                       system's)\n"
	"\n"
	"Events made up, of an order of their own (and of ada@example.com, but for --email):\n"
	"  --event TYPE         one event, now; several are of one order\n"
	"  --story NAME         a life that ends now: trial, renewals, refund, dispute or failed-renewal\n"
	"\n"
	"What they say. A FILE that is changed gets an event id of its own; all else in it stays:\n"
	"  --order-id ID        the merchant's metadata.order_id\n"
	"  --email ADDRESS      the customer's\n"
	"  --amount NUMBER      the order's, digit by digit; a FILE's other amounts stay (default: 10.00)\n"
	"  --mode MODE           test or live (default: test)\n"
	"\n"
	"How they are delivered:\n"
	"  --duplicate N        each N times more\n"
	"  --shuffle            in a random order\n"
	"  --seed N             the order that an earlier --shuffle had\n"
	"  --corrupt            with one bit of each body changed after signing: all is well if all are 401\n"
	"  --retries            whatever is not answered 200 up to six times more, as BagelPay does, but "
	"one\n"
	"                       at a time\n"
	"  --retry-interval SECONDS\n"
	"                       between tries (default: 60)\n"
	"  --rate N             at most N deliveries a second\n"
	"\n"
	"  -h, --help, --version\n"
	"\n"
	"Exits with 0 if every body was answered 200 in the end (with --corrupt, 401), 1 if not, 2 if the\n"
	"command line or the secret is unusable, 130 if Ctrl-C ended it, 143 if SIGTERM did.\n";

enum {
	OPTION_STDIN,
	OPTION_SECRET_FILE,
	OPTION_TIMESTAMP,
	OPTION_TIMEOUT,
	OPTION_CA_FILE,
	OPTION_EVENT,
	OPTION_STORY,
	OPTION_ORDER_ID,
	OPTION_EMAIL,
	OPTION_AMOUNT,
	OPTION_MODE,
	OPTION_DUPLICATE,
	OPTION_SHUFFLE,
	OPTION_SEED,
	OPTION_CORRUPT,
	OPTION_RETRIES,
	OPTION_RETRY_INTERVAL,
	OPTION_RATE,
	OPTION_HELP,
	OPTION_VERSION
};

/* In the sequence of the keys above. */
static const struct argument table[] = {
	{"stdin", false},
	{"secret-file", true},
	{"timestamp", true},
	{"timeout", true},
	{"ca-file", true},
	{"event", true},
	{"story", true},
	{"order-id", true},
	{"email", true},
	{"amount", true},
	{"mode", true},
	{"duplicate", true},
	{"shuffle", false},
	{"seed", true},
	{"corrupt", false},
	{"retries", false},
	{"retry-interval", true},
	{"rate", true},
	{"help", false},
	{"version", false},
	{NULL, false},
};

static int usage_error(const char *subject, const char *problem)
{
	complain(subject, problem);
	fputs("Try bagelhook-send --help.\n", stderr);
	return EXIT_USAGE;
}

static bool all_digits(const char *text, size_t max)
{
	const size_t len = strspn(text, "0123456789");

	return len > 0 && len <= max && text[len] == '\0';
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

/* A number above 0 or, where zero is allowed, 0; else -1. */
static double positive(const char *text, bool zero, double max)
{
	char *end;
	const double value = strtod(text, &end);

	if (!isdigit((unsigned char)text[0]) || *end != '\0' || !isfinite(value) || value > max
		|| (value == 0 && !zero))
		return -1;
	return value;
}

/* One option; an exit status where it is wrong, else -1. */
static int set_option(struct options *options, int option, char *value)
{
	double number;

	switch (option) {
	case OPTION_STDIN:
		options->lines = true;
		return -1;
	case OPTION_SECRET_FILE:
		options->secret_file = value;
		return -1;
	case OPTION_TIMESTAMP:
		options->timestamp = value;
		return all_digits(value, 12)
			? -1
			: usage_error("--timestamp", "wants Unix seconds, 1 to 12 digits");
	case OPTION_TIMEOUT:
		options->timeout_s = all_digits(value, 5) ? strtol(value, NULL, 10) : 0;
		return options->timeout_s >= 1 && options->timeout_s <= TIMEOUT_MAX_S
			? -1
			: usage_error("--timeout", "wants whole seconds, 1 to 86400");
	case OPTION_CA_FILE:
		options->ca_file = value;
		return access(value, R_OK) == 0 ? -1 : usage_error("--ca-file", "cannot be read");
	case OPTION_EVENT:
		options->events[options->event_count++] = value;
		return story_event_known(value) ? -1 : usage_error("--event wants one of", story_event_names);
	case OPTION_STORY:
		options->story = value;
		return story_known(value) ? -1 : usage_error("--story wants one of", story_names);
	case OPTION_ORDER_ID:
		options->subject.order_id = value;
		return is_text(value) ? -1 : usage_error("--order-id", "is no UTF-8");
	case OPTION_EMAIL:
		options->subject.email = value;
		return is_text(value) ? -1 : usage_error("--email", "is no UTF-8");
	case OPTION_AMOUNT:
		options->subject.amount = value;
		return is_amount(value) ? -1 : usage_error("--amount", "wants a number such as 397.16");
	case OPTION_MODE:
		options->subject.mode = value;
		return strcmp(value, "test") == 0 || strcmp(value, "live") == 0
			? -1
			: usage_error("--mode", "wants test or live");
	case OPTION_DUPLICATE:
		options->duplicates = all_digits(value, 4) ? strtoul(value, NULL, 10) : 0;
		return options->duplicates >= 1 && options->duplicates <= DUPLICATES_MAX
			? -1
			: usage_error("--duplicate", "wants a number, 1 to 1000");
	case OPTION_SHUFFLE:
		options->shuffle = true;
		return -1;
	case OPTION_SEED:
		options->shuffle = true;
		options->seed = all_digits(value, 9) ? (unsigned int)strtoul(value, NULL, 10) : 0;
		return all_digits(value, 9) ? -1 : usage_error("--seed", "wants a number of 1 to 9 digits");
	case OPTION_CORRUPT:
		options->corrupt = true;
		return -1;
	case OPTION_RETRIES:
		options->retries = true;
		return -1;
	case OPTION_RETRY_INTERVAL:
		number = positive(value, true, 86400);
		options->retries = true;
		options->retry_interval_ms = (int64_t)(number * 1000);
		return number >= 0 ? -1 : usage_error("--retry-interval", "wants seconds, 0 to 86400");
	default:
		options->rate = positive(value, false, 1e6);
		return options->rate > 0 ? -1
					 : usage_error("--rate", "wants a number above 0, at most 1000000");
	}
}

static int check(const struct options *options)
{
	int stdins = options->lines;

	if (options->url == NULL
		|| (options->file_count == 0 && options->story == NULL && options->event_count == 0 && !options->lines))
		return usage_error("usage", "bagelhook-send [OPTIONS] URL FILE..., or --stdin, --story or --event");
	for (size_t i = 0; i < options->file_count; i++)
		if (strcmp(options->files[i], "-") == 0 && ++stdins > 1)
			return usage_error("-", "standard input can be read only once");
	if (options->lines && options->shuffle)
		return usage_error("--shuffle", "cannot be used with --stdin, whose lines are delivered as they are read");
	if (options->corrupt && options->retries)
		return usage_error("--corrupt", "cannot be retried into a 200");
	if (options->secret_file == NULL || options->secret_file[0] == '\0')
		return usage_error("no secret", "give --secret-file FILE or set BAGELHOOK_SECRET_FILE");
	return -1;
}

int options_read(int argc, char **argv, struct options *options)
{
	struct arguments arguments;
	int option;
	int status;

	*options = (struct options){
		/* One thread, all the time. */
		.secret_file = getenv("BAGELHOOK_SECRET_FILE"), /* NOLINT(concurrency-mt-unsafe) */
		.timeout_s = TIMEOUT_DEFAULT_S,
		.retry_interval_ms = (int64_t)RETRY_INTERVAL_S * 1000,
		.seed = (unsigned int)(time(NULL) ^ getpid()) % 1000000000,
		.events = calloc((size_t)argc + 1, sizeof *options->events),
	};
	if (options->events == NULL) {
		complain("no memory", "for the command line");
		return EXIT_NOT_ALL;
	}
	arguments_begin(&arguments, argc, argv, table);
	while ((option = arguments_next(&arguments)) >= 0) {
		switch (option) {
		case OPTION_HELP:
			fputs(usage_text, stdout);
			return EXIT_ALL;
		case OPTION_VERSION:
			puts("bagelhook-send " PACKAGE_VERSION);
			return EXIT_ALL;
		default:
			status = set_option(options, option, arguments.value);
			if (status != -1)
				return status;
		}
	}
	if (option == ARGUMENTS_WRONG)
		return usage_error("usage", arguments.error);
	if (arguments.words > 0) {
		options->url = argv[1];
		options->files = argv + 2;
		options->file_count = (size_t)(arguments.words - 1);
	}
	return check(options);
}

void options_done(struct options *options)
{
	free(options->events);
}
