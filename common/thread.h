/* Threads: started in one way, and watched. A thread says at each turn how soon it will say so again;
 * one that does not is stuck. */
#ifndef BAGELHOOK_THREAD_H
#define BAGELHOOK_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The usual bound for thread_alive(). A thread that waits for work turns more often than that. */
#define THREAD_STUCK_MS 10000

/* To be zeroed by its owner; else private to thread.c. */
struct thread {
	pthread_t id;
	void (*run)(void *argument);
	void *argument;
	const char *name;
	_Atomic int64_t due_ms; /* by clock_ms(): when it is stuck, unless it says something before */
	bool watched;
	bool told; /* thread_newly_stuck()'s alone */
	struct thread *next;
};

/* Starts a thread that executes run(argument). All signals are blocked in it: they are the first
 * thread's. The system shows the name, at most 15 characters, which has to outlive the thread. Returns 0, or
 * an error number; then there is nothing to join. The caller owns *thread, which must stay where it is until
 * thread_join(). Any thread. */
int thread_start(struct thread *thread, const char *name, void (*run)(void *argument), void *argument);

/* The same for a thread that nobody watches or waits for: for one call that may block until the process ends. */
int thread_start_detached(void *(*run)(void *argument), void *argument);

/* Waits until a thread that thread_start() has started has ended. Any thread but itself. */
void thread_join(struct thread *thread);

/* Begins and ends to watch the calling thread, which thread_start() has not started. */
void thread_watch_self(struct thread *thread, const char *name);
void thread_unwatch_self(struct thread *thread);

/* Says that the calling thread makes progress, and will say so again within so many milliseconds. From the
 * first call on a thread can be stuck. Does nothing in a thread that is not watched. Does not block. */
void thread_alive(int within_ms);

/* Calls found(context, name) for each thread that is stuck, unless it is NULL. Returns how many are. Blocks
 * only while threads start or end; any thread. */
size_t thread_stuck(void (*found)(void *context, const char *name), void *context);

/* Returns the name of a thread that has become stuck since this was last asked, or NULL. One thread only. */
const char *thread_newly_stuck(void);

#endif
