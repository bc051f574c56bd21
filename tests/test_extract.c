/* SPDX-License-Identifier: MIT
 *
 * Devices, from the API's objects to records: bodies of the real server with values read by eye,
 * every field with every wrong type, and the table that decides a device's state. */
#include "extract.h"
#include "fake_sink.h"
#include "page.h"
#include "unit.h"

#include <json-c/json.h>

#define ALL ((BCI_BIT(BCI_F__COUNT - 1) - 1) | BCI_BIT(BCI_F__COUNT - 1))

static int64_t no_time(void *user)
{
	(void)user;
	return 0;
}

struct env {
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_clock clock;
	struct bci_out out;
	struct bci_record record;
	struct bci_device device;
	bool wanted[BCI_M__COUNT];
	uint64_t fields;
};

static void env_init(struct env *e, const char *metrics)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->clock = (struct bci_clock){ .mono_ms = no_time, .wall_ms = no_time };
	assert_true(bci_metrics_select(metrics, e->wanted));
	e->fields = bci_metrics_fields(e->wanted) | BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID) |
	            BCI_BIT(BCI_F_FLEET);
	e->out = (struct bci_out){ .sink = &e->sink.sink, .user = &e->sink, .time_ms = 1, .account = "a",
		                   .wanted = e->wanted, .stats = &e->stats, .clock = &e->clock };
}

static uint64_t rejected(const struct env *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < BCI_REJECT__COUNT; i++)
		n += e->stats.rejected[i];
	return n;
}

/* Reads and emits one device from the text of its object. */
static int read_text(struct env *e, const char *text)
{
	struct json_object *o = json_tokener_parse(text);
	int rc;

	CHECK(text, o != NULL);
	rc = bci_device_read(&e->device, o, e->fields, &e->stats);
	if (!rc)
		rc = bci_device_emit(&e->device, "org/f", &e->out, &e->record);
	json_object_put(o);
	return rc;
}

static int on_row(void *user, const struct json_object *o)
{
	struct env *e = user;

	if (bci_device_read(&e->device, o, e->fields, &e->stats))
		return BCRAWL_E_PROTOCOL;
	return bci_device_emit(&e->device, "org/f", &e->out, &e->record);
}

static void read_fixture(struct env *e, const char *file)
{
	size_t len;
	char *body = unit_fixture(file, &len);
	struct bci_page *p = bci_page_new(on_row, e);

	assert_non_null(p);
	CHECK_INT(file, bci_page_feed(p, body, len), 0);
	CHECK_INT(file, bci_page_finish(p), 0);
	bci_page_free(p);
	free(body);
}

/* balena_device_<metric>{fleet="org/f",device_uuid="<uuid>"} */
static double value(const struct env *e, const char *uuid, const char *metric)
{
	char series[256];

	snprintf(series, sizeof(series), "balena_device_%s{fleet=\"org/f\",device_uuid=\"%s\"}", metric, uuid);
	return fake_sink_value(&e->sink, series);
}

/* ---- values ---- */

struct want {
	const char *metric;
	double value;
};

static void check_values(const struct env *e, const char *uuid, const struct want *want, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		double got = value(e, uuid, want[i].metric);

		CHECK(want[i].metric, isfinite(got) && fabs(got - want[i].value) < 1e-6);
	}
	/* And nothing else. */
	for (size_t i = 0; i < e->sink.n; i++)
		found += strstr(e->sink.series[i].name, uuid) && !strstr(e->sink.series[i].name, "_info{");
	CHECK_INT(uuid, found, n);
}

static void test_all_fields(void **state)
{
	/* recorded/v7-device-1-all-fields.json, by eye; 1795414724 is 2026-11-23T06:18:44Z. */
	static const struct want want[] = {
		{ "up", 1 },
		{ "status_code", 1 },
		{ "on_target_release", 1 },
		{ "storage_usage_ratio", 23996.0 / 28946 },
		{ "memory_usage_ratio", 3000.0 / 3794 },
		{ "cpu_usage_ratio", 0.28 },
		{ "cpu_temperature_celsius", 66 },
		{ "undervolted", 0 },
		{ "storage_used_bytes", 25161629696.0 },
		{ "storage_size_bytes", 30352080896.0 },
		{ "memory_used_bytes", 3145728000.0 },
		{ "memory_size_bytes", 3978297344.0 },
		{ "vpn_connected", 1 },
		{ "heartbeat_code", 1 },
		{ "vpn_changed_timestamp_seconds", 1795414724.277 },
		{ "heartbeat_changed_timestamp_seconds", 1795414724.272 },
		{ "update_status_code", 1 },
		{ "update_status_changed_timestamp_seconds", 1795414724.174 },
		{ "pinned", 0 },
		{ "web_accessible", 0 },
		{ "created_timestamp_seconds", 1795414724.024 },
		{ "modified_timestamp_seconds", 1795414724.296 },
	};
	struct env e;

	(void)state;
	env_init(&e, "@all");
	read_fixture(&e, "recorded/v7-device-1-all-fields.json");
	check_values(&e, "12476f57a5e5a5abaefcfad8efc89849", want, LEN(want));
	/* References that are not expanded give no label. */
	CHECK_NUM("info", fake_sink_value(&e.sink,
	                                  "balena_device_info{fleet=\"org/f\","
	                                  "device_uuid=\"12476f57a5e5a5abaefcfad8efc89849\","
	                                  "device_name=\"summer-shape\",os_version=\"balenaOS 5.3.27+rev1\","
	                                  "os_variant=\"dev\",supervisor_version=\"16.7.7\"}"), 1);
	assert_int_equal(e.device.id, 1);
	assert_int_equal(e.device.fleet_id, 1);
	assert_int_equal(rejected(&e), 0);
	fake_sink_fini(&e.sink);
}

