/* SPDX-License-Identifier: MIT
 *
 * The first fill: how many new series a crawl may bring.
 *
 * collectd 5.12's write_prometheus sorts a family anew for each series that is new in it, so that
 * many at once keep its queue busy for minutes; then series expire that still wait in it, are
 * new once more, and so for ever. Therefore a crawl brings as many as can be taken in within a part
 * of the interval, judged by how long those of the crawl before took, and none while some wait.
 *
 * Knows no collectd and no clock: who calls says when. */
#ifndef PLUGIN_COLLECTD_FILL_H
#define PLUGIN_COLLECTD_FILL_H

#include <stdbool.h>

struct fill {
	double most;        /* new series in one crawl; 0: as many as there are */
	double busy_s;      /* how long those of one crawl should keep the agent busy */
	double share;       /* new series that a crawl may bring */
	double believed;    /* the share that was not yet cut because some wait */
	double left;        /* of them, in this crawl */
	double known;       /* that earlier crawls brought */
	unsigned long fed;  /* new series that this crawl brought */
	unsigned long held; /* values that it did not bring */
	bool waiting;       /* those of an earlier crawl are not all taken in */
	unsigned waits;     /* crawls that brought nothing new because of that */
};

/* per_second: new series, at most; 0: no bounds. So many accounts fill the same agent. */
void fill_init(struct fill *f, double per_second, double interval_s, unsigned accounts);
/* A crawl begins. */
void fill_begin(struct fill *f);
/* Whether it may bring something new; what it then brings is to be counted by fill_feed(). */
bool fill_allows(const struct fill *f);
void fill_feed(struct fill *f, unsigned long series);
void fill_hold(struct fill *f, unsigned long series);
/* It brought something whose taking in is to be waited for. */
void fill_await(struct fill *f);
/* All that the last crawl brought has been taken in, within so many seconds. */
void fill_taken(struct fill *f, double seconds);

#endif
