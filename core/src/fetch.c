/* SPDX-License-Identifier: MIT
 *
 * Requests that are made one at a time: the fleet list, probes, counts. */
#include "crawl.h"
#include "limits.h"
#include "retry.h"

#include <stdio.h>
#include <string.h>

struct reader {
	struct bcrawl *c;
	struct bcrawl_error *err;
};

static int feed(void *user, const char *data, size_t len)
{
	struct reader *r = user;
	int rc = bci_look(r->c, len, r->err);

	return rc ? rc : bci_page_feed(r->c->page, data, len);
}

int64_t bci_patience(const struct bcrawl *c)
{
	int64_t half = (c->deadline - c->started) / 2;

	if (half < BCI_PATIENCE_MIN_MS)
		return BCI_PATIENCE_MIN_MS;
	return half < BCI_PATIENCE_MOST_MS ? half : BCI_PATIENCE_MOST_MS;
}

/* What one request is told holds for all. */
static void heed(struct bcrawl *c, const struct bci_exchange *x)
{
	const struct bci_failure f = {
		.result = x->result,
		.retry_after_s = x->retry_after_s,
		.attempt = c->gate.closings + 1,
		.luck = bci_clock_luck(&c->clock),
	};
	int64_t hold = bci_retry_hold(&f);

	/* By 503, too; and what is more than we heed was not waited for. */
	if (hold > 0 && x->retry_after_s > 0)
		c->stats.throttled_s += (uint64_t)hold / 1000;
	if (hold > 0)
		bci_gate_close(&c->gate, bci_clock_mono(&c->clock), hold);
	else if (x->result == BCI_RESULT_OK)
		c->gate.closings = 0;
}

/* What an exchange may end with that is not the answer's fault. */
static bool is_ours(int body_error)
{
	return body_error == BCRAWL_E_NOMEM || body_error == BCRAWL_E_SINK ||
	       body_error == BCRAWL_E_STOPPED || body_error == BCRAWL_E_TIMEOUT ||
	       body_error == BCRAWL_E_CONFIG;
}

int bci_exchange_close(struct bcrawl *c, struct bci_exchange *x, const struct bci_page *page,
                       struct bcrawl_error *err)
{
	c->stats.bytes += x->bytes;
	if (is_ours(x->body_error)) {
		bci_exchange_cut(c, x->body_error);
		if (x->body_error == BCRAWL_E_NOMEM)
			return bci_error_nomem(err);
		if (x->body_error == BCRAWL_E_CONFIG)
			return bci_exchange_error(c, x, err);
		return x->body_error;
	}
	if (x->result == BCI_RESULT_OK && bci_page_finish(page)) {
		x->result = BCI_RESULT_GARBAGE;
		x->body_error = bci_page_finish(page);
	}
	if (x->body_error == BCRAWL_E_LIMIT)
		snprintf(x->reason, sizeof(x->reason),
			 "the answer is larger than this library allows");
	else if (x->body_error)
		snprintf(x->reason, sizeof(x->reason), "the answer %s", bci_page_reason(page));
	c->stats.requests[x->result]++;
	heed(c, x);
	bci_progress(c);
	return BCRAWL_OK;
}

void bci_exchange_cut(struct bcrawl *c, int rc)
{
	if (rc == BCRAWL_E_TIMEOUT)
		c->stats.requests[BCI_RESULT_TIMEOUT]++;
}

int bci_pause(struct bcrawl *c, int64_t ms, struct bcrawl_error *err)
{
	int64_t until = bci_clock_mono(&c->clock) + ms;
	int64_t left;

	while ((left = until - bci_clock_mono(&c->clock)) > 0) {
		int rc = bci_may_go_on(c, err);

		if (rc)
			return rc;
		c->transport.step(c->transport.self,
				  left < BCI_STOP_POLL_MS ? (int)left : BCI_STOP_POLL_MS,
				  c->wake_fd);
	}
	return BCRAWL_OK;
}

int64_t bci_request_due(struct bcrawl *c, struct bcrawl_error *err)
{
	int64_t now = bci_clock_mono(&c->clock), wait = bci_gate_wait(&c->gate, now);

	if (wait == 0 || wait < c->deadline - bci_clock_net(&c->clock))
		return wait;
	if (bci_gate_is_closed(&c->gate, now))
		bci_error_set(err, BCRAWL_E_THROTTLED, 429,
		              "the API asked not to be asked anything for a while (HTTP 429 or "
		              "503 with Retry-After)");
	else
		bci_error_set(err, BCRAWL_E_THROTTLED, 0,
		              "the budget of %g requests a minute is used up: a longer interval, "
		              "a larger page or budget would help",
		              c->gate.per_minute);
	return -1;
}

