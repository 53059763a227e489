/* What the system knows of this process, under the names that Prometheus's own libraries use. */
#ifndef BAGELHOOK_PROCESS_H
#define BAGELHOOK_PROCESS_H

#include "common/buffer.h"

/* Appends process_… metrics in Prometheus's text format. Those that cannot be had are left out. Any
 * thread. */
void process_metrics(struct buffer *);

#endif
