/* Log records: one line each on standard error, in logfmt, every value from outside
 * escaped. No secret, no body and no e-mail address is ever passed in. */
#ifndef BAGELHOOK_LOG_H
#define BAGELHOOK_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO };

/* Pairs of key and value for log_record(). */
#define LOG_PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Writes one record: the message, then the pairs (NULL: none). A pair whose value is NULL
 * is left out. Keys and message are literals of ours. Any thread; a record is one
 * write(2), so that records of several threads or processes do not mix. */
void log_record(enum log_level, const char *message, const char *const *pairs);

/* Writes one line for the person who started the program, as "program: text", escaped as records are. */
void log_complaint(const char *program, const char *text);

#endif