/* Every device metric that a plain field gives, with the fields of balenaCloud. */
static void test_cloud_fields(void **state)
{
	static const struct want want[] = {
		{ "up", 1 },
		{ "status_code", 3 },
		{ "on_target_release", 0 },
		{ "storage_usage_ratio", 1.5 },
		{ "memory_usage_ratio", 0 },
		{ "cpu_usage_ratio", 1 },
		{ "cpu_temperature_celsius", -40 },
		{ "undervolted", 1 },
		{ "storage_used_bytes", 3145728000.0 },
		{ "storage_size_bytes", 2097152000.0 },
		{ "memory_used_bytes", 0 },
		{ "memory_size_bytes", 1073741824.0 },
		{ "vpn_connected", 1 },
		{ "heartbeat_code", 2 },
		{ "vpn_changed_timestamp_seconds", 1795414724.25 },
		{ "heartbeat_changed_timestamp_seconds", 1795414724.75 },
		{ "update_status_code", 4 },
		{ "update_status_changed_timestamp_seconds", 1795414725 },
		{ "progress_ratio", 0.37 },
		{ "pinned", 1 },
		{ "active", 1 },
		{ "frozen", 1 },
		{ "web_accessible", 1 },
		{ "locked_until_timestamp_seconds", 1795414731 },
		{ "created_timestamp_seconds", 10 },
		{ "modified_timestamp_seconds", 951825600.5 },
		{ "provisioning_progress_ratio", 0.64 },
		{ "latitude_degrees", 52.52 },    /* custom_latitude is empty */
		{ "longitude_degrees", -0.1276 }, /* custom_longitude goes first */
	};
	struct env e;
	size_t metrics = 0;

	(void)state;
	env_init(&e, "@all");
	read_fixture(&e, "hand/device-cloud.json");
	check_values(&e, "0123456789abcdef0123456789abcdef", want, LEN(want));
	CHECK_NUM("info", fake_sink_value(&e.sink,
	                                  "balena_device_info{fleet=\"org/f\","
	                                  "device_uuid=\"0123456789abcdef0123456789abcdef\","
	                                  "device_name=\"roof\",device_type=\"raspberrypi4-64\","
	                                  "os_version=\"balenaOS 6.1.2\",os_variant=\"prod\","
	                                  "supervisor_version=\"17.0.0\",release=\"2.0.1-17\"}"), 1);
	assert_int_equal(e.device.id, INT64_C(9007199254740991));
	assert_int_equal(e.device.fleet_id, 77);
	assert_int_equal(rejected(&e), 0);
	/* All of the catalogue but the info and offline_since, which a connected device does not have. */
	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++)
		metrics += bci_metric(i)->pub.scope == BCRAWL_SCOPE_DEVICE;
	assert_int_equal(metrics, LEN(want) + 2);
	fake_sink_fini(&e.sink);
}

static void test_never_connected(void **state)
{
	static const struct want want[] = {
		{ "status_code", 4 },
		{ "vpn_connected", 0 },
		{ "heartbeat_code", 4 },
		{ "pinned", 0 },
		{ "web_accessible", 0 },
		{ "created_timestamp_seconds", 1795414726.001 },
		{ "modified_timestamp_seconds", 1795414726.001 },
	};
	struct env e;

	(void)state;
	env_init(&e, "@all");
	read_fixture(&e, "recorded/v7-device-never-connected.json");
	check_values(&e, "e7c421c740497b717d106c6081627cf1", want, LEN(want));
	assert_int_equal(e.device.connection, BCI_NEVER);
	assert_int_equal(rejected(&e), 0);
	fake_sink_fini(&e.sink);
}

/* ids and uuids only where the body has them: the others are put in. */
static int on_bare_row(void *user, const struct json_object *o)
{
	struct env *e = user;
	struct json_object *copy = NULL, *id = NULL;
	char uuid[32];
	int rc;

	assert_int_equal(json_object_deep_copy((struct json_object *)(uintptr_t)o, &copy, NULL), 0);
	assert_true(json_object_object_get_ex(copy, "id", &id));
	snprintf(uuid, sizeof(uuid), "u%d", json_object_get_int(id));
	json_object_object_add(copy, "uuid", json_object_new_string(uuid));
	rc = on_row(e, copy);
	json_object_put(copy);
	return rc;
}

