#include "config.h"

#include "peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

/* How long poll(2) may sleep when nothing is due: a net under missed wake-ups. */
#define WATCH_MAX_MS 1000

struct peers {
	size_t places;
	size_t readers; /* workers that may read at the same time */
	int read_timeout_ms;

	pthread_mutex_t lock; /* covers the rest; never held across I/O that can block */
	pthread_cond_t ready;
	struct peer peer[PEERS_MAX];
	size_t open; /* peers that are not free */
	size_t silent;
	size_t reading;
	struct peer *ready_first;
	struct peer *ready_last;
	struct peer *answer_first; /* to be answered, in no particular order */
	size_t idle;               /* workers that wait */
	bool waking;               /* one of them was woken, and has not come yet */
	bool ending;
};

struct peers *peers_new(size_t places, size_t readers, int read_timeout_ms)
{
	struct peers *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->places = places < PEERS_MAX ? places : PEERS_MAX;
	p->readers = readers;
	p->read_timeout_ms = read_timeout_ms;
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

static void set_state(struct peers *p, struct peer *peer, enum peer_state state)
{
	if (peer->state == PEER_SILENT)
		p->silent--;
	if (state == PEER_SILENT)
		p->silent++;
	if (peer->state == PEER_READING)
		p->reading--;
	if (state == PEER_READING)
		p->reading++;
	peer->state = state;
}

/* close(2) on a socket without linger does not wait. */
static void drop(struct peers *p, struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	set_state(p, peer, PEER_FREE);
	p->open--;
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
	set_state(p, peer, PEER_READY);
	peer->next = NULL;
	if (p->ready_last == NULL)
		p->ready_first = peer;
	else
		p->ready_last->next = peer;
	p->ready_last = peer;
	wake_worker(p);
}

/* Whether a peer has sent something, or closed: a worker will see which. */
static bool has_sent(int fd)
{
	char first;

	return recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static struct peer *free_place(struct peers *p)
{
	struct peer *oldest = NULL;

	for (size_t i = 0; i < p->places; i++) {
		struct peer *peer = &p->peer[i];

		if (peer->state == PEER_FREE)
			return peer;
		if (peer->state != PEER_SILENT
			|| (oldest != NULL && peer->deadline_ms >= oldest->deadline_ms))
			continue;
		/* It may have spoken since poll(2) looked. */
		if (has_sent(peer->fd))
			push_ready(p, peer);
		else
			oldest = peer;
	}
	if (oldest != NULL)
		drop(p, oldest);
	return oldest;
}

bool peers_add(struct peers *p, int fd)
{
	pthread_mutex_lock(&p->lock);
	struct peer *peer = free_place(p);
	if (peer != NULL) {
		peer->fd = fd;
		peer->exchange = NULL;
		peer->cut = false;
		peer->accepted_ms = clock_ms();
		peer->deadline_ms = peer->accepted_ms + p->read_timeout_ms;
		p->open++;
		/* Web servers send with the connect; where this one has not, it is watched. */
		if (has_sent(fd))
			push_ready(p, peer);
		else
			set_state(p, peer, PEER_SILENT);
	}
	pthread_mutex_unlock(&p->lock);
	if (peer == NULL)
		close(fd);
	return peer != NULL;
}

/* Whether there is something for a worker. What cannot be read yet is taken by the next
 * worker that has ended reading. */
static bool has_work(const struct peers *p)
{
	return p->answer_first != NULL || (p->ready_first != NULL && p->reading < p->readers);
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
		set_state(p, peer, PEER_READING);
		/* Waiting for us is not the peer's delay. */
		peer->taken_ms = clock_ms();
		peer->deadline_ms = peer->taken_ms + p->read_timeout_ms;
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

void peers_set_reading(struct peers *p, struct peer *peer, bool reading)
{
	pthread_mutex_lock(&p->lock);
	set_state(p, peer, reading ? PEER_READING : PEER_SERVED);
	pthread_mutex_unlock(&p->lock);
}

bool peers_drop(struct peers *p, struct peer *peer)
{
	pthread_mutex_lock(&p->lock);
	bool awaited = p->open == p->places || p->open == 1;
	drop(p, peer);
	pthread_mutex_unlock(&p->lock);
	return awaited;
}

int64_t peers_watch(struct peers *p, struct pollfd *polled, struct peer **polled_peers, nfds_t *count)
{
	int64_t now = clock_ms();
	int64_t next = now + WATCH_MAX_MS;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->places; i++) {
		struct peer *peer = &p->peer[i];

		if ((peer->state != PEER_SILENT && peer->state != PEER_READING) || peer->cut)
			continue;
		if (peer->deadline_ms <= now) {
			if (peer->state == PEER_SILENT) {
				drop(p, peer);
			} else {
				shutdown(peer->fd, SHUT_RD);
				peer->cut = true;
			}
			continue;
		}
		if (peer->deadline_ms < next)
			next = peer->deadline_ms;
		if (peer->state == PEER_SILENT) {
			polled[*count] = (struct pollfd){.fd = peer->fd, .events = POLLIN};
			polled_peers[(*count)++] = peer;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return next;
}

void peers_heard(struct peers *p, const struct pollfd *polled, struct peer *const *polled_peers, nfds_t count)
{
	pthread_mutex_lock(&p->lock);
	for (nfds_t i = 0; i < count; i++)
		if (polled[i].revents != 0)
			push_ready(p, polled_peers[i]);
	pthread_mutex_unlock(&p->lock);
}

size_t peers_count(struct peers *p, bool *full)
{
	pthread_mutex_lock(&p->lock);
	size_t open = p->open;
	*full = open - p->silent >= p->places;
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
