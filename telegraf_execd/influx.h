/* SPDX-License-Identifier: MIT
 *
 * A sample as lines of InfluxDB line protocol, the way Telegraf's parser reads them:
 *
 *   balena_device,fleet=acme/north,device_uuid=8f3a up=1i,status_code=1i 1718000000000000000
 *
 * Measurement: the first two words of the metric's name; field: the rest. All labels are tags. */
#ifndef INFLUX_H
#define INFLUX_H

#include "balenacrawl.h"

#include <stdbool.h>
#include <stddef.h>

/* PIPE_BUF on Linux: a longer line could reach the reader in two halves. */
#define INFLUX_LINE_MAX 4096

/* Walks over one sample. The caller owns it; it needs no cleaning up. */
struct influx {
	const struct bcrawl_sample *sample;
	size_t next;                /* the value that comes next */
	unsigned long dropped;      /* values that fit into no line or are no number */
	unsigned long shortened;    /* values whose labels lost something */
	bool cut;                   /* a label ends in what cannot be written */
	size_t len;                 /* of line, newline included */
	char line[INFLUX_LINE_MAX]; /* not terminated */
};

/* Begins a walk; sample must live as long as it lasts. */
void influx_begin(struct influx *in, const struct bcrawl_sample *sample);

/* 1: the next line is in in->line and in->len. 0: there is none; in->dropped and in->shortened are
 * final. */
int influx_next(struct influx *in);

#endif
