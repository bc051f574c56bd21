/* SPDX-License-Identifier: MIT
 *
 * Samples as a Prometheus text exposition (format 0.0.4), for one crawl. The format wants all
 * samples of a metric together, a crawl gives them device by device: each metric is collected in an
 * unlinked temporary file, so that memory does not grow with the number of devices. */
#ifndef PROM_H
#define PROM_H

#include "balenacrawl.h"

#include <stddef.h>
#include <stdio.h>

/* Several times the catalogue. */
#define PROM_FAMILIES_MAX 256

struct prom_family;

/* Zero-initialised by the caller; prom_fini() frees what it holds. */
struct prom {
	struct prom_family *families[PROM_FAMILIES_MAX];
	size_t count;
};

/* Takes text; anything but 0 ends the writing. */
typedef int prom_write_fn(void *user, const char *text, size_t n);

/* Adds one sample. Returns 0, or -1 with errno: no room for temporary files in $TMPDIR or /tmp. */
int prom_sample(struct prom *prom, const struct bcrawl_sample *s);

/* Writes all that was added, each metric with its HELP and TYPE. Returns 0, what fn returned, or -1
 * with errno. */
int prom_write(struct prom *prom, prom_write_fn *fn, void *user);

void prom_fini(struct prom *prom);

#endif
