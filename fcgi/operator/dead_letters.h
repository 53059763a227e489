/* The table of dead letters, as an operator's program sees it, with the rights of the schema's
 * owner. One thread; every call blocks on the database, each for a minute at most. */
#ifndef BAGELHOOK_DEAD_LETTERS_H
#define BAGELHOOK_DEAD_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEAD_LETTERS_ERROR_SIZE 1024

struct dead_letters;

/* Texts are the table's, until dead_letters_next() is called again. */
struct dead_letter {
	int64_t id;
	const char *body;
	size_t body_len;
	int64_t timestamp;     /* as signed, or -1 */
	const char *signature; /* or "" */
	int64_t received_us;   /* microseconds since 1970-01-01 00:00 UTC */
	const char *reason;
	bool resolved;
};

/* Connects; conninfo as libpq takes it, or NULL. NULL with the reason, one line, in error. */
struct dead_letters *dead_letters_open(const char *conninfo, char error[DEAD_LETTERS_ERROR_SIZE]);

/* Disconnects; NULL is allowed. */
void dead_letters_close(struct dead_letters *);

/* Reads the letter of this id, resolved or not; with 0, the first unresolved one whose id is
 * greater than the one read last. Returns 1, 0 where there is none, or -1 with the reason in
 * error. */
int dead_letters_next(
	struct dead_letters *, int64_t id, struct dead_letter *, char error[DEAD_LETTERS_ERROR_SIZE]);

/* Returns 1 if the letter of this id is resolved, 0 if it is not, or -1 with the reason in error.
 * bagelpay.ingest() resolves a letter when it takes its body. Blocks until the database answers. */
int dead_letters_resolved(struct dead_letters *, int64_t id, char error[DEAD_LETTERS_ERROR_SIZE]);

#endif
