/* SPDX-License-Identifier: MIT
 *
 * The fleet list: rows, choice, counts, and what is emitted of it. */
#include "fake_sink.h"
#include "fleet.h"
#include "limits.h"
#include "unit.h"

#include <json-c/json.h>

static const struct bci_tags no_tags;

static int add_tagged(struct bci_fleets *fs, const char *text, const struct bci_tags *tags,
                      struct bci_stats *stats)
{
	struct json_object *o = json_tokener_parse(text);
	int rc;

	CHECK(text, o != NULL);
	rc = bci_fleets_add(fs, o, tags, stats);
	json_object_put(o);
	return rc;
}

static int add(struct bci_fleets *fs, const char *text, struct bci_stats *stats)
{
	return add_tagged(fs, text, &no_tags, stats);
}

#define FULL                                                                                       \
	"{\"organization\":[{\"handle\":\"acme\"}],\"is_for__device_type\":[{\"slug\":\"intel-nuc\"}],"  \
	"\"should_be_running__release\":[{\"id\":2,\"commit\":\"c0ffee\",\"raw_version\":\"1.1.0\","    \
	"\"created_at\":\"1970-01-01T00:01:00.500Z\"}],\"owns__device\":19,\"id\":7,"                   \
	"\"app_name\":\"Gateways\",\"slug\":\"acme/gw\",\"should_track_latest_release\":true}"

static void test_row(void **state)
{
	struct bci_fleets fs = { 0 };
	struct bci_stats stats = { 0 };
	const struct bci_fleet *f;

	(void)state;
	assert_int_equal(add(&fs, FULL, &stats), 0);
	assert_int_equal(fs.n, 1);
	f = bci_fleets_find(&fs, 7);
	assert_non_null(f);
	assert_string_equal(f->slug, "acme/gw");
	assert_string_equal(f->name, "Gateways");
	assert_string_equal(f->organization, "acme");
	assert_string_equal(f->device_type, "intel-nuc");
	assert_string_equal(f->target, "1.1.0");
	assert_int_equal(f->target_id, 2);
	assert_int_equal(f->latest_status, -1);
	assert_null(f->tags);
	CHECK_NUM("created", f->target_created, 60.5);
	assert_int_equal(f->tracks_latest, 1);
	assert_int_equal(f->counted[BCI_COUNT_ALL], 19);
	for (enum bci_count k = BCI_COUNT_ONLINE; k <= BCI_COUNT_INACTIVE; k++)
		assert_int_equal(f->counted[k], -1);
	assert_false(f->read);
	assert_int_equal(f->tally.devices, 0);
	for (size_t i = 0; i < BCI_REJECT__COUNT; i++)
		assert_int_equal(stats.rejected[i], 0);
	bci_fleets_free(&fs);
	assert_null(bci_fleets_find(&fs, 7));
}

