/* The bodies of events as JSON trees, and what the command line says of them. */
#ifndef BAGELHOOK_BODY_H
#define BAGELHOOK_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/arguments.h"

/* Whose event it is. NULL members are made up, or in a body that exists left as they are. */
struct subject {
	const char *order_id;
	const char *email;
	const char *customer_id;
	const char *user_id; /* NULL: none is made up */
	const char *product_id;
	const char *amount;             /* JSON's own text of a number, of which every digit is sent */
	const char *mode;               /* test or live */
	long units;                     /* of a subscription; below 0: not given */
	struct argument_texts metadata; /* further members, each as K=V */
};

/* The mode of events made up. */
static inline const char *subject_mode(const struct subject *subject)
{
	return subject->mode != NULL ? subject->mode : "test";
}

/* Returns a number that body_write() writes with exactly these digits; the caller's, as Jansson has it. NULL
 * without memory. In the tree it is a string: Jansson's own numbers are doubles, which do not keep digits. */
json_t *body_number(const char *digits);

/* Parses an event; all numbers in it are as of body_number(). Returns the caller's tree, or NULL with
 * error->text set if it is not JSON, or without memory. */
json_t *body_read(const char *bytes, size_t len, json_error_t *error);

/* An event as bytes, the caller's to free. NULL without memory. */
unsigned char *body_write(const json_t *event, size_t *len);

/* Sets each K=V in an object, as text. Returns false without memory. */
bool body_set_texts(json_t *object, const struct argument_texts *);

/* A new random id with a prefix. */
struct body_id {
	char text[48];
};
struct body_id body_new_id(const char *prefix);

#endif
