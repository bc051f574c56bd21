/* SPDX-License-Identifier: MIT
 *
 * Which of the members this machine is. */
#ifndef BCI_WHOAMI_H
#define BCI_WHOAMI_H

#include "limits.h"
#include "members.h"

/* How many members this instance may be, and *self is the last of them: exactly one is right. By
 * the name or address that was configured, or, if that is "", by the machine's own. */
size_t bci_whoami(const struct bci_members *m, const char *configured, size_t *self);
/* The host's name, "" if it cannot be told. */
void bci_whoami_host(char out[BCI_HOST_BYTES_MAX + 1]);

#endif
