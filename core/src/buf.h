/* SPDX-License-Identifier: MIT
 *
 * A growing string with a maximum that its maker must name. */
#ifndef BCI_BUF_H
#define BCI_BUF_H

#include "internal.h"

struct bci_buf {
	char  *data; /* NUL-terminated once something was added, else NULL */
	size_t len, cap, max;
	int    failed; /* 0, BCRAWL_E_NOMEM or BCRAWL_E_LIMIT; sticks until reset */
};

/* max: bytes without the NUL; reaching it is BCRAWL_E_LIMIT, never a truncation. */
void bci_buf_init(struct bci_buf *b, size_t max);
void bci_buf_fini(struct bci_buf *b);
void bci_buf_reset(struct bci_buf *b); /* empties it, keeps the memory */

/* These do nothing once the buffer has failed, so a caller may build first and check at the end. */
void bci_buf_add(struct bci_buf *b, const char *data, size_t len);
void bci_buf_adds(struct bci_buf *b, const char *s);
void bci_buf_addf(struct bci_buf *b, const char *fmt, ...) BCI_PRINTF(2, 3);

#endif
