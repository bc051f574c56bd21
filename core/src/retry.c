/* SPDX-License-Identifier: MIT
 *
 * A few more tries for what may go away by itself, none for what a person must mend. A 500 is what
 * the server says both to a bad query and when its database is gone, so it gets its tries too, and
 * never another query. Waits are random from 0 on ("full jitter"): clients that failed together
 * must not come back together. */
#include "retry.h"

#include "limits.h"

/* A random part of base, doubled with each try, at most most. */
static int64_t jitter(const struct bci_failure *f, int64_t base, int64_t most)
{
	int64_t range = base;

	for (int i = 1; i < f->attempt && range < most; i++)
		range *= 2;
	return (int64_t)(f->luck * (double)(range < most ? range : most));
}

int64_t bci_retry_hold(const struct bci_failure *f)
{
	bool throttled = f->result == BCI_RESULT_THROTTLED;

	/* 503 may say until when, too. */
	if (!throttled && (f->result != BCI_RESULT_SERVER_ERROR || f->retry_after_s <= 0))
		return 0;
	/* A server that says for ever is asked again all the same, some time. */
	if (f->retry_after_s > BCI_HOLD_MAX_S)
		return BCI_HOLD_MAX_S * 1000;
	if (f->retry_after_s > 0)
		return f->retry_after_s * 1000;
	return BCI_HOLD_MIN_MS + jitter(f, BCI_HOLD_BASE_MS, BCI_HOLD_MOST_MS);
}

int64_t bci_retry_wait(const struct bci_failure *f, int64_t left_ms)
{
	int64_t wait = 0;

	switch (f->result) {
	case BCI_RESULT_OK:
	case BCI_RESULT_AUTH:
	case BCI_RESULT_CLIENT_ERROR:
	case BCI_RESULT__COUNT:
		return -1;
	case BCI_RESULT_THROTTLED:
		break;
	case BCI_RESULT_SERVER_ERROR:
	case BCI_RESULT_TIMEOUT:
	case BCI_RESULT_NETWORK:
	case BCI_RESULT_GARBAGE:
		wait = jitter(f, BCI_RETRY_BASE_MS, BCI_RETRY_MOST_MS);
		break;
	}
	return f->attempt <= BCI_RETRIES && wait < left_ms ? wait : -1;
}

int64_t bci_refused_wait(unsigned n, int64_t interval_ms)
{
	int64_t wait = interval_ms;

	if (n < 2)
		return 0;
	for (unsigned i = 1; i < n && wait < BCI_REFUSED_MOST_MS; i++)
		wait *= 2;
	if (wait > BCI_REFUSED_MOST_MS)
		wait = BCI_REFUSED_MOST_MS;
	/* Half an interval less than that many intervals: the crawl that is due may come early. */
	return wait - (interval_ms < wait ? interval_ms : wait) / 2;
}

int bci_result_status(enum bci_result result)
{
	switch (result) {
	case BCI_RESULT_OK:
		return BCRAWL_OK;
	case BCI_RESULT_AUTH:
		return BCRAWL_E_AUTH;
	case BCI_RESULT_THROTTLED:
		return BCRAWL_E_THROTTLED;
	case BCI_RESULT_CLIENT_ERROR:
		return BCRAWL_E_REQUEST;
	case BCI_RESULT_SERVER_ERROR:
		return BCRAWL_E_SERVER;
	case BCI_RESULT_TIMEOUT:
		return BCRAWL_E_TIMEOUT;
	case BCI_RESULT_NETWORK:
		return BCRAWL_E_NET;
	case BCI_RESULT_GARBAGE:
	case BCI_RESULT__COUNT:
		break;
	}
	return BCRAWL_E_PROTOCOL;
}

const char *bci_result_word(enum bci_result result)
{
	static const char *const words[] = {
		[BCI_RESULT_OK] = "ok",
		[BCI_RESULT_AUTH] = "auth",
		[BCI_RESULT_THROTTLED] = "throttled",
		[BCI_RESULT_CLIENT_ERROR] = "client_error",
		[BCI_RESULT_SERVER_ERROR] = "server_error",
		[BCI_RESULT_TIMEOUT] = "timeout",
		[BCI_RESULT_NETWORK] = "network",
		[BCI_RESULT_GARBAGE] = "garbage",
	};

	return words[result];
}
