/* SPDX-License-Identifier: MIT
 *
 * Tags as labels: which keys are taken, what they are called, and what of their values arrives. */
#include "fake_sink.h"
#include "limits.h"
#include "tags.h"
#include "unit.h"

#include <json-c/json.h>

#define K16 "a b c d e f g h i j k l m n o p"

static void test_parse(void **state)
{
	static const struct {
		const char *name, *keys;
		const char *want; /* "key=label key=label" */
	} cases[] = {
		{ "none", "", "" },
		{ "blanks", "  ", "" },
		{ "commas", " , ,", "" },
		{ "one", "site", "site=tag_site" },
		{ "blanks between", "site  env", "site=tag_site env=tag_env" },
		{ "commas between", "site,env", "site=tag_site env=tag_env" },
		{ "both, and around", " site , env,", "site=tag_site env=tag_env" },
		{ "their order is kept", "z a", "z=tag_z a=tag_a" },
		{ "upper case", "Site", "Site=tag_site" },
		{ "a hyphen", "asset-id", "asset-id=tag_asset_id" },
		{ "other characters", "a.b/c:d=e", "a.b/c:d=e=tag_a_b_c_d_e" },
		{ "digits", "0 9x", "0=tag_0 9x=tag_9x" },
		{ "an underscore", "_", "_=tag__" },
		{ "UTF-8: one for each byte", "\xc3\xbc" "x", "\xc3\xbc" "x=tag___x" },
		{ "quotes", "it's\"", "it's\"=tag_it_s_" },
		{ "as many as may be", K16, "a=tag_a b=tag_b c=tag_c d=tag_d e=tag_e f=tag_f g=tag_g h=tag_h "
		                            "i=tag_i j=tag_j k=tag_k l=tag_l m=tag_m n=tag_n o=tag_o p=tag_p" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_error e = { .size = sizeof(e) };
		struct bci_tags t;
		char got[512] = "";
		size_t used = 0;

		memset(&t, 0x55, sizeof(t));
		CHECK_INT(cases[i].name, bci_tags_parse(&t, cases[i].keys, &e), 0);
		for (size_t k = 0; k < t.n; k++)
			used += (size_t)snprintf(got + used, sizeof(got) - used, "%s%s=%s", k ? " " : "",
			                         t.rows[k].key, t.rows[k].label);
		CHECK_STR(cases[i].name, got, cases[i].want);
		CHECK_STR(cases[i].name, e.message, "");
		bci_tags_free(&t);
		CHECK_INT(cases[i].name, t.n, 0);
		bci_tags_free(&t);
	}
}

static void test_refused(void **state)
{
	static char longest[BCI_TAG_KEYS_BYTES_MAX + 1], longer[BCI_TAG_KEYS_BYTES_MAX + 2];
	const struct {
		const char *name, *keys;
		int rc;
		const char *says[3];
	} cases[] = {
		{ "too many", K16 " q", BCRAWL_E_CONFIG, { "more than 16 tags" } },
		{ "as long as may be", longest, 0, { NULL } },
		{ "too long", longer, BCRAWL_E_CONFIG, { "more than 300 bytes of tags" } },
		{ "twice", "site site", BCRAWL_E_CONFIG, { "\"site\"", "tag_site" } },
		{ "alike but for case", "site Site", BCRAWL_E_CONFIG, { "\"site\"", "\"Site\"", "tag_site" } },
		{ "alike but for a character", "x a-b y a.b", BCRAWL_E_CONFIG, { "\"a-b\"", "\"a.b\"", "tag_a_b" } },
		{ "not alike", "a-b a--b ab", 0, { NULL } },
	};

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	memset(longer, 'x', sizeof(longer) - 1);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_error e = { .size = sizeof(e) };
		struct bci_tags t;

		CHECK_INT(cases[i].name, bci_tags_parse(&t, cases[i].keys, &e), cases[i].rc);
		CHECK_INT(cases[i].name, e.code, cases[i].rc);
		for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
			CHECK(e.message, strstr(e.message, cases[i].says[k]) != NULL);
		bci_tags_free(&t);
		/* Nobody need ask why. */
		CHECK_INT(cases[i].name, bci_tags_parse(&t, cases[i].keys, NULL), cases[i].rc);
		bci_tags_free(&t);
	}
}

