/* A signed body, for the tests that verify signatures. */
#ifndef BAGELHOOK_SIGNED_H
#define BAGELHOOK_SIGNED_H

#include <check.h>
#include <string.h>

#include "fcgi/auth/secrets.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TIMESTAMP "1756301826"
/* That of `{"a":1}` at TIMESTAMP under whsec_test. */
#define GOOD "d1409f109ce191c52411f6c6ce7f662df5b06944672f40bf06d40d0e339a0baa"

static const unsigned char good_body[] = {'{', '"', 'a', '"', ':', '1', '}'};

/* Copies a secret into the next place. */
static inline void add_secret(struct secrets *secrets, const void *key, size_t len)
{
	ck_assert_uint_lt(secrets->count, SECRETS_MAX);
	ck_assert_uint_le(len, SECRETS_MAX_LEN);
	memcpy(secrets->secret[secrets->count].key, key, len);
	secrets->secret[secrets->count].len = len;
	secrets->secret[secrets->count].modes = SECRET_BOTH;
	secrets->count++;
}

#endif
