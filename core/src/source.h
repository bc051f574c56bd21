/* SPDX-License-Identifier: MIT
 *
 * Where the members of the shards are to be learnt from, as the options write it. Pure. */
#ifndef BCI_SOURCE_H
#define BCI_SOURCE_H

#include "internal.h"

enum bci_source_kind {
	BCI_SOURCE_ORDINAL, /* n members, told by the number at the end of the host's name */
	BCI_SOURCE_DNS,     /* the addresses of a name */
	BCI_SOURCE_FILE,    /* a path */
	BCI_SOURCE_HTTP     /* a URL */
};

struct bci_source {
	enum bci_source_kind kind;
	const char *text; /* the name, path or URL; within what was parsed */
	size_t n;         /* of ORDINAL */
};

/* "ordinal:N", "dns:NAME", "file:PATH", "http:URL" or the URL itself; false: it is none of them. */
bool bci_source_parse(const char *text, struct bci_source *out);
/* Bytes of a URL's scheme and host, behind which the path begins. */
size_t bci_source_base(const char *url);
/* "i/n", i from 0; false: it is not. */
bool bci_shard_parse(const char *text, size_t *i, size_t *n);
/* The number at the end of a host's name, false: there is none. */
bool bci_ordinal_parse(const char *host, size_t *i);

#endif
