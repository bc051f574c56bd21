/* SPDX-License-Identifier: MIT
 *
 * The page parser: takes the bytes of a {"d":[{...},{...}]} body in chunks of any size and hands
 * out one object of the array at a time. No I/O; memory is one element, whatever the page. Where a
 * chunk ends changes nothing. */
#ifndef BCI_PAGE_H
#define BCI_PAGE_H

#include "internal.h"

struct json_object;
struct bci_page;

/* Gets each element in turn; the object dies when it returns. 0: go on; a negative enum
 * bcrawl_status ends the page with that error. */
typedef int bci_page_element_fn(void *user, const struct json_object *element);

/* A new parser, NULL when out of memory. */
struct bci_page *bci_page_new(bci_page_element_fn *fn, void *user);
void bci_page_free(struct bci_page *p); /* NULL is fine */
/* Makes it ready for another body, for fn and user. */
void bci_page_reset(struct bci_page *p, bci_page_element_fn *fn, void *user);

/* 0, BCRAWL_E_PROTOCOL (not such a body), BCRAWL_E_LIMIT (one element too large), BCRAWL_E_NOMEM,
 * or what the callback returned. After an error every further call fails with it. */
BCI_MUST_CHECK int bci_page_feed(struct bci_page *p, const char *data, size_t len);
/* To be asked when the body has ended: 0 only if it was complete and well-formed. */
BCI_MUST_CHECK int bci_page_finish(const struct bci_page *p);
/* Why it failed, as the end of "the answer ..."; static storage. */
const char *bci_page_reason(const struct bci_page *p);

#endif
