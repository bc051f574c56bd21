/* SPDX-License-Identifier: MIT
 *
 * What a crawl covers: which fleets, in how much detail; and what the configuration names that is
 * not there. */
#include "crawl.h"

#include <stdio.h>
#include <string.h>

/* ---- which fleets ---- */

static void add_unmatched(struct bci_unmatched *u, enum bci_opt opt, const char *pattern, size_t n)
{
	size_t used = strlen(u->text);

	u->n++;
	snprintf(u->text + used, sizeof(u->text) - used, "%s%s %.*s", used ? ", " : "",
	         bcrawl_option_at(opt)->key, (int)n, pattern);
}

/* Devices of no fleet are a fleet only while there are some, but may be named for the day when. */
static bool matches_orphans(const struct bcrawl *c, const char *pattern)
{
	return strcmp(pattern, c->orphans.slug) == 0 ||
	       (c->orphans_seen > 0 && bci_globs_match(pattern, c->orphans.slug));
}

/* Where there is no fleet at all, that is the trouble, not the pattern. */
static void find_unmatched(struct bcrawl *c, enum bci_opt opt, bool organizations)
{
	const char *patterns = bci_config_text(c->cfg, opt);
	const struct bci_fleets *fs = &c->fleets;
	char one[BCI_GLOB_MAX + 1], room[BCI_TEXT_MAX];
	size_t n;

	for (; (patterns = bci_list_next(patterns, &n)); patterns += n) {
		bool matched;

		snprintf(one, sizeof(one), "%.*s", (int)n, patterns);
		matched = fs->n == 0 || matches_orphans(c, one);
		for (size_t i = 0; i < fs->n && !matched; i++)
			matched = bci_globs_match(
				one, organizations ? bci_fleet_organization(&fs->rows[i], room)
						   : fs->rows[i].slug);
		if (!matched)
			add_unmatched(&c->unmatched, opt, patterns, n);
	}
}

static bool is_to_be_crawled(void *user, const struct bci_fleet *f)
{
	struct bcrawl *c = user;

	if (!bci_selection_holds(&c->selection, f))
		return false;
	c->shard.listed++;
	c->shard.listed_devices += f->counted[BCI_COUNT_ALL];
	return bci_shard_owns(c, f->id);
}

void bci_scope_select(struct bcrawl *c)
{
	find_unmatched(c, BCI_OPT_FLEET, false);
	find_unmatched(c, BCI_OPT_EXCLUDE_FLEET, false);
	find_unmatched(c, BCI_OPT_ORGANIZATION, true);
	find_unmatched(c, BCI_OPT_EXCLUDE_ORGANIZATION, true);
	c->shard.listed = 0;
	c->shard.listed_devices = 0;
	bci_fleets_keep(&c->fleets, is_to_be_crawled, c);
	for (size_t i = 0; i < c->fleets.n; i++)
		c->devices_expected += (unsigned long)c->fleets.rows[i].counted[BCI_COUNT_ALL];
}

void bci_scope_tell_unmatched(struct bcrawl *c)
{
	const char *tag = bci_config_text(c->cfg, BCI_OPT_DEVICE_TAG);

	/* Devices of no fleet are not among those expected, but may carry it: it takes a whole
	 * crawl, of whoever reads those, to say that none does. */
	if (*tag && bci_shard_owns(c, c->orphans.id) && c->shard.listed_devices == 0 &&
	    c->devices == 0 && c->shard.listed > 0 &&
	    (c->detail == BCI_DETAIL_FLEETS || c->complete))
		add_unmatched(&c->unmatched, BCI_OPT_DEVICE_TAG, tag, strlen(tag));
	if (c->unmatched.n > 0 && strcmp(c->unmatched.text, c->said.unmatched) != 0)
		bci_say(c, BCRAWL_LOG_WARNING, "configured patterns that match nothing: %s",
			c->unmatched.text);
	memcpy(c->said.unmatched, c->unmatched.text, sizeof(c->said.unmatched));
}

/* ---- in how much detail ---- */

/* About how many series a metric has for one thing of its scope. */
static double series_of(enum bci_metric_id id, double top, double services)
{
	switch ((int)id) {
	case BCI_M_FLEET_BY_RELEASE:
	case BCI_M_FLEET_BY_OS:
	case BCI_M_FLEET_BY_SUPERVISOR:
	case BCI_M_FLEET_BY_TYPE:
		return top + 2;
	case BCI_M_FLEET_SERVICES:
		return services * BCI_SERVICE_CODES;
	case BCI_M_SERVICE_STATUS:
	case BCI_M_SERVICE_PROGRESS:
		return services;
	case BCI_M_FLEET_BY_CONNECTION:
	case BCI_M_FLEET_BY_STATUS:
	case BCI_M_FLEET_BY_HEARTBEAT:
	case BCI_M_FLEET_BY_UPDATE:
	case BCI_M_FLEET_BY_ROLLOUT:
		return BCI_PARTITION_ESTIMATE;
	default:
		return 1;
	}
}

static double estimate_series(const struct bcrawl *c)
{
	double top = bci_config_number(c->cfg, BCI_OPT_TOP_VERSIONS);
	double services = c->services_seen > 0 ? c->services_seen : BCI_SERVICES_ESTIMATE;
	double devices = (double)c->devices_expected + (double)c->orphans_seen;
	double things[] = {
		[BCRAWL_SCOPE_CRAWL] = 1,
		[BCRAWL_SCOPE_FLEET] = (double)c->fleets.n,
		[BCRAWL_SCOPE_DEVICE] = devices,
		[BCRAWL_SCOPE_SERVICE] = devices,
	};
	double series = 0;

	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++)
		if (c->wanted[i])
			series += things[bci_metric(i)->pub.scope] * series_of(i, top, services);
	return series;
}

/* Counts ask for what devices need not have told: whether inactive ones are there. */
static int learn_activation(struct bcrawl *c, struct bcrawl_error *err)
{
	if (c->counts || c->fields & BCI_BIT(BCI_F_ACTIVE))
		return BCRAWL_OK;
	c->counts = true;
	c->server.probed = false;
	return bci_server_probe(c, err);
}

int bci_scope_decide(struct bcrawl *c, struct bcrawl_error *err)
{
	double most = bci_config_number(c->cfg, BCI_OPT_MAX_SERIES), series = estimate_series(c);
	/* A tenth less before all comes back: at the edge it must not change with each crawl. */
	double edge = c->said.reduced ? 0.9 * most : most;
	bool reduced = c->detail != BCI_DETAIL_FLEETS && most > 0 && series > edge;

	if (reduced)
		c->detail = BCI_DETAIL_FLEETS;
	if (reduced && !c->said.reduced)
		bci_say(c, BCRAWL_LOG_WARNING,
			"some %.0f series are to be expected, and %.0f are allowed: only fleets "
			"are crawled until there are less, or the limit is raised",
			series, most);
	if (!reduced && c->said.reduced)
		bci_say(c, BCRAWL_LOG_INFO, "the series are few enough for all detail again");
	c->said.reduced = reduced;
	return reduced ? learn_activation(c, err) : BCRAWL_OK;
}
