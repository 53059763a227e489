/* The events of the load: made from two body templates, numbered, signed beforehand.
 *
 * Event 2k is the checkout of order k, event 2k+1 the payment of an order begun a while
 * before, so that half of the events begin an order and half change one. */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include <stddef.h>
#include <stdint.h>

/* What stands in a template for a number of as many digits. */
#define EVENTS_ORDER_MARK "ORDERNUMBER_"
#define EVENTS_EVENT_MARK "EVENTNUMBER_"
#define EVENTS_DIGITS (sizeof EVENTS_ORDER_MARK - 1)

/* Bytes of any request. */
#define EVENTS_REQUEST_MAX 8192

struct events;

/* Reads the two templates and signs count events, numbered from first on (at least 1000).
 * path is the webhook's, secret the key. Says what is wrong on standard error and returns
 * NULL on failure. */
struct events *events_new(
	const char *const files[2], const char *path, const char *secret, uint64_t first, size_t count);

/* Frees them; NULL is allowed. */
void events_free(struct events *);

/* Writes the HTTP request of event number index (0 to count - 1); returns its length. */
size_t events_request(const struct events *, size_t index, char out[EVENTS_REQUEST_MAX]);

#endif
