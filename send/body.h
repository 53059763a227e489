/* The bodies of events as JSON trees, and what the command line says of them. */
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

/* Returns a number that body_write() writes with exactly these digits; the caller's, as Jansson has it. NULL
 * without memory. In the tree it is a string: Jansson's own numbers are doubles, which do not keep digits. */
json_t *body_number(const char *digits);

/* Parses an event; all numbers in it are as of body_number(). Returns the caller's tree, or NULL with
 * error->text set if it is not JSON, or without memory. */
json_t *body_read(const char *bytes, size_t len, json_error_t *error);

/* An event as bytes, the caller's to free. NULL without memory. */
unsigned char *body_write(const json_t *event, size_t *len);

/* A new random id with a prefix. */
struct body_id {
	char text[48];
};
struct body_id body_new_id(const char *prefix);

#endif
