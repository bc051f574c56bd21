/* SPDX-License-Identifier: MIT
 *
 * Which fleets are this instance's, where several share the work.
 *
 * A list of members is asked for at the beginning of each crawl. One that cannot be had, is empty
 * or lacks this instance changes nothing; until there was a good one, all fleets are ours: they may
 * be crawled twice, but never not at all. For the same reason a fleet that goes to another is
 * crawled once more. An instance that has just started looks for itself for some seconds first. */
#ifndef BCI_SHARD_H
#define BCI_SHARD_H

#include "members.h"
#include "transport.h"

struct bcrawl;

struct bci_shard {
	struct bci_members now;      /* none: not known, or nothing is shared */
	struct bci_members before;   /* none, unless fleets are being handed over */
	struct bci_transport source; /* to the members' DNS or HTTP source */
	char    *target;             /* what to ask it for */
	bool     all;                /* all were crawled, and are not handed over yet */
	bool     lost;               /* the last list was of no use, and that was said */
	uint64_t moves, errors;      /* what the counters tell */
	size_t   listed;             /* fleets of all members, in this crawl */
	int64_t  listed_devices;
};

void bci_shard_free(struct bci_shard *s);
/* Learns the members, as the crawl's configuration says. 0, BCRAWL_E_NOMEM or bci_may_go_on(). */
BCI_MUST_CHECK int bci_shard_learn(struct bcrawl *c, struct bcrawl_error *err);
/* Whether the work is shared at all, as far as is known. */
bool bci_shard_is_shared(const struct bcrawl *c);
/* Whether a fleet, by its id, is to be crawled here; 0: the devices of no fleet. */
bool bci_shard_owns(const struct bcrawl *c, int64_t fleet_id);
/* After a crawl that read what there was to read: what was handed over is gone. */
void bci_shard_settle(struct bcrawl *c);

#endif
