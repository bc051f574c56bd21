/* SPDX-License-Identifier: MIT
 *
 * One crawl, from the fleet list to the crawl's own records. Everything it needs is in the handle
 * and in the arguments: no globals, no threads, no output. */
#include "crawl.h"

#include "limits.h"
#include "query.h"
#include "retry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void bci_say(const struct bcrawl *c, int level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!c->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	bci_text_clean(line);
	c->log(c->log_user, level, line);
}

int bci_may_go_on(struct bcrawl *c, struct bcrawl_error *err)
{
	if (c->stop && c->stop(c->stop_user))
		return bci_error_set(err, BCRAWL_E_STOPPED, 0, "stopped");
	if (c->out.sink_rc)
		return BCRAWL_E_SINK;
	if (bci_clock_net(&c->clock) >= c->deadline)
		return bci_error_set(err, BCRAWL_E_TIMEOUT, 0,
				     "the crawl took longer than its deadline of %lld s",
				     (long long)(c->deadline - c->started) / 1000);
	return BCRAWL_OK;
}

static uint64_t requests_made(const struct bcrawl *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < BCI_RESULT__COUNT; i++)
		n += c->stats.requests[i];
	return n - c->requests_before;
}

void bci_progress(struct bcrawl *c)
{
	struct bcrawl_progress p = { .size = sizeof(p) };
	int64_t now = bci_clock_mono(&c->clock);

	if (!c->out.sink || !c->out.sink->progress || now - c->progress_at < BCI_PROGRESS_MS)
		return;
	c->progress_at = now;
	p.fleets = c->listed ? c->fleets.n : 0;
	p.fleets_done = c->fleets_done;
	p.devices = c->devices;
	p.devices_expected = c->devices_expected;
	p.requests = requests_made(c);
	if (!c->out.sink_rc)
		c->out.sink_rc = c->out.sink->progress(c->out.user, &p);
	c->clock.paused_ms += bci_clock_mono(&c->clock) - now;
}

int bci_look(struct bcrawl *c, size_t len, struct bcrawl_error *err)
{
	c->unlooked += len;
	if (c->unlooked < BCI_LOOK_BYTES)
		return BCRAWL_OK;
	c->unlooked = 0;
	bci_progress(c);
	return bci_may_go_on(c, err);
}

/* ---- the fleet list ---- */

struct listing {
	struct bci_fleets *fleets;
	const struct bci_tags *tags;
	struct bci_stats *stats;
};

static int on_fleet(void *user, const struct json_object *o)
{
	struct listing *l = user;

	return bci_fleets_add(l->fleets, o, l->tags, l->stats);
}

static void restart_listing(void *user)
{
	struct listing *l = user;

	bci_fleets_clear(l->fleets);
}

static int fetch_fleets(struct bcrawl *c, enum bci_count count, struct bci_fetch *f,
                        struct bcrawl_error *err)
{
	struct bci_fleet_query q = {
		.version = c->server.version,
		.count = count,
		.activation = bci_server_has_activation(c),
		.archived = bci_config_number(c->cfg, BCI_OPT_ARCHIVED_FLEETS) != 0,
		.latest = c->wanted[BCI_M_FLEET_LATEST_STATUS],
		.device_tag = c->device_tag,
		.tags = &c->tags,
	};
	struct bci_buf target;
	int rc;

	bci_buf_init(&target, BCI_URL_MAX);
	bci_query_fleets(&target, &q);
	f->target = target.data;
	rc = target.failed ? bci_error_nomem(err) : bci_fetch(c, f, err);
	bci_buf_fini(&target);
	return rc;
}

