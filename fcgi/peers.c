#include "config.h"

#include "peers.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "gathering.h"
#include "metrics.h"

/* How long poll(2) may sleep when nothing is due: a net under missed wake-ups. */
#define WATCH_MAX_MS 1000
/* How soon to look again whether workers keep up. */
#define PAUSE_MS 20
/* How long an answered peer may take to close. */
#define LINGER_MS 2000
/* How long a peer has at the least to send its request, however many others want its place. */
#define GRACE_MS 250

struct peers *peers_new(const struct peers_limits *limits)
{
	struct peers *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->limits = *limits;
	if (p->limits.places > PEERS_MAX)
		p->limits.places = PEERS_MAX;
	if (pthread_mutex_init(&p->lock, NULL) != 0)
		goto err1;
	if (pthread_cond_init(&p->ready, NULL) != 0)
		goto err2;
	return p;
err2:
	pthread_mutex_destroy(&p->lock);
err1:
	free(p);
	return NULL;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	pthread_cond_destroy(&p->ready);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* --- places ------------------------------------------------------------------------------------------ */

/* Whether it may have to go for a new one, from when on is told. */
static bool is_loose(const struct peer *peer, int64_t *from_ms)
{
	*from_ms = peer->state == PEER_GATHERING ? peer->accepted_ms + GRACE_MS : 0;
	return peer->state == PEER_GATHERING || peer->state == PEER_LINGERING;
}

/* A free one, or that of the connection that was accepted first of those that may go. */
static struct peer *find_place(struct peers *p)
{
	const int64_t now = clock_ms();
	struct peer *oldest = NULL;
	int64_t from_ms;

	for (size_t i = 0; i < p->limits.places; i++) {
		struct peer *peer = &p->peer[i];

		if (peer->state == PEER_FREE)
			return peer;
		if (is_loose(peer, &from_ms) && from_ms <= now
			&& (oldest == NULL || peer->accepted_ms < oldest->accepted_ms))
			oldest = peer;
	}
	return oldest;
}

bool peers_room(struct peers *p)
{
	struct peer *place;

	for (;;) {
		pthread_mutex_lock(&p->lock);
		place = find_place(p);
		const bool gathering = place != NULL && place->state == PEER_GATHERING;
		pthread_mutex_unlock(&p->lock);
		if (!gathering)
			return place != NULL;
		/* Its request may have come while we did other things. */
		if (gathering_read_all(p, place) != GATHER_ENDED)
			return true;
	}
}

bool peers_add(struct peers *p, int fd)
{
	pthread_mutex_lock(&p->lock);
	struct peer *peer = find_place(p);
	if (peer != NULL) {
		if (peer->state == PEER_GATHERING) {
			p->gathered -= records_size(&peer->records);
			metrics_count(METRICS_CONNECTIONS_EVICTED);
		}
		if (peer->state != PEER_FREE)
			gathering_drop(p, peer);
		peer->fd = fd;
		peer->exchange = NULL;
		peer->partial = false;
		peer->no_memory = false;
		peer->accepted_ms = clock_ms();
		peer->deadline_ms = peer->accepted_ms + p->limits.read_timeout_ms;
		records_init(&peer->records, &p->limits.records);
		p->open++;
		metrics_count(METRICS_CONNECTIONS);
		metrics_set(METRICS_CONNECTIONS_OPEN, (int64_t)p->open);
		peer->state = PEER_GATHERING;
	}
	pthread_mutex_unlock(&p->lock);
	if (peer == NULL) {
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
	pthread_mutex_lock(&p->lock);
	while (!has_work(p) && !p->ending) {
		p->idle++;
		pthread_cond_wait(&p->ready, &p->lock);
		p->idle--;
		p->waking = false;
	}
	struct peer *peer = p->answer_first;
	if (peer != NULL) {
		p->answer_first = peer->next;
	} else if (p->ready_first != NULL) {
		peer = p->ready_first;
		p->ready_first = peer->next;
		if (p->ready_first == NULL)
			p->ready_last = NULL;
		p->ready_bytes -= records_size(&peer->records);
		peer->state = PEER_SERVED;
	}
	if (has_work(p))
		gathering_wake(p);
	pthread_mutex_unlock(&p->lock);
	return peer;
}

void peers_answer(struct peers *p, struct peer *first)
{
	struct peer *last = first;

	while (last->next != NULL)
		last = last->next;
	pthread_mutex_lock(&p->lock);
	last->next = p->answer_first;
	p->answer_first = first;
	gathering_wake(p);
	pthread_mutex_unlock(&p->lock);
}

bool peers_drop(struct peers *p, struct peer *peer)
{
	bool lingers = peer->partial && shutdown(peer->fd, SHUT_WR) == 0;

	records_done(&peer->records);
	pthread_mutex_lock(&p->lock);
	bool awaited = lingers || p->open == p->limits.places || p->open == 1;
	if (lingers) {
		peer->deadline_ms = clock_ms() + LINGER_MS;
		peer->state = PEER_LINGERING;
	} else {
		gathering_drop(p, peer);
	}
	pthread_mutex_unlock(&p->lock);
	return awaited;
}

/* --- watching ---------------------------------------------------------------------------------------- */

/* What is past its deadline. */
static void expire(struct peers *p, struct peer *peer)
{
	if (peer->state == PEER_GATHERING) {
		/* What is there by now came in time, and was not read while we did other things. */
		if (gathering_read_all(p, peer) != GATHER_ENDED)
			gathering_end_early(p, peer);
		return;
	}
	pthread_mutex_lock(&p->lock);
	gathering_drop(p, peer);
	pthread_mutex_unlock(&p->lock);
}

int64_t peers_watch(struct peers *p, struct pollfd *polled, struct peer **polled_peers, nfds_t *count)
{
	int64_t now = clock_ms();
	int64_t next = now + WATCH_MAX_MS;
	size_t expired = 0;
	int64_t loose_ms;

	pthread_mutex_lock(&p->lock);
	const bool full = p->open == p->limits.places;
	/* While workers cannot keep up, what they have not got yet stays with the kernel. */
	const bool pausing = p->ready_bytes > p->limits.bytes;
	if (pausing)
		next = now + PAUSE_MS;
	for (size_t i = 0; i < p->limits.places; i++) {
		struct peer *peer = &p->peer[i];

		if (!is_loose(peer, &loose_ms))
			continue;
		/* Not read from: not the peer's fault. */
		if (pausing && peer->state == PEER_GATHERING)
			continue;
		if (peer->deadline_ms <= now) {
			p->expired[expired++] = peer;
			continue;
		}
		if (peer->deadline_ms < next)
			next = peer->deadline_ms;
		if (full && loose_ms > now && loose_ms < next)
			next = loose_ms;
		polled[*count] = (struct pollfd){.fd = peer->fd, .events = POLLIN};
		polled_peers[(*count)++] = peer;
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < expired; i++)
		expire(p, p->expired[i]);
	return next;
}

void peers_heard(struct peers *p, const struct pollfd *polled, struct peer *const *polled_peers, nfds_t count)
{
	for (nfds_t i = 0; i < count; i++) {
		if (polled[i].revents == 0)
			continue;
		/* Another one may have got its place meanwhile. */
		pthread_mutex_lock(&p->lock);
		const bool same = polled_peers[i]->fd == polled[i].fd;
		const enum peer_state state = polled_peers[i]->state;
		pthread_mutex_unlock(&p->lock);
		if (same && state == PEER_GATHERING)
			gathering_read(p, polled_peers[i]);
		else if (same && state == PEER_LINGERING)
			gathering_linger(p, polled_peers[i]);
	}
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
