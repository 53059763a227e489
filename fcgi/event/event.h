/* From the bytes of a correctly signed body to a normalised event, or to where and why it is
 * none. Knows the provider's format, and nothing of HTTP or SQL. */
#ifndef BAGELHOOK_EVENT_H
#define BAGELHOOK_EVENT_H

#include <stddef.h>

/* Bytes of a description of what is wrong, and NUL. */
#define EVENT_DETAIL_SIZE 256
/* Bytes of an event type. */
#define EVENT_TYPE_MAX 64
/* Bytes of an event id. */
#define EVENT_ID_MAX 255

enum event_result {
	EVENT_OK,
	EVENT_INVALID, /* not a valid event, for good */
	EVENT_NO_MEMORY
};

struct event {
	/* The members of the JSON object that bagelpay.ingest() takes, without the braces;
	 * owned. */
	char *members;
	size_t members_len;
	char type[EVENT_TYPE_MAX + 1]; /* may hold any character but NUL: escape it */
	char mode[5];                  /* "test" or "live" */
	char id[EVENT_ID_MAX + 1];     /* as type; sha256: and a digest if the body has none */
};

/* Parses and normalises a body. On EVENT_OK *event is the event; its members include a digest
 * of all that the body alone says. On EVENT_INVALID detail holds the path of what is wrong and
 * why, one line that quotes nothing of the body; and *event is NULL or what could be read
 * nevertheless: members of event_id, mode, customer_email, request_id and metadata, no type,
 * perhaps no id and mode. The caller owns *event. Does not block; any number of threads at once. */
enum event_result event_parse(
	const unsigned char *body, size_t len, struct event **event, char detail[EVENT_DETAIL_SIZE]);

/* Frees an event; NULL is allowed. */
void event_free(struct event *);

#endif
