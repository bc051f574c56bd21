/* SPDX-License-Identifier: MIT
 *
 * A group of no more than a page is one request. A larger one is asked for its ids first, of which
 * every page-size-th is kept: exact ranges that are read side by side, from the first crawl on. */
#include "plan.h"

#include "limits.h"
#include "query.h"

#include <string.h>

/* How many fleets from the first on make a group: bounded by number and by length of the filter. */
static size_t group_length(const struct bci_fleets *fs, size_t first)
{
	size_t n = 0, bytes = 0;

	while (first + n < fs->n && n < BCI_GROUP_FLEETS_MAX) {
		for (int64_t id = fs->rows[first + n].id; id > 0; id /= 10)
			bytes++;
		bytes++;
		if (n > 0 && bytes > BCI_GROUP_ID_BYTES_MAX)
			break;
		n++;
	}
	return n;
}

static int make_filter(struct bci_group *g, const struct bci_fleets *fs, const char *device_tag)
{
	int64_t ids[BCI_GROUP_FLEETS_MAX];
	struct bci_buf b;

	for (size_t i = 0; i < g->n; i++)
		ids[i] = fs->rows[g->first + i].id;
	bci_buf_init(&b, BCI_URL_MAX);
	bci_query_fleet_filter(&b, ids, g->n, device_tag);
	g->filter = b.data;
	return b.failed;
}

static int add_group(struct bci_plan *p, const struct bci_fleets *fs, size_t first, size_t n,
                     int64_t expected, const char *device_tag)
{
	struct bci_group *g = &p->groups[p->n];

	*g = (struct bci_group){ .first = first, .n = n, .expected = expected };
	for (size_t i = 0; i < n; i++)
		g->expected += fs->rows[first + i].counted[BCI_COUNT_ALL];
	p->n++;
	return make_filter(g, fs, device_tag);
}

int bci_plan_make(struct bci_plan *p, const struct bci_fleets *fs, int64_t orphans_expected,
                  int64_t page_size, const char *device_tag)
{
	int rc = BCRAWL_OK;

	*p = (struct bci_plan){ .page_size = page_size };
	/* No fewer than one fleet a group, and the group of the devices of no fleet. */
	p->groups = calloc(fs->n + 1, sizeof(*p->groups));
	if (!p->groups)
		return BCRAWL_E_NOMEM;
	for (size_t first = 0, n; first < fs->n && !rc; first += n) {
		n = group_length(fs, first);
		rc = add_group(p, fs, first, n, 0, device_tag);
	}
	if (!rc && orphans_expected >= 0)
		rc = add_group(p, fs, 0, 0, orphans_expected, device_tag);
	return rc;
}

void bci_plan_free(struct bci_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->groups[i].filter);
		free(p->groups[i].bounds);
	}
	free(p->groups);
	*p = (struct bci_plan){ 0 };
}

static bool next_range(struct bci_group *g, struct bci_work *w)
{
	size_t i = g->next_range;

	if (g->state != BCI_GROUP_READY || i > g->bound_count)
		return false;
	*w = (struct bci_work){
		.group = g,
		.after = i > 0 ? g->bounds[i - 1] : 0,
		.upto = i < g->bound_count ? g->bounds[i] : 0,
	};
	g->next_range++;
	return true;
}

bool bci_plan_next(struct bci_plan *p, struct bci_work *w)
{
	/* Groups that were begun come first, so that few are under way at a time. */
	for (size_t i = 0; i < p->n; i++)
		if (next_range(&p->groups[i], w))
			return true;
	for (size_t i = 0; i < p->n; i++) {
		struct bci_group *g = &p->groups[i];

		if (g->state != BCI_GROUP_NEW)
			continue;
		if (g->expected <= p->page_size) {
			g->state = BCI_GROUP_READY;
			return next_range(g, w);
		}
		g->state = BCI_GROUP_IDS;
		*w = (struct bci_work){ .group = g, .ids = true };
		return true;
	}
	return false;
}

int bci_plan_learn_id(struct bci_plan *p, struct bci_group *g, int64_t id)
{
	int64_t *bounds;

	if (++g->ids_seen % p->page_size != 0)
		return BCRAWL_OK;
	if (g->bound_count == g->bound_cap) {
		size_t cap = g->bound_cap ? 2 * g->bound_cap : 16;

		bounds = realloc(g->bounds, cap * sizeof(*bounds));
		if (!bounds)
			return BCRAWL_E_NOMEM;
		g->bounds = bounds;
		g->bound_cap = cap;
	}
	g->bounds[g->bound_count++] = id;
	return BCRAWL_OK;
}

bool bci_plan_finish(const struct bci_plan *p, const struct bci_work *w)
{
	struct bci_group *g = w->group;

	if (w->ids) {
		/* The last range is open: a bound at the last id would leave it nothing. */
		if (g->bound_count > 0 && g->ids_seen % p->page_size == 0)
			g->bound_count--;
		g->state = BCI_GROUP_READY;
		return false;
	}
	if (++g->ranges_done <= g->bound_count)
		return false;
	g->state = BCI_GROUP_DONE;
	return true;
}
