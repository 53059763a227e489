#include "config.h"

#include "peers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "metrics.h"

/* How long poll(2) may sleep when nothing is due: a net under missed wake-ups. */
#define WATCH_MAX_MS 1000
/* Read from one connection before the others have their turn. */
#define READ_SIZE 65536
/* How soon to look again whether workers keep up. */
#define PAUSE_MS 20
/* How long an answered peer may take to close. */
#define LINGER_MS 2000
/* How long a peer has at the least to send its request, however many others want its place. */
#define GRACE_MS 250

struct peers {
	struct peers_limits limits;
	unsigned char read[READ_SIZE]; /* the watching thread's */
	size_t gathered;               /* bytes of what is being gathered; the watching thread's */
	struct peer *expired[PEERS_MAX];

	pthread_mutex_t lock; /* covers the rest; never held across I/O that can block */
	pthread_cond_t ready;
	struct peer peer[PEERS_MAX];
	size_t open; /* peers that are not free */
	struct peer *ready_first;
	struct peer *ready_last;
	size_t ready_bytes;        /* of their requests */
	struct peer *answer_first; /* to be answered, in no particular order */
	size_t idle;               /* workers that wait */
	bool waking;               /* one of them was woken, and has not come yet */
	bool ending;
};

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

/* close(2) on a socket without linger does not wait. */
static void drop(struct peers *p, struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	records_done(&peer->records);
	peer->state = PEER_FREE;
	p->open--;
	metrics_set(METRICS_CONNECTIONS_OPEN, (int64_t)p->open);
}

/* The same for one that is being gathered. The watching thread. */
static void give_up(struct peers *p, struct peer *peer)
{
	p->gathered -= records_size(&peer->records);
	pthread_mutex_lock(&p->lock);
	drop(p, peer);
	pthread_mutex_unlock(&p->lock);
}

/* Wakes a worker, unless one is already on its way: that one wakes the next if there is more
 * to do than it takes. Waking costs more than most of what a worker then does. */
static void wake_worker(struct peers *p)
{
	if (p->idle == 0 || p->waking)
		return;
	p->waking = true;
	pthread_cond_signal(&p->ready);
}

static void push_ready(struct peers *p, struct peer *peer)
{
	p->gathered -= records_size(&peer->records);
	pthread_mutex_lock(&p->lock);
	peer->state = PEER_READY;
	p->ready_bytes += records_size(&peer->records);
	peer->next = NULL;
	if (p->ready_last == NULL)
		p->ready_first = peer;
	else
		p->ready_last->next = peer;
	p->ready_last = peer;
	wake_worker(p);
	pthread_mutex_unlock(&p->lock);
}

/* --- gathering: the watching thread ------------------------------------------------------------------ */

/* A request for a role that we do not play is answered as section 5.5 of the specification has
 * it. Whoever takes no answer gets none. */
static void refuse_role(const struct peer *peer)
{
	const unsigned char end_request[16] = {1, 3, (unsigned char)(peer->records.id >> 8),
		(unsigned char)(peer->records.id & 0xff), 0, 8, 0, 0, 0, 0, 0, 0, 3};

	if (send(peer->fd, end_request, sizeof end_request, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
	}
}

/* The stream has ended, or its time has come: of a body that is cut short the sender is told, if
 * it still listens. */
static void end_early(struct peers *p, struct peer *peer)
{
	if (peer->records.state == RECORDS_STDIN) {
		peer->partial = true;
		push_ready(p, peer);
	} else {
		give_up(p, peer);
	}
}

/* What has come of a request for which there is no memory gives its own back. A worker answers it. */
static void apologise_later(struct peers *p, struct peer *peer)
{
	p->gathered -= records_size(&peer->records);
	records_done(&peer->records);
	peer->no_memory = true;
	peer->partial = true;
	push_ready(p, peer);
}

static struct peer *find_largest(struct peers *p)
{
	struct peer *largest = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->limits.places; i++)
		if (p->peer[i].state == PEER_GATHERING
			&& (largest == NULL
				|| records_size(&p->peer[i].records) > records_size(&largest->records)))
			largest = &p->peer[i];
	pthread_mutex_unlock(&p->lock);
	return largest;
}

/* Where requests that are under way take too much memory, the one that takes most has to go. */
static void keep_bounds(struct peers *p)
{
	struct peer *largest;

	while (p->gathered > p->limits.bytes && (largest = find_largest(p)) != NULL)
		give_up(p, largest);
}

/* What came of reading from a peer. From GATHER_ENDED on it may be a worker's. */
enum gathered { GATHER_NOTHING, GATHER_SOME, GATHER_ENDED };

static enum gathered gather(struct peers *p, struct peer *peer)
{
	ssize_t got = recv(peer->fd, p->read, sizeof p->read, MSG_DONTWAIT);

	if (got < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return GATHER_NOTHING;
		give_up(p, peer);
		return GATHER_ENDED;
	}
	if (got == 0) {
		end_early(p, peer);
		return GATHER_ENDED;
	}
	p->gathered -= records_size(&peer->records);
	enum records_result result = records_feed(&peer->records, p->read, (size_t)got);
	p->gathered += records_size(&peer->records);
	switch (result) {
	case RECORDS_MORE:
		keep_bounds(p);
		return peer->state == PEER_GATHERING ? GATHER_SOME : GATHER_ENDED;
	case RECORDS_COMPLETE:
		peer->partial = peer->records.body.len > p->limits.records.body;
		push_ready(p, peer);
		return GATHER_ENDED;
	case RECORDS_NO_MEMORY:
		apologise_later(p, peer);
		return GATHER_ENDED;
	case RECORDS_WRONG_ROLE:
		refuse_role(peer);
		break;
	case RECORDS_ABORTED:
	case RECORDS_INVALID:
	case RECORDS_TOO_LONG:
		break;
	}
	give_up(p, peer);
	return GATHER_ENDED;
}

/* Reads what the kernel holds of a request, as much as one can be. */
static enum gathered gather_all(struct peers *p, struct peer *peer)
{
	enum gathered last = GATHER_SOME;

	for (size_t left = 4 * (p->limits.records.params + p->limits.records.body) / READ_SIZE + 4;
		left > 0 && last == GATHER_SOME; left--)
		last = gather(p, peer);
	return last;
}

/* Drops what still comes: closing with bytes unread would make the kernel throw the answer away. */
static void linger(struct peers *p, struct peer *peer)
{
	ssize_t got = recv(peer->fd, p->read, sizeof p->read, MSG_DONTWAIT);

	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)))
		return;
	pthread_mutex_lock(&p->lock);
	drop(p, peer);
	pthread_mutex_unlock(&p->lock);
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
		if (gather_all(p, place) != GATHER_ENDED)
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
			drop(p, peer);
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
	gather(p, peer);
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
		wake_worker(p);
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
	wake_worker(p);
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
		drop(p, peer);
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
		if (gather_all(p, peer) != GATHER_ENDED)
			end_early(p, peer);
		return;
	}
	pthread_mutex_lock(&p->lock);
	drop(p, peer);
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
			gather(p, polled_peers[i]);
		else if (same && state == PEER_LINGERING)
			linger(p, polled_peers[i]);
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
