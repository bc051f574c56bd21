/* SPDX-License-Identifier: MIT
 *
 * Options in the environment: what their variables are called, and taking what these hold. Never
 * asked unless a program asks for it. */
#include "options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "BALENA_"

/* Names from the time before this library. */
static const struct {
	const char *key, *name;
} aliases[] = {
	{ BCRAWL_KEY_INTERVAL, "CRAWL_INTERVAL" },
};

const char *bcrawl_option_variable(const struct bcrawl_option *o, size_t i,
                                   char out[BCRAWL_VARIABLE_MAX])
{
	size_t n = strlen(PREFIX);

	for (size_t k = 0; i > 0 && k < ARRAY_LEN(aliases); k++) {
		if (bcrawl_option_find(aliases[k].key) == o && --i == 0) {
			snprintf(out, BCRAWL_VARIABLE_MAX, "%s", aliases[k].name);
			return out;
		}
	}
	if (i > 0)
		return NULL;
	memcpy(out, PREFIX, n);
	for (const char *c = o->key; *c && n < BCRAWL_VARIABLE_MAX - 1; c++)
		out[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	out[n] = '\0';
	return out;
}

/* Of these only one is meant. */
static const enum bci_opt rivals[][2] = {
	{ BCI_OPT_TOKEN, BCI_OPT_TOKEN_FILE },
	{ BCI_OPT_SHARD, BCI_OPT_SHARD_MEMBERS },
};

/* What somebody set is not to give way to, or to quarrel with, what is in the environment. */
static bool has_rival(const struct bcrawl_config *cfg, enum bci_opt opt)
{
	for (size_t i = 0; i < ARRAY_LEN(rivals); i++) {
		for (size_t k = 0; k < 2; k++) {
			const struct bci_config_value *rival = &cfg->values[rivals[i][1 - k]];

			if (rivals[i][k] == opt && rival->set && !rival->found)
				return true;
		}
	}
	return false;
}

static enum bci_opt number_of(const struct bcrawl_option *o)
{
	size_t i = 0;

	while (bcrawl_option_at(i) != o)
		i++;
	return (enum bci_opt)i;
}

/* The message of an option that came from a variable names both. */
static void name_variable(struct bcrawl_error *err, const char *variable)
{
	char message[sizeof(err->message)];

	memcpy(message, err->message, sizeof(message));
	snprintf(err->message, sizeof(err->message), "%s: %.*s", variable,
	         (int)(sizeof(message) - BCRAWL_VARIABLE_MAX - 3), message);
}

int bcrawl_config_set_from_environment(struct bcrawl_config *cfg, const struct bcrawl_option *o,
                                       struct bcrawl_error *err)
{
	enum bci_opt opt = number_of(o);
	char variable[BCRAWL_VARIABLE_MAX];

	if (has_rival(cfg, opt))
		return 0;
	for (size_t i = 0; bcrawl_option_variable(o, i, variable); i++) {
		const char *value = getenv(variable);
		int rc;

		if (!value || !*value)
			continue;
		rc = bcrawl_config_set(cfg, o->key, value, err);
		cfg->values[opt].found |= rc == BCRAWL_OK;
		if (rc == BCRAWL_OK)
			return 1;
		if (err)
			name_variable(err, variable);
		return rc;
	}
	return 0;
}
