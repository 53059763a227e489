#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "send_request.h"
#include "text.h"

/*
 * bagelhook-send: signs bodies as the provider would and delivers them, one line of answer for each. For
 * trying an installation out and for delivering again what was saved. The secret comes from a file, never
 * from the command line, which every user of the machine can read.
 */

enum { EXIT_OK = 0, EXIT_NOT_ALL = 1, EXIT_USAGE = 2 };
enum {
	SECRET_MAX_BYTES = 4096,
	BODY_MAX_BYTES = 64 * 1024 * 1024,
	TIMEOUT_DEFAULT_S = 30,
	TIMEOUT_MAX_S = 86400
};

struct options {
	const char *secret_file;
	const char *timestamp; /* NULL: the time of each delivery */
	long timeout_s;
	const char *url;
	char **files;
	int nfiles;
};

static const char usage_text[] =
	"Usage: bagelhook-send [OPTIONS] URL FILE...\n"
	"Sign each FILE's exact bytes as BagelPay does, POST it to URL and print one line for it, "
	"tab-separated:\n"
	"file name, HTTP status, outcome or error, event id. FILE - is standard input.\n"
	"\n"
	"  --secret-file FILE   the signing secret: the first line of FILE\n"
	"                       (default: the file named by $BAGELHOOK_SECRET_FILE)\n"
	"  --timestamp N        the signed timestamp in Unix seconds (default: now)\n"
	"  --timeout SECONDS    for each delivery (default: 30)\n"
	"  --help, --version\n"
	"\n"
	"Exits with 0 if every answer was 200, 1 if not, 2 if the command line or the secret is unusable.\n";

/* The length of the UTF-8 character at s, 0 where there is none. Good enough to print, not to validate. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1
		: s[0] < 0xc2    ? 0
		: s[0] < 0xe0    ? 2
		: s[0] < 0xf0    ? 3
		: s[0] < 0xf5    ? 4
				 : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return (0);
	return (len);
}

/*
 * Prints text from outside so that it cannot steer a terminal or forge a line: control characters (the C1
 * ones too), backslashes and what is no UTF-8 become \xHH.
 */
static void print_text(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s != '\0') {
		size_t len = utf8_length(s);
		int control = *s < 0x20 || *s == 0x7f || *s == '\\' || (*s == 0xc2 && s[1] < 0xa0);

		if (len == 0 || control) {
			fprintf(out, "\\x%02x", *s++);
			/* The second byte of an escaped C1 character is no character of its own: it is
			 * escaped next. */
			continue;
		}
		fwrite(s, 1, len, out);
		s += len;
	}
}

/* One line on standard error: what it is about, and what is wrong with it. */
static void complain(const char *subject, const char *problem)
{
	fputs("bagelhook-send: ", stderr);
	print_text(stderr, subject);
	fputs(": ", stderr);
	print_text(stderr, problem);
	fputc('\n', stderr);
}

/*
 * Reads a stream to its end, at most max bytes of it. Returns the bytes, the caller's to free, never NULL for
 * an empty stream; NULL with errno, EFBIG where it is longer.
 */
static unsigned char *read_all(FILE *in, size_t max, size_t *len)
{
	unsigned char *bytes = NULL, *larger;
	size_t capacity = 0, used = 0, got;

	for (;;) {
		if (used == capacity) {
			capacity = capacity == 0 ? 16384 : capacity * 2;
			if ((larger = realloc(bytes, capacity)) == NULL)
				goto err;
			bytes = larger;
		}
		errno = 0;
		got = fread(bytes + used, 1, capacity - used, in);
		used += got;
		if (used > max) {
			errno = EFBIG;
			goto err;
		}
		if (got == 0)
			break;
	}
	if (ferror(in)) {
		if (errno == 0)
			errno = EIO;
		goto err;
	}
	*len = used;
	return (bytes);
err:
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, used);
	free(bytes);
	return (NULL);
}

/* As read_all, of a named file; "-" is standard input. */
static unsigned char *read_file(const char *name, size_t max, size_t *len)
{
	int is_stdin = strcmp(name, "-") == 0;
	unsigned char *bytes;
	FILE *in;
	int saved;

	if ((in = is_stdin ? stdin : fopen(name, "rb")) == NULL)
		return (NULL);
	bytes = read_all(in, max, len);
	saved = errno;
	if (!is_stdin)
		fclose(in);
	errno = saved;
	return (bytes);
}

/* The first line's bytes without its end, the caller's to cleanse and free. NULL after a complaint. */
static unsigned char *read_secret(const char *name, size_t *len)
{
	unsigned char *bytes;
	size_t end = 0;

	if ((bytes = read_file(name, SECRET_MAX_BYTES, len)) == NULL) {
		complain(name, text_error(errno));
		return (NULL);
	}
	while (end < *len && bytes[end] != '\n')
		end++;
	if (end > 0 && bytes[end - 1] == '\r')
		end--;
	if (end == 0) {
		complain(name, "the first line is empty: no secret");
		OPENSSL_cleanse(bytes, *len);
		free(bytes);
		return (NULL);
	}
	OPENSSL_cleanse(bytes + end, *len - end);
	*len = end;
	return (bytes);
}

