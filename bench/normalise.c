/* Prints what the responder hands to bagelpay.ingest() for the event in a file, so that
 * pgbench calls it with just that. */
#include "config.h"

#include <stdio.h>

#include "fcgi/event/event.h"

int main(int argc, char **argv)
{
	static unsigned char body[1024 * 1024];
	char detail[EVENT_DETAIL_SIZE];
	struct event *event = NULL;
	FILE *stream = argc == 2 ? fopen(argv[1], "rb") : NULL;

	if (stream == NULL) {
		fprintf(stderr, "Usage: normalise FILE\n");
		return 2;
	}
	size_t len = fread(body, 1, sizeof body, stream);
	int complete = feof(stream);
	fclose(stream);
	if (!complete) {
		fprintf(stderr, "%s: cannot be read, or too long\n", argv[1]);
		return 1;
	}
	if (event_parse(body, len, &event, detail) != EVENT_OK) {
		fprintf(stderr, "%s: %s\n", argv[1], detail);
		return 1;
	}
	printf("[{%s}]", event->members);
	event_free(event);
	return 0;
}
