#include "config.h"

#include "notify.h"

#ifdef HAVE_SYSTEMD

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "clock.h"

void notify_ready(void)
{
	sd_notify(0, "READY=1\nSTATUS=Serving");
}

void notify_reloading(void)
{
	/* The clock that the manager compares it with, to the microsecond: an earlier time is not
	 * this reload's. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=Reading the secrets again", clock_ns() / 1000);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=Finishing what was accepted");
}

#else

void notify_ready(void) { }
void notify_reloading(void) { }
void notify_stopping(void) { }

#endif