static void test_sparse_rows(void **state)
{
	static const struct {
		const char *name, *members;
		const char *target;
		double created;
		int tracks;
		uint64_t rejected;
	} cases[] = {
		{ "least", "\"x\":1", NULL, (double)NAN, -1, 0 },
		{ "no target", "\"should_be_running__release\":[]", NULL, (double)NAN, -1, 0 },
		{ "target null", "\"should_be_running__release\":null", NULL, (double)NAN, -1, 0 },
		{ "commit", "\"should_be_running__release\":[{\"commit\":\"c\",\"raw_version\":null}]", "c",
		  (double)NAN, -1, 0 },
		{ "bad date", "\"should_be_running__release\":[{\"raw_version\":\"1\",\"created_at\":\"soon\"}]",
		  "1", (double)NAN, -1, 1 },
		{ "names are no text", "\"app_name\":5,\"organization\":[{\"handle\":{}}]", NULL, (double)NAN, -1, 2 },
		{ "tracks not", "\"should_track_latest_release\":false", NULL, (double)NAN, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_fleets fs = { 0 };
		struct bci_stats stats = { 0 };
		char text[512];

		snprintf(text, sizeof(text), "{\"id\":1,\"slug\":\"a/b\",\"owns__device\":0,%s}", cases[i].members);
		CHECK_INT(cases[i].name, add(&fs, text, &stats), 0);
		CHECK_STR(cases[i].name, fs.rows[0].target, cases[i].target);
		CHECK_NUM(cases[i].name, fs.rows[0].target_created, cases[i].created);
		CHECK_INT(cases[i].name, fs.rows[0].tracks_latest, cases[i].tracks);
		CHECK_INT(cases[i].name, stats.rejected[BCI_REJECT_TYPE], cases[i].rejected);
		bci_fleets_free(&fs);
	}
}

static void test_bad_rows(void **state)
{
	static const char *const cases[] = {
		"{}",
		"{\"slug\":\"a/b\",\"owns__device\":0}",
		"{\"id\":0,\"slug\":\"a/b\",\"owns__device\":0}",
		"{\"id\":-1,\"slug\":\"a/b\",\"owns__device\":0}",
		"{\"id\":\"9\",\"slug\":\"a/b\",\"owns__device\":0}",
		"{\"id\":9,\"owns__device\":0}",
		"{\"id\":9,\"slug\":null,\"owns__device\":0}",
		"{\"id\":9,\"slug\":\"\",\"owns__device\":0}",
		"{\"id\":9,\"slug\":5,\"owns__device\":0}",
		"{\"id\":9,\"slug\":\"a/b\"}",
		"{\"id\":9,\"slug\":\"a/b\",\"owns__device\":null}",
		"{\"id\":9,\"slug\":\"a/b\",\"owns__device\":-1}",
		"{\"id\":9,\"slug\":\"a/b\",\"owns__device\":\"1\"}",
		"{\"id\":9,\"slug\":\"a/b\",\"owns__device\":[]}",
		/* not above 7 */
		"{\"id\":7,\"slug\":\"a/b\",\"owns__device\":0}",
		"{\"id\":6,\"slug\":\"a/b\",\"owns__device\":0}",
	};
	struct bci_fleets fs = { 0 };
	struct bci_stats stats = { 0 };

	(void)state;
	assert_int_equal(add(&fs, FULL, &stats), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_INT(cases[i], add(&fs, cases[i], &stats), BCRAWL_E_PROTOCOL);
		CHECK_INT(cases[i], fs.n, 1);
	}
	assert_int_equal(add(&fs, "{\"id\":8,\"slug\":\"a/b\",\"owns__device\":0}", &stats), 0);
	bci_fleets_free(&fs);
}

static void fill(struct bci_fleets *fs, int n)
{
	struct bci_stats stats = { 0 };

	for (int i = 1; i <= n; i++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"id\":%d,\"slug\":\"org/f%d\",\"owns__device\":%d}", 10 * i, i, i);
		assert_int_equal(add(fs, text, &stats), 0);
	}
}

static void test_find(void **state)
{
	struct bci_fleets fs = { 0 };

	(void)state;
	assert_null(bci_fleets_find(&fs, 1));
	fill(&fs, 100);
	for (int id = 0; id <= 1010; id++) {
		const struct bci_fleet *f = bci_fleets_find(&fs, id);

		if (id % 10 || id == 0 || id > 1000)
			assert_null(f);
		else
			assert_int_equal(f->id, id);
	}
	bci_fleets_clear(&fs);
	assert_null(bci_fleets_find(&fs, 10));
	fill(&fs, 3);
	assert_int_equal(fs.n, 3);
	bci_fleets_free(&fs);
}

static void test_limit(void **state)
{
	struct json_object *o = json_tokener_parse("{\"id\":1,\"slug\":\"a/b\",\"owns__device\":0}"), *id = NULL;
	struct bci_fleets fs = { 0 };
	struct bci_stats stats = { 0 };

	(void)state;
	assert_true(json_object_object_get_ex(o, "id", &id));
	for (int i = 1; i <= BCI_FLEETS_MAX; i++) {
		json_object_set_int64(id, i);
		assert_int_equal(bci_fleets_add(&fs, o, &no_tags, &stats), 0);
	}
	json_object_set_int64(id, BCI_FLEETS_MAX + 1);
	assert_int_equal(bci_fleets_add(&fs, o, &no_tags, &stats), BCRAWL_E_LIMIT);
	assert_int_equal(fs.n, BCI_FLEETS_MAX);
	bci_fleets_free(&fs);
	json_object_put(o);
}

