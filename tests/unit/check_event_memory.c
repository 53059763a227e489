/* Events while memory is scarce: each allocation on the way from a body to an event fails
 * once, and the body is still taken for what it is. The linker has the program's own calls
 * come to the functions below (--wrap); Jansson's go to the arena, and from there. */
#include "config.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/event/event.h"

#define BODY_MAX ((size_t)1024 * 1024)

/* Names of the linker's. NOLINTBEGIN */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
/* NOLINTEND */

static bool scarce;
static size_t blocks_left;

static bool is_out(void)
{
	if (!scarce)
		return false;
	if (blocks_left == 0)
		return true;
	blocks_left--;
	return false;
}

void *__wrap_malloc(size_t size)
{
	return is_out() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_out() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return is_out() ? NULL : __real_realloc(memory, size);
}

/* How many blocks it takes until the body is an event; with fewer it is out of memory, and
 * nothing else. */
static size_t count_blocks(const char *body, size_t len, enum event_result wanted)
{
	for (size_t blocks = 0;; blocks++) {
		char detail[EVENT_DETAIL_SIZE];
		struct event *event = NULL;

		blocks_left = blocks;
		scarce = true;
		enum event_result result = event_parse((const unsigned char *)body, len, &event, detail);
		scarce = false;
		event_free(event);
		ck_assert_msg(result == wanted || result == EVENT_NO_MEMORY,
			"with memory for %zu blocks: %d: %.255s", blocks, (int)result, detail);
		if (result == wanted)
			return blocks;
		ck_assert_uint_lt(blocks, 100000);
	}
}

/* A body with so many members of metadata, and something behind it. */
static size_t make_body(char *body, size_t members, const char *end)
{
	size_t len = (size_t)snprintf(body, BODY_MAX,
		"{\"event_type\":\"checkout.completed\",\"created_at\":\"2025-09-14 08:30:00\","
		"\"object\":{\"mode\":\"live\",\"units\":\"no number\",\"metadata\":{\"order_id\":\"1\"");

	for (size_t i = 0; i < members; i++)
		len += (size_t)snprintf(body + len, BODY_MAX - len, ",\"name %zu\":%zu", i, i);
	return len + (size_t)snprintf(body + len, BODY_MAX - len, "}}}%s", end);
}

static char body[BODY_MAX];

START_TEST(small_body)
{
	ck_assert_uint_ge(count_blocks(body, make_body(body, 0, ""), EVENT_OK), 4);
}
END_TEST

/* Beyond the arena's first block. */
START_TEST(large_body)
{
	size_t small = count_blocks(body, make_body(body, 0, ""), EVENT_OK);

	ck_assert_uint_ge(count_blocks(body, make_body(body, 10000, ""), EVENT_OK), small + 5);
}
END_TEST

/* What is wrong with a body is not known before all of it was read. */
START_TEST(invalid_body)
{
	ck_assert_uint_ge(count_blocks(body, make_body(body, 10000, "x"), EVENT_INVALID), 3);
}
END_TEST

/* The metadata's text is read within the body. */
START_TEST(text_metadata)
{
	size_t plain = count_blocks(body, make_body(body, 0, ""), EVENT_OK);
	static const char text[] =
		"{\"event_type\":\"checkout.completed\",\"created_at\":\"2025-09-14 08:30:00\","
		"\"object\":{\"mode\":\"live\",\"units\":\"no number\","
		"\"metadata\":\"{\\\"order_id\\\":{\\\"\\\\u0000\\\":1}}\"}}";

	ck_assert_uint_gt(count_blocks(text, strlen(text), EVENT_OK), plain);
}
END_TEST

/* Without memory, an event is not taken for one that lacks something. */
START_TEST(invalid_event)
{
	static const char text[] = "{\"event_id\":1,\"event_type\":\"checkout.completed\","
				   "\"object\":{\"metadata\":{\"order_id\":\"1\"}}}";

	ck_assert_uint_ge(count_blocks(text, strlen(text), EVENT_INVALID), 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("event_memory");
	TCase *all = tcase_create("all");

	/* Many parses each, and sanitizers slow them down. */
	tcase_set_timeout(all, 60);
	tcase_add_test(all, small_body);
	tcase_add_test(all, large_body);
	tcase_add_test(all, invalid_body);
	tcase_add_test(all, text_metadata);
	tcase_add_test(all, invalid_event);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	/* Thousands of checks, of which none harms another: a process for each would take most of the time. */
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
