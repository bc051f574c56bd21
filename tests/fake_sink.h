/* SPDX-License-Identifier: MIT
 *
 * A sink that keeps what it gets as lines, such as
 *   balena_fleet_devices_by_status{fleet="acme/a",status="updating"} 3
 * and that fails the test at once when a record breaks a promise of balenacrawl.h. */
#ifndef FAKE_SINK_H
#define FAKE_SINK_H

#include "clock.h"
#include "internal.h"
#include "record.h"

struct fake_sink {
	struct bcrawl_sink sink; /* give &s.sink and s */
	struct fake_series {
		char *name; /* with labels */
		uint64_t hash; /* of the name: thousands are compared with thousands */
		double value;
	} *series;
	size_t n, cap;
	size_t records;
	size_t duplicates;      /* series that came twice */
	int64_t time_ms;        /* of all records; 0: none came */
	size_t refuse_at;       /* the n-th record, from 1, is refused with rc; 0: none */
	int rc;
	int ends;               /* calls of end */
	struct bcrawl_summary summary;
	struct bcrawl_host host; /* what it tells of itself */
	int hosts;              /* calls of host */
	size_t records_at_host; /* records that had come by the last */
	size_t progresses;
	struct bcrawl_progress progress; /* the last one */
	int progress_rc;
	void (*on_sample)(void *user);   /* called at each record; may be NULL */
	void *on_sample_user;
	struct bci_clock clock;          /* of fake_sink_out(): stands still */
};

void fake_sink_init(struct fake_sink *s);
void fake_sink_fini(struct fake_sink *s);
/* Forgets all that came, not what was set. */
void fake_sink_clear(struct fake_sink *s);

/* What emits into the sink without a crawl, as account "a" at time 1: the metrics of some globs,
 * told in wanted. */
struct bci_out fake_sink_out(struct fake_sink *s, const char *metrics, bool wanted[BCI_M__COUNT],
                             struct bci_stats *stats);

/* The value of a series, NAN if it did not come. */
double fake_sink_value(const struct fake_sink *s, const char *series);
/* How many series begin with a text. */
size_t fake_sink_count(const struct fake_sink *s, const char *prefix);
/* The sum over the series that begin with a text. */
double fake_sink_sum(const struct fake_sink *s, const char *prefix);
/* All series, sorted, a line each: new memory. */
char *fake_sink_text(const struct fake_sink *s);

#endif
