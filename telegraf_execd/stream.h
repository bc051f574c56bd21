/* SPDX-License-Identifier: MIT
 *
 * Streaming mode, the child of Telegraf's inputs.execd: crawls at triggers or by its own timer and
 * writes lines until stdin ends or a signal stops it. */
#ifndef STREAM_H
#define STREAM_H

#include "balenacrawl.h"
#include "log.h"

/* Takes over the crawler's callbacks. Returns the exit status of the process. */
int stream_run(struct bcrawl *crawler, const struct bcrawl_config *cfg, struct log *log);

#endif
