/* SPDX-License-Identifier: MIT
 *
 * The services of a device: of its installs the one of each service that counts. */
#ifndef BCI_SERVICE_H
#define BCI_SERVICE_H

#include "extract.h"

/* The word lists' size: bci_service_words and, at [0], others. */
#define BCI_SERVICE_CODES 21

/* How many devices have a service in which state, for one fleet. */
struct bci_services {
	struct bci_service_count {
		char    *name; /* as a label may hold it */
		uint64_t by_code[BCI_SERVICE_CODES];
	} *rows; /* in the order of bytes */
	size_t n, cap;
};

void bci_services_free(struct bci_services *s);

/* Emits a record for each service of the device and counts it in s. 0, BCRAWL_E_SINK or
 * BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_services_read(struct bci_services *s, const struct bci_device *d,
                                     const char *slug, struct bci_stats *stats,
                                     struct bci_out *out, struct bci_record *scratch);

#endif
