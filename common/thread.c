#include "config.h"

#include "thread.h"

#include <signal.h>

#include "clock.h"

/* Enough for libpq with TLS and for name service; the default would be eight times as much. */
#define STACK_BYTES ((size_t)1024 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers the list; never held for long */
static struct thread *watched;
static _Thread_local struct thread *self;

static void watch(struct thread *thread, const char *name)
{
	thread->name = name;
	thread->watched = true;
	thread->told = false;
	atomic_store(&thread->due_ms, INT64_MAX);
	pthread_mutex_lock(&lock);
	thread->next = watched;
	watched = thread;
	pthread_mutex_unlock(&lock);
}

static void unwatch(struct thread *thread)
{
	struct thread **at = &watched;

	if (!thread->watched)
		return;
	pthread_mutex_lock(&lock);
	while (*at != thread)
		at = &(*at)->next;
	*at = thread->next;
	pthread_mutex_unlock(&lock);
	thread->watched = false;
}

static void *run(void *argument)
{
	self = argument;
	pthread_setname_np(pthread_self(), self->name);
	self->run(self->argument);
	/* A thread that has ended is not stuck, even if nobody joins it for long. */
	atomic_store(&self->due_ms, INT64_MAX);
	return NULL;
}

static int create(pthread_t *id, int detached, void *(*run_it)(void *argument), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t old;
	int error = pthread_attr_init(&attributes);

	if (error != 0)
		return error;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, detached);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(id, &attributes, run_it, argument);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

int thread_start(struct thread *thread, const char *name, void (*run_it)(void *argument), void *argument)
{
	thread->run = run_it;
	thread->argument = argument;
	watch(thread, name);
	const int error = create(&thread->id, PTHREAD_CREATE_JOINABLE, run, thread);
	if (error != 0)
		unwatch(thread);
	return error;
}

int thread_start_detached(void *(*run_it)(void *argument), void *argument)
{
	pthread_t id;

	return create(&id, PTHREAD_CREATE_DETACHED, run_it, argument);
}

void thread_join(struct thread *thread)
{
	pthread_join(thread->id, NULL);
	unwatch(thread);
}

void thread_watch_self(struct thread *thread, const char *name)
{
	watch(thread, name);
	self = thread;
}

void thread_unwatch_self(struct thread *thread)
{
	self = NULL;
	unwatch(thread);
}

void thread_alive(int within_ms)
{
	if (self != NULL)
		atomic_store_explicit(&self->due_ms, clock_ms() + within_ms, memory_order_relaxed);
}

static bool is_stuck(const struct thread *thread, int64_t now_ms)
{
	return atomic_load_explicit(&thread->due_ms, memory_order_relaxed) < now_ms;
}

size_t thread_stuck(void (*found)(void *context, const char *name), void *context)
{
	const int64_t now_ms = clock_ms();
	size_t count = 0;

	pthread_mutex_lock(&lock);
	for (const struct thread *one = watched; one != NULL; one = one->next) {
		if (!is_stuck(one, now_ms))
			continue;
		count++;
		if (found != NULL)
			found(context, one->name);
	}
	pthread_mutex_unlock(&lock);
	return count;
}

const char *thread_newly_stuck(void)
{
	const int64_t now_ms = clock_ms();
	const char *name = NULL;

	pthread_mutex_lock(&lock);
	for (struct thread *one = watched; one != NULL && name == NULL; one = one->next) {
		const bool stuck = is_stuck(one, now_ms);

		if (stuck && !one->told)
			name = one->name;
		one->told = stuck;
	}
	pthread_mutex_unlock(&lock);
	return name;
}
