#include "config.h"

#include "print.h"

/* The length of the UTF-8 character at s, 0 where there is none. Good enough to print, not to
 * validate. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1
		: s[0] < 0xc2    ? 0
		: s[0] < 0xe0    ? 2
		: s[0] < 0xf0    ? 3
		: s[0] < 0xf5    ? 4
				 : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

void print_text(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s != '\0') {
		size_t len = utf8_length(s);
		int control = *s < 0x20 || *s == 0x7f || *s == '\\' || (*s == 0xc2 && s[1] < 0xa0);

		if (len == 0 || control) {
			fprintf(out, "\\x%02x", *s++);
			/* The second byte of an escaped C1 character is no character of its own: it is
			 * escaped next. */
			continue;
		}
		fwrite(s, 1, len, out);
		s += len;
	}
}

void print_complaint(const char *program, const char *subject, const char *problem)
{
	fprintf(stderr, "%s: ", program);
	if (subject != NULL) {
		print_text(stderr, subject);
		fputs(": ", stderr);
	}
	print_text(stderr, problem);
	fputc('\n', stderr);
}
