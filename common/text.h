/* Small things about text. */
#ifndef BAGELHOOK_TEXT_H
#define BAGELHOOK_TEXT_H

#include <errno.h>
#include <stdbool.h>
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

static inline bool text_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Narrows a text to what is left without ASCII white space at its ends. */
static inline void text_trim(const char **text, size_t *len)
{
	while (*len > 0 && text_is_space((*text)[0])) {
		++*text;
		--*len;
	}
	while (*len > 0 && text_is_space((*text)[*len - 1]))
		--*len;
}

/* The length of the printable ASCII at the beginning of a text, without what JSON strings escape. */
static inline size_t text_plain(const char *text, size_t len)
{
	static const bool plain[256] = {[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};
	size_t at = 0;

	while (at < len && plain[(unsigned char)text[at]])
		at++;
	return at;
}

/* Returns true if a text of less than size bytes looks like an id, so that it may be logged. What else stands
 * in the place of one is not known; it could be an e-mail address. */
static inline bool text_is_id(const char *text, size_t size)
{
	const size_t len = strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.:");

	return len > 0 && len < size && text[len] == '\0';
}

/* Returns true if a text with which no file could be opened, for this errno, looks like a secret that was given in place
 * of the file that holds it. Then it is not to be printed. */
static inline bool text_is_secret(const char *text, int error)
{
	return (error == ENOENT || error == ENAMETOOLONG)
		&& (strncmp(text, "whsec_", 6) == 0 || (strlen(text) >= 24 && strpbrk(text, "/.") == NULL));
}

/* Returns a word of the command line as it may be printed: one that looks like a secret is described only. */
static inline const char *text_unless_secret(const char *word)
{
	return text_is_secret(word, ENOENT) ? "a word that looks like a secret" : word;
}

#define TEXT_NO_FILE                                                                                         \
	"there is no file of this name, which looks like the secret itself: write the secret into a file, and "  \
	"give the file's name"

/* Returns the value of a hex digit of either case; -1 for any other character. */
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

/* Returns the words for an errno. The C libraries of Linux and the BSDs return literals for all that
 * they set themselves, so that this is as good as thread-safe. */
static inline const char *text_error(int error)
{
	return strerror(error); /* NOLINT(concurrency-mt-unsafe) */
}

#endif
