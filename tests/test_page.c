/* SPDX-License-Identifier: MIT
 *
 * The page parser. Every body is fed in pieces of many sizes: where a piece ends must not matter. */
#include "buf.h"
#include "limits.h"
#include "page.h"
#include "unit.h"

#include <json-c/json.h>

static const size_t chunks[] = { 1, 2, 3, 4, 5, 7, 4096, SIZE_MAX };

/* What came of a body. */
struct outcome {
	size_t elements;
	long long id_sum;
	int refuse_at; /* the n-th element ends the page with refuse_rc */
	int refuse_rc;
	char name[64]; /* of the last element */
};

static int on_element(void *user, const struct json_object *o)
{
	struct outcome *out = user;
	struct json_object *v = NULL;

	assert_true(json_object_is_type(o, json_type_object));
	out->elements++;
	if (json_object_object_get_ex((struct json_object *)(uintptr_t)o, "id", &v))
		out->id_sum += json_object_get_int64(v);
	if (json_object_object_get_ex((struct json_object *)(uintptr_t)o, "name", &v))
		snprintf(out->name, sizeof(out->name), "%s", json_object_get_string(v));
	return out->refuse_at && out->elements == (size_t)out->refuse_at ? out->refuse_rc : 0;
}

/* Feeds a body piece by piece, each in memory of its own size; the first error, or finish. */
static int feed(struct bci_page *p, const char *body, size_t len, size_t chunk)
{
	int rc = 0;

	for (size_t i = 0; i < len && !rc; i += chunk < len - i ? chunk : len - i) {
		size_t n = chunk < len - i ? chunk : len - i;
		char *piece = malloc(n);

		assert_non_null(piece);
		memcpy(piece, body + i, n);
		rc = bci_page_feed(p, piece, n);
		free(piece);
	}
	if (rc) {
		assert_int_equal(bci_page_feed(p, "", 0), rc);
		assert_int_equal(bci_page_feed(p, "{\"d\":[]}", 8), rc);
		assert_int_equal(bci_page_finish(p), rc);
		assert_true(bci_page_reason(p)[0] != '\0');
	}
	return rc ? rc : bci_page_finish(p);
}

static int parse(const char *body, size_t len, size_t chunk, struct outcome *out)
{
	struct bci_page *p = bci_page_new(on_element, out);
	int rc;

	assert_non_null(p);
	rc = feed(p, body, len, chunk);
	bci_page_free(p);
	return rc;
}

/* Rows and the sum of their ids were counted with jq. */
static void test_recorded(void **state)
{
	static const struct {
		const char *file;
		size_t rows;
		long long id_sum;
	} cases[] = {
		{ "v7-device-metrics-v7fields", 60, 1830 },
		{ "v7-device-metrics-expand", 60, 1830 },
		{ "v7-device-expand-installs", 20, 210 },
		{ "v7-device-odd-values", 5, 152 },
		{ "v7-device-heartbeat-only", 7, 116 },
		{ "v7-device-1-all-fields", 1, 1 },
		{ "v7-device-top0", 0, 0 },
		{ "v7-application-all-fields", 10, 55 },
		{ "v7-application-count-online-all", 10, 55 },
		{ "v7-device-orphan", 1, 63 },
		{ "v6-device-metrics", 60, 1830 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char path[128];
		size_t len;
		char *body;

		snprintf(path, sizeof(path), "recorded/%s.json", cases[i].file);
		body = unit_fixture(path, &len);
		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			CHECK_INT(cases[i].file, parse(body, len, chunks[k], &out), 0);
			CHECK_INT(cases[i].file, out.elements, cases[i].rows);
			CHECK_INT(cases[i].file, out.id_sum, cases[i].id_sum);
		}
		free(body);
	}
}

