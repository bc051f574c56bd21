/* SPDX-License-Identifier: MIT
 *
 * What the collectd agent derives from the real tables, without a collectd: identities (the rules,
 * the cuts, every metric of the catalogue), and the sample configuration that it is shipped with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "map.h"

#define ACCOUNT(v)                                                                                 \
	{                                                                                          \
		"account", v, BCRAWL_ROLE_ACCOUNT                                                  \
	}
#define FLEET(v)                                                                                   \
	{                                                                                          \
		"fleet", v, BCRAWL_ROLE_FLEET                                                      \
	}
#define DEVICE(v)                                                                                  \
	{                                                                                          \
		"device_uuid", v, BCRAWL_ROLE_DEVICE                                               \
	}
#define NAME(v)                                                                                    \
	{                                                                                          \
		"device_name", v, BCRAWL_ROLE_DISPLAY_NAME                                         \
	}
#define OTHER(n, v)                                                                                \
	{                                                                                          \
		n, v, BCRAWL_ROLE_OTHER                                                            \
	}

#define CRAWL   BCRAWL_SCOPE_CRAWL
#define GROUP   BCRAWL_SCOPE_FLEET
#define THING   BCRAWL_SCOPE_DEVICE
#define SERVICE BCRAWL_SCOPE_SERVICE

#define NAME_MAX_BYTES (BALENA_NAME_SIZE - 1)
#define HASH_DIGITS    8

/* 10, 100 bytes: for names around the limit. */
#define TEN     "abcdefghij"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static size_t count_labels(const struct bcrawl_label *labels)
{
	size_t n = 0;

	while (labels[n].name)
		n++;
	return n;
}

static const char *map(enum bcrawl_scope scope, const struct bcrawl_label *labels,
		       struct balena_id *id)
{
	struct bcrawl_sample s = {
		.scope = scope, .labels = labels, .label_count = count_labels(labels)};

	return balena_map_record(&s, id);
}