static void read_bare_fixture(struct env *e, const char *file)
{
	size_t len;
	char *body = unit_fixture(file, &len);
	struct bci_page *p = bci_page_new(on_bare_row, e);

	assert_non_null(p);
	CHECK_INT(file, bci_page_feed(p, body, len), 0);
	CHECK_INT(file, bci_page_finish(p), 0);
	bci_page_free(p);
	free(body);
}

static void test_heartbeat_only(void **state)
{
	static const struct {
		const char *uuid;
		double up, status, vpn, heartbeat, offline_since, heartbeat_changed;
	} cases[] = {
		/* The later of 06:18:51.774 (VPN) and 06:18:45.358 (heartbeat). */
		{ "u11", 0, 6, 0, 3, 1795414731.774, 1795414725.358 },
		{ "u14", 1, 2, 0, 1, (double)NAN, 1795414725.641 },
		{ "u15", 1, 2, 1, 4, (double)NAN, (double)NAN },
		{ "u16", 1, 2, 0, 2, (double)NAN, 1795414725.806 },
		{ "u19", (double)NAN, 4, 0, 4, (double)NAN, (double)NAN },
		{ "u20", (double)NAN, 5, 0, 4, (double)NAN, (double)NAN },
		{ "u21", 1, 4, 1, 1, (double)NAN, 1795414726.167 },
	};
	struct env e;

	(void)state;
	env_init(&e, "@all");
	read_bare_fixture(&e, "recorded/v7-device-heartbeat-only.json");
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "up"), cases[i].up);
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "status_code"), cases[i].status);
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "vpn_connected"), cases[i].vpn);
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "heartbeat_code"), cases[i].heartbeat);
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "offline_since_timestamp_seconds"),
		          cases[i].offline_since);
		CHECK_NUM(cases[i].uuid, value(&e, cases[i].uuid, "heartbeat_changed_timestamp_seconds"),
		          cases[i].heartbeat_changed);
	}
	assert_int_equal(rejected(&e), 0);
	fake_sink_fini(&e.sink);
}

/* The body tells no state, so a state is put in: these are odd values of connected devices. */
static int on_odd_row(void *user, const struct json_object *o)
{
	struct json_object *copy = NULL;
	int rc;

	assert_int_equal(json_object_deep_copy((struct json_object *)(uintptr_t)o, &copy, NULL), 0);
	json_object_object_add(copy, "is_connected_to_vpn", json_object_new_boolean(true));
	rc = on_bare_row(user, copy);
	json_object_put(copy);
	return rc;
}

static void test_odd_values(void **state)
{
	static const struct {
		const char *uuid, *metric;
		double want;
	} cases[] = {
		{ "u28", "memory_usage_ratio", 4000.0 / 3794 }, /* above 1 */
		{ "u28", "storage_usage_ratio", 73015.0 / 228936 },
		{ "u29", "storage_usage_ratio", 116212.0 / 228936 },
		{ "u30", "cpu_temperature_celsius", -12 },
		{ "u30", "cpu_usage_ratio", 0 },
		{ "u32", "cpu_usage_ratio", 0.9 },
		{ "u33", "storage_usage_ratio", (double)NAN }, /* of nothing */
		{ "u33", "storage_used_bytes", 0 },
		{ "u33", "storage_size_bytes", 0 },
		{ "u33", "memory_usage_ratio", 7822.0 / 15902 },
		{ "u33", "status_code", (double)NAN }, /* not in the body */
	};
	size_t len;
	char *body = unit_fixture("recorded/v7-device-odd-values.json", &len);
	struct bci_page *p;
	struct env e;

	(void)state;
	env_init(&e, "@all");
	p = bci_page_new(on_odd_row, &e);
	assert_non_null(p);
	assert_int_equal(bci_page_feed(p, body, len), 0);
	assert_int_equal(bci_page_finish(p), 0);
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_NUM(cases[i].metric, value(&e, cases[i].uuid, cases[i].metric), cases[i].want);
	assert_int_equal(rejected(&e), 0);
	bci_page_free(p);
	free(body);
	fake_sink_fini(&e.sink);
}

/* All 60 devices of the recorded account. The numbers were counted with a script of other make
 * (python's json), and agree with balena-api-live.md 7. */
