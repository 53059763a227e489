/* BagelPay's API: pages of its lists, with retries. One thread. */
#ifndef BAGELHOOK_VERIFY_API_H
#define BAGELHOOK_VERIFY_API_H

#include <jansson.h>
#include <stdint.h>

#include "key.h"

#define API_ERROR_SIZE 512
#define API_PAGE_SIZE 100

struct api;

/* What a page holds. */
struct api_page {
	const json_t *items; /* an array of a tree of json_text.h, until the next call */
	int64_t total;       /* how many items the list says it has; -1 if it does not say */
};

/* Prepares requests to the API at url, with the key, of which it keeps a copy of its own. ca_file: the
 * authorities, as PEM, that may vouch for the server; NULL: the system's. The texts stay the caller's, and
 * must stay. Returns NULL with the reason, one line, in error. */
struct api *api_open(const char *url, const char *ca_file, const struct key *, char error[API_ERROR_SIZE]);

/* Gets a page, from 1 on, of a list such as transactions, and tries again up to four times, after 1 to 8
 * seconds or when the server says, if it is busy, fails, or cannot be reached. Follows no redirection.
 * Returns 0, or -1 with the reason and a remedy, one line without anything that the server wrote, in error.
 * Blocks, some minutes at most. */
int api_get(struct api *, const char *list, long page, struct api_page *, char error[API_ERROR_SIZE]);

/* Reads a page's text, which must stay as long as the page is used. Returns 200 if it holds a list, which is
 * then in *page, as for api_get(); the code of an error, 400 to 599, if it says so; or 0 with the reason in
 * error. */
long api_read_page(const char *text, size_t len, struct api_page *, char error[API_ERROR_SIZE]);

/* Frees it, and overwrites the copy of the key. api may be NULL. */
void api_close(struct api *);

#endif
