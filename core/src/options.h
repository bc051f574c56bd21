/* SPDX-License-Identifier: MIT
 *
 * The option table, and a configuration: one text and one number for each row. */
#ifndef BCI_OPTIONS_H
#define BCI_OPTIONS_H

#include "internal.h"

enum bci_opt {
	BCI_OPT_ACCOUNT,
	BCI_OPT_ACCOUNT_LABEL,
	BCI_OPT_API_URL,
	BCI_OPT_TOKEN,
	BCI_OPT_TOKEN_FILE,
	BCI_OPT_ALLOW_HTTP,
	BCI_OPT_CA_FILE,
	BCI_OPT_PROXY,
	BCI_OPT_DETAIL,
	BCI_OPT_METRICS,
	BCI_OPT_STALE_VALUES,
	BCI_OPT_TOP_VERSIONS,
	BCI_OPT_INFO_TAGS,
	BCI_OPT_MAX_SERIES,
	BCI_OPT_FLEET,
	BCI_OPT_EXCLUDE_FLEET,
	BCI_OPT_ORGANIZATION,
	BCI_OPT_EXCLUDE_ORGANIZATION,
	BCI_OPT_ARCHIVED_FLEETS,
	BCI_OPT_DEVICE_TAG,
	BCI_OPT_INTERVAL,
	BCI_OPT_MIN_INTERVAL,
	BCI_OPT_NEW_SERIES,
	BCI_OPT_DEADLINE,
	BCI_OPT_START_JITTER,
	BCI_OPT_PAGE_SIZE,
	BCI_OPT_CONCURRENCY,
	BCI_OPT_REQUESTS_PER_MINUTE,
	BCI_OPT_SHARD,
	BCI_OPT_SHARD_MEMBERS,
	BCI_OPT_SHARD_SELF,
	BCI_OPT_SHARD_BUDGET,
	BCI_OPT__COUNT
};

enum bci_detail { BCI_DETAIL_FLEETS, BCI_DETAIL_DEVICES, BCI_DETAIL_SERVICES };
enum bci_stale_values { BCI_STALE_DROP, BCI_STALE_KEEP };
enum bci_account_label { BCI_ACCOUNT_LABEL_CRAWL, BCI_ACCOUNT_LABEL_ALL };

struct bcrawl_config {
	struct bci_config_value {
		char  *text;   /* NULL: the default */
		double number; /* of a number, boolean or choice */
		bool   set;    /* by the user */
		bool   found;  /* in the environment */
	} values[BCI_OPT__COUNT];
};

/* The value in force, secrets too; borrowed. */
const char *bci_config_text(const struct bcrawl_config *cfg, enum bci_opt opt);
double bci_config_number(const struct bcrawl_config *cfg, enum bci_opt opt);

/* A new copy, NULL when out of memory. */
struct bcrawl_config *bci_config_copy(const struct bcrawl_config *cfg);

/* The token in force, from the option or its file: a new string in *token.
 * BCRAWL_E_CONFIG: none is configured, or the file cannot be read or holds no token. */
BCI_MUST_CHECK int bci_config_token(const struct bcrawl_config *cfg, char **token,
                                    struct bcrawl_error *err);

/* Whether what is sent, the token too, could be read on the way: plain http that was not allowed,
 * and so may go to this machine alone. */
bool bci_config_is_direct(const struct bcrawl_config *cfg);
/* What others than its owner and group can do with the token's file, NULL: nothing. */
const char *bci_config_token_exposed(const struct bcrawl_config *cfg);

/* Zeroes and frees a token; NULL is fine. */
void bci_token_free(char *token);

/* How a glob, or whatever else is separated by blanks or commas, is walked through: the first one
 * at or behind text, its length in *n; NULL: there is no more. */
const char *bci_list_next(const char *text, size_t *n);

/* Whether one of the blank-separated globs matches text; an empty list matches nothing. */
bool bci_globs_match(const char *globs, const char *text);

#endif
