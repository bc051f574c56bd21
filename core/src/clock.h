/* SPDX-License-Identifier: MIT
 *
 * Time, as an argument: durations and deadlines on a monotonic clock, sample times on the wall
 * clock, and the API's dates. */
#ifndef BCI_CLOCK_H
#define BCI_CLOCK_H

#include "internal.h"

struct bci_clock {
	int64_t (*mono_ms)(void *user);
	int64_t (*wall_ms)(void *user);
	void   *user;
	int64_t paused_ms; /* time that was not the network's: spent in the sink */
	uint64_t seed;     /* of bci_clock_luck() */
};

/* The system's clocks. */
struct bci_clock bci_clock_system(void);

/* Monotonic milliseconds. */
int64_t bci_clock_mono(const struct bci_clock *c);
/* The same, less the time spent in the sink: what network deadlines are measured in. */
int64_t bci_clock_net(const struct bci_clock *c);
int64_t bci_clock_wall(const struct bci_clock *c);

/* A random number in [0, 1), for waits; no secret may depend on it. */
double bci_clock_luck(struct bci_clock *c);

/* "2026-11-23T06:18:44.296Z" (always UTC, with or without a fraction) -> seconds since the epoch.
 * false: not such a date, or outside the years 1970 to 9999. */
#define BCI_DATE_MAX 253402300800.0 /* the end of 9999 */
BCI_MUST_CHECK bool bci_date_parse(const char *text, double *seconds);

#endif
