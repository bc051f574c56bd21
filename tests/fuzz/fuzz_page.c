/* SPDX-License-Identifier: MIT
 *
 * The page parser: where the pieces of a body end must change neither the rows nor the verdict, and
 * a body that is accepted is JSON of just this shape for another reader, too.
 *
 * Input: count of chunk sizes, the sizes, at which row to refuse (0: at none), the body. */
#include "fuzz.h"

#include "limits.h"
#include "page.h"

#include <json-c/json.h>

struct outcome {
	int rc;
	const char *reason;
	size_t rows;
	size_t refuse_at;
	bool refused;
	struct json_object *all; /* the rows */
};

static int on_row(void *user, const struct json_object *o)
{
	struct outcome *out = user;
	struct json_object *copy = NULL;

	FUZZ_CHECK(json_object_is_type(o, json_type_object));
	FUZZ_CHECK(json_object_deep_copy((struct json_object *)(uintptr_t)o, &copy, NULL) == 0);
	json_object_array_add(out->all, copy);
	out->refused = ++out->rows == out->refuse_at;
	return out->refused ? BCRAWL_E_SINK : 0;
}

/* sizes NULL: all at once. */
static struct outcome parse(const uint8_t *body, size_t n, const uint8_t *sizes, size_t size_count,
                            size_t refuse_at)
{
	struct outcome out = { .refuse_at = refuse_at, .all = json_object_new_array() };
	struct bci_page *p = bci_page_new(on_row, &out);
	size_t at = 0;

	FUZZ_CHECK(p && out.all);
	for (size_t i = 0; at < n && !out.rc; i++) {
		size_t piece = sizes ? sizes[i % size_count] + 1u : n;
		char *data;

		if (piece > n - at)
			piece = n - at;
		data = fuzz_copy(body + at, piece);
		out.rc = bci_page_feed(p, data, piece);
		free(data);
		at += piece;
	}
	if (out.rc) {
		FUZZ_CHECK(bci_page_feed(p, "{}", 2) == out.rc);
		FUZZ_CHECK(bci_page_finish(p) == out.rc);
	} else {
		out.rc = bci_page_finish(p);
	}
	out.reason = bci_page_reason(p);
	bci_page_free(p);
	return out;
}

static void compare(const struct outcome *a, const struct outcome *b)
{
	FUZZ_CHECK(a->rc == b->rc);
	FUZZ_CHECK_OF(b->reason, strcmp(a->reason, b->reason) == 0);
	FUZZ_CHECK(a->rows == b->rows);
	/* json_object_equal() would not do: a NaN that came through is not equal to itself. */
	FUZZ_CHECK(strcmp(json_object_to_json_string(a->all),
	                  json_object_to_json_string(b->all)) == 0);
}

/* Whether a body that json-c takes is so plain that we must take it, too: its one member is spelled
 * as we ask for it, it is there once, and nothing is quoted as JSON has it not. */
static bool is_plain(const char *text, struct json_object *d)
{
	const char *name = strstr(text, "\"d\"");

	if (!name || strstr(name + 1, "\"d\"") || strchr(text, '\'') ||
	    !json_object_is_type(d, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(d); i++)
		if (!json_object_is_type(json_object_array_get_idx(d, i), json_type_object))
			return false;
	return true;
}

/* The whole body, read at one go by json-c alone, is {"d": the rows}, and the other way round. */
static void check_whole(const uint8_t *body, size_t n, const struct outcome *out)
{
	struct json_tokener *tok = json_tokener_new_ex(BCI_JSON_DEPTH + 2);
	struct json_object *o, *d = NULL;
	char *text = fuzz_copy(body, n);

	FUZZ_CHECK(tok);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, text, (int)n);
	if (json_object_is_type(o, json_type_object) && json_object_object_length(o) == 1)
		json_object_object_get_ex(o, "d", &d);
	if (out->rc == 0 || (d && !out->refused && strlen(text) == n && is_plain(text, d))) {
		FUZZ_CHECK(out->rc == 0);
		FUZZ_CHECK(d);
		FUZZ_CHECK(strcmp(json_object_to_json_string(d),
		                  json_object_to_json_string(out->all)) == 0);
	}
	json_object_put(o);
	json_tokener_free(tok);
	free(text);
}

/* A body that lacks its end is never taken for whole. */
static void check_cut(const uint8_t *body, size_t n)
{
	struct outcome cut;

	while (n > 0 && body[n - 1] != '}')
		n--;
	cut = parse(body, n - 1, NULL, 0, 0);
	FUZZ_CHECK(cut.rc == BCRAWL_E_PROTOCOL);
	json_object_put(cut.all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t one[] = { 0 };
	struct fuzz_input in = { data, size };
	size_t size_count = fuzz_byte(&in) % 8, refuse_at;
	const uint8_t *sizes;
	struct outcome whole, pieces, bytes;

	if (size_count + 1 > in.left)
		return 0;
	sizes = in.data;
	in.data += size_count;
	in.left -= size_count;
	refuse_at = fuzz_byte(&in);
	whole = parse(in.data, in.left, NULL, 0, refuse_at);
	bytes = parse(in.data, in.left, one, 1, refuse_at);
	compare(&whole, &bytes);
	if (size_count) {
		pieces = parse(in.data, in.left, sizes, size_count, refuse_at);
		compare(&whole, &pieces);
		json_object_put(pieces.all);
	}
	check_whole(in.data, in.left, &whole);
	if (whole.rc == 0)
		check_cut(in.data, in.left);
	json_object_put(whole.all);
	json_object_put(bytes.all);
	return 0;
}
