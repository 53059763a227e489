/* One letter after the other, so that each has its own line; ingest() commits the event, and then
 * the letter is marked. Should it be broken off in between, the next time the event is a
 * duplicate, and the letter is marked then. */
#include "config.h"

#include "redrive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "fcgi/commit/store.h"
#include "fcgi/response.h"
#include "dead_letters.h"
#include "intake.h"

#define CONNECT_MS 10000
#define EXIT_LEFT 1

struct redrive {
	struct dead_letters *letters;
	uint64_t tried;
	uint64_t resolved;
	const char *error; /* that ends it */
	char reason[DEAD_LETTERS_ERROR_SIZE];
};

static int complain(const char *what)
{
	log_complaint("bagelhook redrive", what);
	return EXIT_LEFT;
}

/* What became of one letter. */
static void settled(void *context, struct delivery *delivery, void *item)
{
	struct redrive *redrive = context;
	const struct dead_letter *letter = item;

	switch (delivery->outcome) {
	case DELIVERY_APPLIED:
	case DELIVERY_DUPLICATE:
	case DELIVERY_IGNORED:
	case DELIVERY_UNMATCHED:
		break;
	default:
		printf("%" PRId64 "\tleft\t%s\n", letter->id, delivery->detail);
		return;
	}
	switch (dead_letters_resolved(redrive->letters, letter->id, redrive->reason)) {
	case 1:
		redrive->resolved++;
		printf("%" PRId64 "\tresolved\t%s\n", letter->id, response_outcome_name(delivery->outcome));
		break;
	case 0:
		printf("%" PRId64 "\tleft\tevent_id: still taken by an event with another content\n", letter->id);
		break;
	default:
		redrive->error = redrive->reason;
		break;
	}
}

/* One letter through all of it. False where it cannot go on. */
static bool try_letter(struct redrive *redrive, struct store *store, struct dead_letter *letter)
{
	const struct intake_body body = {
		letter->body, letter->body_len, letter->timestamp, letter->signature, letter->received_us};
	struct intake intake;

	if (letter->resolved) {
		printf("%" PRId64 "\tresolved\talready\n", letter->id);
		redrive->resolved++;
		return true;
	}
	intake_begin(&intake, store, settled, redrive);
	if (intake_add(&intake, &body, letter) && intake_end(&intake))
		return redrive->error == NULL;
	if (redrive->error == NULL)
		redrive->error = intake.error;
	return false;
}

static int run(struct redrive *redrive, struct store *store, int64_t id)
{
	struct dead_letter letter;
	int found;

	while ((found = dead_letters_next(redrive->letters, id, &letter, redrive->reason)) > 0) {
		redrive->tried++;
		if (!try_letter(redrive, store, &letter))
			return complain(redrive->error);
		if (id > 0)
			break;
	}
	if (found < 0)
		return complain(redrive->reason);
	if (id > 0 && found == 0)
		return complain("there is no dead letter of this id");
	printf("%" PRIu64 " tried, %" PRIu64 " resolved, %" PRIu64 " left\n", redrive->tried,
		redrive->resolved, redrive->tried - redrive->resolved);
	return redrive->tried == redrive->resolved ? 0 : EXIT_LEFT;
}

int redrive_run(const char *conninfo, int64_t id)
{
	struct redrive redrive = {0};
	struct store *store = store_new(conninfo);
	int status;

	if (store == NULL)
		return complain("out of memory");
	redrive.letters = dead_letters_open(conninfo, redrive.reason);
	if (redrive.letters == NULL)
		status = complain(redrive.reason);
	else if (store_connect(store, CONNECT_MS) != STORE_CONNECTED)
		status = complain(store_error(store));
	else
		status = run(&redrive, store, id);
	dead_letters_close(redrive.letters);
	store_free(store);
	return status;
}
