#include "config.h"

#include "query_string.h"

#include <stdbool.h>
#include <string.h>

#include "common/text.h"

static bool decode(const char *text, size_t len, char value[QUERY_VALUE_SIZE])
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = len - i > 2 ? text_hex_value(text[i + 1]) : -1;
			int low = high < 0 ? -1 : text_hex_value(text[i + 2]);

			if (low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (used + 1 >= QUERY_VALUE_SIZE)
			return false;
		value[used++] = c;
	}
	value[used] = '\0';
	return true;
}

enum query_result query_find(const char *query, const char *name, char value[QUERY_VALUE_SIZE])
{
	size_t name_len = strlen(name);

	while (*query != '\0') {
		size_t len = strcspn(query, "&");

		if (len > name_len && query[name_len] == '=' && strncmp(query, name, name_len) == 0) {
			if (len == name_len + 1)
				return QUERY_ABSENT;
			return decode(query + name_len + 1, len - name_len - 1, value) ? QUERY_FOUND
										       : QUERY_MALFORMED;
		}
		query += len;
		query += *query == '&';
	}
	return QUERY_ABSENT;
}
