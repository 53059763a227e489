#include "config.h"

#include "peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "gathering.h"
#include "log.h"
#include "metrics.h"
#include "thread.h"

/* Connections read from before other things have their turn. */
#define HEARD_MAX 64
/* How long poll(2) may sleep when nothing is due: a net under missed wake-ups. */
#define WATCH_MAX_MS 1000
/* How often a worker without work shows that it is not stuck. */
#define TURN_MS 5000
/* How soon to look again whether workers keep up. */
#define PAUSE_MS 20
/* How long a peer has at the least to send its request, however many others want its place. */
#define GRACE_MS 250

/* Size of the answers that the watching thread sends itself, at most. */
#define ANSWER_BYTES 4096

struct peers *peers_new(const struct peers_limits *limits, const struct peers_owner *owner)
{
	struct peers *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->limits = *limits;
	p->owner = *owner;
	if (p->limits.places > PEERS_MAX)
		p->limits.places = PEERS_MAX;
	p->limits.records.connections = p->limits.places;
	/* Kept, so that without memory at least that can be said. */
	if (!buffer_reserve(&p->text, ANSWER_BYTES) || !buffer_reserve(&p->out, ANSWER_BYTES))
		goto err1;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0)
		goto err1;
	if (pthread_mutex_init(&p->lock, NULL) != 0)
		goto err2;
	if (pthread_cond_init(&p->ready, NULL) != 0)
		goto err3;
	return p;
err3:
	pthread_mutex_destroy(&p->lock);
err2:
	close(p->epoll);
err1:
	buffer_done(&p->text);
	buffer_done(&p->out);
	free(p);
	return NULL;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	pthread_cond_destroy(&p->ready);
	pthread_mutex_destroy(&p->lock);
	close(p->epoll);
	buffer_done(&p->text);
	buffer_done(&p->out);
	free(p);
}

static const char *refusal_reason(enum refusal why)
{
	switch (why) {
	case REFUSAL_PLACES:
		return "too many connections";
	case REFUSAL_BYTES:
		return "requests that are under way take too much memory";
	case REFUSAL_PARAMS:
		return "its header fields are longer than 256 KiB";
	case REFUSAL_BUSY:
		return "waited too long for a worker";
	case REFUSAL_MEMORY:
		break;
	}
	return "out of memory";
}

void peers_refuse(const struct peers_owner *owner, enum refusal why, struct buffer *out)
{
	static struct log_limit limit;

	owner->refuse(owner->context, why, out);
	if (log_may(&limit))
		log_record(LOG_ERROR, "cannot serve a request", LOG_PAIRS("reason", refusal_reason(why)));
}

/* --- places ------------------------------------------------------------------------------------------ */

/* Returns true if the connection may be closed for a new one; *from_ms is when that becomes possible. */
static bool is_evictable(const struct peer *peer, int64_t *from_ms)
{
	*from_ms = peer->state == PEER_GATHERING ? peer->since_ms + GRACE_MS : 0;
	return peer->state == PEER_GATHERING || peer->state == PEER_KEPT || peer->state == PEER_LINGERING;
}

/* Returns true if one evictable connection is to be closed rather than another: nobody misses one without a
 * request. */
static bool goes_before(const struct peer *peer, const struct peer *other)
{
	const bool gathering = peer->state == PEER_GATHERING;

	if (gathering != (other->state == PEER_GATHERING))
		return !gathering;
	return peer->since_ms < other->since_ms;
}

/* A free place, or that of the connection that is to be closed first; else NULL. With the lock. */
static struct peer *find_place(struct peers *p)
{
	const int64_t now = clock_ms();
	struct peer *first = NULL;
	int64_t from_ms;

	for (size_t i = 0; i < p->limits.places; i++) {
		struct peer *peer = &p->peer[i];

		if (peer->state == PEER_FREE)
			return peer;
		if (is_evictable(peer, &from_ms) && from_ms <= now
			&& (first == NULL || goes_before(peer, first)))
			first = peer;
	}
	return first;
}

