/* SPDX-License-Identifier: MIT
 *
 * One more try for what may go away by itself, none for what a person must mend. A 500 is what the
 * server says both to a bad query and when its database is gone, so it gets its one try too. */
#include "retry.h"

#include "limits.h"

int64_t bci_retry_wait(const struct bci_failure *f, int64_t left_ms)
{
	int64_t wait = BCI_RETRY_WAIT_MS;

	switch (f->result) {
	case BCI_RESULT_OK:
	case BCI_RESULT_AUTH:
	case BCI_RESULT_CLIENT_ERROR:
	case BCI_RESULT__COUNT:
		return -1;
	case BCI_RESULT_THROTTLED:
		if (f->retry_after_s > BCI_RETRY_AFTER_MAX_S)
			return -1;
		if (f->retry_after_s > 0)
			wait = f->retry_after_s * 1000;
		break;
	case BCI_RESULT_SERVER_ERROR:
	case BCI_RESULT_TIMEOUT:
	case BCI_RESULT_NETWORK:
	case BCI_RESULT_GARBAGE:
		break;
	}
	return f->attempt <= BCI_RETRIES && wait < left_ms ? wait : -1;
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