static int list_fleets(struct bcrawl *c, struct bcrawl_error *err)
{
	struct listing l = { &c->fleets, &c->tags, &c->stats };
	struct bci_fetch f = { .element = on_fleet, .restart = restart_listing, .user = &l };
	int rc = fetch_fleets(c, BCI_COUNT_ALL, &f, err);

	/* That all fleets are gone at once is believed only if it is said twice. */
	if (!rc && c->fleets.n == 0 && c->had_fleets)
		rc = fetch_fleets(c, BCI_COUNT_ALL, &f, err);
	if (rc) {
		bci_fleets_clear(&c->fleets);
		return rc;
	}
	c->had_fleets = c->fleets.n > 0;
	c->listed = true;
	bci_scope_select(c);
	return BCRAWL_OK;
}

/* ---- detail fleets ---- */

struct counting {
	struct bci_fleets *fleets;
	enum bci_count count;
};

/* {"owns__device":19,"id":1} */
static int on_count(void *user, const struct json_object *o)
{
	struct counting *k = user;

	return bci_fleets_count(k->fleets, o, k->count);
}

static void restart_counting(void *user)
{
	struct counting *k = user;

	for (size_t i = 0; i < k->fleets->n; i++)
		k->fleets->rows[i].counted[k->count] = -1;
}

/* Whether a metric needs a count. */
static bool is_wanted(const struct bcrawl *c, enum bci_count count)
{
	return c->wanted[count == BCI_COUNT_ONLINE ? BCI_M_DEVICES_ONLINE
						   : BCI_M_FLEET_BY_CONNECTION];
}

static int count_fleets(struct bcrawl *c, struct bcrawl_error *err)
{
	bool activation = bci_server_has_activation(c);
	/* Where it is not known whether there are inactive ones, they would be taken for others. */
	bool sure = activation || c->server.probed;
	int rc = BCRAWL_OK;

	for (enum bci_count k = BCI_COUNT_ONLINE; k <= BCI_COUNT_INACTIVE && !rc; k++) {
		struct counting counting = { &c->fleets, k };
		struct bci_fetch f = { .element = on_count,
				       .restart = restart_counting,
				       .user = &counting };

		if (!is_wanted(c, k) || (k == BCI_COUNT_INACTIVE && !activation) ||
		    (k != BCI_COUNT_ONLINE && !sure))
			continue;
		rc = fetch_fleets(c, k, &f, err);
	}
	for (size_t i = 0; i < c->fleets.n && !rc; i++) {
		struct bci_fleet *f = &c->fleets.rows[i];

		f->read = true;
		c->fleets_done++;
		rc = bci_fleet_emit_counts(f, activation, &c->out, &c->scratch);
		if (!rc)
			rc = bci_fleet_emit(f, &c->tags, &c->out, &c->scratch);
	}
	return rc;
}

/* ---- detail devices and services ---- */

static int read_devices(struct bcrawl *c, struct bcrawl_error *err)
{
	struct bcrawl_error first = { .size = sizeof(first) };
	struct bci_plan plan;
	int rc;

	c->orphans_due = bci_selection_holds(&c->selection, &c->orphans) &&
			 bci_shard_owns(c, c->orphans.id);
	rc = bci_plan_make(&plan, &c->fleets, c->orphans_due ? c->orphans_seen : -1,
	                   (int64_t)bci_config_number(c->cfg, BCI_OPT_PAGE_SIZE), c->device_tag);
	rc = rc ? bci_error_set(err, rc, 0, "%s", bcrawl_strerror(rc))
		: bci_walk(c, &plan, &first, err);
	bci_plan_free(&plan);
	if (!rc && first.code)
		rc = bci_error_set(err, first.code, first.http_status, "%s", first.message);
	return rc;
}

/* Fleets that were not read to their end say so, and nothing else that could be false. */
static int close_unread(struct bcrawl *c)
{
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < c->fleets.n && !rc; i++) {
		if (c->fleets.rows[i].read)
			continue;
		c->fleets_failed++;
		rc = bci_fleet_emit(&c->fleets.rows[i], &c->tags, &c->out, &c->scratch);
	}
	/* The devices of no fleet are no fleet that fails, but those that were there are missing.
	 */
	if (c->orphans.read)
		c->orphans_seen = (int64_t)c->orphans.tally.devices;
	else if (!rc && c->orphans_due && (c->orphans_seen > 0 || c->orphans.tally.devices > 0))
		rc = bci_fleet_emit(&c->orphans, &c->tags, &c->out, &c->scratch);
	c->complete = c->listed && c->fleets_failed == 0 && (c->orphans.read || !c->orphans_due);
	return rc;
}

