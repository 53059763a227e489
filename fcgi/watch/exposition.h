/* Metrics as Prometheus reads them, and the process's health. */
#ifndef BAGELHOOK_EXPOSITION_H
#define BAGELHOOK_EXPOSITION_H

#include "common/buffer.h"
#include "fcgi/auth/signature.h"
#include "fcgi/spool/spool.h"

/* Where figures come from that are not in metrics.h. They must outlive whoever has this. */
struct exposition_sources {
	struct signature_verifier *verifier;
	const struct spool *spool; /* or NULL */
	struct spool_limits spool_limits;
};

/* Appends all metrics in Prometheus's text format, version 0.0.4. Blocks on the disk where there is a
 * spool; any thread. */
void exposition_metrics(const struct exposition_sources *, struct buffer *);

/* Returns true if every thread makes progress; appends that, or a line for each that is stuck. Does not
 * block; any thread. */
bool exposition_health(struct buffer *);

/* Returns true if an event that came now would be answered 200; appends what that depends on, a line each.
 * Does not block; any thread. */
bool exposition_readiness(const struct exposition_sources *, struct buffer *);

#endif
