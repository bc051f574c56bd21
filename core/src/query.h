/* SPDX-License-Identifier: MIT
 *
 * Request targets: every path and query that is ever sent is built here. */
#ifndef BCI_QUERY_H
#define BCI_QUERY_H

#include "buf.h"
#include "field.h"
#include "tags.h"

/* The filters of the fleet counts; each is a request of its own, for of two counts of one
 * navigation in one request the last one silently wins (balena-api-live.md 8). */
enum bci_count {
	BCI_COUNT_ALL,
	BCI_COUNT_ONLINE,
	BCI_COUNT_CONNECTED,
	BCI_COUNT_NEVER,
	BCI_COUNT_INACTIVE
};

/* All append to b; the caller looks at b->failed. */

/* The list of fleets; with BCI_COUNT_ALL all that we want to know of them, else only ids. */
struct bci_fleet_query {
	int         version;
	enum bci_count count;
	bool        activation; /* the server tells inactive devices, which count as nothing else */
	bool        archived;   /* archived fleets too */
	bool        latest;     /* ask for the state of the newest release */
	const char *device_tag; /* count only devices with it: see bci_query_device_tag; "": all */
	const struct bci_tags *tags; /* ask for these */
};
void bci_query_fleets(struct bci_buf *b, const struct bci_fleet_query *q);

/* Whether this version of the API is there, and (field not NULL) whether it has a device field. */
void bci_query_probe(struct bci_buf *b, int version, const char *field);

/* Asked without a right to it, this tells a bad token (200: anonymous may read) from a server in
 * trouble. */
void bci_query_anonymous(struct bci_buf *b, int version);

/* The devices, or with fields 0 only their ids, in rising order of ids, for a filter that names
 * fleets (see bci_query_fleet_filter), with after < id <= upto; 0 leaves a bound out. */
struct bci_device_query {
	int         version;
	uint64_t    fields;
	const struct bci_tags *tags; /* that BCI_F_TAGS means */
	const char *filter;
	int64_t     after, upto;
};
void bci_query_devices(struct bci_buf *b, const struct bci_device_query *q);

/* "belongs_to__application in (1,2,3)", or "... eq null" for the devices of no fleet (n == 0), and
 * device_tag, unless that is "". */
void bci_query_fleet_filter(struct bci_buf *b, const int64_t *ids, size_t n,
                            const char *device_tag);

/* The filter that leaves devices with a tag, given as KEY or KEY=VALUE. */
void bci_query_device_tag(struct bci_buf *b, const char *tag);

#endif
