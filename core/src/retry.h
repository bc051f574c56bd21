/* SPDX-License-Identifier: MIT
 *
 * What to do after a request that failed: a pure function. */
#ifndef BCI_RETRY_H
#define BCI_RETRY_H

#include "transport.h"

struct bci_failure {
	enum bci_result result;
	long   retry_after_s; /* -1: not said */
	int    attempt;       /* how often it has failed so in a row, from 1 */
	double luck;          /* in [0, 1): where in its range a random wait lies */
};

/* Milliseconds to wait before another try of the same request, or -1: give it up. left_ms: until
 * the crawl's deadline. What the server asked for is not in it: that is for all requests. */
int64_t bci_retry_wait(const struct bci_failure *f, int64_t left_ms);

/* For how many milliseconds the server wants to be asked nothing; 0: it said no such thing. */
int64_t bci_retry_hold(const struct bci_failure *f);

/* How long to leave the server alone that has refused the same token n times in a row: not at all
 * after the first time, then for 2, 4, 8 ... intervals. */
int64_t bci_refused_wait(unsigned n, int64_t interval_ms);

/* The error code that stands for a result. */
int bci_result_status(enum bci_result result);
/* "ok", "auth" ...: the result label; static storage. */
const char *bci_result_word(enum bci_result result);

#endif
