/* Looking at the file by name, from time to time, sees changes that notifications would miss: a symbolic link
 * on the way that now leads elsewhere, a directory that was mounted over, a network's file system. */
#include "config.h"

#include "rotation.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/thread.h"
#include "common/notify.h"

#define LOOK_MS 500
/* A file system that takes longer hangs. */
#define HANGS_MS 5000
#define ERROR_SIZE 512
/* Numbers of 20 digits, each with its comma. */
#define MATCHES_SIZE (SECRETS_MAX * 21 + 1)
#define KEPT "keeping the secrets as they were"

/* Where the thread is. The end of the program waits for it, unless it is in the file system. */
enum place {
	PLACE_WAITING,
	PLACE_IN_FILE_SYSTEM,
	PLACE_AT_VERIFIER,
	PLACE_STOPPED /* set by rotation_stop(): the thread ends, and does not touch the verifier any more */
};

struct rotation {
	const char *path;
	struct signature_verifier *verifier;
	int asked; /* an eventfd: wakes the thread */
	struct thread thread;
	_Atomic int place;            /* enum place */
	_Atomic int64_t looked_at_ms; /* when it last went to the file system */
	int64_t told_ms;              /* the look of which the log says that it hangs; of the caller's thread */
	/* The thread's own: */
	struct secrets_version in_use; /* the file as the secrets were read from it */
	struct secrets_version seen;   /* as it was at the last look */
	char reported[ERROR_SIZE];     /* why it could not be read, as logged; empty: it could */
};

/* Returns false if the rotation was stopped meanwhile. */
static bool move(struct rotation *r, int from, int to)
{
	return atomic_compare_exchange_strong(&r->place, &from, to);
}

/* "12,0": the first secret has matched twelve times, the second one never. */
static void format_matches(struct signature_verifier *verifier, char text[MATCHES_SIZE])
{
	uint64_t matches[SECRETS_MAX];
	const size_t count = signature_matches(verifier, matches);
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(
			text + len, MATCHES_SIZE - len, "%s%" PRIu64, i == 0 ? "" : ",", matches[i]);
}

static void keep(struct rotation *r, bool asked, const char *reason)
{
	char matches[MATCHES_SIZE];

	if (asked || strcmp(r->reported, reason) != 0) {
		format_matches(r->verifier, matches);
		log_record(LOG_ERROR, KEPT, LOG_PAIRS("reason", reason, "matches", matches));
	}
	snprintf(r->reported, sizeof r->reported, "%s", reason);
}

static void replace(struct rotation *r, bool asked, const struct secrets *secrets)
{
	char before[MATCHES_SIZE];
	char matches[MATCHES_SIZE];
	char count[8];
	bool same;

	/* A moment early: what is matched until they are replaced is not in it. */
	format_matches(r->verifier, before);
	if (signature_replace(r->verifier, secrets, &same) != 0) {
		keep(r, asked, "out of memory");
		return;
	}
	r->in_use = secrets->version;
	if (same && !asked && r->reported[0] == '\0')
		return;
	r->reported[0] = '\0';
	format_matches(r->verifier, matches);
	snprintf(count, sizeof count, "%zu", secrets->count);
	log_record(LOG_INFO, "read the secrets again",
		LOG_PAIRS("secrets", count, "matches", matches, "matches_before", same ? NULL : before));
}

/* Looks at the file, and reads it if it was changed and is settled, or if asked to. Returns false once
 * stopped. */
static bool turn(struct rotation *r, bool asked)
{
	struct secrets secrets = {.count = 0};
	struct secrets_version version;
	struct stat status;
	char error[ERROR_SIZE] = "";

	secrets_look(r->path, &version);
	/* A file that is still being written would be read in part. */
	const bool settled = secrets_same_version(&version, &r->seen);
	r->seen = version;
	if (!asked && (!settled || secrets_same_version(&version, &r->in_use)))
		return move(r, PLACE_IN_FILE_SYSTEM, PLACE_WAITING);
	/* Opening a pipe could wait for ever. */
	if (stat(r->path, &status) == 0 && !S_ISREG(status.st_mode))
		snprintf(
			error, sizeof error, "the secret file is no regular file, and can be read only once");
	else if (secrets_read(r->path, &secrets, error, sizeof error) == 0)
		r->seen = secrets.version;
	const bool go_on = move(r, PLACE_IN_FILE_SYSTEM, PLACE_AT_VERIFIER);
	if (go_on && secrets.count > 0)
		replace(r, asked, &secrets);
	else if (go_on)
		keep(r, asked, error);
	secrets_wipe(&secrets);
	return go_on && move(r, PLACE_AT_VERIFIER, PLACE_WAITING);
}

static void run(void *argument)
{
	struct rotation *r = argument;
	struct pollfd asked = {.fd = r->asked, .events = POLLIN};
	uint64_t times;
	bool go_on = true;

	while (go_on) {
		poll(&asked, 1, r->path == NULL ? -1 : LOOK_MS);
		const bool is_asked = read(r->asked, &times, sizeof times) > 0;
		atomic_store(&r->looked_at_ms, clock_ms());
		go_on = move(r, PLACE_WAITING, PLACE_IN_FILE_SYSTEM);
		if (!go_on)
			break;
		if (is_asked)
			notify_reloading();
		go_on = r->path == NULL ? move(r, PLACE_IN_FILE_SYSTEM, PLACE_WAITING) : turn(r, is_asked);
		if (is_asked && go_on)
			notify_ready();
	}
}

static void wake(struct rotation *r)
{
	const uint64_t once = 1;

	/* Does not fail: the counter is read long before it is full. */
	if (write(r->asked, &once, sizeof once) < 0)
		return;
}

struct rotation *rotation_start(
	const char *path, const struct secrets_version *version, struct signature_verifier *verifier)
{
	/* Not allocated: a thread that hangs in the end keeps it. */
	static struct rotation rotation;
	struct rotation *r = &rotation;

	memset(r, 0, sizeof *r);
	r->path = path;
	r->verifier = verifier;
	r->in_use = r->seen = *version;
	r->asked = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->asked >= 0 && thread_start(&r->thread, "rotation", run, r) == 0)
		return r;
	if (r->asked >= 0)
		close(r->asked);
	return NULL;
}

void rotation_watch(struct rotation *r, bool asked)
{
	const int64_t looked_at_ms = atomic_load(&r->looked_at_ms);

	if (atomic_load(&r->place) == PLACE_IN_FILE_SYSTEM && clock_ms() - looked_at_ms > HANGS_MS
		&& (asked || looked_at_ms != r->told_ms)) {
		r->told_ms = looked_at_ms;
		log_record(LOG_ERROR, KEPT,
			LOG_PAIRS("reason", "the file system of the secret file does not answer", "file",
				r->path));
	}
	if (asked)
		wake(r);
}

void rotation_stop(struct rotation *r)
{
	char matches[MATCHES_SIZE];

	if (r == NULL)
		return;
	if (r->path != NULL) {
		format_matches(r->verifier, matches);
		log_record(LOG_INFO, "signatures matched, by the secret's position",
			LOG_PAIRS("matches", matches));
	}
	if (atomic_exchange(&r->place, PLACE_STOPPED) == PLACE_IN_FILE_SYSTEM) {
		/* The thread may hang until the process ends, so nothing that it uses is freed. */
		pthread_detach(r->thread.id);
		return;
	}
	wake(r);
	thread_join(&r->thread);
	close(r->asked);
}