/* ---- the crawl ---- */

static void begin_crawl(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	int64_t wall = bci_clock_wall(&c->clock), mono = bci_clock_mono(&c->clock);
	double deadline = bci_config_number(c->cfg, BCI_OPT_DEADLINE);

	if (c->last_start_mono)
		c->distance_ms = mono - c->last_start_mono;
	/* A host may have an interval of its own that it does not tell us. */
	if (deadline == 0)
		deadline = fmax(bci_config_number(c->cfg, BCI_OPT_INTERVAL), bci_interval_s(c));
	c->last_start_mono = mono;
	/* Samples of a later crawl are later, whatever was done to the clock. */
	if (wall <= c->last_start_wall)
		wall = c->last_start_wall + 1;
	c->last_start_wall = wall;
	c->started = bci_clock_net(&c->clock);
	c->deadline = c->started + (int64_t)(deadline * 1000);
	c->progress_at = 0;
	c->devices = c->devices_expected = c->fleets_done = c->fleets_failed = 0;
	c->unmatched = (struct bci_unmatched){ 0 };
	c->listed = c->orphans_due = c->complete = false;
	bci_tally_clear(&c->orphans.tally);
	c->detail = (enum bci_detail)bci_config_number(c->cfg, BCI_OPT_DETAIL);
	c->orphans.read = false;
	c->token_state = BCI_TOKEN_UNKNOWN;
	c->requests_before = 0;
	c->requests_before = requests_made(c);
	c->retries_before = c->stats.retries;
	c->bytes_before = c->stats.bytes;
	bci_fleets_clear(&c->fleets);
	c->out = (struct bci_out){
		.sink = sink,
		.user = user,
		.time_ms = wall,
		.account = bci_config_text(c->cfg, BCI_OPT_ACCOUNT),
		.account_everywhere =
			bci_config_number(c->cfg, BCI_OPT_ACCOUNT_LABEL) == BCI_ACCOUNT_LABEL_ALL,
		.wanted = c->wanted,
		.stats = &c->stats,
		.clock = &c->clock,
	};
}

static void forget_refusal(struct bcrawl *c)
{
	bci_token_free(c->refused);
	c->refused = NULL;
	c->refusals = 0;
}

/* A token that was refused is not sent again at every crawl: it does not become good by that. A new
 * one in its place is tried at once. */
static int recall_refusal(struct bcrawl *c, struct bcrawl_error *err)
{
	if (!c->refused || strcmp(c->refused, c->token) != 0) {
		forget_refusal(c);
		return BCRAWL_OK;
	}
	if (bci_clock_mono(&c->clock) >= c->refused_until)
		return BCRAWL_OK;
	/* That it is forbidden to ask does not say that the token is bad. */
	if (c->refused_status != 401)
		return bci_error_set(err, BCRAWL_E_AUTH, c->refused_status,
				     "the API forbids to be asked (HTTP %ld), and is left alone "
				     "for a while",
				     c->refused_status);
	c->token_state = BCI_TOKEN_REFUSED;
	return bci_server_refused(err);
}

/* Out of memory costs only the slowing down. */
static void remember_refusal(struct bcrawl *c, long status)
{
	if (!c->refused)
		c->refused = strdup(c->token);
	c->refused_status = status;
	c->refusals++;
	c->refused_until = c->last_start_mono +
			   bci_refused_wait(c->refusals, (int64_t)(bci_interval_s(c) * 1000));
}