/* Waits for the gate. 0, BCRAWL_E_THROTTLED or bci_may_go_on(). */
static int pass_gate(struct bcrawl *c, struct bcrawl_error *err)
{
	int64_t wait = bci_request_due(c, err);
	int rc = wait > 0 ? bci_pause(c, wait, err) : BCRAWL_OK;

	if (wait < 0)
		return BCRAWL_E_THROTTLED;
	if (!rc)
		bci_gate_pass(&c->gate, bci_clock_mono(&c->clock));
	return rc;
}

int64_t bci_exchange_retry(struct bcrawl *c, const struct bci_exchange *x, int attempt)
{
	const struct bci_failure f = {
		.result = x->result,
		.retry_after_s = x->retry_after_s,
		.attempt = attempt,
		.luck = bci_clock_luck(&c->clock),
	};

	if (x->body_error == BCRAWL_E_LIMIT || bci_request_due(c, NULL) < 0)
		return -1;
	return bci_retry_wait(&f, c->deadline - bci_clock_net(&c->clock));
}

int bci_try(struct bcrawl *c, const struct bci_fetch *f, struct bci_exchange *x,
            struct bcrawl_error *err)
{
	struct reader r = { c, err };
	int rc = pass_gate(c, err);

	if (rc)
		return rc;
	if (f->restart)
		f->restart(f->user);
	bci_page_reset(c->page, f->element, f->user);
	*x = (struct bci_exchange){
		.target = f->target, .body = feed, .user = &r, .patience_ms = bci_patience(c)
	};
	c->transport.start(c->transport.self, x, c->token);
	while (!x->done) {
		c->transport.step(c->transport.self, BCI_STOP_POLL_MS, c->wake_fd);
		rc = x->done ? BCRAWL_OK : bci_may_go_on(c, err);
		if (rc) {
			c->transport.cancel(c->transport.self, x);
			bci_exchange_cut(c, rc);
			return rc;
		}
	}
	if (f->probe && (x->status == 500 || x->status == 400))
		x->result = BCI_RESULT_CLIENT_ERROR;
	rc = bci_exchange_close(c, x, c->page, err);
	return rc ? rc : bci_may_go_on(c, err);
}

int bci_exchange_error(struct bcrawl *c, const struct bci_exchange *x, struct bcrawl_error *err)
{
	const char *url = bci_config_text(c->cfg, BCI_OPT_API_URL);
	int path = (int)strcspn(x->target, "?");
	int code = x->body_error ? x->body_error : bci_result_status(x->result);

	if (x->status >= 300 && x->status < 400 && x->status != 304)
		return bci_error_set(
			err, code, x->status,
			"%.100s redirects (HTTP %ld), which is not followed: set the API's own "
			"URL",
			url, x->status);
	if (x->status == 0 && x->result == BCI_RESULT_GARBAGE)
		return bci_error_set(err, code, 0, "what answers at %.80s is no API: %.130s", url,
		                     x->reason);
	if (x->status == 0)
		return bci_error_set(err, code, 0, "cannot reach %.80s: %.140s", url, x->reason);
	return bci_error_set(err, code, x->status, "%.60s%.*s: %.100s", url, path > 40 ? 40 : path,
	                     x->target, x->reason);
}

int bci_fetch(struct bcrawl *c, const struct bci_fetch *f, struct bcrawl_error *err)
{
	struct bci_exchange x;
	bool token_tried = false;
	int rc;

	for (int attempt = 1;; attempt++) {
		int64_t wait;

		rc = bci_try(c, f, &x, err);
		if (rc)
			return rc;
		if (x.result == BCI_RESULT_OK) {
			c->token_state = BCI_TOKEN_VALID;
			return BCRAWL_OK;
		}
		if (x.result == BCI_RESULT_AUTH && !token_tried && bci_server_new_token(c)) {
			token_tried = true;
			c->stats.retries++;
			continue;
		}
		if (x.status == 401)
			return bci_server_explain_401(c, err);
		wait = bci_exchange_retry(c, &x, attempt);
		if (wait < 0)
			return bci_exchange_error(c, &x, err);
		c->stats.retries++;
		bci_say(c, BCRAWL_LOG_DEBUG, "a request is tried again: %s", x.reason);
		rc = bci_pause(c, wait, err);
		if (rc)
			return rc;
	}
}
