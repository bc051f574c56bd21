/* SPDX-License-Identifier: MIT
 *
 * When the next request of an account may go: a budget of requests a minute, and the times that the
 * server asked to be left alone. Shared by all requests of a crawler, and kept over its crawls.
 * Pure: the time is an argument, monotonic milliseconds. */
#ifndef BCI_GATE_H
#define BCI_GATE_H

#include "internal.h"

struct bci_gate {
	double  per_minute;   /* 0: no budget */
	double  most, tokens; /* that can be saved up; that are there */
	int64_t at;           /* when tokens was true */
	int64_t closed_until; /* the server's wish */
	int     closings;     /* without a good answer since */
};

/* A budget of per_minute, of which most can be spent at once: full at first, and what was spent
 * stays spent when it changes. */
void bci_gate_budget(struct bci_gate *g, double per_minute, double most, int64_t now);

/* Milliseconds until a request may go; 0: now. */
int64_t bci_gate_wait(const struct bci_gate *g, int64_t now);
/* One goes. */
void bci_gate_pass(struct bci_gate *g, int64_t now);
/* None goes for so long; a wish never shortens an earlier one. Counts in closings, which whoever
 * gets a good answer sets to 0. */
void bci_gate_close(struct bci_gate *g, int64_t now, int64_t ms);
/* Whether it is the server that makes us wait, and not our own budget. */
bool bci_gate_is_closed(const struct bci_gate *g, int64_t now);

#endif
