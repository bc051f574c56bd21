/* SPDX-License-Identifier: MIT
 *
 * stdout as Telegraf reads it: whole lines, at most PIPE_BUF bytes in each write, and no wait that
 * a stop could not end. */
#ifndef OUT_H
#define OUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True: give up waiting. Asked before each write. */
typedef bool out_stop_fn(void *user);

struct out {
	int fd;
	int wake;          /* readable when stop should be asked at once */
	out_stop_fn *stop;
	void *user;
	int error;         /* errno of the write that failed, 0: none */
	size_t len, sent;
	char buf[PIPE_BUF];
};

void out_init(struct out *out, int fd, int wake, out_stop_fn *stop, void *user);

/* Adds one line of at most PIPE_BUF bytes, newline included; it is never torn apart. Returns 0, or
 * -1: stopped, or out->error. */
int out_line(struct out *out, const char *line, size_t n);

/* Adds text of any length, for readers that are no execd. Returns as out_line(). */
int out_text(void *out, const char *text, size_t n);

/* Writes what is there. until is a time of the monotonic clock at which to give up, -1: stop
 * decides. Returns as out_line(). */
int out_flush(struct out *out, int64_t until);

/* Waits until a pipe's reader has taken everything, until at the latest. */
void out_drain(const struct out *out, int64_t until);

#endif
