/* Signals, and other reasons to wake a thread that sleeps in poll(2). */
#ifndef BAGELHOOK_SIGNALS_H
#define BAGELHOOK_SIGNALS_H

#include <stdbool.h>

/* From now on SIGTERM and SIGINT ask to end, SIGHUP to reload, and SIGPIPE and SIGUSR1 do
 * nothing. To be called once, before any thread is started. Returns 0, or -1 with errno. */
int signals_catch(void);

/* Readable whenever a signal came or signals_wake() was called since signals_empty(). */
int signals_fd(void);
void signals_empty(void);

/* Wakes whoever sleeps on signals_fd(). Any thread, and signal handlers. */
void signals_wake(void);

/* Returns true if the process was asked to end. */
bool signals_terminate(void);

/* Returns true if it was asked to reload since the last call. */
bool signals_hangup(void);

#endif
