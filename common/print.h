/* Text from outside, for terminals and scripts. */
#ifndef BAGELHOOK_PRINT_H
#define BAGELHOOK_PRINT_H

#include <stdio.h>

/* Prints text from outside so that it cannot steer a terminal or forge a line: control characters
 * (the C1 ones too), backslashes and what is no UTF-8 become \xHH. */
void print_text(FILE *, const char *text);

/* Prints one line on standard error: the program, what it is about (may be NULL), and what is wrong with it.
 */
void print_complaint(const char *program, const char *subject, const char *problem);

#endif
