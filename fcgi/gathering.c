#include "config.h"

#include "gathering.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics.h"

void gathering_drop(struct peers *p, struct peer *peer)
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
	gathering_drop(p, peer);
	pthread_mutex_unlock(&p->lock);
}

void gathering_wake(struct peers *p)
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
	gathering_wake(p);
	pthread_mutex_unlock(&p->lock);
}

/* A request for a role that we do not play is answered as section 5.5 of the specification has
 * it. Whoever takes no answer gets none. */
static void refuse_role(const struct peer *peer)
{
	const unsigned char end_request[16] = {1, 3, (unsigned char)(peer->records.id >> 8),
		(unsigned char)(peer->records.id & 0xff), 0, 8, 0, 0, 0, 0, 0, 0, 3};

	if (send(peer->fd, end_request, sizeof end_request, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
	}
}

void gathering_end_early(struct peers *p, struct peer *peer)
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

enum gathered gathering_read(struct peers *p, struct peer *peer)
{
	ssize_t got = recv(peer->fd, p->read, sizeof p->read, MSG_DONTWAIT);

	if (got < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
			return GATHER_NOTHING;
		give_up(p, peer);
		return GATHER_ENDED;
	}
	if (got == 0) {
		gathering_end_early(p, peer);
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

enum gathered gathering_read_all(struct peers *p, struct peer *peer)
{
	enum gathered last = GATHER_SOME;

	for (size_t left = 4 * (p->limits.records.params + p->limits.records.body) / GATHERING_READ_SIZE + 4;
		left > 0 && last == GATHER_SOME; left--)
		last = gathering_read(p, peer);
	return last;
}

void gathering_linger(struct peers *p, struct peer *peer)
{
	ssize_t got = recv(peer->fd, p->read, sizeof p->read, MSG_DONTWAIT);

	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)))
		return;
	pthread_mutex_lock(&p->lock);
	gathering_drop(p, peer);
	pthread_mutex_unlock(&p->lock);
}
