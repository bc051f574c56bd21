/* SPDX-License-Identifier: MIT
 *
 * What is added up over the devices of one fleet. */
#ifndef BCI_TALLY_H
#define BCI_TALLY_H

#include "ranking.h"
#include "service.h"

/* Sum and maximum of what only some devices tell. */
struct bci_mean {
	uint64_t n;
	double   sum, max;
};

/* What a fleet's devices are ranked by. */
enum bci_dimension {
	BCI_BY_RELEASE,
	BCI_BY_OS,
	BCI_BY_SUPERVISOR,
	BCI_BY_TYPE,
	BCI_DIMENSION__COUNT
};

struct bci_tally {
	uint64_t devices, online, pinned, undervolted, frozen, without_metrics;
	uint64_t connection[BCI_CONNECTION__COUNT];
	uint64_t status[8];    /* by code; [0]: other */
	uint64_t heartbeat[5]; /* by code; [0]: other */
	uint64_t update[7];    /* by code; [0]: other */
	uint64_t update_none, update_stale;
	uint64_t on_target, pending, pending_offline, rollout_unknown;
	struct bci_mean cpu_temp, cpu, memory, storage;
	struct bci_ranking by[BCI_DIMENSION__COUNT];
	struct bci_services services;
};

/* All zeros is an empty tally. */
void bci_tally_clear(struct bci_tally *t);
/* Frees what it holds beside its numbers. */
void bci_tally_release(struct bci_tally *t);
/* Adds a device, but not its services. BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_tally_add(struct bci_tally *t, const struct bci_device *d);

struct bci_fleet;

/* Emits the sums of a fleet that was read to its end. fields: what the server has, for a count of
 * something that it cannot tell is no 0. 0, BCRAWL_E_SINK or BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_tally_emit(struct bci_fleet *f, uint64_t fields,
                                  const struct bci_naming *naming, struct bci_out *out,
                                  struct bci_record *scratch);

#endif
