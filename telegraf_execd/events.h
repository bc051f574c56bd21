/* SPDX-License-Identifier: MIT
 *
 * What can happen to the process from outside: signals, and newlines or the end on stdin. All of it
 * is behind one descriptor that a poll() can watch, and is read when there is time for it. */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>

struct events {
	int epoll, signals;
	bool streaming;    /* stdin is watched and signals are triggers */
	bool stdin_open;   /* and watched */
	bool stdin_plain;  /* a file or /dev/null, which epoll refuses: read to its end at once */
	bool stdin_pipe;
};

struct happened {
	unsigned long triggers; /* newlines and signals */
	bool eof;               /* stdin is at its end */
	bool stop;              /* a signal says so */
};

/* Blocks the signals that we take, so that none kills the process before it can read them. First
 * thing in main: Telegraf may send one at any moment. Threads of libcurl inherit this. */
void events_block_signals(void);

/* Returns 0, or -1 with errno. */
int events_open(struct events *ev, bool streaming);
void events_close(struct events *ev);

/* Waits for timeout_ms at most (-1: no limit) and adds to *h what has happened. */
void events_read(struct events *ev, int timeout_ms, struct happened *h);

#endif
