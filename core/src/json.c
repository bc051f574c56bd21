/* SPDX-License-Identifier: MIT
 *
 * Typed reads over json-c. json-c 0.16 lets NaN, Infinity and saturated integers through even in
 * strict mode, so every number is checked here. */
#include "json.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

/* json-c's getters take a non-const object though they only read it. */
static struct json_object *member(const struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex((struct json_object *)(uintptr_t)o, name, &v);
	return v;
}

enum bci_json bci_json_number(const struct json_object *o, const char *name, double *out)
{
	struct json_object *v = member(o, name);
	double d;

	if (!v)
		return BCI_JSON_ABSENT;
	if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
		return BCI_JSON_TYPE;
	d = json_object_get_double(v);
	if (!isfinite(d))
		return BCI_JSON_TYPE;
	*out = d;
	return BCI_JSON_OK;
}

enum bci_json bci_json_id(const struct json_object *o, const char *name, int64_t *out)
{
	struct json_object *v = member(o, name);
	int64_t id;

	if (!v)
		return BCI_JSON_ABSENT;
	if (!json_object_is_type(v, json_type_int))
		return BCI_JSON_TYPE;
	id = json_object_get_int64(v);
	if (id < 0 || id > BCI_ID_MAX)
		return BCI_JSON_TYPE;
	*out = id;
	return BCI_JSON_OK;
}

enum bci_json bci_json_bool(const struct json_object *o, const char *name, bool *out)
{
	struct json_object *v = member(o, name);

	if (!v)
		return BCI_JSON_ABSENT;
	if (!json_object_is_type(v, json_type_boolean))
		return BCI_JSON_TYPE;
	*out = json_object_get_boolean(v);
	return BCI_JSON_OK;
}

enum bci_json bci_json_text(const struct json_object *o, const char *name, const char **out)
{
	struct json_object *v = member(o, name);
	const char *text;

	if (!v)
		return BCI_JSON_ABSENT;
	if (!json_object_is_type(v, json_type_string))
		return BCI_JSON_TYPE;
	if (json_object_get_string_len(v) == 0)
		return BCI_JSON_ABSENT;
	text = json_object_get_string(v);
	/* "\u0000" would cut it short. */
	if (strlen(text) != (size_t)json_object_get_string_len(v))
		return BCI_JSON_TYPE;
	*out = text;
	return BCI_JSON_OK;
}

size_t bci_json_row_count(const struct json_object *o, const char *name)
{
	struct json_object *v = member(o, name);

	return v && json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;
}

const struct json_object *bci_json_row(const struct json_object *o, const char *name, size_t i)
{
	struct json_object *v;

	if (i >= bci_json_row_count(o, name))
		return NULL;
	v = json_object_array_get_idx(member(o, name), i);
	return json_object_is_type(v, json_type_object) ? v : NULL;
}

const struct json_object *bci_json_expanded(const struct json_object *o, const char *name)
{
	return bci_json_row_count(o, name) == 1 ? bci_json_row(o, name, 0) : NULL;
}

enum bci_json bci_json_ref(const struct json_object *o, const char *name, int64_t *out)
{
	struct json_object *v = member(o, name);
	const struct json_object *row;

	if (!v)
		return BCI_JSON_ABSENT;
	if (json_object_is_type(v, json_type_object))
		return bci_json_id(v, "__id", out) == BCI_JSON_OK ? BCI_JSON_OK : BCI_JSON_TYPE;
	if (!json_object_is_type(v, json_type_array))
		return BCI_JSON_TYPE;
	if (json_object_array_length(v) == 0)
		return BCI_JSON_ABSENT;
	row = bci_json_expanded(o, name);
	return row && bci_json_id(row, "id", out) == BCI_JSON_OK ? BCI_JSON_OK : BCI_JSON_TYPE;
}
