/* SPDX-License-Identifier: MIT
 *
 * When to crawl and when to leave: the rules of streaming mode over times that the caller gives.
 * It reads no clock and no descriptor.
 *
 * - The first crawl is due after the start jitter; triggers until then are served by it.
 * - Without any trigger a timer of our own makes the next ones; the first trigger ends it for good.
 * - Triggers come from a host that has its own clock, jitter and load, so single ones may be early:
 *   they are held to one per min_ms in the long run, a quarter of it early at most. Those earlier
 *   still are ignored, but the first ever is expected to be: the host did not ask for our first
 *   crawl. Triggers during a crawl make one more crawl.
 * - When stdin ends, a crawl that was asked for may run on for PACE_GRACE_MS; nothing else may. */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Telegraf sends SIGTERM 5 s after it has closed stdin, `telegraf --test` at once after the one
 * trigger. A crawl that was asked for has this long, and its lines until PACE_LAST_MS. */
#define PACE_GRACE_MS 3500
#define PACE_LAST_MS  4000
/* A process that is told to leave is gone within 1 s. */
#define PACE_LEAVE_MS 700

struct pace {
	int64_t interval_ms, min_ms;
	int64_t first_at;      /* the first crawl is due */
	int64_t own_at;        /* our own timer's next crawl is due */
	int64_t earliest;      /* triggers held to one per min_ms would come at this time */
	int64_t eof_at;        /* -1: stdin is open */
	bool told;             /* a trigger has ever come */
	bool pending;          /* a trigger waits for its crawl */
	bool crawling;
	bool asked_for;        /* a trigger belongs to the crawl under way */
	bool running_on;       /* there was something asked for when stdin ended */
	bool stop;
	unsigned long crawls;  /* begun */
	unsigned long ignored; /* triggers that came too early */
};

void pace_init(struct pace *p, int64_t now, int64_t interval_ms, int64_t min_ms, int64_t jitter_ms);

/* What happened: count triggers at once, the end of stdin, the order to stop. */
void pace_trigger(struct pace *p, int64_t now, unsigned long count);
void pace_eof(struct pace *p, int64_t now);
void pace_stop(struct pace *p);

/* What to do: begin a crawl now; leave now; else wait until the time given, -1: for an event. */
bool pace_must_crawl(const struct pace *p, int64_t now);
bool pace_must_leave(const struct pace *p, int64_t now);
int64_t pace_wait_until(const struct pace *p);

void pace_crawl_begins(struct pace *p, int64_t now);
void pace_crawl_ends(struct pace *p);

/* The time by which the process has to be gone, once it must leave. */
int64_t pace_gone_by(const struct pace *p, int64_t now);

#endif
