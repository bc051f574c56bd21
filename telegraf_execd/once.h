/* SPDX-License-Identifier: MIT
 *
 * The commands that talk to the API and end: one crawl, or a check. */
#ifndef ONCE_H
#define ONCE_H

#include "args.h"
#include "balenacrawl.h"
#include "log.h"

/* Both take over the crawler's callbacks and return the exit status of the process. */
int once_crawl(struct bcrawl *crawler, enum format format, struct log *log);
int once_check(struct bcrawl *crawler, struct log *log);

#endif