/* What an interval is entitled to may be spent at its beginning. */
static void open_gate(struct bcrawl *c)
{
	double per_minute = bci_config_number(c->cfg, BCI_OPT_REQUESTS_PER_MINUTE);
	double minutes = bci_config_number(c->cfg, BCI_OPT_INTERVAL) / 60;

	if (c->shard.now.n > 1 && bci_config_number(c->cfg, BCI_OPT_SHARD_BUDGET) != 0)
		per_minute /= (double)c->shard.now.n;
	bci_gate_budget(&c->gate, per_minute, fmax(1, per_minute * fmax(1, minutes)),
	                bci_clock_mono(&c->clock));
}

static void warn_of_exposed_token(struct bcrawl *c)
{
	const char *what = bci_config_token_exposed(c->cfg);

	if (what && !c->said.exposed)
		bci_say(c, BCRAWL_LOG_WARNING,
			"every user of this machine can %s the token in %.200s: chmod o= it", what,
			bci_config_text(c->cfg, BCI_OPT_TOKEN_FILE));
	c->said.exposed = what;
}

static int prepare(struct bcrawl *c, struct bcrawl_error *err)
{
	struct bci_http_config http = {
		.base_url = bci_config_text(c->cfg, BCI_OPT_API_URL),
		.ca_file = bci_config_text(c->cfg, BCI_OPT_CA_FILE),
		.proxy = bci_config_text(c->cfg, BCI_OPT_PROXY),
		.direct = bci_config_is_direct(c->cfg),
	};
	char *token;
	int rc = bci_config_token(c->cfg, &token, err);

	if (rc)
		return rc;
	bci_token_free(c->token);
	c->token = token;
	c->token_serial = 0;
	warn_of_exposed_token(c);
	rc = recall_refusal(c, err);
	if (rc)
		return rc;
	/* Made here and not in bcrawl_new(): a host may configure before it prepares libcurl. */
	if (!c->transport.self && !bci_http_new(&c->transport, &http, &c->clock))
		return bci_error_nomem(err);
	rc = bci_shard_learn(c, err);
	if (rc)
		return rc;
	open_gate(c);
	return bci_server_probe(c, err);
}

/* All but the devices: what the server is, which fleets there are, in how much detail to crawl. */
static int survey(struct bcrawl *c, struct bcrawl_error *err)
{
	int rc = prepare(c, err);

	if (!rc)
		rc = list_fleets(c, err);
	return rc ? rc : bci_scope_decide(c, err);
}

static int read_all(struct bcrawl *c, struct bcrawl_error *err)
{
	int rc = survey(c, err);

	if (rc)
		return rc;
	return c->detail == BCI_DETAIL_FLEETS ? count_fleets(c, err) : read_devices(c, err);
}

static int crawl(struct bcrawl *c, struct bcrawl_error *err)
{
	uint64_t before = c->stats.requests[BCI_RESULT_AUTH];
	int rc = read_all(c, err);

	/* Where only some of what was asked for is forbidden, the rest is still to be had. */
	if (c->token_state == BCI_TOKEN_VALID)
		forget_refusal(c);
	else if (rc == BCRAWL_E_AUTH && c->stats.requests[BCI_RESULT_AUTH] > before)
		remember_refusal(c, err->http_status);
	return rc;
}

/* An outage has many faces, one after the other: for a person they are one thing. What is to be
 * mended at our end is another. */
enum { OUTAGE = 1, REFUSED = 2, MISCONFIGURED = 4, KINDS = 3 };

static unsigned kind_of(int rc)
{
	if (rc == BCRAWL_E_AUTH)
		return REFUSED;
	return rc == BCRAWL_E_CONFIG ? MISCONFIGURED : OUTAGE;
}

/* Each kind of trouble is news once until all is well, and once more if it grows from some fleets
 * to all: one that comes and goes must not fill the log. */
