/* Headers of those who do not know the secret: signature, NUL, timestamp, NUL, body. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "fcgi/auth/secrets.h"
#include "fcgi/auth/signature.h"
#include "target.h"

const char fuzz_target_name[] = "signature";

static struct signature_verifier *verifier;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct secrets secrets = {.count = 2};

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < secrets.count; i++) {
		secrets.secret[i].len = 32;
		secrets.secret[i].modes = SECRET_BOTH;
		/* Not to be guessed, also by this program. */
		MUST(getentropy(secrets.secret[i].key, 32) == 0);
	}
	verifier = signature_open(&secrets);
	return verifier == NULL;
}

/* Takes a text off the front, up to its NUL; NULL where there is none. */
static char *take_text(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\0', *size);
	char *text;

	if (end == NULL)
		return NULL;
	text = strdup((const char *)*data);
	MUST(text != NULL);
	*size -= (size_t)(end - *data) + 1;
	*data = end + 1;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *signature = take_text(&data, &size);
	char *timestamp = take_text(&data, &size);
	struct signature_match match = {.which = SIZE_MAX};

	enum signature_result result = signature_verify(verifier, signature, timestamp, data, size, &match);
	MUST(result == SIGNATURE_MISSING || result == SIGNATURE_MALFORMED || result == SIGNATURE_WRONG);
	MUST(match.which == SIZE_MAX);
	free(signature);
	free(timestamp);
	return 0;
}
