/* What BagelPay's API lists, as bagelhook-verify reads it: items, lists with repeated items, pages, keys. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/event/json_text.h"
#include "verify/api.h"
#include "verify/items.h"
#include "verify/key.h"
#include "verify/listing.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define CUSTOMER "\"customer_id\":\"7\",\"customer_email\":\"ann@example.com\""
#define LISTED_CUSTOMER "\"customer\":{\"id\":7,\"email\":\" Ann@Example.com \"}"
#define MOMENT "2026-01-02 03:04:05"
#define NEEDED                                                                                               \
	"\"order_id\":\"A\",\"amount\":1,\"currency\":\"usd\",\"refunded_amount\":null,\"created_at\":"      \
	"\"" MOMENT "\"," LISTED_CUSTOMER

static const struct {
	enum item_kind kind;
	const char *item;
	const char *read;
} rows[] = {
	{ITEM_TRANSACTION, "{" NEEDED "}",
		"{\"order_id\":\"A\",\"amount\":\"1\",\"currency\":\"USD\",\"created_at\":\"" MOMENT
		"\"," CUSTOMER "}"},
	/* Digits, whatever their number and form; numbers as text; ids as numbers. */
	{ITEM_TRANSACTION,
		"{\"order_id\":12345678901234567890,\"amount\":\"397.1632\",\"amount_paid\":123456789012345."
		"123456,"
		"\"refunded_amount\":1e1,\"currency\":\"EUR\",\"created_at\":1767323045," LISTED_CUSTOMER "}",
		"{\"order_id\":\"12345678901234567890\",\"amount\":\"397.1632\",\"amount_paid\":"
		"\"123456789012345.123456\","
		"\"currency\":\"EUR\",\"refunded_amount\":\"10\",\"created_at\":\"2026-01-02 "
		"03:04:05.000000+00\"," CUSTOMER "}"},
	/* Names in camelCase; the customer's beside it; a zone; null. */
	{ITEM_TRANSACTION,
		"{\"orderId\":\"A\",\"order_id\":null,\"refundedAmount\":null,\"transactionId\":\"t\","
		"\"amount\":0,\"currency\":"
		"\"usd\",\"createdAt\":\"2026-01-02T03:04:05+08:00\","
		"\"customerId\":\"7\",\"customerEmail\":\"ann@example.com\",\"customer\":null,\"new\":{}}",
		"{\"order_id\":\"A\",\"transaction_id\":\"t\",\"amount\":\"0\",\"currency\":\"USD\","
		"\"created_at\":\"2026-01-01 19:04:05.000000+00\"," CUSTOMER "}"},
	/* What cannot be read is named. */
	{ITEM_TRANSACTION,
		"{\"amount\":true,\"currency\":\"dollar\",\"created_at\":\"soon\",\"refunded_amount\":-1,"
		"\"type\":[]}",
		"{\"unread\":\"order_id: missing; amount: not a number; currency: not three letters; "
		"refunded_amount: negative; "
		"type: not a text; created_at: not a time; customer: missing\"}"},
	{ITEM_TRANSACTION, "{" NEEDED ",\"amount_paid\":0.1234567}",
		"{\"order_id\":\"A\",\"amount\":\"1\",\"currency\":\"USD\",\"created_at\":\"" MOMENT
		"\"," CUSTOMER ",\"unread\":\"amount_paid: more than 6 decimals\"}"},
	{ITEM_TRANSACTION, "[]", "{\"unread\":\"item: not an object\"}"},
	{ITEM_TRANSACTION, "7", "{\"unread\":\"item: not an object\"}"},
	{ITEM_TRANSACTION, "null", "{\"unread\":\"item: not an object\"}"},
	{ITEM_TRANSACTION, "{" NEEDED ",\"mode\":\"test\"}",
		"{\"order_id\":\"A\",\"unread\":\"mode: is another than the one asked for\"}"},
	{ITEM_TRANSACTION, "{" NEEDED ",\"mode\":\"live\"}",
		"{\"order_id\":\"A\",\"amount\":\"1\",\"currency\":\"USD\",\"created_at\":\"" MOMENT
		"\"," CUSTOMER "}"},
	{ITEM_SUBSCRIPTION,
		"{\"subscription_id\":\"s\",\"status\":\"cancelled\",\"product_id\":\"p\",\"units\":\"3\","
		"\"billing_period_end\":\"" MOMENT "\","
		"\"cancel_at_period_end\":true," LISTED_CUSTOMER "}",
		"{\"subscription_id\":\"s\",\"status\":\"canceled\",\"product_id\":\"p\",\"units\":\"3\","
		"\"billing_period_end\":\"" MOMENT "\","
		"\"cancel_at_period_end\":\"true\"," CUSTOMER "}"},
	{ITEM_SUBSCRIPTION,
		"{\"subscription_id\":\"s\",\"status\":\"frozen\",\"product_id\":\"p\",\"units\":2147483648,"
		"\"cancel_at_period_end\":false," LISTED_CUSTOMER "}",
		"{\"subscription_id\":\"s\",\"product_id\":\"p\"," CUSTOMER
		",\"unread\":\"status: none of trialing, active, paused, canceled; units: not an integer "
		"below 2^31; billing_period_end: missing\"}"},
	/* Text that would be something else in SQL, in JSON or on a terminal stays text. */
	{ITEM_SUBSCRIPTION,
		"{\"subscription_id\":\"a\\\"b'\\u0000\\u001b\",\"status\":\"active\",\"product_id\":"
		"\"\\ud800\",\"customer_email\":\"x\",\"units\":null,\"billingPeriodEnd\":null}",
		"{\"subscription_id\":\"a\\\"b'\xef\xbf\xbd\\u001b\",\"status\":\"active\",\"product_id\":"
		"\"\xef\xbf\xbd\",\"customer_email\":\"x\"}"},
};

