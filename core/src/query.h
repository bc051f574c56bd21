/* SPDX-License-Identifier: MIT
 *
 * Request targets: every path and query that is ever sent is built here. */
#ifndef BCI_QUERY_H
#define BCI_QUERY_H

#include "buf.h"
#include "field.h"

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

/* The list of fleets; with BCI_COUNT_ALL all that we want to know of them, else only ids.
 * activation: the server tells inactive devices, which count as nothing else. */
void bci_query_fleets(struct bci_buf *b, int version, enum bci_count count, bool activation);

/* Whether this version of the API is there, and (field not NULL) whether it has a device field. */
void bci_query_probe(struct bci_buf *b, int version, const char *field);

/* Asked without a right to it, this tells a bad token (200: anonymous may read) from a server in
 * trouble. */
void bci_query_anonymous(struct bci_buf *b, int version);

/* The devices, or with fields 0 only their ids, in rising order of ids, for a filter that names
 * fleets (see bci_query_fleet_filter), with after < id <= upto; 0 leaves a bound out.
 * info: expand what the info labels show. */
struct bci_device_query {
	int         version;
	uint64_t    fields;
	bool        info;
	const char *filter;
	int64_t     after, upto;
};
void bci_query_devices(struct bci_buf *b, const struct bci_device_query *q);

/* "belongs_to__application in (1,2,3)", or "... eq null" for the devices of no fleet (n == 0). */
void bci_query_fleet_filter(struct bci_buf *b, const int64_t *ids, size_t n);

#endif
