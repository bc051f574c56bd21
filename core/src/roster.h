/* SPDX-License-Identifier: MIT
 *
 * A list of members as people and discovery write it: one a line, Prometheus' targets (file_sd,
 * http_sd), or Consul's health of a service. Pure. */
#ifndef BCI_ROSTER_H
#define BCI_ROSTER_H

#include "members.h"

/* Adds what text, of len bytes and a NUL, names. 0, BCRAWL_E_NOMEM, or BCRAWL_E_PROTOCOL, and
 * *why says what is wrong, as the end of "it ...": a list that cannot be read to its end is none.
 */
BCI_MUST_CHECK int bci_roster_read(struct bci_members *m, const char *text, size_t len,
                                   const char **why);

#endif
