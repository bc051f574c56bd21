/* SPDX-License-Identifier: MIT
 *
 * What a crawl says of itself. Emitted at the end of every crawl, also of one that failed. */
#include "crawl.h"
#include "retry.h"

#include <math.h>

double bci_interval_s(const struct bcrawl *c)
{
	if (!c->cfg->values[BCI_OPT_INTERVAL].set && c->distance_ms > 0)
		return (double)c->distance_ms / 1000;
	return bci_config_number(c->cfg, BCI_OPT_INTERVAL);
}

static void crawl_values(struct bcrawl *c, struct bci_record *r, bool success,
                         const struct bcrawl_host *host)
{
	bci_record_value(r, BCI_M_CRAWL_SUCCESS, success);
	if (c->last_success_s > 0)
		bci_record_value(r, BCI_M_CRAWL_LAST_SUCCESS, c->last_success_s);
	bci_record_value(r, BCI_M_CRAWL_DURATION,
	                 (double)(bci_clock_mono(&c->clock) - c->last_start_mono) / 1000);
	bci_record_value(r, BCI_M_CRAWL_INTERVAL, bci_interval_s(c));
	if (c->listed) {
		bci_record_value(r, BCI_M_CRAWL_FLEETS, (double)c->fleets.n);
		bci_record_value(r, BCI_M_CRAWL_FLEETS_FAILED, (double)c->fleets_failed);
		bci_record_value(r, BCI_M_CRAWL_UNMATCHED, (double)c->unmatched.n);
		bci_record_value(r, BCI_M_CRAWL_REDUCED,
		                 (double)c->detail != bci_config_number(c->cfg, BCI_OPT_DETAIL));
	}
	if (c->listed && c->detail != BCI_DETAIL_FLEETS)
		bci_record_value(r, BCI_M_CRAWL_DEVICES, (double)c->devices);
	if (c->token_state != BCI_TOKEN_UNKNOWN)
		bci_record_value(r, BCI_M_CRAWL_TOKEN_VALID, c->token_state == BCI_TOKEN_VALID);
	if (c->token)
		bci_record_value(r, BCI_M_CRAWL_TOKEN_EXPIRY, bci_jwt_expiry(c->token));
	if (c->server.version)
		bci_record_value(r, BCI_M_CRAWL_API_VERSION, c->server.version);
	if (c->shard.now.n > 0) {
		bci_record_value(r, BCI_M_CRAWL_SHARD_INDEX, (double)c->shard.now.self);
		bci_record_value(r, BCI_M_CRAWL_SHARDS, (double)c->shard.now.n);
	}
	bci_record_value(r, BCI_M_CRAWL_IGNORED, (double)host->ignored_triggers);
	bci_record_value(r, BCI_M_SHARD_MOVES, (double)c->shard.moves);
	bci_record_value(r, BCI_M_SHARD_ERRORS, (double)c->shard.errors);
	bci_record_value(r, BCI_M_API_RETRIES, (double)c->stats.retries);
	bci_record_value(r, BCI_M_API_BYTES, (double)c->stats.bytes);
	bci_record_value(r, BCI_M_API_THROTTLED, (double)c->stats.throttled_s);
}

static int labelled(struct bcrawl *c, const char *label, const char *word, enum bci_metric_id id,
                    double value)
{
	struct bci_record *r = &c->scratch;

	bci_record_begin(r, &c->out, BCRAWL_SCOPE_CRAWL);
	bci_record_label(r, label, BCRAWL_ROLE_OTHER, word);
	bci_record_value(r, id, value);
	return bci_record_end(r);
}

int bci_report_emit(struct bcrawl *c, bool success)
{
	static const char *const reasons[] = {
		[BCI_REJECT_TYPE] = "type",
		[BCI_REJECT_RANGE] = "range",
		[BCI_REJECT_UNKNOWN_WORD] = "unknown_word",
		[BCI_REJECT_TOO_LONG] = "too_long",
	};
	static const char *const withheld[] = {
		[BCI_WITHHELD_STALE] = "stale",
		[BCI_WITHHELD_SUPERSEDED] = "superseded",
		[BCI_WITHHELD_INCONSISTENT] = "inconsistent",
		[BCI_WITHHELD_CAPPED] = "capped",
		[BCI_WITHHELD_AGENT] = "agent",
		[BCI_WITHHELD_PACED] = "paced",
		[BCI_WITHHELD_SHORTENED] = "shortened",
	};
	struct bci_record *r = &c->scratch;
	struct bcrawl_host host = { .size = sizeof(host) };
	int rc;

	if (c->out.sink->size >= sizeof(*c->out.sink) && c->out.sink->host)
		c->out.sink->host(c->out.user, &host);
	c->out.withheld[BCI_WITHHELD_AGENT] = host.withheld_values;
	c->out.withheld[BCI_WITHHELD_PACED] = host.paced_values;
	c->out.withheld[BCI_WITHHELD_SHORTENED] = host.shortened_values;
	bci_record_begin(r, &c->out, BCRAWL_SCOPE_CRAWL);
	crawl_values(c, r, success, &host);
	rc = bci_record_end(r);
	if (!rc)
		rc = labelled(c, bci_metric(BCI_M_CRAWL_INFO)->pub.labels, BCI_VERSION,
			      BCI_M_CRAWL_INFO, 1);
	for (enum bci_result i = 0; i < BCI_RESULT__COUNT && !rc; i++)
		rc = labelled(c, bci_metric(BCI_M_API_REQUESTS)->pub.labels, bci_result_word(i),
		              BCI_M_API_REQUESTS, (double)c->stats.requests[i]);
	for (size_t i = 0; i < ARRAY_LEN(withheld) && !rc; i++)
		rc = labelled(c, bci_metric(BCI_M_CRAWL_WITHHELD)->pub.labels, withheld[i],
			      BCI_M_CRAWL_WITHHELD, (double)c->out.withheld[i]);
	for (size_t i = 0; i < ARRAY_LEN(reasons) && !rc; i++)
		rc = labelled(c, bci_metric(BCI_M_API_REJECTED)->pub.labels, reasons[i],
			      BCI_M_API_REJECTED, (double)c->stats.rejected[i]);
	return rc;
}
