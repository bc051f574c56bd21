/* SPDX-License-Identifier: MIT
 *
 * A core for tests of an agent: the functions of balenacrawl.h over a table of a few options and
 * metrics, with a crawl that the test writes. */
#ifndef STUB_CORE_H
#define STUB_CORE_H

#include <stdbool.h>

#include "balenacrawl.h"

/* What bcrawl_run() does; runs on the agent's thread. */
typedef int stub_crawl_fn(struct bcrawl *c, const struct bcrawl_sink *sink, void *user);

/* Begins a test: no crawl has been, and all that follow do this. */
void stub_reset(stub_crawl_fn *crawl);

/* For the crawl: what the agent set. */
const char *stub_account(const struct bcrawl *c);
bool stub_stopped(struct bcrawl *c);
int stub_wake_fd(const struct bcrawl *c);
void stub_log(struct bcrawl *c, int level, const char *line);
/* The how-maniest crawl of its crawler this is, from 1. */
unsigned stub_crawl_number(const struct bcrawl *c);
/* Waits until the test calls stub_release() as often as crawls have waited. */
void stub_wait_release(void);

/* For the test. Both wait until n crawls, of all crawlers together, have begun or ended; false
 * after ms milliseconds without. */
bool stub_wait_begun(unsigned n, int ms);
bool stub_wait_ended(unsigned n, int ms);
void stub_release(void);
/* Crawlers and configurations that were made and not freed. */
int stub_alive(void);
/* The values that options were set to, as "account/key=value\n" lines; until the next call. */
const char *stub_settings(void);
/* The metric of the stub's table with that name. */
const struct bcrawl_metric *stub_metric(const char *name);

#endif