static void test_whole_account(void **state)
{
	static const struct {
		const char *metric;
		size_t series;
		double sum;
	} cases[] = {
		{ "balena_device_info{", 60, 60 },
		{ "balena_device_status_code{", 60, 146 },
		{ "balena_device_up{", 56, 47 },
		{ "balena_device_vpn_connected{", 60, 41 },
		{ "balena_device_cpu_temperature_celsius{", 44, 2411 },
		{ "balena_device_memory_size_bytes{", 44, 325572 * 1048576.0 },
		{ "balena_device_offline_since_timestamp_seconds{", 9, 16158732586.532 },
		{ "balena_device_progress_ratio{", 8, 3.79 },
	};
	struct env e;

	(void)state;
	env_init(&e, "@all");
	read_fixture(&e, "recorded/v7-device-metrics-v7fields.json");
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_INT(cases[i].metric, fake_sink_count(&e.sink, cases[i].metric), cases[i].series);
		CHECK(cases[i].metric, fabs(fake_sink_sum(&e.sink, cases[i].metric) - cases[i].sum) <
		                               1e-9 * (1 + fabs(cases[i].sum)));
	}
	/* Words of the recorded server are all known, its values in range. */
	assert_int_equal(e.stats.rejected[BCI_REJECT_UNKNOWN_WORD], 0);
	assert_int_equal(e.stats.rejected[BCI_REJECT_TYPE], 0);
	assert_int_equal(e.stats.rejected[BCI_REJECT_RANGE], 0);
	fake_sink_fini(&e.sink);
}

/* ---- labels ---- */

static void test_info_labels(void **state)
{
	static const struct {
		const char *name, *members, *labels;
	} cases[] = {
		{ "nothing known", "\"x\":1", "" },
		{ "nulls and empties", "\"device_name\":null,\"os_version\":\"\",\"is_running__release\":[],"
		                       "\"is_of__device_type\":[]", "" },
		{ "version over commit", "\"is_running__release\":[{\"id\":1,\"commit\":\"c\",\"raw_version\":\"1.2\"}]",
		  ",release=\"1.2\"" },
		{ "commit without version", "\"is_running__release\":[{\"id\":1,\"commit\":\"c\",\"raw_version\":null}]",
		  ",release=\"c\"" },
		{ "neither", "\"is_running__release\":[{\"id\":1,\"commit\":null}]", "" },
		{ "not expanded", "\"is_running__release\":{\"__id\":1},\"is_of__device_type\":{\"__id\":1}", "" },
		{ "type", "\"is_of__device_type\":[{\"slug\":\"intel-nuc\"}]", ",device_type=\"intel-nuc\"" },
		{ "type is no text", "\"is_of__device_type\":[{\"slug\":5}]", "" },
		{ "a newline", "\"device_name\":\"a\\nb\"", ",device_name=\"a b\"" },
		{ "UTF-8", "\"device_name\":\"B\\u00fcro\"", ",device_name=\"B\xc3\xbcro\"" },
		{ "half a surrogate", "\"device_name\":\"a\\ud800b\"", ",device_name=\"a\xef\xbf\xbd" "b\"" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[512], series[512];
		struct env e;

		env_init(&e, "balena_device_info");
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",%s}", cases[i].members);
		CHECK_INT(cases[i].name, read_text(&e, text), 0);
		/* A device without a name has its uuid for one. */
		snprintf(series, sizeof(series), "balena_device_info{fleet=\"org/f\",device_uuid=\"u\"%s%s}",
		         strstr(cases[i].labels, ",device_name=") ? "" : ",device_name=\"u\"", cases[i].labels);
		CHECK_NUM(cases[i].name, fake_sink_value(&e.sink, series), 1);
		CHECK_INT(cases[i].name, e.sink.n, 1);
		fake_sink_fini(&e.sink);
	}
}

/* Labels that are not wanted are no reason for a record. */
static void test_no_record(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "balena_device_cpu_usage_ratio");
	assert_int_equal(read_text(&e, "{\"id\":1,\"uuid\":\"u\",\"cpu_usage\":null,"
	                               "\"is_connected_to_vpn\":true}"), 0);
	assert_int_equal(e.sink.records, 0);
	fake_sink_fini(&e.sink);
}

/* ---- what is no value ---- */

/* Each field with JSON of every other type: no value, and counted once. */
static void test_wrong_types(void **state)
{
	static const struct {
		const char *json;
		unsigned good; /* field types that take it */
	} values[] = {
		{ "5", 1u << BCI_TYPE_NUMBER },
		{ "-5.5", 0 },
		{ "\"x\"", 1u << BCI_TYPE_TEXT | 1u << BCI_TYPE_WORD },
		{ "\"5\"", 1u << BCI_TYPE_NUMBER_TEXT | 1u << BCI_TYPE_TEXT | 1u << BCI_TYPE_WORD },
		{ "\"2026-11-23T06:18:44.296Z\"", 1u << BCI_TYPE_DATE | 1u << BCI_TYPE_TEXT | 1u << BCI_TYPE_WORD },
		{ "true", 1u << BCI_TYPE_BOOL },
		{ "{}", 0 },
		{ "[1]", 0 },
		{ "{\"__id\":3}", 1u << BCI_TYPE_REF },
	};

	(void)state;
	for (size_t f = 0; f < BCI_F__COUNT; f++) {
		const struct bci_field_row *row = &bci_fields[f];

		if (f == BCI_F_ID || f == BCI_F_UUID || f == BCI_F_DEVICE_TYPE)
			continue;
		for (size_t v = 0; v < LEN(values); v++) {
			char text[256], name[256];
			struct env e;
			bool good = values[v].good & 1u << row->type;

			/* Within the type, but out of the range of all numbers but a temperature. */
			if (strcmp(values[v].json, "-5.5") == 0 && row->type == BCI_TYPE_NUMBER)
				continue;
			env_init(&e, "@all");
			e.fields = ALL;
			snprintf(name, sizeof(name), "%s: %s", row->name, values[v].json);
			snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"%s\":%s}", row->name, values[v].json);
			CHECK_INT(name, read_text(&e, text), 0);
			CHECK_INT(name, (e.device.has & BCI_BIT(f)) != 0, good);
			CHECK_INT(name, e.stats.rejected[BCI_REJECT_TYPE], !good);
			CHECK_INT(name, rejected(&e), !good || row->type == BCI_TYPE_WORD);
			fake_sink_fini(&e.sink);
		}
	}
}