/* Reads a page with some items; returns its array, until the next call. */
static const json_t *page_of(const char *items)
{
	static char text[8192];
	char error[API_ERROR_SIZE];
	struct api_page page;

	snprintf(text, sizeof text, "{\"items\":[%s]}", items);
	ck_assert_int_eq(api_read_page(text, strlen(text), &page, error), 200);
	return page.items;
}

START_TEST(row)
{
	struct buffer out;
	struct item item;

	buffer_init(&out);
	item_read(rows[_i].kind, json_array_get(page_of(rows[_i].item), 0), "live", &out, &item);
	ck_assert_str_eq(out.data, rows[_i].read);
	ck_assert_uint_eq(strlen(item.identity), DIGEST_LEN);
	buffer_done(&out);
	json_text_done();
}
END_TEST

/* A text that is too long is not cut. */
START_TEST(long_texts)
{
	char text[1024];
	char items[2048];
	struct buffer out;
	struct item item;

	memset(text, 'x', sizeof text);
	for (size_t len = 255; len <= 256; len++) {
		text[len] = '\0';
		snprintf(items, sizeof items, "{\"subscription_id\":\"%s\"}", text);
		text[len] = 'x';
		buffer_init(&out);
		item_read(ITEM_SUBSCRIPTION, json_array_get(page_of(items), 0), "live", &out, &item);
		ck_assert((strstr(out.data, "subscription_id: too long") != NULL) == (len == 256));
		buffer_done(&out);
	}
	json_text_done();
}
END_TEST

/* An item counts once, however often it is listed and whatever has changed; one without an id, by its
 * content. */
START_TEST(identities)
{
	struct listing listing = {.kind = ITEM_TRANSACTION, .mode = "live"};
	bool older;

	buffer_init(&listing.json);
	ck_assert_int_eq(listing_add(&listing,
				 page_of("{\"transaction_id\":\"a\"},{\"transaction_id\":\"a\",\"amount\":1},"
					 "{\"transaction_id\":\"b\"}"),
				 &older),
		2);
	ck_assert_int_eq(listing_add(&listing,
				 page_of("{\"order_id\":\"a\"},{\"order_id\":\"b\"},{\"order_id\":\"a\"},{"
					 "\"transaction_id\":\"b\"}"),
				 &older),
		2);
	ck_assert_uint_eq(listing.count, 4);
	for (int page = 0; page < 60; page++) {
		char items[4096];
		size_t len = 0;

		for (int i = 0; i < 50; i++)
			len += (size_t)snprintf(items + len, sizeof items - len, "%s{\"transaction_id\":%d}",
				i > 0 ? "," : "", page * 50 + i);
		ck_assert_int_eq(listing_add(&listing, page_of(items), &older), 50);
		ck_assert_int_eq(listing_add(&listing, page_of(items), &older), 0);
	}
	ck_assert_uint_eq(listing.count, 3004);
	listing_done(&listing);
	json_text_done();
}
END_TEST

