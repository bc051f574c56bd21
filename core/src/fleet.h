/* SPDX-License-Identifier: MIT
 *
 * The fleets of one crawl, in rising order of ids. */
#ifndef BCI_FLEET_H
#define BCI_FLEET_H

#include "query.h"
#include "tally.h"

struct bci_fleet {
	int64_t id;           /* 0: the devices of no fleet */
	char   *slug;         /* "organization/name"; "none" for id 0 */
	char   *name, *organization, *device_type; /* NULL: not told */
	char  **tags;         /* by bci_tags; NULL: none, or none asked for */
	int64_t target_id;      /* the release it should run; 0: none, or not told */
	char   *target;         /* its name, or NULL */
	double  target_created; /* seconds since the epoch, or NAN */
	int     tracks_latest;  /* 1, 0, or -1: not told */
	int     latest_status;  /* code of its newest release's status, or -1: not told */
	int64_t counted[5];     /* by enum bci_count: the server's own counts; -1: not told */
	bool    read;           /* to its end, in this crawl */
	struct bci_tally tally;
};

struct bci_fleets {
	struct bci_fleet *rows;
	size_t n, cap;
};

void bci_fleets_clear(struct bci_fleets *fs); /* keeps the rows' memory */
void bci_fleets_free(struct bci_fleets *fs);

/* Reads one element of the fleet list. Ids must rise strictly.
 * BCRAWL_E_PROTOCOL, BCRAWL_E_NOMEM, BCRAWL_E_LIMIT. */
BCI_MUST_CHECK int bci_fleets_add(struct bci_fleets *fs, const struct json_object *o,
                                  const struct bci_tags *tags, struct bci_stats *stats);

/* Reads one element of a list of counts into the fleet that it names; others are passed over.
 * BCRAWL_E_PROTOCOL. */
BCI_MUST_CHECK int bci_fleets_count(struct bci_fleets *fs, const struct json_object *o,
                                    enum bci_count count);

/* The fleet with an id, NULL if it is not there. */
struct bci_fleet *bci_fleets_find(const struct bci_fleets *fs, int64_t id);

/* What to crawl, as globs: what an include matches and no exclude. */
struct bci_selection {
	const char *fleets, *exclude_fleets;
	const char *organizations, *exclude_organizations;
};
/* Whether a fleet is to be crawled; organization NULL: as the slug says. */
bool bci_selection_holds(const struct bci_selection *s, const struct bci_fleet *f);
/* Leaves only the fleets for which keep() says so. */
void bci_fleets_keep(struct bci_fleets *fs, bool (*keep)(void *user, const struct bci_fleet *f),
                     void *user);
/* The handle of its organization, if need be from the slug. */
const char *bci_fleet_organization(const struct bci_fleet *f, char room[BCI_TEXT_MAX]);

/* A record of the fleet, with its label. */
void bci_fleet_record(const struct bci_fleet *f, struct bci_out *out, struct bci_record *r);

/* Emits what the list tells: info, target release, whether the fleet was read; with detail fleets
 * also the server's counts. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_fleet_emit(const struct bci_fleet *f, const struct bci_tags *tags,
                                  struct bci_out *out, struct bci_record *scratch);
BCI_MUST_CHECK int bci_fleet_emit_counts(const struct bci_fleet *f, bool activation,
                                         struct bci_out *out, struct bci_record *scratch);

#endif