static void test_ranges(void **state)
{
	static const struct {
		const char *field, *json;
		enum bci_field f;
		bool good;
	} cases[] = {
		{ "cpu_usage", "0", BCI_F_CPU_USAGE, true },
		{ "cpu_usage", "100", BCI_F_CPU_USAGE, true },
		{ "cpu_usage", "101", BCI_F_CPU_USAGE, false },
		{ "cpu_usage", "250", BCI_F_CPU_USAGE, false },
		{ "cpu_usage", "-1", BCI_F_CPU_USAGE, false },
		{ "cpu_temp", "-12", BCI_F_CPU_TEMP, true },
		{ "cpu_temp", "-100", BCI_F_CPU_TEMP, true },
		{ "cpu_temp", "-101", BCI_F_CPU_TEMP, false },
		{ "cpu_temp", "200", BCI_F_CPU_TEMP, true },
		{ "cpu_temp", "2147483647", BCI_F_CPU_TEMP, false },
		{ "memory_usage", "-1", BCI_F_MEMORY_USAGE, false },
		{ "memory_total", "2147483647", BCI_F_MEMORY_TOTAL, true },
		{ "memory_total", "2147483648", BCI_F_MEMORY_TOTAL, false },
		{ "storage_usage", "1e12", BCI_F_STORAGE_USAGE, false },
		{ "storage_total", "-2147483648", BCI_F_STORAGE_TOTAL, false },
		{ "overall_progress", "100", BCI_F_PROGRESS, true },
		{ "overall_progress", "101", BCI_F_PROGRESS, false },
		{ "provisioning_progress", "-1", BCI_F_PROVISIONING_PROGRESS, false },
		{ "latitude", "\"90\"", BCI_F_LATITUDE, true },
		{ "latitude", "\"-90.0001\"", BCI_F_LATITUDE, false },
		{ "longitude", "\"-180\"", BCI_F_LONGITUDE, true },
		{ "longitude", "\"181\"", BCI_F_LONGITUDE, false },
		{ "custom_latitude", "\"91\"", BCI_F_CUSTOM_LATITUDE, false },
		{ "custom_longitude", "\"-181\"", BCI_F_CUSTOM_LONGITUDE, false },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[256], name[128];
		struct env e;

		env_init(&e, "@all");
		snprintf(name, sizeof(name), "%s %s", cases[i].field, cases[i].json);
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"is_connected_to_vpn\":true,\"%s\":%s}",
		         cases[i].field, cases[i].json);
		CHECK_INT(name, read_text(&e, text), 0);
		CHECK_INT(name, (e.device.has & BCI_BIT(cases[i].f)) != 0, cases[i].good);
		CHECK_INT(name, e.stats.rejected[BCI_REJECT_RANGE], !cases[i].good);
		CHECK_INT(name, rejected(&e), !cases[i].good);
		fake_sink_fini(&e.sink);
	}
}

static void test_number_texts(void **state)
{
	static const struct {
		const char *text;
		double want; /* NAN: no number */
	} cases[] = {
		{ "52.5200", 52.52 }, { "-0.5", -0.5 },          { "0", 0 },
		{ "12abc", (double)NAN }, { "abc", (double)NAN }, { " ", (double)NAN },
		{ "nan", (double)NAN },   { "inf", (double)NAN }, { "1e400", (double)NAN },
		{ "12,5", (double)NAN },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[256];
		struct env e;

		env_init(&e, "@all");
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"latitude\":\"%s\"}", cases[i].text);
		CHECK_INT(cases[i].text, read_text(&e, text), 0);
		CHECK_NUM(cases[i].text, value(&e, "u", "latitude_degrees"), cases[i].want);
		CHECK_INT(cases[i].text, rejected(&e), isnan(cases[i].want));
		fake_sink_fini(&e.sink);
	}
}