static bool is_news(struct bci_said *said, int rc, bool partial, const char *message)
{
	unsigned kind = kind_of(rc), whole = kind << KINDS;
	bool news = !(said->trouble & (partial ? kind : whole));

	said->partial = partial ? said->partial + 1 : 0;
	/* What fails for good for some must not hide the next trouble of all. */
	if (said->partial == BCI_PARTIAL_CRAWLS)
		said->trouble &= OUTAGE | REFUSED | MISCONFIGURED;
	/* A person who has mended one thing is told the next. */
	if (kind == MISCONFIGURED && strcmp(said->config, message) != 0) {
		memcpy(said->config, message, sizeof(said->config));
		news = true;
	}
	said->trouble |= partial ? kind : kind | whole;
	return news;
}

/* A line when a trouble begins, and one when it ends. */
static void tell(struct bcrawl *c, int rc, const struct bcrawl_error *e)
{
	bool partial = c->listed && c->fleets_failed < c->fleets.n;
	int level = BCRAWL_LOG_DEBUG;

	if (rc == BCRAWL_OK) {
		if (c->said.trouble)
			bci_say(c, BCRAWL_LOG_INFO, "all is well again");
		c->said.trouble = c->said.partial = 0;
		c->said.config[0] = '\0';
		return;
	}
	if (is_news(&c->said, rc, partial, e->message))
		level = partial ? BCRAWL_LOG_WARNING : BCRAWL_LOG_ERROR;
	if (partial && c->fleets_failed == 0)
		bci_say(c, level, "the devices of no fleet were not read: %s", e->message);
	else if (partial)
		bci_say(c, level, "%lu of %zu fleets were not read: %s", c->fleets_failed,
			c->fleets.n, e->message);
	else
		bci_say(c, level, "%s", e->message);
}

/* A word that this version does not know is worth a line, once. */
static void tell_unknown(struct bcrawl *c)
{
	for (; c->said.unknown < c->stats.unknown_count; c->said.unknown++) {
		const struct bci_unknown_word *u = &c->stats.unknown[c->said.unknown];

		bci_say(c, BCRAWL_LOG_WARNING,
			"the API says \"%s\" for %s, which this version does not know: it counts "
			"as other",
			u->word, u->field);
		if (c->said.unknown + 1 == ARRAY_LEN(c->stats.unknown))
			bci_say(c, BCRAWL_LOG_WARNING,
				"further unknown words are only counted, not said");
	}
}

static void end_crawl(struct bcrawl *c, int rc)
{
	struct bcrawl_summary sum = {
		.size = sizeof(sum),
		.status = rc,
		.complete = c->complete && rc == BCRAWL_OK,
		.fleets = c->fleets.n,
		.fleets_failed = c->fleets_failed,
		.devices = c->devices,
		.requests = (unsigned long)requests_made(c),
		.retries = (unsigned long)(c->stats.retries - c->retries_before),
		.bytes_received = c->stats.bytes - c->bytes_before,
		.duration_s = (double)(bci_clock_mono(&c->clock) - c->last_start_mono) / 1000,
	};

	if (c->devices > 0 && c->out.records[BCRAWL_SCOPE_SERVICE] > 0)
		c->services_seen =
			(double)c->out.records[BCRAWL_SCOPE_SERVICE] / (double)c->devices;
	/* Where fleets were only counted nothing was ranked. Out of memory costs only names. */
	if (c->listed && bci_names_turn(&c->names_last, &c->names,
	                                sum.complete && c->detail != BCI_DETAIL_FLEETS))
		bci_names_free(&c->names);
	bci_names_free(&c->names);
	if (c->out.sink->end)
		c->out.sink->end(c->out.user, &sum);
	c->out.sink = NULL;
}

int bcrawl_run(struct bcrawl *c, const struct bcrawl_sink *sink, void *user,
	       struct bcrawl_error *err)
{
	struct bcrawl_error e = { .size = sizeof(e) };
	bool success;
	int rc;

