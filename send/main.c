/* bagelhook-send: signs bodies as the provider would and delivers them. For trying an installation
 * out, and for delivering again what was saved. The secret comes from a file, never from the
 * command line, which every user of the machine can read. */
#include "config.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "change.h"
#include "dispatch.h"
#include "input.h"
#include "options.h"
#include "parcels.h"
#include "post.h"
#include "print.h"
#include "story.h"

/* Files are read when their turn comes, unless they are changed, or can be read only once. */
static bool add_file(const char *name, const struct options *options, struct parcels *parcels)
{
	unsigned char *body = NULL;
	size_t len = 0;

	const bool changed = change_wanted(&options->subject);
	if (changed || strcmp(name, "-") == 0) {
		body = input_body(name, &len);
		if (body == NULL) {
			complain(name, text_error(errno));
			return false;
		}
	}
	if (changed && (body = change_body(name, &options->subject, body, len, &len)) == NULL)
		return false;
	return parcels_add(parcels, name, NULL, body, len);
}

/* Makes parcels of files and events. Returns false after a complaint. */
static bool pack(const struct options *options, struct parcels *parcels)
{
	if (!story_tell(options, parcels)) {
		complain("no memory", "for the events");
		return false;
	}
	for (size_t i = 0; i < options->file_count; i++)
		if (!add_file(options->files[i], options, parcels))
			return false;
	return true;
}

static int run(const struct options *options)
{
	struct parcels parcels = {0};
	struct post_target target = {.url = options->url,
		.timeout_ms = options->timeout_s * 1000,
		.ca_file = options->ca_file,
		.corrupt = options->corrupt};
	unsigned char *secret = input_secret(options->secret_file, &target.secret_len);
	int status = EXIT_NOT_ALL;

	if (secret == NULL)
		return EXIT_USAGE;
	target.secret = secret;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		complain("libcurl", "cannot be initialised");
	else if (pack(options, &parcels))
		status = dispatch(options, &parcels, &target);
	if (status == EXIT_ALL && (fflush(stdout) != 0 || ferror(stdout)))
		status = EXIT_NOT_ALL;
	parcels_free(&parcels);
	curl_global_cleanup();
	OPENSSL_cleanse(secret, target.secret_len);
	free(secret);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	int status = options_read(argc, argv, &options);

	if (status == -1)
		status = run(&options);
	options_done(&options);
	return status;
}