/* A metric of whole numbers has none with a fraction, whatever the server says. */
static void test_fraction_in_whole_metric(void **state)
{
	static const char *const members[] = {
		"\"cpu_temp\":52.5", "\"memory_usage\":10.3", "\"storage_total\":0.1",
	};

	(void)state;
	for (size_t i = 0; i < LEN(members); i++) {
		char text[256];
		struct env e;

		env_init(&e, "@all");
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"is_connected_to_vpn\":true,%s}", members[i]);
		/* fake_sink.c fails on a fraction. */
		CHECK_INT(members[i], read_text(&e, text), 0);
		fake_sink_fini(&e.sink);
	}
}

static void test_words(void **state)
{
	static const struct {
		const char *field, *word, *metric;
		double want;
		uint64_t unknown;
	} cases[] = {
		{ "overall_status", "operational", "status_code", 1, 0 },
		{ "overall_status", "reduced-functionality", "status_code", 2, 0 },
		{ "overall_status", "updating", "status_code", 3, 0 },
		{ "overall_status", "configuring", "status_code", 4, 0 },
		{ "overall_status", "post-provisioning", "status_code", 5, 0 },
		{ "overall_status", "disconnected", "status_code", 6, 0 },
		{ "overall_status", "inactive", "status_code", 7, 0 },
		{ "overall_status", "idle", "status_code", 0, 1 },
		{ "overall_status", "Operational", "status_code", 0, 1 },
		{ "overall_status", "operational ", "status_code", 0, 1 },
		{ "overall_status", "", "status_code", (double)NAN, 0 },
		{ "api_heartbeat_state", "online", "heartbeat_code", 1, 0 },
		{ "api_heartbeat_state", "timeout", "heartbeat_code", 2, 0 },
		{ "api_heartbeat_state", "offline", "heartbeat_code", 3, 0 },
		{ "api_heartbeat_state", "unknown", "heartbeat_code", 4, 0 },
		{ "api_heartbeat_state", "tired", "heartbeat_code", 0, 1 },
		{ "update_status", "done", "update_status_code", 1, 0 },
		{ "update_status", "downloading", "update_status_code", 2, 0 },
		{ "update_status", "downloaded", "update_status_code", 3, 0 },
		{ "update_status", "applying changes", "update_status_code", 4, 0 },
		{ "update_status", "rejected", "update_status_code", 5, 0 },
		{ "update_status", "aborted", "update_status_code", 6, 0 },
		{ "update_status", "applying_changes", "update_status_code", 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[256];
		struct env e;

		env_init(&e, "@all");
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"is_connected_to_vpn\":true,\"%s\":\"%s\"}",
		         cases[i].field, cases[i].word);
		CHECK_INT(cases[i].word, read_text(&e, text), 0);
		CHECK_NUM(cases[i].word, value(&e, "u", cases[i].metric), cases[i].want);
		CHECK_INT(cases[i].word, e.stats.rejected[BCI_REJECT_UNKNOWN_WORD], cases[i].unknown);
		CHECK_INT(cases[i].word, rejected(&e), cases[i].unknown);
		fake_sink_fini(&e.sink);
	}
}

static void test_no_device(void **state)
{
	static const char *const cases[] = {
		"{}",
		"{\"id\":1}",
		"{\"uuid\":\"u\"}",
		"{\"id\":null,\"uuid\":\"u\"}",
		"{\"id\":\"1\",\"uuid\":\"u\"}",
		"{\"id\":1.5,\"uuid\":\"u\"}",
		"{\"id\":-1,\"uuid\":\"u\"}",
		"{\"id\":99999999999999999999,\"uuid\":\"u\"}",
		"{\"id\":1,\"uuid\":null}",
		"{\"id\":1,\"uuid\":\"\"}",
		"{\"id\":1,\"uuid\":5}",
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, "@all");
		CHECK_INT(cases[i], read_text(&e, cases[i]), BCRAWL_E_PROTOCOL);
		CHECK_INT(cases[i], e.sink.records, 0);
		fake_sink_fini(&e.sink);
	}
}

/* Only what was asked for is looked at. */
static void test_fields_only(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "balena_device_status_code");
	assert_int_equal(read_text(&e, "{\"id\":1,\"uuid\":\"u\",\"overall_status\":\"updating\","
	                               "\"cpu_temp\":\"hot\",\"is_connected_to_vpn\":5}"), 0);
	assert_int_equal(e.sink.n, 1);
	CHECK_NUM("status", value(&e, "u", "status_code"), 3);
	assert_int_equal(rejected(&e), 0);
	fake_sink_fini(&e.sink);
}

