/* SPDX-License-Identifier: MIT
 *
 * A collectd for tests of the plugin: the few symbols of the daemon that it needs, driven in the
 * daemon's order. One plugin at a time; every fake_ function is for the test's own thread. */
#ifndef FAKE_COLLECTD_H
#define FAKE_COLLECTD_H

#include <stdbool.h>

/* Begins a test: calls module_register(). */
void fake_load(void);
/* Ends it: frees whatever the daemon would hold. The plugin must have been shut down. */
void fake_unload(void);

/* Parses the inside of a <Plugin> block and gives it to the config callback, whose value it
 * returns. The parser knows blocks, quoted and unquoted values; the text must be well-formed. */
int fake_config(const char *text);
int fake_init(void);
/* Calls a registered read callback; -1000 if there is none of that name. */
int fake_read(const char *name);
int fake_shutdown(void);

/* The interval that a read callback was registered with; 0 if there is none of that name. */
double fake_read_interval(const char *name);
/* The type of a registered data set's only source: "GAUGE", "DERIVE"; NULL if there is none. */
const char *fake_data_set(const char *type);
/* Defines a data set as a types file would, before init. */
void fake_define_gauge(const char *type);
/* How often a data set was registered that was there already. */
int fake_replaced_data_sets(void);

/* From now on no thread, or no read callback, can be created. */
void fake_refuse_threads(bool refuse);
void fake_refuse_reads(bool refuse);

/* Whether values that are dispatched come into the daemon's cache, as they do from the start; what
 * has been in it stays. */
void fake_take_in(bool take);

/* All values dispatched so far, one "PUTVAL host/plugin-instance/type-instance ..." line each;
 * until the next call, or the end of the test. */
const char *fake_values(void);
/* All lines logged so far, each as "SEVERITY line\n"; as long. */
const char *fake_log(void);
void fake_clear(void);

#endif
