/* SPDX-License-Identifier: MIT
 *
 * What is true of an account, taken from a crawl that nothing disturbed, and the question whether a
 * disturbed crawl kept to it: a part may be missing, if it says so, but nothing may be false. */
#ifndef TRUTH_H
#define TRUTH_H

#include "fake_sink.h"

struct truth {
	struct fake_series *series; /* by name, without those about the crawl itself; the hash is
	                             * that of the fleet */
	size_t n;
};

/* Whether a series says what is known of a fleet without its devices. */
bool truth_is_of_list(const char *name);

/* Takes what a sink got. */
void truth_take(struct truth *t, const struct fake_sink *s);
void truth_free(struct truth *t);

/* NULL, or what is wrong with what a sink got from a crawl that returned rc: static storage.
 * - Each series is true, and came once; end was called once, and told rc.
 * - A fleet that says it was read is whole; one that does not has no sums.
 * - The crawl's own samples came, and say how many fleets were read.
 * - A crawl that says it is complete has all there is. */
const char *truth_broken(const struct truth *t, const struct fake_sink *s, int rc);

/* The same of a crawl that must be whole. */
const char *truth_lacking(const struct truth *t, const struct fake_sink *s, int rc);

#endif