	if (!sink || !sink->sample)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "the sink has no sample callback");
	begin_crawl(c, sink, user);
	rc = crawl(c, &e);
	if (rc != BCRAWL_E_STOPPED && rc != BCRAWL_E_SINK) {
		if (close_unread(c))
			rc = BCRAWL_E_SINK;
		success = c->listed &&
			  (c->fleets.n == 0 ? rc == BCRAWL_OK : c->fleets_failed < c->fleets.n);
		tell(c, rc, &e);
		if (c->listed)
			bci_scope_tell_unmatched(c);
		tell_unknown(c);
		if (success) {
			bci_shard_settle(c);
			c->last_success_s = (double)bci_clock_wall(&c->clock) / 1000;
			rc = BCRAWL_OK;
		}
		if (bci_report_emit(c, success))
			rc = BCRAWL_E_SINK;
	}
	end_crawl(c, rc);
	if (rc == BCRAWL_E_SINK) {
		bci_error_set(err, rc, 0, "the receiver of the samples returned %d",
			      c->out.sink_rc);
		if (err)
			err->sink_rc = c->out.sink_rc;
		return rc;
	}
	return rc ? bci_error_set(err, rc, e.http_status, "%s", e.message) : BCRAWL_OK;
}

/* ---- the check ---- */

static void say_plan(struct bcrawl *c)
{
	const char *url = bci_config_text(c->cfg, BCI_OPT_API_URL);

	bci_say(c, BCRAWL_LOG_INFO, "server: %s answers, API version %d", url, c->server.version);
	bci_say(c, BCRAWL_LOG_INFO, "token: accepted");
	if (isfinite(bci_jwt_expiry(c->token)))
		bci_say(c, BCRAWL_LOG_WARNING,
			"token: a session token that expires in %.1f days; an API key does not",
			(bci_jwt_expiry(c->token) - (double)bci_clock_wall(&c->clock) / 1000) /
				86400);
	if (bci_shard_is_shared(c))
		bci_say(c, BCRAWL_LOG_INFO,
			"shard: %zu of %zu, counted from 0, with %zu of %zu fleets",
			c->shard.now.self, c->shard.now.n, c->fleets.n, c->shard.listed);
	if (c->shard.listed == 0)
		bci_say(c, BCRAWL_LOG_WARNING,
			"fleets: none to crawl: the token's user sees no fleet, or the "
			"fleet patterns leave none");
	for (size_t i = 0; i < c->fleets.n; i++)
		bci_say(c, BCRAWL_LOG_INFO, "fleet: %s, %lld devices", c->fleets.rows[i].slug,
		        (long long)c->fleets.rows[i].counted[BCI_COUNT_ALL]);
	if (c->detail == BCI_DETAIL_FLEETS)
		bci_say(c, BCRAWL_LOG_INFO,
			"a crawl would count the devices of each fleet, %lu in all",
			c->devices_expected);
	else
		bci_say(c, BCRAWL_LOG_INFO, "a crawl would read all %lu devices of the fleets%s",
		        c->devices_expected,
		        bci_selection_holds(&c->selection, &c->orphans) && bci_shard_owns(c, 0)
				? ", and those of no fleet"
				: "");
}

int bcrawl_check(struct bcrawl *c, bcrawl_log_fn *fn, void *user, struct bcrawl_error *err)
{
	bcrawl_log_fn *log = c->log;
	void *log_user = c->log_user;
	int64_t last_start = c->last_start_mono;
	struct bci_said said = c->said;
	uint64_t errors = c->shard.errors;
	bool lost = c->shard.lost;
	int rc;

	begin_crawl(c, NULL, NULL);
	/* A check is no crawl: it counts for no distance between crawls. */
	c->last_start_mono = last_start;
	c->log = fn;
	c->log_user = user;
	bci_say(c, BCRAWL_LOG_INFO, "configuration: good; account \"%s\"",
	        bci_config_text(c->cfg, BCI_OPT_ACCOUNT));
	rc = survey(c, err);
	if (!rc) {
		bci_scope_tell_unmatched(c);
		say_plan(c);
	}
	c->log = log;
	c->log_user = log_user;
	c->said = said;
	c->shard.errors = errors;
	c->shard.lost = lost;
	return rc;
}

/* ---- life ---- */

