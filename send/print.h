/* What bagelhook-send says on standard error. */
#ifndef BAGELHOOK_SEND_PRINT_H
#define BAGELHOOK_SEND_PRINT_H

#include "common/print.h"

/* One line on standard error: what it is about, and what is wrong with it. */
static inline void complain(const char *subject, const char *problem)
{
	print_complaint("bagelhook-send", subject, problem);
}

#endif