static void test_places(void **state)
{
	static const struct {
		enum bcrawl_scope scope;
		struct bcrawl_label labels[8];
		const char *host, *plugin_instance, *type_instance;
	} cases[] = {
		/* plugin instances */
		{CRAWL, {ACCOUNT("main")}, "", "main", ""},
		{GROUP, {FLEET("acme/gw")}, "", "acme:gw", ""},
		{GROUP, {FLEET("none")}, "", "none", ""},
		{GROUP, {FLEET("acme/gw"), ACCOUNT("main")}, "", "main:acme:gw", ""},
		{GROUP, {ACCOUNT("main"), FLEET("none")}, "", "main::none", ""},
		{THING, {FLEET("acme/gw"), DEVICE("6b3f")}, "6b3f", "acme:gw", ""},
		{THING, {FLEET("none"), DEVICE("6b3f")}, "6b3f", "none", ""},
		{THING, {ACCOUNT("m"), FLEET("acme/gw"), DEVICE("6b3f")}, "6b3f", "m:acme:gw", ""},
		{THING, {ACCOUNT("m"), FLEET("none"), DEVICE("6b3f")}, "6b3f", "m::none", ""},
		{SERVICE,
		 {FLEET("acme/gw"), DEVICE("6b3f"), OTHER("service_name", "main")},
		 "6b3f",
		 "acme:gw",
		 "main"},
		/* a host of a wider scope is the daemon, whatever the labels say */
		{GROUP, {FLEET("acme/gw"), DEVICE("6b3f")}, "", "acme:gw", ""},
		/* type instances */
		{CRAWL, {ACCOUNT("main"), OTHER("result", "ok")}, "", "main", "ok"},
		{GROUP, {FLEET("a/b"), OTHER("status", "idle")}, "", "a:b", "idle"},
		{GROUP, {FLEET("a/b"), OTHER("s", "main"), OTHER("t", "Up")}, "", "a:b", "main:Up"},
		{GROUP, {OTHER("s", "main"), FLEET("a/b"), OTHER("t", "Up")}, "", "a:b", "main:Up"},
		{GROUP, {FLEET("a/b"), OTHER("x", "1"), NAME("Gateways")}, "", "a:b", "Gateways"},
		{THING,
		 {FLEET("a/b"), DEVICE("d"), NAME("J\xC3\xB6rg \xF0\x9F\x9A\x80"), OTHER("o", "1")},
		 "d",
		 "a:b",
		 "J\xC3\xB6rg \xF0\x9F\x9A\x80"},
		{GROUP, {FLEET("none"), OTHER("release", "none")}, "", "none", "none"},
		/* '/' elsewhere: collectd's own '_', but nothing is dropped */
		{GROUP, {FLEET("a/b"), OTHER("release", "1.0/x")}, "", "a:b", "1.0_x"},
		{GROUP, {FLEET("a/b"), OTHER("release", "/x")}, "", "a:b", "_x"},
		{GROUP, {FLEET("a/b"), OTHER("release", "/")}, "", "a:b", "_"},
		{THING, {FLEET("a/b"), DEVICE("/d")}, "_d", "a:b", ""},
		{GROUP, {FLEET("/b")}, "", ":b", ""},
		{GROUP, {FLEET("a/b/c")}, "", "a:b:c", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct balena_id id;

		print_message("case %zu: %s|%s|%s\n", i, cases[i].host, cases[i].plugin_instance,
			      cases[i].type_instance);
		assert_null(map(cases[i].scope, cases[i].labels, &id));
		assert_string_equal(id.host, cases[i].host);
		assert_string_equal(id.plugin_instance, cases[i].plugin_instance);
		assert_string_equal(id.type_instance, cases[i].type_instance);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *why;
		enum bcrawl_scope scope;
		struct bcrawl_label labels[4];
	} cases[] = {
		{"the record names no account", CRAWL, {FLEET("a/b")}},
		{"the record names no account", CRAWL, {ACCOUNT("")}},
		{"the record names no fleet", GROUP, {ACCOUNT("main")}},
		{"the record names no fleet", THING, {DEVICE("d")}},
		{"the record names no fleet", GROUP, {FLEET("")}},
		{"the record names no device", THING, {FLEET("a/b")}},
		{"the record names no device", SERVICE, {FLEET("a/b"), DEVICE("")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/\xFF")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "half \xC3")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xC0\xAF")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xE0\x80\x80")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xED\xA0\x80")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xF4\x90\x80\x80")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xF8\x88\x80\x80\x80")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\x80")}},
		{"a label is not UTF-8", GROUP, {FLEET("a/b"), OTHER("x", "\xE2\x82")}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct balena_id id;
		const char *why = map(cases[i].scope, cases[i].labels, &id);

		print_message("case %zu: %s\n", i, cases[i].why);
		assert_non_null(why);
		assert_string_equal(why, cases[i].why);
	}
}

static void map_name(const char *name, struct balena_id *id)
{
	struct bcrawl_label labels[] = {FLEET("a/b"), DEVICE("d"), NAME(name), {0}};

	assert_null(map(THING, labels, id));
}

static bool is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") == strlen(s);
}

static void test_names_that_just_fit_are_kept(void **state)
{
	static const char fits[] = HUNDRED TEN TEN "1234567";
	static const char over[] = HUNDRED TEN TEN "12345678";
	struct balena_id id;

	(void)state;
	assert_int_equal(strlen(fits), NAME_MAX_BYTES);
	map_name(fits, &id);
	assert_string_equal(id.type_instance, fits);
	map_name(over, &id);
	assert_int_equal(strlen(id.type_instance), NAME_MAX_BYTES);
	assert_memory_equal(id.type_instance, over, NAME_MAX_BYTES - HASH_DIGITS);
	assert_true(is_hex(id.type_instance + NAME_MAX_BYTES - HASH_DIGITS));
}