#define AT(moment) "{\"created_at\":\"" moment "\",\"order_id\":\"" moment "\"}"

/* All of a page are older only if each says so. */
START_TEST(older_pages)
{
	struct listing listing = {
		.kind = ITEM_TRANSACTION, .mode = "live", .until = "2026-01-02 00:00:00.000000+00"};
	bool older;

	buffer_init(&listing.json);
	listing_add(&listing, page_of(AT("2026-01-02 00:00:00") "," AT("2026-01-01 23:59:59")), &older);
	ck_assert(!older && listing.falls && !listing.rises);
	listing_add(&listing, page_of(AT("2026-01-01 23:00:00") "," AT("2026-01-01 22:00:00")), &older);
	ck_assert(older && listing.falls && !listing.rises);
	listing_add(&listing, page_of(AT("2026-01-01 22:30:00") "," AT("soon")), &older);
	ck_assert(!older && !listing.rises);
	listing_add(&listing, page_of(AT("2026-01-01 23:30:00")), &older);
	ck_assert(older && listing.rises);
	listing_add(&listing, page_of(""), &older);
	ck_assert(!older);
	listing_done(&listing);
	json_text_done();
}
END_TEST

static const struct {
	const char *text;
	long code;
	int64_t total;
} pages[] = {
	{"{\"total\":3,\"items\":[],\"code\":200,\"msg\":\"\"}", 200, 3},
	{"{\"total\":\"3\",\"items\":[]}", 200, 3},
	{"{\"data\":{\"total\":3,\"list\":[]},\"code\":200}", 200, 3},
	{"{\"data\":[1],\"total\":-1}", 200, -1},
	{"{\"items\":[],\"total\":1.5,\"code\":0}", 200, -1},
	{"{\"items\":[],\"total\":99999999999999999999}", 200, -1},
	{"{\"items\":[],\"code\":401}", 401, -1},
	{"{\"code\":\"429\"}", 429, -1},
	{"{\"code\":200}", 0, -1},
	{"{\"items\":null}", 0, -1},
	{"", 0, -1},
	{"{\"items\":[1e400]}", 0, -1},
	{"{\"items\":[],\"items\":[]}", 0, -1},
};

START_TEST(page)
{
	struct api_page read;
	char error[API_ERROR_SIZE];

	ck_assert_int_eq(api_read_page(pages[_i].text, strlen(pages[_i].text), &read, error), pages[_i].code);
	if (pages[_i].code == 200)
		ck_assert_int_eq(read.total, pages[_i].total);
	json_text_done();
}
END_TEST

static const struct {
	const char *content;
	const char *key; /* NULL: none */
} keys[] = {
	{"abc", "abc"},
	{"\xef\xbb\xbf\r\n# key\n  bagel_live_ab+/cd==  \r\nxyz\n", "bagel_live_ab+/cd=="},
	{"", NULL},
	{"#abc", NULL},
	{"a b", NULL},
	{"\"abc\"", NULL},
	{"KEY=abc", NULL},
	{"\xc3\xa4", NULL},
};

START_TEST(key)
{
	char path[] = "/tmp/check_items.XXXXXX";
	char error[KEY_ERROR_SIZE];
	struct key read = {.text = ""};
	const int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
		write(fd, keys[_i].content, strlen(keys[_i].content)), (ssize_t)strlen(keys[_i].content));
	close(fd);
	const int status = key_read(path, &read, error);
	unlink(path);
	ck_assert_int_eq(status, keys[_i].key == NULL ? -1 : 0);
	if (keys[_i].key != NULL)
		ck_assert_str_eq(read.text, keys[_i].key);
	else
		ck_assert(strstr(error, "abc") == NULL && strstr(error, path) != NULL);
	key_wipe(&read);
	ck_assert_str_eq(read.text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("items");
	TCase *all = tcase_create("items");

	tcase_add_loop_test(all, row, 0, (int)COUNT(rows));
	tcase_add_test(all, long_texts);
	tcase_add_test(all, identities);
	tcase_add_test(all, older_pages);
	tcase_add_loop_test(all, page, 0, (int)COUNT(pages));
	tcase_add_loop_test(all, key, 0, (int)COUNT(keys));
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