/* Nothing of one device is left in the next. */
static void test_no_leftovers(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "@all");
	read_fixture(&e, "hand/device-cloud.json");
	fake_sink_clear(&e.sink);
	assert_int_equal(read_text(&e, "{\"id\":2,\"uuid\":\"u\"}"), 0);
	/* is_pinned_on__release null is an answer: not pinned. */
	assert_int_equal(e.sink.n, 2);
	CHECK_NUM("pinned", value(&e, "u", "pinned"), 0);
	/* Neither heartbeat nor VPN is told: that is no 0. */
	CHECK_NUM("up", value(&e, "u", "up"), (double)NAN);
	CHECK_NUM("info", fake_sink_value(&e.sink, "balena_device_info{fleet=\"org/f\",device_uuid=\"u\","
	                                           "device_name=\"u\"}"), 1);
	assert_int_equal(e.device.fleet_id, 0);
	fake_sink_fini(&e.sink);
}

static void test_pinned(void **state)
{
	static const struct {
		const char *json;
		double want;
	} cases[] = {
		{ "null", 0 }, { "[]", 0 }, { "{\"__id\":3}", 1 }, { "[{\"id\":3}]", 1 },
		/* Not understood is not "no". */
		{ "3", (double)NAN }, { "\"x\"", (double)NAN }, { "{}", (double)NAN },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[128];
		struct env e;

		env_init(&e, "balena_device_pinned");
		snprintf(text, sizeof(text), "{\"id\":1,\"uuid\":\"u\",\"is_pinned_on__release\":%s}", cases[i].json);
		CHECK_INT(cases[i].json, read_text(&e, text), 0);
		CHECK_NUM(cases[i].json, value(&e, "u", "pinned"), cases[i].want);
		fake_sink_fini(&e.sink);
	}
}

/* ---- the state ---- */

#define CON BCI_CONNECTED
#define DIS BCI_DISCONNECTED
#define NEV BCI_NEVER

/* By heartbeat, VPN (true, false, null) and last_connectivity_event (a date, null); metrics.md:
 * connected = VPN or heartbeat online or timeout; never = no VPN, unknown, no event. */
static const struct {
	const char *heartbeat; /* as JSON */
	enum bci_connection vpn[2], no_vpn[2], null_vpn[2];
} states[] = {
	{ "\"online\"", { CON, CON }, { CON, CON }, { CON, CON } },
	{ "\"timeout\"", { CON, CON }, { CON, CON }, { CON, CON } },
	{ "\"offline\"", { CON, CON }, { DIS, DIS }, { DIS, DIS } },
	{ "\"unknown\"", { CON, CON }, { DIS, NEV }, { DIS, NEV } },
	{ "\"tired\"", { CON, CON }, { DIS, DIS }, { DIS, DIS } },
	{ "null", { CON, CON }, { DIS, DIS }, { DIS, DIS } },
};

static void check_state(const char *status, const char *vpn, const char *heartbeat, const char *event,
                        enum bci_connection want)
{
	static const double ups[] = { [CON] = 1, [DIS] = 0, [NEV] = -1, [BCI_INACTIVE] = -1 };
	char text[1024];
	/* What is left when the server says too little is counted as disconnected, but not told of a
	 * device. */
	bool told = strcmp(vpn, "null") && strcmp(heartbeat, "null") && strcmp(heartbeat, "\"tired\"");
	double up = ups[want] < 0 || (want == DIS && !told) ? (double)NAN : ups[want];
	bool known = want == CON;
	struct env e;

	env_init(&e, "@all");
	snprintf(text, sizeof(text),
	         "{\"id\":1,\"uuid\":\"u\",\"overall_status\":%s,\"is_connected_to_vpn\":%s,"
	         "\"api_heartbeat_state\":%s,\"last_connectivity_event\":%s,"
	         "\"last_vpn_event\":\"1970-01-01T00:00:07Z\","
	         "\"changed_api_heartbeat_state_on__date\":\"1970-01-01T00:00:09Z\",\"cpu_usage\":50,"
	         "\"cpu_temp\":60,\"is_undervolted\":true,\"memory_usage\":1,\"memory_total\":2,"
	         "\"storage_usage\":1,\"storage_total\":2,\"update_status\":\"done\",\"overall_progress\":50,"
	         "\"last_update_status_event\":\"1970-01-01T00:00:08Z\",\"provisioning_progress\":5}",
	         status, vpn, heartbeat, event);
	CHECK_INT(text, read_text(&e, text), 0);
	CHECK_INT(text, e.device.connection, want);
	CHECK_NUM(text, value(&e, "u", "up"), up);
	CHECK_NUM(text, value(&e, "u", "offline_since_timestamp_seconds"), want == DIS && told ? 9 : (double)NAN);
	/* What a device reported it reported while it was connected: elsewhere it is stale. */
	CHECK_NUM(text, value(&e, "u", "cpu_usage_ratio"), known ? 0.5 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "cpu_temperature_celsius"), known ? 60 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "undervolted"), known ? 1 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "memory_usage_ratio"), known ? 0.5 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "storage_usage_ratio"), known ? 0.5 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "memory_used_bytes"), known ? 1048576 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "memory_size_bytes"), known ? 2097152 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "storage_used_bytes"), known ? 1048576 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "storage_size_bytes"), known ? 2097152 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "update_status_code"), known ? 1 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "update_status_changed_timestamp_seconds"), known ? 8 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "progress_ratio"), known ? 0.5 : (double)NAN);
	CHECK_NUM(text, value(&e, "u", "provisioning_progress_ratio"), known ? 0.05 : (double)NAN);
	/* What the server knows is known of all. */
	CHECK_NUM(text, value(&e, "u", "vpn_changed_timestamp_seconds"), 7);
	CHECK_NUM(text, value(&e, "u", "heartbeat_changed_timestamp_seconds"), 9);
	fake_sink_fini(&e.sink);
}