/* A character of every length, at every place around the cut. */
static void test_cuts_are_between_characters(void **state)
{
	static const char *const characters[] = {"x", "\xC3\xA4", "\xE2\x82\xAC",
						 "\xF0\x9F\x9A\x80"};

	(void)state;
	for (size_t c = 0; c < sizeof(characters) / sizeof(characters[0]); c++) {
		size_t width = strlen(characters[c]);

		for (size_t lead = 0; lead < 4; lead++) {
			char name[600] = "";
			struct balena_id id;
			size_t kept;

			memset(name, 'a', lead);
			for (int i = 0; i < 128; i++)
				memcpy(name + strlen(name), characters[c], width);
			map_name(name, &id);
			kept = strlen(id.type_instance) - HASH_DIGITS;
			assert_true(kept <= NAME_MAX_BYTES - HASH_DIGITS);
			assert_true(kept > NAME_MAX_BYTES - HASH_DIGITS - width);
			assert_int_equal((kept - lead) % width, 0);
			assert_memory_equal(id.type_instance, name, kept);
			assert_true(is_hex(id.type_instance + kept));
		}
	}
}

static void test_long_inputs_stay_distinct(void **state)
{
	static const char *const slugs[] = {
		"acme/" HUNDRED TEN TEN TEN "1",  "acme/" HUNDRED TEN TEN TEN "2",
		"acme/" HUNDRED TEN TEN TEN "21", "acme/" HUNDRED TEN TEN TEN HUNDRED,
		"acme/" HUNDRED TEN TEN TEN,
	};
	static const char *const versions[] = {
		HUNDRED TEN TEN TEN "a/b",
		HUNDRED TEN TEN TEN "a_b",
		HUNDRED TEN TEN TEN "a:b",
	};
	struct balena_id ids[5], names[3];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct bcrawl_label labels[] = {FLEET(slugs[i]), {0}};

		assert_null(map(GROUP, labels, &ids[i]));
		assert_int_equal(strlen(ids[i].plugin_instance), NAME_MAX_BYTES);
		assert_memory_equal(ids[i].plugin_instance, "acme:", 5);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(ids[i].plugin_instance, ids[k].plugin_instance);
	}
	for (size_t i = 0; i < 3; i++) {
		map_name(versions[i], &names[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(names[i].type_instance, names[k].type_instance);
	}
}

/* All that a record may hold fits; more is refused, not cut. */
static void test_the_largest_record(void **state)
{
	static char value[BCRAWL_LABEL_BYTES_MAX + 200];
	struct bcrawl_label labels[BCRAWL_LABELS_MAX + 1] = {FLEET("a/b")};
	struct balena_id id;

	(void)state;
	for (size_t i = 1; i < BCRAWL_LABELS_MAX; i++)
		labels[i] = (struct bcrawl_label)OTHER("x", TEN TEN TEN TEN TEN "12345678");
	assert_null(map(GROUP, labels, &id));
	assert_int_equal(strlen(id.type_instance), NAME_MAX_BYTES);

	memset(value, 'v', sizeof(value) - 1);
	labels[1].value = value;
	assert_non_null(map(GROUP, labels, &id));
	labels[0].value = value;
	assert_non_null(map(GROUP, labels, &id));
}

static void test_type_rules(void **state)
{
	static const struct {
		const char *name, *type; /* NULL: refused */
		enum bcrawl_kind kind;
	} cases[] = {
		{"balena_device_up", "device_up", BCRAWL_GAUGE},
		{"balena_devices_online", "devices_online", BCRAWL_GAUGE},
		{"balena_api_requests_total", "api_requests", BCRAWL_COUNTER},
		{"balena_device_total", "device_total", BCRAWL_GAUGE},
		{"balena_total_things", "total_things", BCRAWL_COUNTER},
		{"other_thing", "other_thing", BCRAWL_GAUGE},
		{"balena_device-up", NULL, BCRAWL_GAUGE},
		{"balena_device.up", NULL, BCRAWL_GAUGE},
		{"balena_device_Up", NULL, BCRAWL_GAUGE},
		{"balena_", NULL, BCRAWL_GAUGE},
		{"balena_total", NULL, BCRAWL_COUNTER},
		{"balena_" HUNDRED TEN TEN "1234567", HUNDRED TEN TEN "1234567", BCRAWL_GAUGE},
		{"balena_" HUNDRED TEN TEN "12345678", NULL, BCRAWL_GAUGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bcrawl_metric m = {.name = cases[i].name, .kind = cases[i].kind};
		char type[BALENA_NAME_SIZE];
		const char *why = balena_map_type(&m, type);

		print_message("case %zu: %s\n", i, cases[i].name);
		if (cases[i].type) {
			assert_null(why);
			assert_string_equal(type, cases[i].type);
		} else {
			assert_non_null(why);
		}
	}
}

/* Types are one flat space in collectd: each metric needs one of its own, and Prometheus must find
 * the metric's own name again behind write_prometheus. */
static void test_the_catalogue(void **state)
{
	static char types[256][BALENA_NAME_SIZE];
	const struct bcrawl_metric *m;
	size_t n = 0;

	(void)state;
	for (; (m = bcrawl_metric_at(n)); n++) {
		char again[2 * BALENA_NAME_SIZE];

		assert_true(n < 256);
		assert_null(balena_map_type(m, types[n]));
		assert_true(*types[n]);
		assert_int_equal(strspn(types[n], "abcdefghijklmnopqrstuvwxyz0123456789_"),
				 strlen(types[n]));
		for (size_t k = 0; k < n; k++)
			assert_string_not_equal(types[k], types[n]);
		snprintf(again, sizeof(again), "%s_%s%s", BALENA_PLUGIN, types[n],
			 m->kind == BCRAWL_COUNTER ? "_total" : "");
		assert_string_equal(again, m->name);
	}
	assert_true(n > 0);
	assert_int_equal(strcspn(BALENA_PLUGIN, "-."), strlen(BALENA_PLUGIN));
}

static const char *read_sample(void)
{
	static char text[32768];
	FILE *f = fopen(SAMPLE_CONF, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* What an option's first line in the sample should give: the agent's own default for metrics. */
static const char *sample_default(const struct bcrawl_option *o)
{
	static char lean[32];

	snprintf(lean, sizeof(lean), "@%s", bcrawl_set_name(BCRAWL_SET_LEAN));
	return o == bcrawl_option_find(BCRAWL_KEY_METRICS) ? lean : o->dflt;
}

/* Each option is there with the table's own words, and its first line gives the default. */
static void check_sample_option(const char *sample, const struct bcrawl_option *o)
{
	char prose[512], key[64], value[128];
	const char *line;
	const struct bcrawl_option *found;

	snprintf(prose, sizeof(prose), "## %s\n## Allowed: %s.\n", o->help, o->range);
	line = strstr(sample, prose);
	if (!line)
		fail_msg("not in the sample:\n%s", prose);
	line = strstr(line, "\n#    ");
	assert_non_null(line);
	assert_int_equal(sscanf(line, "\n# %63s %127[^\n]", key, value), 2);
	found = bcrawl_option_find(key);
	if (found != o)
		fail_msg("%s stands where %s should", key, o->key);
	if (value[0] == '"') {
		memmove(value, value + 1, strlen(value));
		value[strcspn(value, "\"")] = '\0';
	}
	if (*o->dflt)
		assert_string_equal(value, sample_default(o));
}

static void test_the_sample_configuration(void **state)
{
	const struct bcrawl_option *no_line[] = {bcrawl_option_find(BCRAWL_KEY_ACCOUNT),
						 bcrawl_option_find(BCRAWL_KEY_MIN_INTERVAL)};
	const char *sample = read_sample();
	const struct bcrawl_option *o;
	char key[64];

	(void)state;
	for (size_t i = 0; (o = bcrawl_option_at(i)); i++) {
		if (o != no_line[0] && o != no_line[1])
			check_sample_option(sample, o);
	}
	for (const char *line = strstr(sample, "\n#    "); line;
	     line = strstr(line + 1, "\n#    ")) {
		assert_int_equal(sscanf(line, "\n# %63s", key), 1);
		if (!bcrawl_option_find(key) && strcmp(key, "Environment") != 0)
			fail_msg("%s is no option", key);
	}
	/* Shipped inactive: a plugin that is not there keeps the daemon from starting. */
	for (const char *line = sample; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		assert_true(*line == '#' || *line == '\n' || *line == '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_names_that_just_fit_are_kept),
		cmocka_unit_test(test_cuts_are_between_characters),
		cmocka_unit_test(test_long_inputs_stay_distinct),
		cmocka_unit_test(test_the_largest_record),
		cmocka_unit_test(test_type_rules),
		cmocka_unit_test(test_the_catalogue),
		cmocka_unit_test(test_the_sample_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
