/* The digest of what an event says: which bodies have the same one, and which have not. And what
 * can be read of bodies that are no event. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "fcgi/event/event.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A body of these pieces: members of the envelope, members of its object. */
#define BODY(envelope, object)                                                                               \
	"{\"event_id\":\"evt_1\",\"event_type\":\"refund.created\",\"created_at\":\"2025-09-14T08:30:"       \
	"00Z\"," envelope "\"object\":{\"mode\":\"live\"" object "}}"

static struct event *parse(const char *body, enum event_result wanted)
{
	char detail[EVENT_DETAIL_SIZE];
	struct event *event;
	enum event_result result = event_parse((const unsigned char *)body, strlen(body), &event, detail);

	ck_assert_msg(result == wanted, "%d: %.255s: %s", (int)result, detail, body);
	return event;
}

/* The digest of a body. */
static void digest_of(const char *body, char digest[DIGEST_LEN + 1])
{
	struct event *event = parse(body, EVENT_OK);
	/* As PostgreSQL reads bytea. */
	static const char name[] = "\"digest\":\"\\\\x";
	const char *member = strstr(event->members, name);

	ck_assert_ptr_nonnull(member);
	snprintf(digest, DIGEST_LEN + 1, "%s", member + strlen(name));
	event_free(event);
}

static bool are_the_same(const char *a, const char *b)
{
	char first[DIGEST_LEN + 1];
	char second[DIGEST_LEN + 1];

	digest_of(a, first);
	digest_of(b, second);
	return strcmp(first, second) == 0;
}

static const struct {
	const char *a;
	const char *b;
} same[] = {
	/* Bytes that say nothing. */
	{BODY("", ""), BODY("", "") "\n"},
	{BODY("", ""), " " BODY("\n\t", "\r\n")},
	{BODY("", ""), BODY("\"attempt\":2,", "")},
	{BODY("", ""), BODY("\"mode\":\"live\",", "")},
	{BODY("", ""), BODY("", ",\"nobody\":{\"reads\":\"this\"}")},
	{BODY("", ",\"order\":{\"amount\":1,\"currency\":\"USD\"}"),
		BODY("", ",\"order\":{\"currency\":\"USD\",\"amount\":1}")},
	{BODY("", ""),
		"{\"object\":{\"mode\":\"live\"},\"created_at\":\"2025-09-14T08:30:00Z\","
		"\"event_type\":\"refund\\u002ecreated\",\"event_id\":\"evt_1\"}"},
	/* Null and empty are absent. */
	{BODY("", ""), BODY("", ",\"order\":null,\"payment_id\":null,\"customer\":{\"email\":\" \"}")},
	/* Spelling. */
	{BODY("", ",\"order\":{\"amount\":1}"), BODY("", ",\"order\":{\"amount\":\"1.000000000\"}")},
	{BODY("", ",\"order\":{\"currency\":\"usd\"}"), BODY("", ",\"order\":{\"currency\":\" USD \"}")},
	{BODY("", ",\"payment_id\":123"), BODY("", ",\"payment_id\":1.23e2")},
	{BODY("", ",\"payment_id\":\"123\""), BODY("", ",\"payment_id\":123.0")},
	{BODY("", ",\"product\":{\"recurring_interval\":\"12months\"}"),
		BODY("", ",\"product\":{\"billing_period\":\"Annual\"}")},
	{BODY("", ",\"refund_id\":\"re_1\""), BODY("", ",\"refund\":{\"id\":\"re_1\"}")},
	/* A field that cannot be used says nothing but a warning. */
	{BODY("", ""), BODY("", ",\"payment_id\":true")},
	/* Not the id: two bodies under two ids may say the same. */
	{BODY("", ""),
		"{\"event_id\":\"evt_2\",\"event_type\":\"refund.created\","
		"\"created_at\":\"2025-09-14T08:30:00Z\",\"object\":{\"mode\":\"live\"}}"},
	{BODY("", ""),
		"{\"event_type\":\"refund.created\",\"created_at\":\"2025-09-14T08:30:00Z\","
		"\"object\":{\"mode\":\"live\"}}"},
	/* Metadata: order of keys at each level, numbers by value, as text, replaced. */
	{BODY("", ",\"metadata\":{\"a\":1,\"b\":[{\"c\":1.0,\"d\":null}]}"),
		BODY("", ",\"metadata\":{ \"b\" : [ {\"d\":null,\"c\":1e0} ],\"a\":10E-1}")},
	{BODY("", ",\"metadata\":{\"a\":0}"), BODY("", ",\"metadata\":{\"a\":-0.0e9}")},
	{BODY("", ",\"metadata\":{\"a\":123456789012345678901234567890}"),
		BODY("", ",\"metadata\":{\"a\":12345678901234567890123456789e1}")},
	{BODY("", ",\"metadata\":{\"a\":\"1\"}"), BODY("", ",\"metadata\":\"{\\\"a\\\":\\\"1\\\"}\"")},
	{BODY("", ",\"metadata\":{\"a\":\"\\u0000\"}"), BODY("", ",\"metadata\":{\"a\":\"\\ufffd\"}")},
	{BODY("", ",\"metadata\":{\"\\u0000b\":1,\"\\ufffda\":2}"),
		BODY("", ",\"metadata\":{\"\\ufffda\":2,\"\\ud800b\":1}")},
};