/* ---- values ---- */

#define SITE_ENV(site, env)                                                                        \
	"{\"t\":[{\"tag_key\":\"env\",\"value\":" env "},{\"tag_key\":\"site\",\"value\":" site "}]}"

/* In the order of the keys site and env; labels as a record shows them. */
static const struct {
	const char *name, *json;
	const char *site, *env;   /* as copied; "" is none */
	const char *labels;
} values[] = {
	{ "both", SITE_ENV("\"berlin\"", "\"prod\""), "berlin", "prod", ",tag_site=\"berlin\",tag_env=\"prod\"" },
	{ "one", "{\"t\":[{\"tag_key\":\"site\",\"value\":\"x\"}]}", "x", "", ",tag_site=\"x\"" },
	{ "none", "{\"t\":[]}", "", "", "" },
	{ "null", "{\"t\":null}", "", "", "" },
	{ "not there", "{\"u\":5}", "", "", "" },
	{ "no array", "{\"t\":\"x\"}", "", "", "" },
	{ "others", "{\"t\":[{\"tag_key\":\"Site\",\"value\":\"x\"},{\"tag_key\":\"sit\",\"value\":\"y\"}]}", "", "", "" },
	{ "empty", SITE_ENV("\"\"", "\"p\""), "", "p", ",tag_env=\"p\"" },
	{ "a number", SITE_ENV("5", "\"p\""), "", "p", ",tag_env=\"p\"" },
	{ "value null", SITE_ENV("null", "\"p\""), "", "p", ",tag_env=\"p\"" },
	{ "no value", "{\"t\":[{\"tag_key\":\"site\"},{\"tag_key\":\"env\",\"value\":\"p\"}]}", "", "p", ",tag_env=\"p\"" },
	{ "no key", "{\"t\":[{\"value\":\"x\"},{\"tag_key\":\"env\",\"value\":\"p\"}]}", "", "p", ",tag_env=\"p\"" },
	{ "a newline", SITE_ENV("\"a\\nb\"", "\"c\\td\""), "a\nb", "c\td", ",tag_site=\"a b\",tag_env=\"c d\"" },
	{ "quotes and backslash", SITE_ENV("\"a\\\"b\"", "\"c\\\\d'\""), "a\"b", "c\\d'",
	  ",tag_site=\"a\"b\",tag_env=\"c\\d'\"" },
	{ "UTF-8", SITE_ENV("\"B\\u00fcro\"", "\"\xf0\x9f\x9a\x80\""), "B\xc3\xbcro", "\xf0\x9f\x9a\x80",
	  ",tag_site=\"B\xc3\xbcro\",tag_env=\"\xf0\x9f\x9a\x80\"" },
	{ "comma, equals, hash", SITE_ENV("\"a,b=c\"", "\"#d e\""), "a,b=c", "#d e",
	  ",tag_site=\"a,b=c\",tag_env=\"#d e\"" },
	{ "a row that is none", "{\"t\":[5]}", "", "", "" },
};

struct env {
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	struct bci_record record;
	bool wanted[BCI_M__COUNT];
	struct bci_tags tags;
};

static void env_init(struct env *e, const char *keys)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->out = fake_sink_out(&e->sink, "@all", e->wanted, &e->stats);
	assert_int_equal(bci_tags_parse(&e->tags, keys, NULL), 0);
	bci_record_begin(&e->record, &e->out, BCRAWL_SCOPE_FLEET);
	bci_record_label(&e->record, "fleet", BCRAWL_ROLE_FLEET, "o/f");
}

static void check_labels(const char *name, struct env *e, const char *labels)
{
	char series[256];

	bci_record_value(&e->record, BCI_M_FLEET_INFO, 1);
	CHECK_INT(name, bci_record_end(&e->record), 0);
	snprintf(series, sizeof(series), "balena_fleet_info{fleet=\"o/f\"%s}", labels);
	CHECK_STR(name, e->sink.series[0].name, series);
	CHECK_INT(name, e->sink.n, 1);
}

