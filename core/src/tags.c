/* SPDX-License-Identifier: MIT
 *
 * Tags as labels. Only those that are named by configuration: each tag of a device that changes
 * makes a new series. */
#include "tags.h"

#include "json.h"
#include "options.h"

#include <ctype.h>
#include <string.h>

#define PREFIX "tag_"

void bci_tags_free(struct bci_tags *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->rows[i].key);
		free(t->rows[i].label);
	}
	*t = (struct bci_tags){ 0 };
}

/* "asset-id" -> "tag_asset_id"; new memory. Bytes of a character that is no letter here become one
 * '_' each. */
static char *make_label(const char *key)
{
	char *label = malloc(sizeof(PREFIX) + strlen(key)), *out = label;

	if (!label)
		return NULL;
	memcpy(out, PREFIX, strlen(PREFIX));
	for (out += strlen(PREFIX); *key; key++)
		*out++ = isascii(*key) && isalnum((unsigned char)*key)
				 ? (char)tolower((unsigned char)*key)
				 : '_';
	*out = '\0';
	return label;
}

static int add(struct bci_tags *t, const char *key, size_t n, struct bcrawl_error *err)
{
	struct bci_tag *row = &t->rows[t->n];

	if (t->n == BCI_TAGS_MAX)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "more than %d tags", BCI_TAGS_MAX);
	row->key = strndup(key, n);
	row->label = row->key ? make_label(row->key) : NULL;
	t->n++;
	if (!row->label)
		return bci_error_nomem(err);
	for (size_t i = 0; i + 1 < t->n; i++)
		if (strcmp(t->rows[i].label, row->label) == 0)
			return bci_error_set(err, BCRAWL_E_CONFIG, 0,
			                     "the tags \"%.60s\" and \"%.60s\" would both be the "
			                     "label %.60s",
			                     t->rows[i].key, row->key, row->label);
	return BCRAWL_OK;
}

int bci_tags_parse(struct bci_tags *t, const char *keys, struct bcrawl_error *err)
{
	int rc = BCRAWL_OK;
	size_t n;

	*t = (struct bci_tags){ 0 };
	if (strlen(keys) > BCI_TAG_KEYS_BYTES_MAX)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "more than %d bytes of tags",
		                     BCI_TAG_KEYS_BYTES_MAX);
	for (; !rc && (keys = bci_list_next(keys, &n)); keys += n)
		rc = add(t, keys, n, err);
	return rc;
}

/* [{"tag_key":"site","value":"berlin"}]; borrowed, NULL if it is not there. */
static const char *value(const struct bci_tags *t, size_t i, const struct json_object *o,
                         const char *nav)
{
	const struct json_object *row;
	const char *text;

	for (size_t k = 0; (row = bci_json_row(o, nav, k)); k++)
		if (bci_json_text(row, "tag_key", &text) == BCI_JSON_OK &&
		    strcmp(text, t->rows[i].key) == 0)
			return bci_json_text(row, "value", &text) == BCI_JSON_OK ? text : NULL;
	return NULL;
}

void bci_tags_label(const struct bci_tags *t, const struct json_object *o, const char *nav,
                    struct bci_record *r)
{
	for (size_t i = 0; i < t->n; i++)
		bci_record_label(r, t->rows[i].label, BCRAWL_ROLE_OTHER, value(t, i, o, nav));
}

void bci_tag_values_free(char **values)
{
	for (char **v = values; v && *v; v++)
		free(*v);
	free(values);
}

int bci_tags_copy(const struct bci_tags *t, const struct json_object *o, const char *nav,
                  char ***values)
{
	char **list;

	if (t->n == 0)
		return BCRAWL_OK;
	list = calloc(t->n + 1, sizeof(*list));
	for (size_t i = 0; list && i < t->n; i++) {
		const char *text = value(t, i, o, nav);

		list[i] = strndup(text ? text : "", BCI_TEXT_MAX);
		if (!list[i]) {
			bci_tag_values_free(list);
			list = NULL;
		}
	}
	if (!list)
		return BCRAWL_E_NOMEM;
	*values = list;
	return BCRAWL_OK;
}

void bci_tag_values_label(const struct bci_tags *t, char *const *values, struct bci_record *r)
{
	for (size_t i = 0; values && i < t->n; i++)
		bci_record_label(r, t->rows[i].label, BCRAWL_ROLE_OTHER, values[i]);
}
