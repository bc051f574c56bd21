/* SPDX-License-Identifier: MIT
 *
 * Streaming mode: events -> pace -> crawl -> lines.
 *
 * It stores and repeats nothing: lines that are sent again would keep series alive whose source is
 * out. It leaves for no trouble with the API, whatever it is: Telegraf would only start it
 * again. */
#include "stream.h"

#include "events.h"
#include "lines.h"
#include "monotonic.h"
#include "out.h"
#include "pace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* What cleaning up may take after the last line. */
#define LAST_RESORT_MS 250

struct stream {
	struct bcrawl *crawler;
	struct log *log;
	struct events events;
	struct pace pace;
	struct out out;
	struct lines lines;
	double min_interval;
	unsigned long dropped_before, shortened_before; /* values, when the crawl began */
	unsigned long ignored_told;   /* triggers, to the crawl before */
	bool leaving;
};

/* A part of max that differs between processes begun at the same moment. */
static int64_t random_part(double max_s)
{
	struct timespec t;
	uint64_t x;

	clock_gettime(CLOCK_REALTIME, &t);
	x = (uint64_t)t.tv_nsec ^ ((uint64_t)getpid() << 32) ^ (uint64_t)t.tv_sec;
	/* The finalizer of splitmix64: every bit of the seed reaches every bit of the result. */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return (int64_t)(max_s * 1000 * ((double)(x >> 11) / 9007199254740992.0));
}

/* Some libcurl waits for a stuck resolver thread when it is told to clean up. main() has set what
 * happens then: an exit. */
static void arm_last_resort(int64_t in_ms)
{
	struct itimerval t = { .it_value = { .tv_sec = in_ms / 1000,
		                             .tv_usec = in_ms % 1000 * 1000 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

static void say_ignored(struct stream *s, unsigned long before)
{
	if (before == 0 && s->pace.ignored > 0)
		log_line(s->log, BCRAWL_LOG_INFO,
		         "triggers come more often than %s (%g s) allows; those in between are "
		         "ignored",
		         BCRAWL_KEY_MIN_INTERVAL, s->min_interval);
}

/* Takes in what has happened, after waiting for timeout_ms at most. True: leave. */
static bool pump(struct stream *s, int timeout_ms)
{
	struct happened h = { 0 };
	unsigned long ignored = s->pace.ignored;
	int64_t now;

	events_read(&s->events, timeout_ms, &h);
	now = monotonic_ms();
	pace_trigger(&s->pace, now, h.triggers);
	if (h.eof)
		pace_eof(&s->pace, now);
	if (h.stop)
		pace_stop(&s->pace);
	say_ignored(s, ignored);
	if (pace_must_leave(&s->pace, now) && !s->leaving) {
		s->leaving = true;
		arm_last_resort(pace_gone_by(&s->pace, now) - now + LAST_RESORT_MS);
	}
	return s->leaving;
}

static int on_stop(void *user)
{
	return pump(user, 0);
}

static bool on_out_stop(void *user)
{
	return pump(user, 0);
}

static int on_sample(void *user, const struct bcrawl_sample *sample)
{
	struct stream *s = user;

	return lines_sample(&s->lines, sample);
}

static void on_end(void *user, const struct bcrawl_summary *sum)
{
	struct stream *s = user;

	log_line(s->log, BCRAWL_LOG_DEBUG,
	         "crawl %s: %lu devices of %lu fleets, %lu requests, %.1f s",
	         sum->status != BCRAWL_OK ? "failed" :
	         sum->complete            ? "complete" :
	                                    "partial",
	         sum->devices, sum->fleets, sum->requests, sum->duration_s);
}

static void on_host(void *user, struct bcrawl_host *h)
{
	struct stream *s = user;

	h->withheld_values = s->lines.dropped - s->dropped_before;
	h->shortened_values = s->lines.shortened - s->shortened_before;
	h->ignored_triggers = s->pace.ignored - s->ignored_told;
	s->ignored_told = s->pace.ignored;
}

static void crawl(struct stream *s)
{
	static const struct bcrawl_sink sink = {
		.size = sizeof(sink), .sample = on_sample, .end = on_end, .host = on_host
	};

	s->dropped_before = s->lines.dropped;
	s->shortened_before = s->lines.shortened;
	pace_crawl_begins(&s->pace, monotonic_ms());
	/* The crawler has said in the log what there is to say about a failure. */
	(void)bcrawl_run(s->crawler, &sink, s, NULL);
	(void)out_flush(&s->out, -1);
	pace_crawl_ends(&s->pace);
}

static void loop(struct stream *s)
{
	while (!pump(s, 0) && !s->out.error) {
		int64_t now = monotonic_ms(), until;

		if (pace_must_crawl(&s->pace, now)) {
			crawl(s);
			continue;
		}
		until = pace_wait_until(&s->pace);
		/* One more: epoll_wait() may round down, and a wait of 0 would spin. */
		pump(s, until < 0 ? -1 : until - now > 3600000 ? 3600000 : (int)(until - now) + 1);
	}
}

static int leave(struct stream *s)
{
	int64_t until = pace_gone_by(&s->pace, monotonic_ms());

	if (s->pace.ignored > 1)
		log_line(s->log, BCRAWL_LOG_INFO, "%lu triggers were ignored", s->pace.ignored);
	if (s->pace.crawls == 0 && s->pace.eof_at >= 0)
		log_line(s->log, BCRAWL_LOG_INFO,
		         "stdin ended before a crawl was due; to crawl once, use --once");
	if (!s->out.error && out_flush(&s->out, until) == 0)
		out_drain(&s->out, until);
	if (s->out.error && s->out.error != EPIPE) {
		log_line(s->log, BCRAWL_LOG_ERROR, "cannot write to stdout: %s",
		         strerror(s->out.error));
		return 1;
	}
	return 0;
}

int stream_run(struct bcrawl *crawler, const struct bcrawl_config *cfg, struct log *log)
{
	struct stream s = { .crawler = crawler, .log = log };
	int64_t now = monotonic_ms();
	int status;

	if (events_open(&s.events, true) < 0) {
		log_line(log, BCRAWL_LOG_ERROR, "cannot watch stdin: %s", strerror(errno));
		return 1;
	}
	s.min_interval = bcrawl_config_number(cfg, BCRAWL_KEY_MIN_INTERVAL);
	pace_init(&s.pace, now, (int64_t)(bcrawl_config_number(cfg, BCRAWL_KEY_INTERVAL) * 1000),
	          (int64_t)(s.min_interval * 1000),
	          random_part(bcrawl_config_number(cfg, BCRAWL_KEY_START_JITTER)));
	out_init(&s.out, STDOUT_FILENO, s.events.epoll, on_out_stop, &s);
	lines_init(&s.lines, &s.out, log);
	bcrawl_set_stop(crawler, on_stop, &s);
	bcrawl_set_wake_fd(crawler, s.events.epoll);
	if (isatty(STDIN_FILENO))
		log_line(log, BCRAWL_LOG_INFO, "streaming as for Telegraf: newline crawls, Ctrl-D "
		                               "ends; to crawl once, use --once");
	loop(&s);
	status = leave(&s);
	bcrawl_set_stop(crawler, NULL, NULL);
	bcrawl_set_wake_fd(crawler, -1);
	events_close(&s.events);
	return status;
}
