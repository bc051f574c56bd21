/* SPDX-License-Identifier: MIT
 *
 * Samples to stdout, line by line. Keeps nothing but the buffer of out.c. */
#include "lines.h"

void lines_init(struct lines *lines, struct out *out, struct log *log)
{
	lines->out = out;
	lines->log = log;
	lines->dropped = lines->shortened = 0;
}

int lines_sample(struct lines *lines, const struct bcrawl_sample *s)
{
	struct influx *in = &lines->influx;

	influx_begin(in, s);
	while (influx_next(in))
		if (out_line(lines->out, in->line, in->len) < 0)
			return -1;
	if (in->dropped && !lines->dropped)
		log_line(lines->log, BCRAWL_LOG_WARNING,
		         "%s: its labels leave no room in a line of %d bytes, so the value is "
		         "dropped; said once",
		         s->values[0].metric->name, INFLUX_LINE_MAX);
	lines->dropped += in->dropped;
	lines->shortened += in->shortened;
	return 0;
}
