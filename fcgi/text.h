/* Small things about text. */
#ifndef BAGELHOOK_TEXT_H
#define BAGELHOOK_TEXT_H

#include <string.h>

/* Changes of case are ASCII's, whatever the locale. */
static inline char text_lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)((unsigned char)c | 0x20U);
	return c;
}

static inline char text_upper(char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)((unsigned char)c & 0xdfU);
	return c;
}

/* Narrows a text to what is left without ASCII white space at its ends. */
static inline void text_trim(const char **text, size_t *len)
{
	static const char space[] = " \t\n\v\f\r";

	while (*len > 0 && memchr(space, (*text)[0], sizeof space - 1) != NULL) {
		++*text;
		--*len;
	}
	while (*len > 0 && memchr(space, (*text)[*len - 1], sizeof space - 1) != NULL)
		--*len;
}

/* What a hex digit of either case stands for; -1 for any other character. */
static inline int text_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What an errno means. The C libraries of Linux and the BSDs return literals for all that
 * they set themselves, so that this is as good as thread-safe. */
static inline const char *text_error(int error)
{
	return strerror(error); /* NOLINT(concurrency-mt-unsafe) */
}

#endif
