/* SPDX-License-Identifier: MIT
 *
 * Typed reads from JSON objects, and the expiry of session tokens. */
#include "crawl.h"
#include "json.h"
#include "unit.h"

#include <json-c/json.h>

#define ABSENT BCI_JSON_ABSENT
#define GOOD BCI_JSON_OK
#define TYPE BCI_JSON_TYPE

static struct json_object *member(const char *value)
{
	char text[512];
	struct json_object *o;

	snprintf(text, sizeof(text), value ? "{\"z\":1,\"v\":%s}" : "{\"z\":1}", value);
	o = json_tokener_parse(text);
	CHECK(text, o != NULL);
	return o;
}

static void test_number(void **state)
{
	static const struct {
		const char *value;
		enum bci_json rc;
		double want;
	} cases[] = {
		{ NULL, ABSENT, 42 },     { "null", ABSENT, 42 },   { "0", GOOD, 0 },
		{ "-12", GOOD, -12 },     { "2.5", GOOD, 2.5 },     { "1e3", GOOD, 1000 },
		{ "2147483648", GOOD, 2147483648.0 }, { "\"5\"", TYPE, 42 }, { "true", TYPE, 42 },
		{ "{}", TYPE, 42 },       { "[]", TYPE, 42 },       { "[1]", TYPE, 42 },
		{ "NaN", TYPE, 42 },      { "Infinity", TYPE, 42 }, { "-Infinity", TYPE, 42 },
		{ "1e999", TYPE, 42 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);
		double got = 42;

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_number(o, "v", &got), cases[i].rc);
		CHECK_NUM(cases[i].value ? cases[i].value : "missing", got, cases[i].want);
		json_object_put(o);
	}
}

static void test_id(void **state)
{
	static const struct {
		const char *value;
		enum bci_json rc;
		int64_t want;
	} cases[] = {
		{ NULL, ABSENT, 42 },      { "null", ABSENT, 42 },    { "0", GOOD, 0 },
		{ "1", GOOD, 1 },          { "2147483648", GOOD, INT64_C(2147483648) },
		{ "9007199254740991", GOOD, BCI_ID_MAX },
		{ "9007199254740992", TYPE, 42 },
		{ "9223372036854775806", TYPE, 42 },
		{ "9223372036854775807", TYPE, 42 },
		{ "9223372036854775808", TYPE, 42 },
		{ "18446744073709551615", TYPE, 42 },
		{ "99999999999999999999999", TYPE, 42 },
		{ "-1", TYPE, 42 },        { "1.0", TYPE, 42 },       { "1e3", TYPE, 42 },
		{ "\"1\"", TYPE, 42 },     { "true", TYPE, 42 },      { "{\"__id\":1}", TYPE, 42 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);
		int64_t got = 42;

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_id(o, "v", &got), cases[i].rc);
		CHECK_INT(cases[i].value ? cases[i].value : "missing", got, cases[i].want);
		json_object_put(o);
	}
}

static void test_bool(void **state)
{
	static const struct {
		const char *value;
		enum bci_json rc;
		bool want;
	} cases[] = {
		{ NULL, ABSENT, true }, { "null", ABSENT, true },    { "true", GOOD, true },
		{ "false", GOOD, false }, { "0", TYPE, true },       { "1", TYPE, true },
		{ "\"true\"", TYPE, true }, { "[]", TYPE, true },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);
		bool got = true;

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_bool(o, "v", &got), cases[i].rc);
		CHECK_INT(cases[i].value ? cases[i].value : "missing", got, cases[i].want);
		json_object_put(o);
	}
}

static void test_text(void **state)
{
	static const struct {
		const char *value;
		enum bci_json rc;
		const char *want;
	} cases[] = {
		{ NULL, ABSENT, NULL },       { "null", ABSENT, NULL }, { "\"\"", ABSENT, NULL },
		{ "\"a\"", GOOD, "a" },       { "\" \"", GOOD, " " },   { "\"null\"", GOOD, "null" },
		{ "\"\\u00fc\\n\"", GOOD, "\xc3\xbc\n" },
		{ "5", TYPE, NULL },          { "false", TYPE, NULL },  { "{}", TYPE, NULL },
		{ "[\"a\"]", TYPE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);
		const char *got = NULL;

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_text(o, "v", &got), cases[i].rc);
		CHECK_STR(cases[i].value ? cases[i].value : "missing", got, cases[i].want);
		json_object_put(o);
	}
}

/* A text that C would cut at a zero byte is not handed out as if it were whole. */
static void test_text_with_zero(void **state)
{
	static const char *const cases[] = { "\"\\u0000\"", "\"\\u0000abc\"", "\"abc\\u0000\"", "\"a\\u0000b\"" };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i]);
		const char *got = NULL;

		CHECK_INT(cases[i], bci_json_text(o, "v", &got), TYPE);
		CHECK_STR(cases[i], got, NULL);
		json_object_put(o);
	}
}

