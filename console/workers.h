/* The threads that answer. */
#ifndef BAGELHOOK_WORKERS_H
#define BAGELHOOK_WORKERS_H

#include "common/listener.h"
#include "routes.h"

/* Serves connections of the web server, one request each, until signals_terminate(); FCGX_Init() and
 * signals_catch() have been called. conninfo is for each worker's connection. Returns 0 after the last
 * request was answered, or -1 with errno where no thread could be started. */
int workers_run(const struct listener *, const struct views *, const char *conninfo);

#endif