START_TEST(same_content)
{
	ck_assert_msg(are_the_same(same[_i].a, same[_i].b), "%s\n%s", same[_i].a, same[_i].b);
}
END_TEST

/* Each of these says something else than all others, and than a body without it. */
static const char *const different[] = {
	BODY("", ""),
	BODY("", ",\"product\":{\"mode\":\"test\"}"),
	BODY("", ",\"object\":\"subscription\""),
	BODY("", ",\"subscription\":{}"),
	BODY("", ",\"product\":{\"product_id\":\"x\"}"),
	BODY("", ",\"product\":{\"name\":\"x\"}"),
	BODY("", ",\"product\":{\"billing_type\":\"x\"}"),
	BODY("", ",\"product\":{\"billing_type\":\"subscription\"}"),
	BODY("", ",\"product\":{\"billing_period\":\"day\"}"),
	BODY("", ",\"product\":{\"billing_period\":\"week\"}"),
	BODY("", ",\"customer\":{\"id\":\"x\"}"),
	BODY("", ",\"customer\":{\"email\":\"x\"}"),
	BODY("", ",\"order\":{\"order_id\":\"x\"}"),
	BODY("", ",\"order\":{\"amount\":1}"),
	BODY("", ",\"order\":{\"amount\":10}"),
	BODY("", ",\"order\":{\"amount\":0}"),
	BODY("", ",\"order\":{\"tax_amount\":1}"),
	BODY("", ",\"order\":{\"refunded_amount\":1}"),
	BODY("", ",\"order\":{\"status\":\"refunded\"}"),
	BODY("", ",\"order\":{\"status\":\"partial_refund\"}"),
	BODY("", ",\"refund\":{\"amount\":1}"),
	BODY("", ",\"refund_id\":\"x\""),
	BODY("", ",\"payment_id\":\"x\""),
	BODY("", ",\"payment_id\":\"X\""),
	BODY("", ",\"request_id\":\"x\""),
	BODY("", ",\"subscription_id\":\"x\""),
	BODY("", ",\"subscription\":{\"id\":\"x\"}"),
	BODY("", ",\"subscription\":{\"units\":1}"),
	BODY("", ",\"subscription\":{\"cancel_at_period_end\":true}"),
	BODY("", ",\"subscription\":{\"cancel_at_period_end\":false}"),
	BODY("", ",\"subscription\":{\"cancel_at\":\"2025-09-14T08:30:00Z\"}"),
	BODY("", ",\"subscription\":{\"canceled_at\":\"2025-09-14T08:30:00Z\"}"),
	BODY("", ",\"subscription\":{\"canceled_at\":\"2025-09-14T08:30:00\"}"),
	BODY("", ",\"subscription\":{\"canceled_at\":\"2025-09-14 08:30:00\"}"),
	BODY("", ",\"metadata\":{}"),
	BODY("", ",\"metadata\":{\"a\":1}"),
	BODY("", ",\"metadata\":{\"a\":\"1\"}"),
	BODY("", ",\"metadata\":{\"a\":10}"),
	BODY("", ",\"metadata\":{\"a\":-1}"),
	BODY("", ",\"metadata\":{\"a\":0.1}"),
	BODY("", ",\"metadata\":{\"a\":\"1e1\"}"),
	BODY("", ",\"metadata\":{\"a\":[1,2]}"),
	BODY("", ",\"metadata\":{\"a\":[2,1]}"),
	BODY("", ",\"metadata\":{\"a\":true}"),
	BODY("", ",\"metadata\":{\"a\":null}"),
	BODY("", ",\"metadata\":{\"a\":{}}"),
	/* What would be equal if lengths were not told. */
	BODY("", ",\"payment_id\":\"x\\nrequest_id 1:y\""),
	BODY("", ",\"payment_id\":\"x\",\"request_id\":\"y\""),
	"{\"event_type\":\"refund.created\",\"created_at\":\"2025-09-14 "
	"08:30:00Z\",\"object\":{\"mode\":\"live\"}}",
	"{\"event_type\":\"refund.created\",\"created_at\":\"2025-09-14 "
	"08:30:00\",\"object\":{\"mode\":\"live\"}}",
	"{\"event_type\":\"refund.createe\",\"created_at\":\"2025-09-14T08:30:00Z\",\"object\":{\"mode\":"
	"\"live\"}}",
	"{\"event_type\":\"refund.created\",\"object\":{\"mode\":\"live\",\"created_at\":\"2025-09-14T08:30:"
	"00Z\"}}",
};

