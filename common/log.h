/* Log records: one line each on standard error, in logfmt or as a JSON object, every value from
 * outside escaped. No secret, no body and no e-mail address is ever passed in. */
#ifndef BAGELHOOK_LOG_H
#define BAGELHOOK_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO };

/* Pairs of key and value for log_record(). */
#define LOG_PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Says how records are written, logfmt unless said, and which are not: those beyond the level.
 * To be called before there is a second thread. */
void log_configure(enum log_format, enum log_level);

/* Returns true if records of this level are written. Any thread. */
bool log_wants(enum log_level);

/* Writes one record: the message, then the pairs (NULL: none). A pair whose value is NULL is left out. Keys
 * and message are literals of ours. A record is in one piece, so that those of several threads or processes
 * do not mix. Never waits for whoever reads standard error: records wait for it, up to 256 KiB, and further
 * ones are dropped. How many, METRICS_LOG_DROPPED counts, and a record says when it goes on. Any thread. */
void log_record(enum log_level, const char *message, const char *const *pairs);

/* Begins as zeros. */
struct log_limit {
	_Atomic int64_t last_ms;
};

/* Returns true if a record that peers can cause may be written now: at most once a second for each limit. Any
 * thread. */
bool log_may(struct log_limit *);

/* Writes one line for the person who started the program, as "program: text", escaped as records are. Waits
 * until it is written, unless log_start() was called. Any thread. */
void log_complaint(const char *program, const char *text);

/* Starts the thread that writes records from now on. Without it, they are written at once as long as standard
 * error takes them. Returns 0, or -1 without a thread. To be called once, while there is no other thread. */
int log_start(void);

/* Writes the last records, for which it waits two seconds, and ends the thread. To be called once, when the
 * other threads have ended; also if log_start() was not called or failed. */
void log_stop(void);

#endif
