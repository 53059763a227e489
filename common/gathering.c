#include "config.h"

#include "gathering.h"

#include <errno.h>
#include <fastcgi.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"

/* How long an answered peer may take to close. */
#define LINGER_MS 2000

bool gathering_watch(struct peers *p, struct peer *peer)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};

	if (!peer->watched)
		peer->watched = epoll_ctl(p->epoll, EPOLL_CTL_ADD, peer->fd, &event) == 0;
	return peer->watched;
}

void gathering_unwatch(struct peers *p, struct peer *peer)
{
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, peer->fd, NULL);
	peer->watched = false;
}

void gathering_drop(struct peers *p, struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	records_done(&peer->records);
	buffer_done(&peer->early);
	peer->state = PEER_FREE;
	p->open--;
	while (p->top > 0 && p->peer[p->top - 1].state == PEER_FREE)
		p->top--;
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

bool gathering_wakes(struct peers *p)
{
	if (p->idle == 0 || p->waking)
		return false;
	p->waking = true;
	return true;
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
	const bool wakes = gathering_wakes(p);
	pthread_mutex_unlock(&p->lock);
	if (wakes)
		pthread_cond_signal(&p->ready);
}

/* A peer that takes no answer gets none. */
static void say(const struct peer *peer, const void *bytes, size_t len)
{
	if (send(peer->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
	}
}

/* Says that a request is none for us, with a protocolStatus of section 5.5. */
static void reject(const struct peer *peer, uint16_t id, int status)
{
	const unsigned char end_request[16] = {FCGI_VERSION_1, FCGI_END_REQUEST, (unsigned char)(id >> 8),
		(unsigned char)(id & 0xff), 0, 8, 0, 0, 0, 0, 0, 0, (unsigned char)status};

	say(peer, end_request, sizeof end_request);
}

void gathering_apologise(struct peers *p, struct peer *peer, enum refusal why)
{
	if (peer->records.state == RECORDS_BEGIN)
		return;
	buffer_clear(&p->text);
	buffer_clear(&p->out);
	peers_refuse(&p->owner, why, &p->text);
	records_put_answer(&peer->records, p->text.data, p->text.len, &p->out);
	if (!buffer_failed(&p->out) && !buffer_failed(&p->text))
		say(peer, p->out.data, p->out.len);
}

void gathering_keep(struct peers *p, struct peer *peer)
{
	peer->since_ms = clock_ms();
	peer->deadline_ms = peer->since_ms + p->limits.idle_timeout_ms;
	peer->state = PEER_KEPT;
}

void gathering_begin_linger(struct peers *p, struct peer *peer)
{
	if (shutdown(peer->fd, SHUT_WR) != 0 || !gathering_watch(p, peer)) {
		gathering_drop(p, peer);
		return;
	}
	peer->deadline_ms = clock_ms() + LINGER_MS;
	peer->state = PEER_LINGERING;
}

/* Refuses a request that is under way, and gives its memory back. */
static void refuse(struct peers *p, struct peer *peer, enum refusal why)
{
	gathering_apologise(p, peer, why);
	p->gathered -= records_size(&peer->records);
	records_done(&peer->records);
	pthread_mutex_lock(&p->lock);
	gathering_begin_linger(p, peer);
	pthread_mutex_unlock(&p->lock);
}

void gathering_end_early(struct peers *p, struct peer *peer)
{
	if (peer->records.state != RECORDS_STDIN) {
		give_up(p, peer);
		return;
	}
	peer->keep = false;
	peer->partial = true;
	push_ready(p, peer);
}

static struct peer *find_largest(struct peers *p)
{
	struct peer *largest = NULL;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->top; i++)
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

	while (p->gathered > p->limits.bytes && (largest = find_largest(p)) != NULL) {
		metrics_count(METRICS_CONNECTIONS_EVICTED);
		refuse(p, largest, REFUSAL_BYTES);
	}
}

/* The first bytes of the next request of a connection that was idle. */
static void begin_next(struct peers *p, struct peer *peer)
{
	pthread_mutex_lock(&p->lock);
	peer->since_ms = clock_ms();
	peer->deadline_ms = peer->since_ms + p->limits.read_timeout_ms;
	peer->state = PEER_GATHERING;
	pthread_mutex_unlock(&p->lock);
}

/* As much of a request as is wanted, and what came behind it. Without memory for that, the connection ends with
 * the answer. */
static void complete(struct peers *p, struct peer *peer, const unsigned char *rest, size_t len)
{
	peer->partial = !peer->records.ended;
	peer->keep = records_keep(&peer->records);
	if (peer->keep && len > 0) {
		buffer_put(&peer->early, rest, len);
		peer->keep = !buffer_failed(&peer->early);
	}
	push_ready(p, peer);
}

static void answer_management(struct peers *p, struct peer *peer)
{
	buffer_clear(&p->out);
	records_put_values(&peer->records, &p->out);
	if (!buffer_failed(&p->out))
		say(peer, p->out.data, p->out.len);
}

/* Nothing but management records has come, or the rest of a request that has been answered. */
static void keep(struct peers *p, struct peer *peer)
{
	pthread_mutex_lock(&p->lock);
	gathering_keep(p, peer);
	pthread_mutex_unlock(&p->lock);
}

/* Has the records take bytes in, up to what ends the request or its gathering. */
static enum records_result feed(struct peers *p, struct peer *peer, const unsigned char **bytes, size_t *len)
{
	for (;;) {
		size_t taken;
		const enum records_result result = records_feed(&peer->records, *bytes, *len, &taken);

		*bytes += taken;
		*len -= taken;
		if (result == RECORDS_MULTIPLEXED)
			reject(peer, peer->records.refused_id, FCGI_CANT_MPX_CONN);
		else if (result == RECORDS_MANAGEMENT)
			answer_management(p, peer);
		else if (result != RECORDS_HEAD || (p->owner.wants_body != NULL
				&& !p->owner.wants_body(p->owner.context, peer->records.envp)))
			return result;
	}
}

/* Counts what is no request of ours, and says what came instead: the sender is told nothing. */
static void report_malformed(const struct records *records)
{
	static struct log_limit limit;

	metrics_count(METRICS_CONNECTIONS_MALFORMED);
	if (log_may(&limit))
		log_record(LOG_WARN, "closed a connection on which no FastCGI request came",
			LOG_PAIRS("came", records_fault(records)));
}

/* Takes in bytes that have come. */
static enum gathered take(struct peers *p, struct peer *peer, const unsigned char *bytes, size_t len)
{
	if (peer->state == PEER_KEPT)
		begin_next(p, peer);
	p->gathered -= records_size(&peer->records);
	const enum records_result result = feed(p, peer, &bytes, &len);
	p->gathered += records_size(&peer->records);
	switch (result) {
	case RECORDS_MORE:
		if (records_idle(&peer->records)) {
			keep(p, peer);
			return GATHER_SOME;
		}
		keep_bounds(p);
		return peer->state == PEER_GATHERING ? GATHER_SOME : GATHER_ENDED;
	case RECORDS_HEAD:
	case RECORDS_COMPLETE:
		complete(p, peer, bytes, len);
		return GATHER_ENDED;
	case RECORDS_NO_MEMORY:
		refuse(p, peer, REFUSAL_MEMORY);
		return GATHER_ENDED;
	case RECORDS_TOO_LONG:
		refuse(p, peer, REFUSAL_PARAMS);
		return GATHER_ENDED;
	case RECORDS_WRONG_ROLE:
		reject(peer, peer->records.id, FCGI_UNKNOWN_ROLE);
		report_malformed(&peer->records);
		break;
	case RECORDS_INVALID:
		report_malformed(&peer->records);
		break;
	case RECORDS_MANAGEMENT:
	case RECORDS_MULTIPLEXED:
	case RECORDS_ABORTED:
		break;
	}
	give_up(p, peer);
	return GATHER_ENDED;
}

enum gathered gathering_read(struct peers *p, struct peer *peer)
{
	if (peer->early.len > 0) {
		struct buffer early = peer->early;

		buffer_init(&peer->early);
		enum gathered gathered = take(p, peer, (unsigned char *)early.data, early.len);
		buffer_done(&early);
		return gathered;
	}
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
	return take(p, peer, p->read, (size_t)got);
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
