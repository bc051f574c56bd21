/* SPDX-License-Identifier: MIT
 *
 * What this program says on stderr. To Telegraf: lines that begin with "E! ", "W! ", "I! " or
 * "D! ", which it files by level. To a person at a terminal: the same without prefix, and one line
 * that shows the progress. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

#include "balenacrawl.h"

struct log {
	bool terminal;
	bool debug;           /* print BCRAWL_LOG_DEBUG too */
	bool progress;        /* a progress line stands on the terminal */
	unsigned long errors; /* lines of level BCRAWL_LOG_ERROR so far */
};

void log_init(struct log *log);

/* One line of any enum bcrawl_log_level; control characters become blanks. */
void log_line(struct log *log, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same as a bcrawl_log_fn; user is the struct log. */
void log_crawler(void *user, int level, const char *line);

/* Shows or rewrites the progress line; does nothing but on a terminal. The next line clears it. */
void log_progress(struct log *log, const struct bcrawl_progress *p);
void log_progress_clear(struct log *log);

#endif
