/* SPDX-License-Identifier: MIT
 *
 * A hash of a text: FNV-1a, 64 bits. Shards of other versions and on other machines must agree on
 * it: it never changes. */
#ifndef BCI_HASH_H
#define BCI_HASH_H

#include <stdint.h>

static inline uint64_t bci_hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

#endif
