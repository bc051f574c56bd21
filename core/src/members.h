/* SPDX-License-Identifier: MIT
 *
 * The instances that share the fleets, and whose a fleet is. Pure.
 *
 * A fleet belongs to the member for which the hash of both is highest (rendezvous hashing): all
 * who have the same list agree without a word, and a member that comes or goes moves its share
 * alone. */
#ifndef BCI_MEMBERS_H
#define BCI_MEMBERS_H

#include "internal.h"

struct bci_member {
	char    *name;
	uint64_t hash;
};

struct bci_members {
	struct bci_member *rows; /* by rising bytes of their names, once sorted */
	size_t n, cap;
	size_t self; /* this instance */
};

/* Whether it names a host, by name or address, with a port or without. */
bool bci_member_is_name(const char *name, size_t len);

void bci_members_free(struct bci_members *m);

/* Adds one. BCRAWL_E_PROTOCOL: that is no name; BCRAWL_E_LIMIT: too many; BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_members_add(struct bci_members *m, const char *name, size_t len);
/* Adds n that are told by their numbers alone. BCRAWL_E_LIMIT, BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_members_number(struct bci_members *m, size_t n);
/* Brings them in order, each once, so that all have the same list in whatever order it came. */
void bci_members_sort(struct bci_members *m);
/* Whether these are the same, this instance too. */
bool bci_members_equal(const struct bci_members *a, const struct bci_members *b);

/* Whose a fleet is, by its id; of no members: nobody's, 0. Id 0, the devices of no fleet, belongs
 * to the first. */
size_t bci_members_owner(const struct bci_members *m, int64_t fleet_id);

#endif
