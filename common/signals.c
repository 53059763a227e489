#include "config.h"

#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int wake_pipe[2] = {-1, -1};
/* Set by a handler in whatever thread the signal finds. */
static atomic_bool terminate;
static atomic_bool hangup;

void signals_wake(void)
{
	/* A full pipe wakes as well. */
	if (write(wake_pipe[1], "", 1) < 0) {
	}
}

static void on_signal(int number)
{
	int saved = errno;

	if (number == SIGHUP)
		atomic_store(&hangup, true);
	else
		atomic_store(&terminate, true);
	signals_wake();
	errno = saved;
}

int signals_catch(void)
{
	struct sigaction action;

	if (pipe(wake_pipe) != 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK) != 0
			|| fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC) != 0)
			return -1;
	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	action.sa_flags = SA_RESTART;
	action.sa_handler = on_signal;
	if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0
		|| sigaction(SIGHUP, &action, NULL) != 0)
		return -1;
	action.sa_handler = SIG_IGN;
	if (sigaction(SIGPIPE, &action, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0)
		return -1;
	return 0;
}

int signals_fd(void)
{
	return wake_pipe[0];
}

void signals_empty(void)
{
	char bytes[64];

	while (read(wake_pipe[0], bytes, sizeof bytes) > 0)
		;
}

bool signals_terminate(void)
{
	return atomic_load(&terminate);
}

bool signals_hangup(void)
{
	return atomic_exchange(&hangup, false);
}