bool peers_room(struct peers *p)
{
	for (;;) {
		pthread_mutex_lock(&p->lock);
		struct peer *place = find_place(p);
		const enum peer_state state = place == NULL ? PEER_SERVED : place->state;
		pthread_mutex_unlock(&p->lock);
		if (state != PEER_GATHERING && state != PEER_KEPT)
			return place != NULL;
		/* Its request may have come while we did other things. */
		if (gathering_read_all(p, place) != GATHER_ENDED && place->state == state)
			return true;
	}
}

/* Closes the connection that has the place, if there is one, and gives it to another. With the lock. */
static bool occupy(struct peers *p, struct peer *peer, int fd)
{
	const size_t behind = (size_t)(peer - p->peer) + 1;

	if (peer->state == PEER_GATHERING) {
		gathering_apologise(p, peer, REFUSAL_PLACES);
		p->gathered -= records_size(&peer->records);
		metrics_count(METRICS_CONNECTIONS_EVICTED);
	}
	if (peer->state != PEER_FREE)
		gathering_drop(p, peer);
	memset(peer, 0, sizeof *peer);
	peer->fd = fd;
	if (!gathering_watch(p, peer))
		return false;
	peer->since_ms = clock_ms();
	peer->deadline_ms = peer->since_ms + p->limits.read_timeout_ms;
	records_init(&peer->records, &p->limits.records);
	buffer_init(&peer->early);
	p->open++;
	if (p->top < behind)
		p->top = behind;
	metrics_count(METRICS_CONNECTIONS);
	metrics_set(METRICS_CONNECTIONS_OPEN, (int64_t)p->open);
	peer->state = PEER_GATHERING;
	return true;
}

bool peers_add(struct peers *p, int fd)
{
	pthread_mutex_lock(&p->lock);
	struct peer *peer = find_place(p);
	const bool added = peer != NULL && occupy(p, peer, fd);
	pthread_mutex_unlock(&p->lock);
	if (!added) {
		close(fd);
		return false;
	}
	/* Web servers send with the connect. */
	gathering_read(p, peer);
	return true;
}

/* --- workers ----------------------------------------------------------------------------------------- */

static bool has_work(const struct peers *p)
{
	return p->answer_first != NULL || p->ready_first != NULL;
}

struct peer *peers_take(struct peers *p)
{
	thread_alive(THREAD_STUCK_MS);
	pthread_mutex_lock(&p->lock);
	while (!has_work(p) && !p->ending) {
		const struct timespec until = clock_timespec(clock_ms() + TURN_MS);

		p->idle++;
		thread_alive(THREAD_STUCK_MS);
		pthread_cond_clockwait(&p->ready, &p->lock, CLOCK_MONOTONIC, &until);
		p->idle--;
		p->waking = false;
	}
	struct peer *peer = p->answer_first;
	if (peer != NULL) {
		p->answer_first = peer->next;
		if (p->answer_first == NULL)
			p->answer_last = NULL;
	} else if (p->ready_first != NULL) {
		peer = p->ready_first;
		p->ready_first = peer->next;
		if (p->ready_first == NULL)
			p->ready_last = NULL;
		p->ready_bytes -= records_size(&peer->records);
		peer->state = PEER_SERVED;
	}
	const bool wakes = has_work(p) && gathering_wakes(p);
	pthread_mutex_unlock(&p->lock);
	if (wakes)
		pthread_cond_signal(&p->ready);
	return peer;
}

void peers_answer(struct peers *p, struct peer *first)
{
	struct peer *last = first;

	while (last->next != NULL)
		last = last->next;
	pthread_mutex_lock(&p->lock);
	if (p->answer_last == NULL)
		p->answer_first = first;
	else
		p->answer_last->next = first;
	p->answer_last = last;
	/* Within the lock: once these are answered, the last worker may end, and p with it. */
	if (gathering_wakes(p))
		pthread_cond_signal(&p->ready);
	pthread_mutex_unlock(&p->lock);
}

