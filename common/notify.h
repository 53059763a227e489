/* Messages to a service manager (sd_notify(3)), where one has started us and libsystemd was there
 * when this was built; otherwise these do nothing. None blocks for long; any thread. */
#ifndef BAGELHOOK_NOTIFY_H
#define BAGELHOOK_NOTIFY_H

/* Requests are served from now on; also the end of a reload. */
void notify_ready(void);

/* The secrets are being read again. */
void notify_reloading(void);

/* Nobody new is let in; what was accepted is being finished. */
void notify_stopping(void);

#endif
