/* One correctly signed body on its way to the database, and what became of it. */
#ifndef BAGELHOOK_DELIVERY_H
#define BAGELHOOK_DELIVERY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/auth/signature.h"
#include "fcgi/event/event.h"

/* Bytes of an event id, and NUL: 255 of the provider's, or sha256: and 64 digits. */
#define DELIVERY_ID_SIZE 256

enum delivery_outcome {
	DELIVERY_PENDING,
	/* Committed: */
	DELIVERY_APPLIED,
	DELIVERY_DUPLICATE,
	DELIVERY_IGNORED,     /* an event type that has no part in the state */
	DELIVERY_UNMATCHED,   /* an event that names no order */
	DELIVERY_DEAD_LETTER, /* no valid event; detail says why */
	DELIVERY_REFUSED,     /* a dead letter because the database refuses the event for good */
	/* Not committed, for all that is known, and for the spool if there is one: */
	DELIVERY_UNAVAILABLE, /* the database cannot take it now */
	DELIVERY_FAILED,      /* the database takes others, but cannot take this one now */
	DELIVERY_LOCKED,      /* somebody else held its order for longer than it could wait */
	DELIVERY_UNKNOWN,     /* the connection was lost, misbehaved, or too slow, around the COMMIT */
	/* Not even tried, and not for the spool: */
	DELIVERY_QUEUE_FULL
};

/* Any holder may read body, timestamp, signature, received_us and event once it was submitted; what
 * follows event is the committer's until it hands the delivery back. */
struct delivery {
	unsigned char *body; /* owned */
	size_t body_len;
	int64_t timestamp; /* as signed; -1 where no signature was asked for and none came */
	unsigned modes;    /* enum secret_modes: those that the secret which signed it vouches for */
	char signature[SIGNATURE_LEN + 1];
	int64_t received_us; /* when its request was read first, since 1970-01-01 00:00 UTC */
	struct event *event; /* owned; NULL makes it a dead letter */
	bool from_spool;     /* it comes from a file, not from a request */

	struct event *traces;    /* owned; what can be read of a body that is no event, or NULL */
	const char *dead_letter; /* reason, a literal, when event is NULL or refused */
	bool wrong_mode;         /* the reason is that modes does not cover the event's mode */
	char detail[EVENT_DETAIL_SIZE];

	/* For a delivery from the spool, its time limit in the slow lane; 0: it goes the usual way. If it
	 * FAILED because it took too long, it comes back with the next, longer one, otherwise with 0. */
	int slow_limit_ms;

	enum delivery_outcome outcome;
	char event_id[DELIVERY_ID_SIZE];

	atomic_uint holders;

	/* The queue's, under its lock while the delivery is submitted. */
	struct receipt *receipt; /* NULL once the submitter has been told not to wait any more */
	size_t bytes;            /* that it is counted with in the queue */
	struct delivery *next;   /* in the list that it is in */
	struct delivery *older;  /* among all that are submitted */
	struct delivery *newer;
	int64_t deadline_ms;
	int64_t retry_at_ms;
	bool queued;     /* in the queue, in nobody's hands */
	bool committing; /* in a transaction whose outcome is not known yet */
};

/* The submitter's ticket for a delivery, which comes back with its outcome. */
struct receipt {
	struct receipt *next;
	struct delivery *delivery; /* held again; the committer may hold it, too, and still work on it */
	enum delivery_outcome outcome;
	int64_t spool_by_ms; /* the spooler's: until when it must be on disk */
	bool spooled;        /* not committed, but on disk, from where it will be */
};

/* A delivery, received now, that owns the malloc()ed body from now on. NULL without memory; the
 * body is then still the caller's. */
struct delivery *delivery_new(unsigned char *body, size_t body_len);

/* Parses the body into event, or into detail, traces and the dead letter's reason; the latter, too, if modes
 * does not cover the event's mode. Before the delivery is submitted. Does not block. */
enum event_result delivery_parse(struct delivery *);

/* Returns the event's id if it may be logged, else NULL. Valid as long as the delivery. */
const char *delivery_loggable_id(const struct delivery *);

/* Bytes of the body and of what was made of it. */
size_t delivery_size(const struct delivery *);

/* One holder more. Returns the delivery. Any thread. */
struct delivery *delivery_hold(struct delivery *);

/* One holder less; the last one frees it, with all it owns. NULL is allowed. Any thread. */
void delivery_free(struct delivery *);

/* A list that deliveries are added to at its end; each is in one list at most. */
struct delivery_list {
	struct delivery *first;
	struct delivery **end;
	size_t count;
};

/* An empty list. */
void delivery_list_init(struct delivery_list *);

/* Adds a delivery at the end. */
void delivery_list_add(struct delivery_list *, struct delivery *);

/* Takes the first delivery off; NULL from an empty list. */
struct delivery *delivery_list_take(struct delivery_list *);

#endif