bool peers_release(struct peers *p, struct peer *peer)
{
	const bool early = peer->keep && peer->early.len > 0;

	records_next(&peer->records);
	pthread_mutex_lock(&p->lock);
	/* Otherwise what comes next is heard of, and deadlines are looked at often enough. */
	const bool awaited = early || p->stopping || p->open == p->limits.places;
	if (peer->keep && gathering_watch(p, peer))
		gathering_keep(p, peer);
	else if (!peer->keep && peer->partial)
		gathering_begin_linger(p, peer);
	else
		gathering_drop(p, peer);
	pthread_mutex_unlock(&p->lock);
	return awaited;
}

/* --- watching ---------------------------------------------------------------------------------------- */

/* Ends a connection that is due, unless something has come: it came in time, and was not read while we did
 * other things. */
static void expire(struct peers *p, struct peer *peer)
{
	if (peer->state == PEER_GATHERING) {
		if (gathering_read_all(p, peer) != GATHER_ENDED)
			gathering_end_early(p, peer);
		return;
	}
	/* One that was due as well may have been given up for its memory. */
	if (peer->state == PEER_FREE
		|| (peer->state == PEER_KEPT && gathering_read(p, peer) != GATHER_NOTHING))
		return;
	pthread_mutex_lock(&p->lock);
	gathering_drop(p, peer);
	pthread_mutex_unlock(&p->lock);
}

/* Returns true if expire() is to be called. With the lock. */
static bool is_due(const struct peers *p, const struct peer *peer, int64_t now)
{
	if (peer->state == PEER_KEPT && (p->stopping || peer->early.len > 0))
		return true;
	return peer->deadline_ms <= now;
}

int64_t peers_watch(struct peers *p, int *fd)
{
	int64_t now = clock_ms();
	int64_t next = now + WATCH_MAX_MS;
	size_t due = 0;
	int64_t evictable_ms;

	pthread_mutex_lock(&p->lock);
	const bool full = p->open == p->limits.places;
	/* While workers cannot keep up, what they have not got yet stays with the kernel. */
	const bool pausing = p->ready_bytes > p->limits.bytes;
	if (pausing)
		next = now + PAUSE_MS;
	for (size_t i = 0; i < p->top; i++) {
		struct peer *peer = &p->peer[i];

		if (!is_evictable(peer, &evictable_ms))
			continue;
		/* Not read from: not the peer's fault. */
		if (pausing && peer->state != PEER_LINGERING)
			continue;
		if (is_due(p, peer, now)) {
			p->due[due++] = peer;
			continue;
		}
		if (peer->deadline_ms < next)
			next = peer->deadline_ms;
		if (full && evictable_ms > now && evictable_ms < next)
			next = evictable_ms;
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < due; i++)
		expire(p, p->due[i]);
	*fd = pausing ? -1 : p->epoll;
	return next;
}

void peers_heard(struct peers *p)
{
	struct epoll_event events[HEARD_MAX];
	const int count = epoll_wait(p->epoll, events, HEARD_MAX, 0);

	for (int i = 0; i < count; i++) {
		struct peer *peer = events[i].data.ptr;

		pthread_mutex_lock(&p->lock);
		const enum peer_state state = peer->state;
		if (state == PEER_READY || state == PEER_SERVED)
			gathering_unwatch(p, peer);
		pthread_mutex_unlock(&p->lock);
		if (state == PEER_GATHERING || state == PEER_KEPT)
			gathering_read(p, peer);
		else if (state == PEER_LINGERING)
			gathering_linger(p, peer);
	}
}

void peers_stop(struct peers *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_mutex_unlock(&p->lock);
}

size_t peers_count(struct peers *p)
{
	pthread_mutex_lock(&p->lock);
	size_t open = p->open;
	pthread_mutex_unlock(&p->lock);
	return open;
}

void peers_end(struct peers *p)
{
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->ready);
	pthread_mutex_unlock(&p->lock);
}
