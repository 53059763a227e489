/* Log records: one line each on standard error, in logfmt, every value from outside
 * escaped. No secret, no body and no e-mail address is ever passed in. */
#ifndef BAGELHOOK_LOG_H
#define BAGELHOOK_LOG_H

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO
};

/* Writes one record: the message, then pairs of key and value, then NULL. A pair whose
 * value is NULL is left out. Keys and message are literals of ours. Any thread; a record
 * is one write(2), so that records of several threads or processes do not mix. */
void log_record(enum log_level, const char *message, ...) __attribute__((sentinel));

#endif