static void env_fini(struct env *e)
{
	bci_tags_free(&e->tags);
	fake_sink_fini(&e->sink);
}

/* Straight from the row, and from a copy: the same. */
static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(values); i++) {
		struct json_object *o = json_tokener_parse(values[i].json);
		char **copy = NULL;
		struct env e;

		CHECK(values[i].name, o != NULL);
		env_init(&e, "site env");
		bci_tags_label(&e.tags, o, "t", &e.record);
		check_labels(values[i].name, &e, values[i].labels);
		env_fini(&e);

		env_init(&e, "site env");
		CHECK_INT(values[i].name, bci_tags_copy(&e.tags, o, "t", &copy), 0);
		json_object_put(o);
		CHECK_STR(values[i].name, copy[0], values[i].site);
		CHECK_STR(values[i].name, copy[1], values[i].env);
		CHECK(values[i].name, copy[2] == NULL);
		bci_tag_values_label(&e.tags, copy, &e.record);
		check_labels(values[i].name, &e, values[i].labels);
		bci_tag_values_free(copy);
		env_fini(&e);
	}
}

static void test_no_tags(void **state)
{
	struct json_object *o = json_tokener_parse(values[0].json);
	char *none = NULL, **copy = &none;
	struct env e;

	(void)state;
	env_init(&e, "");
	bci_tags_label(&e.tags, o, "t", &e.record);
	assert_int_equal(bci_tags_copy(&e.tags, o, "t", &copy), 0);
	assert_ptr_equal(copy, &none);
	bci_tag_values_label(&e.tags, NULL, &e.record);
	check_labels("none", &e, "");
	env_fini(&e);
	/* Tags are asked for, but the row was not read. */
	env_init(&e, "site");
	bci_tag_values_label(&e.tags, NULL, &e.record);
	check_labels("no values", &e, "");
	env_fini(&e);
	bci_tag_values_free(NULL);
	json_object_put(o);
}

/* A tag may have a megabyte: it is cut, and that is counted. */
static void test_long_value(void **state)
{
	struct json_object *o = json_object_new_object(), *rows = json_object_new_array(),
			   *row = json_object_new_object();
	char *text = malloc(100001), **copy = NULL;
	struct env e;

	(void)state;
	memset(text, 'x', 100000);
	text[100000] = '\0';
	json_object_object_add(row, "tag_key", json_object_new_string("site"));
	json_object_object_add(row, "value", json_object_new_string(text));
	json_object_array_add(rows, row);
	json_object_object_add(o, "t", rows);
	for (int copied = 0; copied < 2; copied++) {
		env_init(&e, "site");
		if (copied) {
			assert_int_equal(bci_tags_copy(&e.tags, o, "t", &copy), 0);
			assert_int_equal(strlen(copy[0]), BCI_TEXT_MAX);
			bci_tag_values_label(&e.tags, copy, &e.record);
			bci_tag_values_free(copy);
		} else {
			bci_tags_label(&e.tags, o, "t", &e.record);
		}
		assert_int_equal(e.record.sample.label_count, 2);
		assert_int_equal(strlen(e.record.labels[1].value), BCI_LABEL_VALUE_MAX);
		assert_int_equal(e.stats.rejected[BCI_REJECT_TOO_LONG], 1);
		env_fini(&e);
	}
	free(text);
	json_object_put(o);
}

/* Sixteen of them, and the labels beside, have room in a record. */
static void test_all_fit(void **state)
{
	static const char keys[] = K16;
	struct env e;

	(void)state;
	assert_true(BCI_TAGS_MAX + 9 <= BCRAWL_LABELS_MAX);
	env_init(&e, keys);
	assert_int_equal(e.tags.n, BCI_TAGS_MAX);
	env_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_no_tags),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_all_fit),
	};

	return cmocka_run_group_tests_name("tags", tests, NULL, NULL);
}
