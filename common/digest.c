#include "config.h"

#include "digest.h"

#include <openssl/evp.h>
#include <pthread.h>

static const EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* With EVP_sha256(), libcrypto looks up the implementation for each digest, in about 2,000 instructions. That
 * is the fallback without memory. */
static void find_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		sha256 = EVP_sha256();
}

bool digest_hex(
	const void *first, size_t first_len, const void *second, size_t second_len, char hex[DIGEST_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[DIGEST_LEN / 2];
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	pthread_once(&once, find_sha256);
	bool done = context != NULL && EVP_DigestInit_ex(context, sha256, NULL)
		&& EVP_DigestUpdate(context, first, first_len)
		&& EVP_DigestUpdate(context, second, second_len) && EVP_DigestFinal_ex(context, digest, NULL);

	EVP_MD_CTX_free(context);
	if (!done)
		return false;
	for (size_t i = 0; i < sizeof digest; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[DIGEST_LEN] = '\0';
	return true;
}
