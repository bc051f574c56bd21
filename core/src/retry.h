/* SPDX-License-Identifier: MIT
 *
 * What to do after a request that failed: a pure function. */
#ifndef BCI_RETRY_H
#define BCI_RETRY_H

#include "transport.h"

struct bci_failure {
	enum bci_result result;
	long retry_after_s; /* -1: not said */
	int  attempt;       /* tries so far without a step forward, from 1 */
};

/* Milliseconds to wait before another try, or -1 to give up. left_ms: until the deadline. */
int64_t bci_retry_wait(const struct bci_failure *f, int64_t left_ms);

/* The error code that stands for a result. */
int bci_result_status(enum bci_result result);
/* "ok", "auth" ...: the result label; static storage. */
const char *bci_result_word(enum bci_result result);

#endif