static void test_bodies(void **state)
{
	static const struct {
		const char *name, *body;
		int want;
		size_t elements; /* handed out, also before an error */
	} cases[] = {
		{ "no rows", "{\"d\":[]}", 0, 0 },
		{ "blanks everywhere", " \t\r\n{ \"d\" : [ { \"id\" : 1 } , { \"id\" : 2 } ] } \r\n", 0, 2 },
		{ "no rows, blanks", "{\"d\":[ \n ]}\n", 0, 0 },
		{ "an empty object", "{\"d\":[{}]}", 0, 1 },
		{ "brackets in strings", "{\"d\":[{\"a\":\"]}{[,\\\"\"},{\"b\":\"}\\\\\"}]}", 0, 2 },
		{ "nested", "{\"d\":[{\"a\":[{\"b\":[{}]}],\"c\":{\"__id\":3}},{\"id\":4}]}", 0, 2 },
		{ "escapes", "{\"d\":[{\"name\":\"\\u00e4\\ud83d\\ude80\\n\"}]}", 0, 1 },

		{ "nothing", "", BCRAWL_E_PROTOCOL, 0 },
		{ "blanks only", " \n\t ", BCRAWL_E_PROTOCOL, 0 },
		{ "d is null", "{\"d\":null}", BCRAWL_E_PROTOCOL, 0 },
		{ "d is a number", "{\"d\":5}", BCRAWL_E_PROTOCOL, 0 },
		{ "d is an object", "{\"d\":{\"id\":1}}", BCRAWL_E_PROTOCOL, 0 },
		{ "d is a string", "{\"d\":\"[]\"}", BCRAWL_E_PROTOCOL, 0 },
		{ "another name", "{\"e\":[]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a bare array", "[{\"id\":1}]", BCRAWL_E_PROTOCOL, 0 },
		{ "a string", "\"Malformed url: '/v7/device'\"", BCRAWL_E_PROTOCOL, 0 },
		{ "an empty object at the top", "{}", BCRAWL_E_PROTOCOL, 0 },
		{ "HTML", "<!DOCTYPE html>\n<html><body>Error</body></html>", BCRAWL_E_PROTOCOL, 0 },
		{ "plain text", "Unauthorized", BCRAWL_E_PROTOCOL, 0 },
		{ "a byte order mark", "\xef\xbb\xbf{\"d\":[]}", BCRAWL_E_PROTOCOL, 0 },

		{ "text behind", "{\"d\":[{\"id\":1}]}x", BCRAWL_E_PROTOCOL, 1 },
		{ "two bodies", "{\"d\":[]}{\"d\":[]}", BCRAWL_E_PROTOCOL, 0 },
		{ "another brace", "{\"d\":[]}}", BCRAWL_E_PROTOCOL, 0 },
		{ "another member", "{\"d\":[],\"e\":1}", BCRAWL_E_PROTOCOL, 0 },
		{ "closed twice", "{\"d\":[{}]]}", BCRAWL_E_PROTOCOL, 1 },
		{ "a trailing comma", "{\"d\":[{\"id\":1},]}", BCRAWL_E_PROTOCOL, 1 },
		{ "a leading comma", "{\"d\":[,{\"id\":1}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "two commas", "{\"d\":[{},,{}]}", BCRAWL_E_PROTOCOL, 1 },
		{ "no comma", "{\"d\":[{\"id\":1}{\"id\":2}]}", BCRAWL_E_PROTOCOL, 1 },
		{ "a semicolon", "{\"d\":[{\"id\":1};{\"id\":2}]}", BCRAWL_E_PROTOCOL, 1 },

		{ "a null row", "{\"d\":[null]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a number row", "{\"d\":[1]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a string row", "{\"d\":[\"a\"]}", BCRAWL_E_PROTOCOL, 0 },
		{ "an array row", "{\"d\":[[]]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a bool row behind a good one", "{\"d\":[{},true]}", BCRAWL_E_PROTOCOL, 1 },

		{ "no colon", "{\"d\":[{\"id\" 1}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a trailing comma inside", "{\"d\":[{\"id\":1,}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a bare name", "{\"d\":[{id:1}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a comment", "{\"d\":[{/* */\"id\":1}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a bad escape", "{\"d\":[{\"a\":\"\\x\"}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a bad word", "{\"d\":[{\"a\":nul}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a word in capitals", "{\"d\":[{\"a\":TRUE}]}", BCRAWL_E_PROTOCOL, 0 },
		/* json-c 0.16, fed in pieces, takes these for 1 and -1 if a piece ends at the right place. */
		{ "a number with a minus in it", "{\"d\":[{\"id\":1-2}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "a negative number with a minus in it", "{\"d\":[{\"id\":-1-1}]}", BCRAWL_E_PROTOCOL, 0 },
		{ "mixed brackets", "{\"d\":[{\"a\":[}]}]}", BCRAWL_E_PROTOCOL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			CHECK_INT(cases[i].name, parse(cases[i].body, strlen(cases[i].body), chunks[k], &out),
			          cases[i].want);
			CHECK_INT(cases[i].name, out.elements, cases[i].elements);
		}
	}
}

/* Blanks may stand between tokens, not inside of them. */
static void test_blank_in_name(void **state)
{
	static const char *const cases[] = { "{\" d\":[]}", "{\"d \":[]}", "{\"\nd\":[]}" };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		for (size_t k = 0; k < LEN(chunks); k++)
			CHECK_INT(cases[i], parse(cases[i], strlen(cases[i]), chunks[k], &(struct outcome){ 0 }),
			          BCRAWL_E_PROTOCOL);
}

/* A zero byte is no end of anything. */
static void test_zero_byte(void **state)
{
	static const struct {
		const char *name, *body;
		size_t len;
	} cases[] = {
		{ "in the envelope", "{\"d\0\":[]}", 9 },
		{ "in an element", "{\"d\":[{\"a\":1\0}]}", 16 },
		{ "in a string", "{\"d\":[{\"a\":\"\0\"}]}", 17 },
		{ "behind an element", "{\"d\":[{\"a\":1}\0]}", 16 },
		{ "behind the end", "{\"d\":[]}\0", 9 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			CHECK_INT(cases[i].name, parse(cases[i].body, cases[i].len, chunks[k], &out),
			          BCRAWL_E_PROTOCOL);
		}
	}
}

/* No proper prefix of a body is a body. */
static void test_truncated(void **state)
{
	static const char *const files[] = {
		"recorded/v7-device-1-all-fields.json",
		"recorded/v7-device-odd-values.json",
		"recorded/v7-device-expand-installs.json",
	};

	(void)state;
	for (size_t i = 0; i < LEN(files); i++) {
		size_t len;
		char *body = unit_fixture(files[i], &len);

		while (len > 0 && body[len - 1] == '\n')
			len--;
		for (size_t k = 0; k < LEN(chunks); k++) {
			/* The long one whole only: its prefixes are many. */
			if (len > 2000 && chunks[k] != SIZE_MAX)
				continue;
			for (size_t cut = 0; cut < len; cut += unit_stride()) {
				struct outcome out = { 0 };

				CHECK_INT(files[i], parse(body, cut, chunks[k], &out), BCRAWL_E_PROTOCOL);
			}
			CHECK_INT(files[i], parse(body, len, chunks[k], &(struct outcome){ 0 }), 0);
		}
		free(body);
	}
}

static char *nested(int depth)
{
	struct bci_buf b;

	bci_buf_init(&b, 16 << 20);
	bci_buf_adds(&b, "{\"d\":[{\"id\":1},");
	for (int i = 0; i < depth; i++)
		bci_buf_adds(&b, "{\"a\":");
	bci_buf_adds(&b, "1");
	for (int i = 0; i < depth; i++)
		bci_buf_adds(&b, "}");
	bci_buf_adds(&b, "]}");
	assert_int_equal(b.failed, 0);
	return b.data;
}

static void test_depth(void **state)
{
	static const struct {
		const char *name;
		int depth, want;
	} cases[] = {
		{ "as our answers", 6, 0 },
		{ "half the cap", BCI_JSON_DEPTH / 2, 0 },
		{ "above the cap", BCI_JSON_DEPTH + 1, BCRAWL_E_PROTOCOL },
		{ "far above the cap", 100000, BCRAWL_E_PROTOCOL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char *body = nested(cases[i].depth);

		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			CHECK_INT(cases[i].name, parse(body, strlen(body), chunks[k], &out), cases[i].want);
			CHECK_INT(cases[i].name, out.elements, cases[i].want ? 1 : 2);
		}
		free(body);
	}
}

/* A body whose second element has the given size. */
static char *sized(size_t size)
{
	static const char head[] = "{\"d\":[{\"id\":1},", open[] = "{\"id\":2,\"a\":\"", close[] = "\"}";
	char *body = malloc(size + 64);
	size_t n = sizeof(head) - 1, text = size - (sizeof(open) - 1) - (sizeof(close) - 1);

	assert_non_null(body);
	memcpy(body, head, n);
	memcpy(body + n, open, sizeof(open) - 1);
	n += sizeof(open) - 1;
	memset(body + n, 'x', text);
	n += text;
	memcpy(body + n, close, sizeof(close) - 1);
	memcpy(body + n + 2, ",{\"id\":3}]}", 12);
	return body;
}

/* A megabyte in pieces of a few bytes is left out where everything is fifty times slower. */
static bool too_slow(size_t chunk)
{
	return unit_stride() > 1 && chunk < 4096;
}

static void test_element_size(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		int want;
	} cases[] = {
		{ "far below", 100000, 0 },
		{ "one below", BCI_ELEMENT_BYTES_MAX - 1, 0 },
		{ "as large as may be", BCI_ELEMENT_BYTES_MAX, 0 },
		{ "two above", BCI_ELEMENT_BYTES_MAX + 2, BCRAWL_E_LIMIT },
		{ "three times as large", 3 * BCI_ELEMENT_BYTES_MAX, BCRAWL_E_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char *body = sized(cases[i].size);

		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			if (too_slow(chunks[k]))
				continue;
			CHECK_INT(cases[i].name, parse(body, strlen(body), chunks[k], &out), cases[i].want);
			CHECK_INT(cases[i].name, out.elements, cases[i].want ? 1 : 3);
			CHECK_INT(cases[i].name, out.id_sum, cases[i].want ? 1 : 6);
		}
		free(body);
	}
}

/* 1 MiB is the cap, not 1 MiB and a byte. */
static void test_element_one_above(void **state)
{
	char *body = sized(BCI_ELEMENT_BYTES_MAX + 1);

	(void)state;
	for (size_t k = 0; k < LEN(chunks); k++)
		if (!too_slow(chunks[k]))
			CHECK_INT("one above", parse(body, strlen(body), chunks[k], &(struct outcome){ 0 }),
		          BCRAWL_E_LIMIT);
	free(body);
}

/* The cap is one of an element, not of a page. */
static void test_many_elements(void **state)
{
	struct outcome out = { 0 };
	struct bci_page *p = bci_page_new(on_element, &out);
	char row[2100];

	(void)state;
	assert_non_null(p);
	assert_int_equal(bci_page_feed(p, "{\"d\":[{}", 8), 0);
	snprintf(row, sizeof(row), ",{\"id\":1,\"a\":\"%02000d\"}", 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(bci_page_feed(p, row, strlen(row)), 0);
	assert_int_equal(bci_page_feed(p, "]}", 2), 0);
	assert_int_equal(bci_page_finish(p), 0);
	assert_int_equal(out.elements, 2001);
	assert_int_equal(out.id_sum, 2000);
	bci_page_free(p);
}

/* Passed through as it is, for record.c to clean: a name is no reason to lose a device. */
static void test_invalid_utf8(void **state)
{
	static const char *const names[] = {
		"\xff", "\xc3", "a\xc3\x28z", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xc0\xaf", "\x80\x80",
		"f\xc3\xbcnf",
	};

	(void)state;
	for (size_t i = 0; i < LEN(names); i++) {
		char body[128];

		snprintf(body, sizeof(body), "{\"d\":[{\"id\":1,\"name\":\"%s\"},{\"id\":2}]}", names[i]);
		for (size_t k = 0; k < LEN(chunks); k++) {
			struct outcome out = { 0 };

			CHECK_INT(names[i], parse(body, strlen(body), chunks[k], &out), 0);
			CHECK_INT(names[i], out.elements, 2);
			CHECK_STR(names[i], out.name, names[i]);
		}
	}
}

static void test_callback_error(void **state)
{
	static const char body[] = "{\"d\":[{\"id\":1},{\"id\":2},{\"id\":3}]}";
	static const int codes[] = { BCRAWL_E_PROTOCOL, BCRAWL_E_SINK, BCRAWL_E_NOMEM };

	(void)state;
	for (size_t i = 0; i < LEN(codes); i++) {
		for (int at = 1; at <= 3; at++) {
			for (size_t k = 0; k < LEN(chunks); k++) {
				struct outcome out = { .refuse_at = at, .refuse_rc = codes[i] };

				assert_int_equal(parse(body, sizeof(body) - 1, chunks[k], &out), codes[i]);
				assert_int_equal(out.elements, at);
			}
		}
	}
}

/* One parser for one body after another, whatever the one before was. */
static void test_reset(void **state)
{
	static const struct {
		const char *body;
		int want;
		size_t elements;
	} cases[] = {
		{ "{\"d\":[{\"id\":1}]}", 0, 1 },
		{ "{\"d\":[{\"id\":1,\"a\":\"bro", BCRAWL_E_PROTOCOL, 0 },
		{ "{\"d\":[{\"id\":1},{\"id\":2}]}", 0, 2 },
		{ "{\"d\":[{\"id\":1,}", BCRAWL_E_PROTOCOL, 0 },
		{ "{\"d\":[]}", 0, 0 },
		{ "<html>", BCRAWL_E_PROTOCOL, 0 },
		{ "{\"d\":[{\"id\":1}]}", 0, 1 },
		{ "{\"d\":[{\"a\":[[[[", BCRAWL_E_PROTOCOL, 0 },
		{ "{\"d", BCRAWL_E_PROTOCOL, 0 },
		{ "{\"d\":[{\"id\":1}]}", 0, 1 },
	};

	(void)state;
	for (size_t k = 0; k < LEN(chunks); k++) {
		struct bci_page *p = bci_page_new(NULL, NULL);

		assert_non_null(p);
		for (size_t i = 0; i < LEN(cases); i++) {
			struct outcome out = { 0 };

			bci_page_reset(p, on_element, &out);
			CHECK_INT(cases[i].body, feed(p, cases[i].body, strlen(cases[i].body), chunks[k]),
			          cases[i].want);
			CHECK_INT(cases[i].body, out.elements, cases[i].elements);
		}
		bci_page_free(p);
	}
	bci_page_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_blank_in_name),
		cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_element_size),
		cmocka_unit_test(test_element_one_above),
		cmocka_unit_test(test_many_elements),
		cmocka_unit_test(test_invalid_utf8),
		cmocka_unit_test(test_callback_error),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
