/* SPDX-License-Identifier: MIT
 *
 * The sink of a crawl that goes to stdout as line protocol while it is read. */
#ifndef LINES_H
#define LINES_H

#include "influx.h"
#include "log.h"
#include "out.h"

struct lines {
	struct out *out;
	struct log *log;
	unsigned long dropped; /* values that fit into no line, since the start */
	unsigned long shortened; /* values whose labels lost something, since the start */
	struct influx influx;
};

void lines_init(struct lines *lines, struct out *out, struct log *log);

/* The sample callback of struct bcrawl_sink, but for its user. */
int lines_sample(struct lines *lines, const struct bcrawl_sample *s);

#endif
