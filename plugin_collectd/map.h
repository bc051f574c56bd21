/* SPDX-License-Identifier: MIT
 *
 * Where a sample goes in collectd: its host, plugin instance, type and type instance.
 *
 * Knows the roles of labels and collectd's rules for names, no collectd header and no balena word:
 * what it makes of a metric or a label follows from balenacrawl.h alone. Touches no state, so any
 * thread may call it. */
#ifndef PLUGIN_COLLECTD_MAP_H
#define PLUGIN_COLLECTD_MAP_H

#include "balenacrawl.h"

#include <stdbool.h>

/* The plugin field of every value, the name of the module and of its configuration block. */
#define BALENA_PLUGIN "balena"

/* collectd's DATA_MAX_NAME_LEN: 127 bytes and the NUL. Longer strings would be cut silently. */
#define BALENA_NAME_SIZE 128

/* Each is valid UTF-8 and survives collectd unchanged. */
struct balena_id {
	char host[BALENA_NAME_SIZE];            /* "": the daemon's own */
	char plugin_instance[BALENA_NAME_SIZE]; /* never empty */
	char type_instance[BALENA_NAME_SIZE];   /* may be empty */
	bool cut;                               /* one of them was longer */
};

/* The identity that all values of a record share.
 * NULL: done, id is written. Otherwise why the record can't be named, in static words; id is
 * then not to be used. */
const char *balena_map_record(const struct bcrawl_sample *s, struct balena_id *id);

/* The type of a metric, which is also the name of its data set: [a-z0-9_]+, at most 127 bytes.
 * NULL: done. Otherwise why there is none, in static words. */
const char *balena_map_type(const struct bcrawl_metric *m, char type[BALENA_NAME_SIZE]);

#endif
