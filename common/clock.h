/* Time as the responder uses it: deadlines on the monotonic clock, moments on the real one. */
#ifndef BAGELHOOK_CLOCK_H
#define BAGELHOOK_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds on the monotonic clock. */
static inline int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The same in nanoseconds. */
static inline int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Microseconds since 1970-01-01 00:00 UTC. */
static inline int64_t clock_real_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Returns a moment of clock_ms() as pthread_cond_clockwait(3) takes it with CLOCK_MONOTONIC. */
static inline struct timespec clock_timespec(int64_t ms)
{
	struct timespec moment = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	return moment;
}

#endif
