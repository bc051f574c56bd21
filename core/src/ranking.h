/* SPDX-License-Identifier: MIT
 *
 * How often each value of something occurs in a fleet, and which values get a name of their own:
 * the top N, so that the series of a fleet stay bounded whatever its devices run. */
#ifndef BCI_RANKING_H
#define BCI_RANKING_H

#include "internal.h"

struct bci_rank {
	char    *value; /* as a label may hold it; never "other" or "none" */
	uint64_t n;
	bool     named;
};

/* All zeros is an empty ranking. */
struct bci_ranking {
	struct bci_rank *rows; /* in the order of bytes; by rank once names were chosen */
	size_t   n, cap;
	uint64_t other, none;  /* other: grows when names are chosen */
};

/* Which values have names, over all rankings of a crawler: hashes, for texts would be too many. */
struct bci_names {
	struct bci_name {
		uint64_t key; /* of the ranking */
		uint64_t hash; /* of the value */
	} *rows;
	size_t n, cap;
};

void bci_ranking_free(struct bci_ranking *r);
void bci_names_free(struct bci_names *n);
/* After a crawl: what was named in it is the last; names of rankings that were not made stay,
 * unless all were. */
BCI_MUST_CHECK int bci_names_turn(struct bci_names *last, struct bci_names *now, bool all);

/* Counts one device with a value; NULL: it has none. BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_ranking_add(struct bci_ranking *r, const char *value);

/* Makes room for a value that must get a name, before others may have taken all there is.
 * BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_ranking_reserve(struct bci_ranking *r, const char *value);

/* Names the top values: by count descending, then bytes; value always (may be NULL) has a name, and
 * one that has one in last keeps it while among the first 2 x top. What gets no name is added to
 * other. key tells this ranking from others in last and now. BCRAWL_E_NOMEM. */
struct bci_naming {
	size_t top;
	struct bci_names *last, *now;
};
BCI_MUST_CHECK int bci_ranking_choose(struct bci_ranking *r, uint64_t key, const char *always,
                                      const struct bci_naming *naming);

#endif
