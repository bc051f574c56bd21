/* SPDX-License-Identifier: MIT
 *
 * The tags that info metrics show as labels: which ones, how they are asked for, what they say. */
#ifndef BCI_TAGS_H
#define BCI_TAGS_H

#include "buf.h"
#include "record.h"

struct json_object;

struct bci_tags {
	struct bci_tag {
		char *key;
		char *label; /* "tag_" and the key, without what a label's name may not hold */
	} rows[BCI_TAGS_MAX];
	size_t n;
};

/* Reads keys separated by blanks or commas. BCRAWL_E_CONFIG: too many, too long, or two that would
 * be one label; BCRAWL_E_NOMEM. t is to be freed in any case. */
BCI_MUST_CHECK int bci_tags_parse(struct bci_tags *t, const char *keys, struct bcrawl_error *err);
void bci_tags_free(struct bci_tags *t);

/* Adds a label for each of the tags that the object has in member nav. */
void bci_tags_label(const struct bci_tags *t, const struct json_object *o, const char *nav,
                    struct bci_record *r);

/* Copies the values of the tags in member nav of the object to new memory in *values, in the order
 * of the tags, "" for none; NULL without tags. BCRAWL_E_NOMEM. */
BCI_MUST_CHECK int bci_tags_copy(const struct bci_tags *t, const struct json_object *o,
                                 const char *nav, char ***values);
void bci_tag_values_free(char **values); /* NULL is fine */
/* Adds a label for each value. */
void bci_tag_values_label(const struct bci_tags *t, char *const *values, struct bci_record *r);

#endif
