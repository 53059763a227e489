/* The bodies of events that are made up, as JSON trees, and what the command line says of them. */
#ifndef BAGELHOOK_BODY_H
#define BAGELHOOK_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Whose event it is. NULL members are made up, or in a body that exists left as they are. */
struct subject {
	const char *order_id;
	const char *email;
	const char *amount; /* JSON's own text of a number, of which every digit is sent */
	const char *mode;   /* test or live */
};

/* A new string value that body_write() writes as the amount's digits. */
json_t *body_amount(void);

/* An event as bytes, the caller's to free. NULL without memory. */
unsigned char *body_write(const json_t *event, const char *amount, size_t *len);

/* A new random id with a prefix. */
struct body_id {
	char text[48];
};
struct body_id body_new_id(const char *prefix);

#endif