static bool is_held(void *selection, const struct bci_fleet *f)
{
	return bci_selection_holds(selection, f);
}

static void test_select(void **state)
{
	static const struct {
		const char *include, *exclude;
		int64_t ids[5]; /* those left, then 0 */
	} cases[] = {
		{ "*", "", { 10, 20, 30, 40 } },
		{ "org/f2", "", { 20 } },
		{ "org/f[13] org/f4", "", { 10, 30, 40 } },
		{ "*", "org/f2,org/f3", { 10, 40 } },
		{ "*", "*", { 0 } },
		{ "other/*", "", { 0 } },
		{ "org/f1", "org/f1", { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_fleets fs = { 0 };
		size_t n = 0;

		fill(&fs, 4);
		bci_fleets_keep(&fs, is_held, &(struct bci_selection){ cases[i].include, cases[i].exclude, "*", "" });
		while (cases[i].ids[n])
			n++;
		CHECK_INT(cases[i].include, fs.n, n);
		for (size_t k = 0; k < n; k++)
			CHECK_INT(cases[i].include, fs.rows[k].id, cases[i].ids[k]);
		bci_fleets_free(&fs);
	}
}

/* By organization: its handle, or what the slug says where the server told none. */
static void test_organizations(void **state)
{
	static const struct {
		const char *name, *fleet, *exclude_fleet, *organization, *exclude_organization;
		int64_t ids[6]; /* those left, then 0 */
		bool orphans;   /* whether the devices of no fleet are, too */
	} cases[] = {
		{ "all", "*", "", "*", "", { 1, 2, 3, 4 }, true },
		{ "one", "*", "", "acme", "", { 1, 2 }, false },
		{ "a glob", "*", "", "ac*", "", { 1, 2, 4 }, false },
		{ "two", "*", "", "acme,zoo", "", { 1, 2, 3 }, false },
		{ "by the slug", "*", "", "acorn", "", { 4 }, false },
		{ "not by a part", "*", "", "acm", "", { 0 }, false },
		{ "excluded", "*", "", "*", "acme", { 3, 4 }, true },
		{ "exclude wins", "*", "", "acme", "acme", { 0 }, false },
		{ "both must match", "*/b", "", "acme", "", { 2 }, false },
		{ "neither exclude may", "*", "*/b", "*", "zoo", { 1, 4 }, true },
		{ "that of no fleet", "*", "", "none", "", { 0 }, true },
		{ "not that of no fleet", "*", "", "*", "none", { 1, 2, 3, 4 }, false },
		{ "not that of no fleet, by its slug", "*", "none", "*", "", { 1, 2, 3, 4 }, false },
	};
	static const char *const fleets[] = {
		"{\"id\":1,\"slug\":\"acme/a\",\"owns__device\":0,\"organization\":[{\"handle\":\"acme\"}]}",
		"{\"id\":2,\"slug\":\"acme/b\",\"owns__device\":0,\"organization\":[{\"handle\":\"acme\"}]}",
		/* The handle counts, not the slug. */
		"{\"id\":3,\"slug\":\"old/b\",\"owns__device\":0,\"organization\":[{\"handle\":\"zoo\"}]}",
		"{\"id\":4,\"slug\":\"acorn/c\",\"owns__device\":0,\"organization\":[]}",
	};
	char none[] = "none", room[BCI_TEXT_MAX];
	const struct bci_fleet orphans = { .slug = none };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_selection s = { cases[i].fleet, cases[i].exclude_fleet, cases[i].organization,
			                   cases[i].exclude_organization };
		struct bci_fleets fs = { 0 };
		struct bci_stats stats = { 0 };
		size_t n = 0;

		for (size_t k = 0; k < LEN(fleets); k++)
			CHECK_INT(fleets[k], add(&fs, fleets[k], &stats), 0);
		bci_fleets_keep(&fs, is_held, &s);
		while (cases[i].ids[n])
			n++;
		CHECK_INT(cases[i].name, fs.n, n);
		for (size_t k = 0; k < n; k++)
			CHECK_INT(cases[i].name, fs.rows[k].id, cases[i].ids[k]);
		CHECK_INT(cases[i].name, bci_selection_holds(&s, &orphans), cases[i].orphans);
		bci_fleets_free(&fs);
	}
	assert_string_equal(bci_fleet_organization(&orphans, room), "none");
}

static void test_target(void **state)
{
	static const struct {
		const char *name, *json;
		int64_t id;
		const char *target;
	} cases[] = {
		{ "told", "[{\"id\":42,\"raw_version\":\"1.0\"}]", 42, "1.0" },
		{ "without an id", "[{\"raw_version\":\"1.0\"}]", 0, "1.0" },
		{ "id is no number", "[{\"id\":\"42\",\"raw_version\":\"1.0\"}]", 0, "1.0" },
		{ "without a name", "[{\"id\":42}]", 42, NULL },
		{ "none", "[]", 0, NULL },
		{ "null", "null", 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_fleets fs = { 0 };
		struct bci_stats stats = { 0 };
		char text[256];

		snprintf(text, sizeof(text),
		         "{\"id\":1,\"slug\":\"a/b\",\"owns__device\":0,\"should_be_running__release\":%s}", cases[i].json);
		CHECK_INT(cases[i].name, add(&fs, text, &stats), 0);
		CHECK_INT(cases[i].name, fs.rows[0].target_id, cases[i].id);
		CHECK_STR(cases[i].name, fs.rows[0].target, cases[i].target);
		bci_fleets_free(&fs);
	}
}

static void test_latest(void **state)
{
	static const struct {
		const char *name, *json;
		int want; /* -1: not told */
		uint64_t unknown;
	} cases[] = {
		{ "success", "[{\"status\":\"success\"}]", 1, 0 },
		{ "running", "[{\"status\":\"running\"}]", 2, 0 },
		{ "failed", "[{\"status\":\"failed\"}]", 3, 0 },
		{ "error", "[{\"status\":\"error\"}]", 4, 0 },
		{ "cancelled", "[{\"status\":\"cancelled\"}]", 5, 0 },
		{ "interrupted", "[{\"status\":\"interrupted\"}]", 6, 0 },
		{ "another", "[{\"status\":\"Success\"}]", 0, 1 },
		{ "no release", "[]", -1, 0 },
		{ "null", "null", -1, 0 },
		{ "status null", "[{\"status\":null}]", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_fleets fs = { 0 };
		struct bci_stats stats = { 0 };
		char text[256];

		snprintf(text, sizeof(text), "{\"id\":1,\"slug\":\"a/b\",\"owns__device\":0,\"owns__release\":%s}",
		         cases[i].json);
		CHECK_INT(cases[i].name, add(&fs, text, &stats), 0);
		CHECK_INT(cases[i].name, fs.rows[0].latest_status, cases[i].want);
		CHECK_INT(cases[i].name, stats.rejected[BCI_REJECT_UNKNOWN_WORD], cases[i].unknown);
		CHECK_INT(cases[i].name, stats.unknown_count, cases[i].unknown);
		bci_fleets_free(&fs);
	}
	{
		struct bci_fleets fs = { 0 };
		struct bci_stats stats = { 0 };

		/* Not asked for, not told. */
		assert_int_equal(add(&fs, "{\"id\":1,\"slug\":\"a/b\",\"owns__device\":0}", &stats), 0);
		assert_int_equal(fs.rows[0].latest_status, -1);
		bci_fleets_free(&fs);
	}
}

static void test_count(void **state)
{
	static const struct {
		const char *row;
		int rc;
		int64_t want; /* of fleet 20 */
	} cases[] = {
		{ "{\"owns__device\":19,\"id\":20}", 0, 19 },
		{ "{\"owns__device\":0,\"id\":20}", 0, 0 },
		{ "{\"owns__device\":19,\"id\":21}", 0, -1 },
		{ "{\"owns__device\":19}", BCRAWL_E_PROTOCOL, -1 },
		{ "{\"id\":20}", BCRAWL_E_PROTOCOL, -1 },
		{ "{\"owns__device\":-1,\"id\":20}", BCRAWL_E_PROTOCOL, -1 },
		{ "{\"owns__device\":\"1\",\"id\":20}", BCRAWL_E_PROTOCOL, -1 },
		{ "{\"owns__device\":null,\"id\":20}", BCRAWL_E_PROTOCOL, -1 },
		{ "{\"owns__device\":1,\"id\":\"20\"}", BCRAWL_E_PROTOCOL, -1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_fleets fs = { 0 };
		struct json_object *o = json_tokener_parse(cases[i].row);

		fill(&fs, 3);
		CHECK_INT(cases[i].row, bci_fleets_count(&fs, o, BCI_COUNT_ONLINE), cases[i].rc);
		CHECK_INT(cases[i].row, fs.rows[1].counted[BCI_COUNT_ONLINE], cases[i].want);
		CHECK_INT(cases[i].row, fs.rows[1].counted[BCI_COUNT_ALL], 2);
		CHECK_INT(cases[i].row, fs.rows[0].counted[BCI_COUNT_ONLINE], -1);
		json_object_put(o);
		bci_fleets_free(&fs);
	}
}

/* ---- what is emitted ---- */

struct env {
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	struct bci_record record;
	bool wanted[BCI_M__COUNT];
};

static void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->out = fake_sink_out(&e->sink, "@all", e->wanted, &e->stats);
}

static void check_text(const char *name, struct env *e, const char *want)
{
	char *text = fake_sink_text(&e->sink);

	CHECK_STR(name, text, want);
	free(text);
	fake_sink_clear(&e->sink);
}

static void test_emit(void **state)
{
	struct bci_fleets fs = { 0 };
	char none[] = "none";
	struct bci_fleet orphans = { .slug = none, .tracks_latest = -1, .read = true };
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(add(&fs, FULL, &e.stats), 0);
	fs.rows[0].read = true;
	assert_int_equal(bci_fleet_emit(&fs.rows[0], &no_tags, &e.out, &e.record), 0);
	check_text("full", &e,
	           "balena_fleet_crawl_success{fleet=\"acme/gw\"} 1\n"
	           "balena_fleet_info{fleet=\"acme/gw\",fleet_name=\"Gateways\",organization=\"acme\","
	           "device_type=\"intel-nuc\",fleet_id=\"7\"} 1\n"
	           "balena_fleet_target_release_created_timestamp_seconds{fleet=\"acme/gw\"} 60.5\n"
	           "balena_fleet_target_release_info{fleet=\"acme/gw\",release=\"1.1.0\"} 1\n"
	           "balena_fleet_tracks_latest_release{fleet=\"acme/gw\"} 1\n");
	assert_int_equal(add(&fs, "{\"id\":8,\"slug\":\"a/b\",\"owns__device\":0}", &e.stats), 0);
	assert_int_equal(bci_fleet_emit(&fs.rows[1], &no_tags, &e.out, &e.record), 0);
	check_text("sparse, and not read; the slug stands for the name", &e,
	           "balena_fleet_crawl_success{fleet=\"a/b\"} 0\n"
	           "balena_fleet_info{fleet=\"a/b\",fleet_name=\"a/b\",fleet_id=\"8\"} 1\n");
	assert_int_equal(bci_fleet_emit(&orphans, &no_tags, &e.out, &e.record), 0);
	check_text("no fleet", &e, "balena_fleet_crawl_success{fleet=\"none\"} 1\n");
	bci_fleets_free(&fs);
	fake_sink_fini(&e.sink);
}

#define TAGGED                                                                                     \
	"{\"id\":8,\"slug\":\"a/b\",\"app_name\":\"b\",\"owns__device\":0,\"application_tag\":["               \
	"{\"tag_key\":\"Env\",\"value\":\"a\\nb \\\"c\\\"\"},{\"tag_key\":\"other\",\"value\":\"x\"}],"                \
	"\"owns__release\":[{\"status\":\"failed\"}]}"

static void test_emit_tags(void **state)
{
	struct bci_fleets fs = { 0 };
	struct bci_tags tags;
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(bci_tags_parse(&tags, "site Env", NULL), 0);
	assert_int_equal(add_tagged(&fs, TAGGED, &tags, &e.stats), 0);
	assert_int_equal(bci_fleet_emit(&fs.rows[0], &tags, &e.out, &e.record), 0);
	check_text("tagged", &e,
	           "balena_fleet_crawl_success{fleet=\"a/b\"} 0\n"
	           "balena_fleet_info{fleet=\"a/b\",fleet_name=\"b\",fleet_id=\"8\",tag_env=\"a b \"c\"\"} 1\n"
	           "balena_fleet_latest_release_status_code{fleet=\"a/b\"} 3\n");
	/* A word that nobody knows is a value, too. */
	fs.rows[0].latest_status = 0;
	assert_int_equal(bci_fleet_emit(&fs.rows[0], &tags, &e.out, &e.record), 0);
	CHECK_NUM("other", fake_sink_value(&e.sink, "balena_fleet_latest_release_status_code{fleet=\"a/b\"}"), 0);
	bci_fleets_free(&fs);
	bci_tags_free(&tags);
	fake_sink_fini(&e.sink);
}

static void test_emit_counts(void **state)
{
	static const struct {
		const char *name;
		int64_t all, online, connected, never, inactive;
		bool activation;
		double want[4]; /* connected, disconnected, never, inactive; NAN in the first: none */
	} cases[] = {
		{ "plain", 10, 4, 5, 2, -1, false, { 5, 3, 2, 0 } },
		{ "all connected", 10, 10, 10, 0, -1, false, { 10, 0, 0, 0 } },
		{ "empty", 0, 0, 0, 0, -1, false, { 0, 0, 0, 0 } },
		{ "with inactive ones", 10, 4, 4, 1, 3, true, { 4, 2, 1, 3 } },
		{ "too many", 10, 4, 9, 2, -1, false, { (double)NAN } },
		{ "connected not told", 10, 4, -1, 2, -1, false, { (double)NAN } },
		{ "never not told", 10, 4, 5, -1, -1, false, { (double)NAN } },
		{ "inactive not told", 10, 4, 5, 1, -1, true, { (double)NAN } },
		{ "online not told", 10, -1, 5, 2, -1, false, { 5, 3, 2, 0 } },
	};
	static const char *const words[] = { "connected", "disconnected", "never", "inactive" };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char slug[] = "a/b", name[] = "b";
		struct bci_fleet f = { .id = 1, .slug = slug, .name = name,
			               .counted = { cases[i].all, cases[i].online, cases[i].connected,
			                            cases[i].never, cases[i].inactive } };
		bool partition = !isnan(cases[i].want[0]);
		struct env e;

		env_init(&e);
		assert_int_equal(bci_fleet_emit_counts(&f, cases[i].activation, &e.out, &e.record), 0);
		CHECK_NUM(cases[i].name, fake_sink_value(&e.sink, "balena_fleet_devices{fleet=\"a/b\"}"),
		          (double)cases[i].all);
		CHECK_NUM(cases[i].name,
		          fake_sink_value(&e.sink, "balena_devices_online{fleet=\"a/b\",fleet_name=\"b\"}"),
		          cases[i].online < 0 ? (double)NAN : (double)cases[i].online);
		for (size_t k = 0; k < LEN(words); k++) {
			char series[128];

			snprintf(series, sizeof(series),
			         "balena_fleet_devices_by_connection{fleet=\"a/b\",connection=\"%s\"}", words[k]);
			CHECK_NUM(cases[i].name, fake_sink_value(&e.sink, series),
			          partition ? cases[i].want[k] : (double)NAN);
		}
		/* What is not told is counted. */
		CHECK_INT(cases[i].name, e.out.withheld[BCI_WITHHELD_INCONSISTENT], partition ? 0 : 4);
		if (partition)
			CHECK_NUM(cases[i].name, fake_sink_sum(&e.sink, "balena_fleet_devices_by_"),
			          (double)cases[i].all);
		fake_sink_fini(&e.sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_sparse_rows),
		cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_organizations),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_latest),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_emit),
		cmocka_unit_test(test_emit_tags),
		cmocka_unit_test(test_emit_counts),
	};

	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
