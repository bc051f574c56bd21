/* SPDX-License-Identifier: MIT
 *
 * The plan of a crawl: fleets in groups, groups in ranges of device ids. It asks nothing itself;
 * it says what to ask next and learns what came of it. */
#ifndef BCI_PLAN_H
#define BCI_PLAN_H

#include "fleet.h"

enum bci_group_state {
	BCI_GROUP_NEW,
	BCI_GROUP_IDS,   /* its ids are being asked for */
	BCI_GROUP_READY, /* its ranges are known and being read */
	BCI_GROUP_DONE,
	BCI_GROUP_FAILED
};

struct bci_group {
	size_t  first, n;  /* fleets of the list; n 0: the devices of no fleet */
	char   *filter;
	int64_t expected;  /* devices, by the server's count or the last crawl's */
	enum bci_group_state state;
	int64_t *bounds;   /* range i is bounds[i-1] < id <= bounds[i]; first and last are open */
	size_t  bound_count, bound_cap;
	int64_t ids_seen;
	size_t  next_range, ranges_done;
};

struct bci_plan {
	struct bci_group *groups;
	size_t n;
	int64_t page_size;
};

/* One thing to ask for: the ids of a group, or a range of its devices. */
struct bci_work {
	struct bci_group *group;
	bool    ids;
	int64_t after, upto; /* 0: open */
};

/* Groups all fleets, and, unless orphans_expected is -1, the devices of no fleet; device_tag as for
 * bci_query_fleet_filter(). BCRAWL_E_NOMEM or BCRAWL_E_LIMIT. */
BCI_MUST_CHECK int bci_plan_make(struct bci_plan *p, const struct bci_fleets *fs,
                                 int64_t orphans_expected, int64_t page_size,
                                 const char *device_tag);
void bci_plan_free(struct bci_plan *p);

/* The next thing to ask for; false: nothing now (what is being asked may bring more). */
bool bci_plan_next(struct bci_plan *p, struct bci_work *w);

/* An id of a group's list of ids. BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_plan_learn_id(struct bci_plan *p, struct bci_group *g, int64_t id);
/* The work was answered to its end. Returns whether its group is now read to its end. */
bool bci_plan_finish(const struct bci_plan *p, const struct bci_work *w);

#endif