START_TEST(different_content)
{
	for (int i = 0; i < _i; i++)
		ck_assert_msg(
			!are_the_same(different[i], different[_i]), "%s\n%s", different[i], different[_i]);
}
END_TEST

/* Databases keep digests, so that the encoding must stay what it is. */
START_TEST(encoding)
{
	static const char content[] = "event_type 14:refund.created\n"
				      "mode 4:live\n"
				      "occurred_at 29:2025-09-14 08:30:00.000000+00\n"
				      "created_at_raw 20:2025-09-14T08:30:00Z\n"
				      "has_subscription 4:true\n"
				      "local_times.trial_end 19:2025-09-21 08:30:00\n"
				      "refund_id 5:r\xc3\xa9_1\n"
				      "metadata 9:{\"a\":1e1}\n";
	char wanted[DIGEST_LEN + 1];
	char digest[DIGEST_LEN + 1];

	ck_assert(digest_hex(content, strlen(content), "", 0, wanted));
	digest_of(BODY("",
			  ",\"subscription\":{\"trial_end\":\"2025-09-21 08:30:00\"},"
			  "\"refund_id\":\"r\xc3\xa9_1\",\"metadata\":{\"a\":1.0}"),
		digest);
	ck_assert_str_eq(digest, wanted);
}
END_TEST

/* An event without an id is named by its content. */
START_TEST(id_of_digest)
{
	static const char body[] =
		"{\"event_type\":\"a\",\"created_at\":1757842163,\"object\":{\"mode\":\"live\"}}";
	struct event *event = parse(body, EVENT_OK);
	char id[EVENT_ID_MAX + 1] = "sha256:";

	digest_of(body, id + strlen(id));
	ck_assert_str_eq(event->id, id);
	ck_assert_ptr_nonnull(strstr(event->members, id));
	event_free(event);
}
END_TEST

static const struct {
	const char *body;
	const char *members; /* NULL: none */
} no_events[] = {
	{"{}", NULL},
	{"[]", NULL},
	{"{\"event_id\":\"evt_1\"", NULL},
	{"{\"event_id\":\"evt_1\"}", "\"event_id\":\"evt_1\""},
	{"{\"event_id\":true,\"id\":12.0}", "\"event_id\":\"12\""},
	{"{\"mode\":\"live\",\"object\":5}", "\"mode\":\"live\""},
	{"{\"event_type\":\"a\",\"mode\":\"production\",\"object\":{\"customer\":{\"email\":\" "
	 "Ada@Example.com\"}}}",
		"\"customer_email\":\"ada@example.com\""},
	{"{\"event_type\":\"a\",\"object\":{\"mode\":\"test\",\"request_id\":7,\"payment_id\":\"ch_1\","
	 "\"metadata\":\"{\\\"order_id\\\":\\\"o_1\\\"}\"}}",
		"\"mode\":\"test\",\"request_id\":\"7\",\"metadata\":{\"order_id\":\"o_1\"}"},
	{"{\"event_type\":\"a\",\"object\":{\"request_id\":{},\"metadata\":[]}}", NULL},
};

START_TEST(traces)
{
	struct event *event = parse(no_events[_i].body, EVENT_INVALID);

	if (no_events[_i].members == NULL) {
		ck_assert_msg(event == NULL, "%s", no_events[_i].body);
		return;
	}
	ck_assert_ptr_nonnull(event);
	ck_assert_str_eq(event->members, no_events[_i].members);
	ck_assert_uint_eq(event->members_len, strlen(event->members));
	ck_assert_str_eq(event->type, "");
	event_free(event);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("content");
	TCase *all = tcase_create("all");

	tcase_add_loop_test(all, same_content, 0, (int)COUNT(same));
	tcase_add_loop_test(all, different_content, 0, (int)COUNT(different));
	tcase_add_test(all, encoding);
	tcase_add_test(all, id_of_digest);
	tcase_add_loop_test(all, traces, 0, (int)COUNT(no_events));
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
