/* SPDX-License-Identifier: MIT
 *
 * Options in the environment: what their variables are called, and taking what these hold. Never
 * asked unless a program asks for it. */
#include "internal.h"

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
	char variable[BCRAWL_VARIABLE_MAX];

	for (size_t i = 0; bcrawl_option_variable(o, i, variable); i++) {
		const char *value = getenv(variable);
		int rc;

		if (!value || !*value)
			continue;
		rc = bcrawl_config_set(cfg, o->key, value, err);
		if (rc == BCRAWL_OK)
			return 1;
		if (err)
			name_variable(err, variable);
		return rc;
	}
	return 0;
}