static void test_states(void **state)
{
	static const char *const statuses[] = {
		"\"operational\"", "\"reduced-functionality\"", "\"updating\"", "\"configuring\"",
		"\"post-provisioning\"", "\"disconnected\"", "\"inactive\"", "\"dancing\"", "null",
	};
	static const char *const events[] = { "\"2026-11-23T06:18:44Z\"", "null" };

	(void)state;
	for (size_t s = 0; s < LEN(statuses); s++) {
		bool inactive = strcmp(statuses[s], "\"inactive\"") == 0;

		for (size_t h = 0; h < LEN(states); h++) {
			for (size_t i = 0; i < 2; i++) {
				check_state(statuses[s], "true", states[h].heartbeat, events[i],
				            inactive ? BCI_INACTIVE : states[h].vpn[i]);
				check_state(statuses[s], "false", states[h].heartbeat, events[i],
				            inactive ? BCI_INACTIVE : states[h].no_vpn[i]);
				check_state(statuses[s], "null", states[h].heartbeat, events[i],
				            inactive ? BCI_INACTIVE : states[h].null_vpn[i]);
			}
		}
	}
}

static void test_offline_since(void **state)
{
	static const struct {
		const char *name, *vpn, *heartbeat;
		double want;
	} cases[] = {
		{ "the VPN went last", "\"1970-01-01T00:00:09Z\"", "\"1970-01-01T00:00:07Z\"", 9 },
		{ "the heartbeat went last", "\"1970-01-01T00:00:07Z\"", "\"1970-01-01T00:00:09Z\"", 9 },
		{ "VPN only", "\"1970-01-01T00:00:07Z\"", "null", 7 },
		{ "heartbeat only", "null", "\"1970-01-01T00:00:09Z\"", 9 },
		{ "neither", "null", "null", (double)NAN },
		{ "one is no date", "\"1970-01-01T00:00:07Z\"", "\"soon\"", 7 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[512];
		struct env e;

		env_init(&e, "balena_device_offline_since_timestamp_seconds");
		snprintf(text, sizeof(text),
		         "{\"id\":1,\"uuid\":\"u\",\"is_connected_to_vpn\":false,\"api_heartbeat_state\":\"offline\","
		         "\"last_vpn_event\":%s,\"changed_api_heartbeat_state_on__date\":%s}",
		         cases[i].vpn, cases[i].heartbeat);
		CHECK_INT(cases[i].name, read_text(&e, text), 0);
		CHECK_NUM(cases[i].name, value(&e, "u", "offline_since_timestamp_seconds"), cases[i].want);
		fake_sink_fini(&e.sink);
	}
}

static void test_on_target(void **state)
{
	static const struct {
		const char *name, *running, *target;
		double want;
	} cases[] = {
		{ "there", "{\"__id\":2}", "{\"__id\":2}", 1 },
		{ "there, expanded", "[{\"id\":2}]", "{\"__id\":2}", 1 },
		{ "elsewhere", "{\"__id\":1}", "{\"__id\":2}", 0 },
		{ "runs nothing", "null", "{\"__id\":2}", (double)NAN },
		{ "runs nothing, expanded", "[]", "{\"__id\":2}", (double)NAN },
		{ "no target", "{\"__id\":1}", "null", (double)NAN },
		{ "neither", "null", "null", (double)NAN },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[512];
		struct env e;

		env_init(&e, "balena_device_on_target_release");
		snprintf(text, sizeof(text),
		         "{\"id\":1,\"uuid\":\"u\",\"is_running__release\":%s,\"should_be_running__release\":%s}",
		         cases[i].running, cases[i].target);
		CHECK_INT(cases[i].name, read_text(&e, text), 0);
		CHECK_NUM(cases[i].name, value(&e, "u", "on_target_release"), cases[i].want);
		fake_sink_fini(&e.sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_cloud_fields),
		cmocka_unit_test(test_never_connected),
		cmocka_unit_test(test_heartbeat_only),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_whole_account),
		cmocka_unit_test(test_info_labels),
		cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_number_texts),
		cmocka_unit_test(test_fraction_in_whole_metric),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_fields_only),
		cmocka_unit_test(test_no_leftovers),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_offline_since),
		cmocka_unit_test(test_on_target),
	};

	return cmocka_run_group_tests_name("extract", tests, NULL, NULL);
}
