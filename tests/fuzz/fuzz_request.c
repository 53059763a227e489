/* Bytes on the responder's socket, through records, libfcgi and all of the handler, up to a database
 * that is away. (-close_fd_mask=2 keeps the log off the screen.) The first byte chooses: its lowest bit,
 * whether signatures are checked; the next, how long a body may be. */
#include "config.h"

#include <fcgiapp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/records.h"
#include "fcgi/handler.h"
#include "target.h"

const char fuzz_target_name[] = "request";

static struct queue *queue;
static struct spooler *spooler;
static struct handler *handlers[4];
static struct receipt *finished;

static void receive(void *context, struct receipt *receipts)
{
	(void)context;
	finished = receipts;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct queue_limits limits = {10, 1024UL * 1024, 1000};
	struct secrets secrets = {.count = 1};

	(void)argc;
	(void)argv;
	secrets.secret[0].len = 32;
	MUST(getentropy(secrets.secret[0].key, 32) == 0);
	queue = queue_new(&limits);
	MUST(queue != NULL);
	spooler = spooler_open(queue, NULL, true);
	MUST(spooler != NULL);
	spooler_on_finish(spooler, receive, NULL);
	queue_set_away(queue, true);
	secrets.secret[0].modes = SECRET_BOTH;
	struct signature_verifier *verifier = signature_open(&secrets);
	MUST(verifier != NULL);
	for (size_t i = 0; i < 4; i++) {
		const struct handler_limits handler_limits = {
			(i & 2) != 0 ? 100 : 1024UL * 1024, 0, (i & 1) != 0};

		handlers[i] = handler_open(queue, spooler, verifier, &handler_limits);
		MUST(handlers[i] != NULL);
	}
	return 0;
}

static void serve(struct handler *handler, FCGX_Request *fcgi)
{
	struct request request;
	struct receipt receipt;
	struct answer answer;
	struct buffer out;

	if (handler_receive(handler, fcgi, &request, &answer)
		&& handler_submit(handler, &request, &answer, &receipt)) {
		MUST(finished == &receipt && receipt.next == NULL);
		handler_complete(&receipt, &answer);
		handler_finish(&receipt, &answer);
	}
	request_done(&request);
	MUST(response_status(&answer) != 200);
	buffer_init(&out);
	response_format(&answer, &out);
	MUST(!buffer_failed(&out));
	buffer_done(&out);
}

/* A request that is there as a whole, the way that a worker takes it. */
static void serve_whole(struct handler *handler, struct records *records)
{
	FCGX_Request fcgi;
	FCGX_Stream in;

	records_open(records, &fcgi, &in);
	serve(handler, &fcgi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct records_limits limits = {10000, 10000, 10};
	enum records_result result;
	struct records records;
	size_t taken;

	if (size == 0)
		return 0;
	const unsigned chosen = data[0] & 3;
	records_init(&records, &limits);
	for (data++, size--; (result = records_feed(&records, data, size, &taken)) == RECORDS_HEAD; size -= taken)
		data += taken;
	MUST(records_size(&records) < 100000);
	/* A stream that ends within a body is served, too. */
	if (result == RECORDS_COMPLETE || (result == RECORDS_MORE && records.state == RECORDS_STDIN))
		serve_whole(handlers[chosen], &records);
	records_done(&records);
	return 0;
}
