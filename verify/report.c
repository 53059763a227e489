#include "config.h"

#include "report.h"

#include <stdio.h>
#include <string.h>

#include "common/print.h"

/* Fewer payments may all be new, or of a product that BagelPay does not list. */
#define STRANGE_PAYMENTS 10

int report_open(struct report *report, const char *document)
{
	*report = (struct report){.document = json_loads(document, 0, NULL)};
	return report->document == NULL ? -1 : 0;
}

void report_close(struct report *report)
{
	json_decref(report->document);
}

static json_int_t number(const struct report *report, const char *part, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(report->document, part), name));
}

json_int_t report_kind(const struct report *report, const char *kind)
{
	return number(report, "kinds", kind);
}

json_int_t report_strange(const struct report *report)
{
	const json_int_t unlisted = report_kind(report, "unlisted_payment");

	return unlisted >= STRANGE_PAYMENTS && number(report, "transactions", "agree") == 0
			&& report_kind(report, "amount") == 0 && report_kind(report, "refund") == 0
		? unlisted
		: 0;
}

static json_int_t count_all(const struct report *report)
{
	json_int_t all = 0;
	const char *kind;
	json_t *count;

	json_object_foreach(json_object_get(report->document, "kinds"), kind, count) all +=
		json_integer_value(count);
	return all;
}

bool report_differs(const struct report *report)
{
	const json_t *differences = json_object_get(report->document, "differences");
	size_t i;
	json_t *one;

	json_array_foreach(
		differences, i, one) if (!json_is_true(json_object_get(one, "dismissed"))) return true;
	return count_all(report) > (json_int_t)json_array_size(differences);
}

/* --- words
 * -------------------------------------------------------------------------------------------------- */

static const char *text(const json_t *one, const char *name)
{
	return json_string_value(json_object_get(one, name));
}

/* Prints some texts from outside, with blanks between them, NULLs left out. */
static void print_words(const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (words[i] == NULL)
			continue;
		putchar(' ');
		print_text(stdout, words[i]);
	}
}

static const char *access_word(const json_t *one)
{
	const json_t *affects = json_object_get(one, "affects_access");

	if (json_is_true(affects))
		return "affects access now";
	return json_is_null(affects) ? "may affect access" : "does not affect access now";
}

static void print_difference(const json_t *one)
{
	const char *const names[] = {text(one, "provider_order_id"), text(one, "subscription_id"),
		text(one, "product_id"), text(one, "customer_id"), text(one, "customer_email")};

	fputs(text(one, "kind"), stdout);
	print_words(names, sizeof names / sizeof names[0]);
	fputs("\n  ", stdout);
	print_text(stdout, text(one, "detail"));
	fputs("\n  since ", stdout);
	print_text(stdout, text(one, "since") != NULL ? text(one, "since") : "an unknown time");
	printf("; %s%s%s\n  ", access_word(one),
		json_is_true(json_object_get(one, "is_guess")) ? "; a guess" : "",
		json_is_true(json_object_get(one, "dismissed")) ? "; dismissed" : "");
	print_text(stdout, text(one, "remedy"));
	putchar('\n');
}

static void print_list(const struct report *report, const char *list)
{
	printf("%s: %" JSON_INTEGER_FORMAT " compared, %" JSON_INTEGER_FORMAT " agree", list,
		number(report, list, "compared"), number(report, list, "agree"));
	if (number(report, list, "guessed") > 0)
		printf(" (%" JSON_INTEGER_FORMAT " by a guess)", number(report, list, "guessed"));
	if (number(report, list, "recent") > 0)
		printf(", %" JSON_INTEGER_FORMAT " too recent to tell", number(report, list, "recent"));
	if (number(report, list, "other") > 0)
		printf(", %" JSON_INTEGER_FORMAT " no payments", number(report, list, "other"));
	putchar('\n');
}

void report_print(const struct report *report)
{
	const json_t *differences = json_object_get(report->document, "differences");
	const char *kind;
	const char *separator = ": ";
	size_t i;
	json_t *one;

	printf("%s, since ", text(report->document, "mode"));
	print_text(stdout, text(report->document, "since"));
	putchar('\n');
	print_list(report, "transactions");
	print_list(report, "subscriptions");
	if (report->granted > 0 || report->cleared > 0)
		printf("grants: %d made, %d cleared\n", report->granted, report->cleared);
	json_array_foreach(differences, i, one)
	{
		putchar('\n');
		print_difference(one);
	}
	printf("%s%" JSON_INTEGER_FORMAT " differences", i > 0 ? "\n" : "", count_all(report));
	json_object_foreach(json_object_get(report->document, "kinds"), kind, one)
	{
		printf("%s%" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(one), kind);
		separator = ", ";
	}
	putchar('\n');
}

int report_print_json(const struct report *report)
{
	json_object_set_new(report->document, "granted", json_integer(report->granted));
	json_object_set_new(report->document, "cleared", json_integer(report->cleared));
	if (json_dumpf(report->document, stdout, JSON_COMPACT) != 0)
		return -1;
	putchar('\n');
	return 0;
}
