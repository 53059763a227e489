/* How often the responder has given which answer, by its own word. */
#ifndef BAGELHOOK_ANSWER_COUNTS_H
#define BAGELHOOK_ANSWER_COUNTS_H

#include "common/buffer.h"

/* Writes what a text in Prometheus' exposition format says of answers, as members of a JSON object with a
 * comma behind each: "answers", by status, and "not_authentic", those with 401 by reason. All are counts
 * since the responder's start. Of what the text does not have nothing is written. Any thread. */
void answer_counts(const char *metrics, struct buffer *out);

#endif