static void test_ref(void **state)
{
	static const struct {
		const char *value;
		enum bci_json rc;
		int64_t want;
	} cases[] = {
		{ NULL, ABSENT, 42 },
		{ "null", ABSENT, 42 },
		{ "[]", ABSENT, 42 },
		{ "{\"__id\":3}", GOOD, 3 },
		{ "[{\"id\":3}]", GOOD, 3 },
		{ "[{\"commit\":\"a\",\"id\":3}]", GOOD, 3 },
		{ "3", TYPE, 42 },
		{ "\"3\"", TYPE, 42 },
		{ "{}", TYPE, 42 },
		{ "{\"id\":3}", TYPE, 42 },
		{ "{\"__id\":null}", TYPE, 42 },
		{ "{\"__id\":\"3\"}", TYPE, 42 },
		{ "{\"__id\":-3}", TYPE, 42 },
		{ "[{}]", TYPE, 42 },
		{ "[{\"__id\":3}]", TYPE, 42 },
		{ "[3]", TYPE, 42 },
		{ "[null]", TYPE, 42 },
		{ "[{\"id\":3},{\"id\":4}]", TYPE, 42 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);
		int64_t got = 42;

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_ref(o, "v", &got), cases[i].rc);
		CHECK_INT(cases[i].value ? cases[i].value : "missing", got, cases[i].want);
		json_object_put(o);
	}
}

static void test_expanded(void **state)
{
	static const struct {
		const char *value;
		bool there;
	} cases[] = {
		{ NULL, false },  { "null", false }, { "[]", false },        { "[{}]", true },
		{ "{}", false },  { "[1]", false },  { "[null]", false },    { "[{},{}]", false },
		{ "\"a\"", false }, { "[{\"slug\":\"x\"}]", true },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_object *o = member(cases[i].value);

		CHECK_INT(cases[i].value ? cases[i].value : "missing", bci_json_expanded(o, "v") != NULL,
		          cases[i].there);
		json_object_put(o);
	}
}

/* Rows of an expanded to-many reference. */
static void test_rows(void **state)
{
	static const struct {
		const char *value;
		size_t count;
		const char *there; /* for each row: 1 if it is an object */
	} cases[] = {
		{ NULL, 0, "" },        { "null", 0, "" },     { "[]", 0, "" },    { "{}", 0, "" },
		{ "\"ab\"", 0, "" },    { "5", 0, "" },        { "[{}]", 1, "1" }, { "[{},{}]", 2, "11" },
		{ "[1,{},null]", 3, "010" }, { "[[],{}]", 2, "01" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *name = cases[i].value ? cases[i].value : "missing";
		struct json_object *o = member(cases[i].value);

		CHECK_INT(name, bci_json_row_count(o, "v"), cases[i].count);
		for (size_t k = 0; k < cases[i].count; k++)
			CHECK_INT(name, bci_json_row(o, "v", k) != NULL, cases[i].there[k] == '1');
		CHECK(name, bci_json_row(o, "v", cases[i].count) == NULL);
		CHECK(name, bci_json_row(o, "v", SIZE_MAX) == NULL);
		json_object_put(o);
	}
}

/* The middle parts were made with base64 and are given in the comments. */
static void test_jwt(void **state)
{
	static const struct {
		const char *name, *token;
		double want;
	} cases[] = {
		/* {"id":2,"exp":1795414724} */
		{ "a session token", "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MiwiZXhwIjoxNzk1NDE0NzI0fQ.sig", 1795414724 },
		/* {"exp":1795414724,"n":"x??>>"}: its base64 has - and _ */
		{ "with url characters", "h.eyJleHAiOjE3OTU0MTQ3MjQsIm4iOiJ4Pz8-Pn5_In0.s", 1795414724 },
		{ "no signature", "h.eyJpZCI6MiwiZXhwIjoxNzk1NDE0NzI0fQ.", 1795414724 },
		/* {"id":2} */
		{ "no expiry", "h.eyJpZCI6Mn0.s", (double)NAN },
		/* {"exp":"1795414724"} */
		{ "expiry as text", "h.eyJleHAiOiIxNzk1NDE0NzI0In0.s", (double)NAN },
		/* {"exp":null} */
		{ "expiry null", "h.eyJleHAiOm51bGx9.s", (double)NAN },
		/* {"exp":1e308}, {"exp":-5}: no times, which the core's date range ends at */
		{ "far beyond all dates", "h.eyJleHAiOjFlMzA4fQ.s", (double)NAN },
		{ "before the epoch", "h.eyJleHAiOi01fQ.s", (double)NAN },
		/* [1] */
		{ "an array", "h.WzFd.s", (double)NAN },
		{ "padding is not of this alphabet", "h.eyJpZCI6MiwiZXhwIjoxNzk1NDE0NzI0fQ==.s", (double)NAN },
		{ "the other alphabet", "h.eyJleHAiOjE3OTU0MTQ3MjQsIm4iOiJ4Pz8+Pn5/In0.s", (double)NAN },
		{ "cut", "h.eyJpZCI6MiwiZXhwIjoxNzk1.s", (double)NAN },
		{ "an API key", "0123456789abcdef0123456789abcdef", (double)NAN },
		{ "one dot", "h.eyJpZCI6MiwiZXhwIjoxNzk1NDE0NzI0fQ", (double)NAN },
		{ "dots only", "..", (double)NAN },
		{ "empty", "", (double)NAN },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_NUM(cases[i].name, bci_jwt_expiry(cases[i].token), cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_with_zero),
		cmocka_unit_test(test_ref),
		cmocka_unit_test(test_expanded),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_jwt),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