/* What follows from the configuration for all crawls: metrics, fields, fleets, tags. */
static int choose(struct bcrawl *c, struct bcrawl_error *err)
{
	enum bci_detail detail = (enum bci_detail)bci_config_number(c->cfg, BCI_OPT_DETAIL);
	const char *tag = bci_config_text(c->cfg, BCI_OPT_DEVICE_TAG);
	struct bci_buf filter;
	int rc = bci_tags_parse(&c->tags, bci_config_text(c->cfg, BCI_OPT_INFO_TAGS), err);

	if (rc)
		return rc;
	bci_buf_init(&filter, BCI_URL_MAX);
	bci_buf_adds(&filter, "");
	if (*tag)
		bci_query_device_tag(&filter, tag);
	c->device_tag = filter.data;
	if (filter.failed)
		return bci_error_nomem(err);
	c->selection = (struct bci_selection){
		.fleets = bci_config_text(c->cfg, BCI_OPT_FLEET),
		.exclude_fleets = bci_config_text(c->cfg, BCI_OPT_EXCLUDE_FLEET),
		.organizations = bci_config_text(c->cfg, BCI_OPT_ORGANIZATION),
		.exclude_organizations = bci_config_text(c->cfg, BCI_OPT_EXCLUDE_ORGANIZATION),
	};
	bci_metrics_select(bci_config_text(c->cfg, BCI_OPT_METRICS), c->wanted);
	if (detail != BCI_DETAIL_SERVICES)
		c->wanted[BCI_M_SERVICE_STATUS] = c->wanted[BCI_M_SERVICE_PROGRESS] =
			c->wanted[BCI_M_FLEET_SERVICES] = false;
	c->fields = detail == BCI_DETAIL_FLEETS ? BCI_BIT(BCI_F_ACTIVE)
						: bci_metrics_fields(c->wanted);
	if (c->wanted[BCI_M_DEVICE_INFO] && c->tags.n > 0)
		c->fields |= BCI_BIT(BCI_F_TAGS);
	return BCRAWL_OK;
}

int bcrawl_new(struct bcrawl **out, const struct bcrawl_config *cfg, struct bcrawl_error *err)
{
	struct bcrawl *c;
	int rc = bcrawl_config_check(cfg, err);

	if (rc)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return bci_error_nomem(err);
	c->wake_fd = -1;
	c->clock = bci_clock_system();
	c->cfg = bci_config_copy(cfg);
	c->page = bci_page_new(NULL, NULL);
	c->orphans.slug = strdup("none");
	c->orphans.tracks_latest = c->orphans.latest_status = -1;
	if (!c->cfg || !c->page || !c->orphans.slug) {
		bcrawl_free(c);
		return bci_error_nomem(err);
	}
	rc = choose(c, err);
	if (rc) {
		bcrawl_free(c);
		return rc;
	}
	*out = c;
	return BCRAWL_OK;
}

void bcrawl_free(struct bcrawl *c)
{
	if (!c)
		return;
	if (c->transport.self)
		c->transport.free(c->transport.self);
	bci_page_free(c->page);
	bci_fleets_free(&c->fleets);
	bci_shard_free(&c->shard);
	bci_tally_clear(&c->orphans.tally);
	free(c->orphans.slug);
	bci_tags_free(&c->tags);
	free(c->device_tag);
	bci_names_free(&c->names);
	bci_names_free(&c->names_last);
	bci_token_free(c->token);
	bci_token_free(c->refused);
	bcrawl_config_free(c->cfg);
	free(c);
}

void bcrawl_set_stop(struct bcrawl *c, bcrawl_stop_fn *fn, void *user)
{
	c->stop = fn;
	c->stop_user = user;
}

void bcrawl_set_wake_fd(struct bcrawl *c, int fd)
{
	c->wake_fd = fd;
}

void bcrawl_set_log(struct bcrawl *c, bcrawl_log_fn *fn, void *user)
{
	c->log = fn;
	c->log_user = user;
}