static int all_digits(const char *text)
{
	for (const char *s = text; *s != '\0'; s++)
		if (!isdigit((unsigned char)*s))
			return (0);
	return (*text != '\0');
}

static int usage_error(const char *subject, const char *problem)
{
	complain(subject, problem);
	fputs("Try bagelhook-send --help.\n", stderr);
	return (EXIT_USAGE);
}

/* -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {{"secret-file", required_argument, NULL, 's'},
		{"timestamp", required_argument, NULL, 't'}, {"timeout", required_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
	int option, stdins = 0;

	memset(options, 0, sizeof(*options));
	/* One thread, all the time. */
	options->secret_file = getenv("BAGELHOOK_SECRET_FILE"); /* NOLINT(concurrency-mt-unsafe) */
	options->timeout_s = TIMEOUT_DEFAULT_S;
	/* getopt's own messages would print the argument unescaped. */
	opterr = 0;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 's':
			options->secret_file = optarg;
			break;
		case 't':
			if (!all_digits(optarg) || strlen(optarg) > 12)
				return (usage_error("--timestamp", "wants Unix seconds, 1 to 12 digits"));
			options->timestamp = optarg;
			break;
		case 'w':
			options->timeout_s =
				all_digits(optarg) && strlen(optarg) <= 5 ? strtol(optarg, NULL, 10) : 0;
			if (options->timeout_s < 1 || options->timeout_s > TIMEOUT_MAX_S)
				return (usage_error("--timeout", "wants whole seconds, 1 to 86400"));
			break;
		case 'h':
			fputs(usage_text, stdout);
			return (EXIT_OK);
		case 'v':
			puts("bagelhook-send " PACKAGE_VERSION);
			return (EXIT_OK);
		default:
			return (usage_error(argv[optind - 1], "unknown option, or its value is missing"));
		}
	}
	if (argc - optind < 2)
		return (usage_error("usage", "bagelhook-send [OPTIONS] URL FILE..."));
	options->url = argv[optind];
	options->files = argv + optind + 1;
	options->nfiles = argc - optind - 1;
	for (int i = 0; i < options->nfiles; i++)
		if (strcmp(options->files[i], "-") == 0 && ++stdins > 1)
			return (usage_error("-", "standard input can be read only once"));
	if (options->secret_file == NULL || options->secret_file[0] == '\0')
		return (usage_error("no secret", "give --secret-file FILE or set BAGELHOOK_SECRET_FILE"));
	return (-1);
}

static void print_answer(const char *file, enum send_result result, const struct send_answer *answer)
{
	print_text(stdout, file);
	if (result == SEND_ANSWERED)
		printf("\t%ld\t", answer->status);
	else
		fputs("\t-\t", stdout);
	if (result != SEND_ANSWERED) {
		print_text(stdout, answer->reason);
	} else if (answer->outcome != NULL) {
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
		fputs("the answer names no outcome", stdout);
	}
	fputc('\t', stdout);
	print_text(stdout, answer->event_id != NULL ? answer->event_id : "-");
	fputc('\n', stdout);
	/* Line by line even into a pipe: whoever waits sees each answer when it comes. */
	fflush(stdout);
}

static enum send_result deliver(
	const struct options *options, const struct send_target *target, const char *file, int *all_200)
{
	struct send_answer answer;
	enum send_result result;
	unsigned char *body;
	size_t body_len;
	char now[24];

	if ((body = read_file(file, BODY_MAX_BYTES, &body_len)) == NULL) {
		complain(file, text_error(errno));
		*all_200 = 0;
		return (SEND_BROKEN);
	}
	snprintf(now, sizeof(now), "%lld", (long long)time(NULL));
	result = send_request(
		target, options->timestamp != NULL ? options->timestamp : now, body, body_len, &answer);
	if (result == SEND_UNREACHABLE)
		complain(target->url, answer.reason);
	else
		print_answer(file, result, &answer);
	if (result != SEND_ANSWERED || answer.status != 200)
		*all_200 = 0;
	send_answer_done(&answer);
	free(body);
	return (result);
}

int main(int argc, char **argv)
{
	struct options options;
	struct send_target target;
	unsigned char *secret;
	int status, all_200 = 1;

	if ((status = parse_options(argc, argv, &options)) != -1)
		return (status);
	if ((secret = read_secret(options.secret_file, &target.secret_len)) == NULL)
		return (EXIT_USAGE);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		complain("libcurl", "cannot be initialised");
		status = EXIT_NOT_ALL;
		goto out;
	}
	target.url = options.url;
	target.secret = secret;
	target.timeout_ms = options.timeout_s * 1000;
	/* Where nothing listens, the other files would only repeat the same line. */
	for (int i = 0; i < options.nfiles; i++)
		if (deliver(&options, &target, options.files[i], &all_200) == SEND_UNREACHABLE)
			break;
	status = all_200 && fflush(stdout) == 0 && !ferror(stdout) ? EXIT_OK : EXIT_NOT_ALL;
	curl_global_cleanup();
out:
	OPENSSL_cleanse(secret, target.secret_len);
	free(secret);
	return (status);
}
