/* SPDX-License-Identifier: MIT
 *
 * The rules of streaming mode; see pace.h. */
#include "pace.h"

void pace_init(struct pace *p, int64_t now, int64_t interval_ms, int64_t min_ms, int64_t jitter_ms)
{
	*p = (struct pace){
		.interval_ms = interval_ms > 0 ? interval_ms : 1,
		.min_ms = min_ms,
		.first_at = now + jitter_ms,
		.own_at = now + jitter_ms,
		.earliest = now,
		.eof_at = -1,
	};
}

void pace_trigger(struct pace *p, int64_t now, unsigned long count)
{
	bool first = !p->told;

	if (count == 0)
		return;
	p->told = true;
	if (p->crawls == 0 || now >= p->earliest - p->min_ms / 4) {
		p->pending = true;
		return;
	}
	if (first) {
		p->asked_for = p->crawling;
		count--;
	}
	p->ignored += count;
}

void pace_eof(struct pace *p, int64_t now)
{
	if (p->eof_at >= 0)
		return;
	p->eof_at = now;
	p->running_on = p->pending || (p->crawling && p->asked_for);
}

void pace_stop(struct pace *p)
{
	p->stop = true;
}

bool pace_must_leave(const struct pace *p, int64_t now)
{
	if (p->stop)
		return true;
	if (p->eof_at < 0)
		return false;
	if (!p->pending && !(p->crawling && p->asked_for))
		return true;
	return now >= p->eof_at + PACE_GRACE_MS;
}

bool pace_must_crawl(const struct pace *p, int64_t now)
{
	if (pace_must_leave(p, now))
		return false;
	if (p->crawls == 0)
		return now >= p->first_at || p->eof_at >= 0;
	return p->pending || (!p->told && now >= p->own_at);
}

int64_t pace_wait_until(const struct pace *p)
{
	if (p->crawls == 0)
		return p->first_at;
	return p->told ? -1 : p->own_at;
}

void pace_crawl_begins(struct pace *p, int64_t now)
{
	p->crawling = true;
	p->asked_for = p->pending;
	p->pending = false;
	p->crawls++;
	p->earliest = (p->earliest > now ? p->earliest : now) + p->min_ms;
	/* On the grid of the first crawl: a late one does not shift those after it. */
	if (p->own_at <= now)
		p->own_at += ((now - p->own_at) / p->interval_ms + 1) * p->interval_ms;
}

void pace_crawl_ends(struct pace *p)
{
	p->crawling = false;
	p->asked_for = false;
}

int64_t pace_gone_by(const struct pace *p, int64_t now)
{
	if (p->running_on && !p->stop && p->eof_at + PACE_LAST_MS > now)
		return p->eof_at + PACE_LAST_MS;
	return now + PACE_LEAVE_MS;
}
