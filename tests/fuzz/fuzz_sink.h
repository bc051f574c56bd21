/* SPDX-License-Identifier: MIT
 *
 * A sink for fuzz targets: holds every record against the promises of balenacrawl.h, and adds up
 * what came by metric. */
#ifndef FUZZ_SINK_H
#define FUZZ_SINK_H

#include "clock.h"
#include "fuzz.h"
#include "metrics.h"

struct fuzz_sink {
	struct bcrawl_sink sink; /* give &s.sink and s */
	size_t records, values;
	size_t count[BCI_M__COUNT]; /* of values */
	double sum[BCI_M__COUNT];
	struct fuzz_series {
		char *labels;
		const struct bcrawl_metric *metric;
	} *series;
	size_t n, cap;
	bool account; /* every record must carry the account */
	int64_t time_ms;
	struct bci_clock clock; /* stands still: for what emits into the sink */
};

void fuzz_sink_init(struct fuzz_sink *s, bool account, int64_t time_ms);
void fuzz_sink_fini(struct fuzz_sink *s);

#endif
