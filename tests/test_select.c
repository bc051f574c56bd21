/* SPDX-License-Identifier: MIT
 *
 * The metric catalogue against the contract (metrics.md section 1), and the choice from it. */
#include "metrics.h"
#include "unit.h"

#include <json-c/json.h>

#define D BCRAWL_SCOPE_DEVICE
#define F BCRAWL_SCOPE_FLEET
#define C BCRAWL_SCOPE_CRAWL
#define V BCRAWL_SCOPE_SERVICE
#define L BCRAWL_SET_LEAN
#define S BCRAWL_SET_STANDARD
#define O BCRAWL_SET_OPTIONAL
#define GAUGE BCRAWL_GAUGE
#define COUNTER BCRAWL_COUNTER

/* Written from metrics.md section 1, not from the code. */
static const struct row {
	const char *name;
	enum bcrawl_scope scope;
	enum bcrawl_set set;
	enum bcrawl_kind kind;
	const char *labels;
} contract[] = {
	{ "balena_device_up", D, L, GAUGE, "" },
	{ "balena_device_status_code", D, L, GAUGE, "" },
	{ "balena_device_on_target_release", D, L, GAUGE, "" },
	{ "balena_device_storage_usage_ratio", D, L, GAUGE, "" },
	{ "balena_device_memory_usage_ratio", D, L, GAUGE, "" },
	{ "balena_device_offline_since_timestamp_seconds", D, L, GAUGE, "" },
	{ "balena_device_info", D, L, GAUGE,
	  "device_name,device_type,os_version,os_variant,supervisor_version,release" },
	{ "balena_device_cpu_usage_ratio", D, S, GAUGE, "" },
	{ "balena_device_cpu_temperature_celsius", D, S, GAUGE, "" },
	{ "balena_device_undervolted", D, S, GAUGE, "" },
	{ "balena_device_storage_used_bytes", D, S, GAUGE, "" },
	{ "balena_device_storage_size_bytes", D, S, GAUGE, "" },
	{ "balena_device_memory_used_bytes", D, S, GAUGE, "" },
	{ "balena_device_memory_size_bytes", D, S, GAUGE, "" },
	{ "balena_device_vpn_connected", D, S, GAUGE, "" },
	{ "balena_device_heartbeat_code", D, S, GAUGE, "" },
	{ "balena_device_vpn_changed_timestamp_seconds", D, S, GAUGE, "" },
	{ "balena_device_heartbeat_changed_timestamp_seconds", D, S, GAUGE, "" },
	{ "balena_device_update_status_code", D, S, GAUGE, "" },
	{ "balena_device_update_status_changed_timestamp_seconds", D, S, GAUGE, "" },
	{ "balena_device_progress_ratio", D, S, GAUGE, "" },
	{ "balena_device_pinned", D, O, GAUGE, "" },
	{ "balena_device_active", D, O, GAUGE, "" },
	{ "balena_device_frozen", D, O, GAUGE, "" },
	{ "balena_device_web_accessible", D, O, GAUGE, "" },
	{ "balena_device_locked_until_timestamp_seconds", D, O, GAUGE, "" },
	{ "balena_device_created_timestamp_seconds", D, O, GAUGE, "" },
	{ "balena_device_modified_timestamp_seconds", D, O, GAUGE, "" },
	{ "balena_device_provisioning_progress_ratio", D, O, GAUGE, "" },
	{ "balena_device_os_update_pending", D, O, GAUGE, "" },
	{ "balena_device_supervisor_update_pending", D, O, GAUGE, "" },
	{ "balena_device_service_status_code", V, S, GAUGE, "service_name" },
	{ "balena_device_service_download_progress_ratio", V, S, GAUGE, "service_name" },
	{ "balena_device_latitude_degrees", D, O, GAUGE, "" },
	{ "balena_device_longitude_degrees", D, O, GAUGE, "" },
	{ "balena_devices_online", F, L, GAUGE, "fleet_name" },
	{ "balena_fleet_devices", F, L, GAUGE, "" },
	{ "balena_fleet_devices_by_connection", F, L, GAUGE, "connection" },
	{ "balena_fleet_devices_by_status", F, L, GAUGE, "status" },
	{ "balena_fleet_devices_by_heartbeat", F, L, GAUGE, "heartbeat" },
	{ "balena_fleet_devices_by_update_status", F, L, GAUGE, "update_status" },
	{ "balena_fleet_devices_by_rollout", F, L, GAUGE, "rollout" },
	{ "balena_fleet_devices_by_release", F, L, GAUGE, "release" },
	{ "balena_fleet_devices_by_os_version", F, L, GAUGE, "os_version" },
	{ "balena_fleet_devices_by_supervisor_version", F, L, GAUGE, "supervisor_version" },
	{ "balena_fleet_devices_by_device_type", F, L, GAUGE, "device_type" },
	{ "balena_fleet_services_by_status", F, L, GAUGE, "service_name,service_status" },
	{ "balena_fleet_devices_pinned", F, L, GAUGE, "" },
	{ "balena_fleet_devices_undervolted", F, L, GAUGE, "" },
	{ "balena_fleet_devices_frozen", F, L, GAUGE, "" },
	{ "balena_fleet_devices_without_metrics", F, L, GAUGE, "" },
	{ "balena_fleet_cpu_temperature_max_celsius", F, L, GAUGE, "" },
	{ "balena_fleet_cpu_temperature_mean_celsius", F, O, GAUGE, "" },
	{ "balena_fleet_cpu_usage_mean_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_cpu_usage_max_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_memory_usage_mean_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_memory_usage_max_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_storage_usage_mean_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_storage_usage_max_ratio", F, O, GAUGE, "" },
	{ "balena_fleet_crawl_success", F, L, GAUGE, "" },
	{ "balena_fleet_info", F, L, GAUGE, "fleet_name,organization,device_type,fleet_id" },
	{ "balena_fleet_target_release_info", F, L, GAUGE, "release" },
	{ "balena_fleet_target_release_created_timestamp_seconds", F, L, GAUGE, "" },
	{ "balena_fleet_tracks_latest_release", F, L, GAUGE, "" },
	{ "balena_fleet_latest_release_status_code", F, O, GAUGE, "" },
	{ "balena_crawl_success", C, L, GAUGE, "" },
	{ "balena_crawl_last_success_timestamp_seconds", C, L, GAUGE, "" },
	{ "balena_crawl_duration_seconds", C, L, GAUGE, "" },
	{ "balena_crawl_interval_seconds", C, L, GAUGE, "" },
	{ "balena_crawl_fleets", C, L, GAUGE, "" },
	{ "balena_crawl_fleets_failed", C, L, GAUGE, "" },
	{ "balena_crawl_devices", C, L, GAUGE, "" },
	{ "balena_crawl_unmatched_patterns", C, L, GAUGE, "" },
	{ "balena_crawl_withheld_values", C, L, GAUGE, "reason" },
	{ "balena_crawl_ignored_triggers", C, L, GAUGE, "" },
	{ "balena_crawl_detail_reduced", C, L, GAUGE, "" },
	{ "balena_crawl_token_valid", C, L, GAUGE, "" },
	{ "balena_crawl_token_expiry_timestamp_seconds", C, L, GAUGE, "" },
	{ "balena_crawl_api_version", C, L, GAUGE, "" },
	{ "balena_crawl_shard_index", C, L, GAUGE, "" },
	{ "balena_crawl_shards", C, L, GAUGE, "" },
	{ "balena_crawl_info", C, L, GAUGE, "version" },
	{ "balena_api_requests_total", C, L, COUNTER, "result" },
	{ "balena_api_rejected_values_total", C, L, COUNTER, "reason" },
	{ "balena_api_retries_total", C, L, COUNTER, "" },
	{ "balena_api_received_bytes_total", C, L, COUNTER, "" },
	{ "balena_api_throttled_seconds_total", C, L, COUNTER, "" },
	{ "balena_shard_moves_total", C, L, COUNTER, "" },
	{ "balena_shard_membership_errors_total", C, L, COUNTER, "" },
};

static const struct bcrawl_metric *find(const char *name)
{
	const struct bcrawl_metric *m;

	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

static void test_contract(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(contract); i++) {
		const struct row *row = &contract[i];
		const struct bcrawl_metric *m = find(row->name);

		CHECK(row->name, m != NULL);
		CHECK_INT(row->name, m->scope, row->scope);
		CHECK_STR(row->name, bcrawl_set_name(m->set), bcrawl_set_name(row->set));
		CHECK_INT(row->name, m->kind, row->kind);
		CHECK_STR(row->name, m->labels, row->labels);
	}
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < LEN(contract); i++)
		if (strcmp(contract[i].name, name) == 0)
			return true;
	return false;
}

static void test_nothing_else(void **state)
{
	const struct bcrawl_metric *m;
	size_t n = 0;

	(void)state;
	for (; (m = bcrawl_metric_at(n)); n++) {
		CHECK(m->name, is_known(m->name));
		for (size_t k = 0; k < n; k++)
			CHECK(m->name, strcmp(m->name, bcrawl_metric_at(k)->name) != 0);
	}
	assert_int_equal(n, BCI_M__COUNT);
	assert_int_equal(n, LEN(contract));
	assert_null(bcrawl_metric_at(n + 1));
	assert_null(bcrawl_metric_at(SIZE_MAX));
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && strcmp(text + n - k, end) == 0;
}

static bool begins_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool has_prefix_of_scope(const struct bcrawl_metric *m)
{
	switch (m->scope) {
	case BCRAWL_SCOPE_CRAWL:
		return begins_with(m->name, "balena_crawl_") || begins_with(m->name, "balena_api_") ||
		       begins_with(m->name, "balena_shard_");
	case BCRAWL_SCOPE_FLEET:
		return begins_with(m->name, "balena_fleet_") || strcmp(m->name, "balena_devices_online") == 0;
	case BCRAWL_SCOPE_DEVICE:
		return begins_with(m->name, "balena_device_");
	case BCRAWL_SCOPE_SERVICE:
		return begins_with(m->name, "balena_device_service_");
	}
	return false;
}

/* The unit that a name ends with, "_total" left out, as Prometheus wants it. */
static enum bcrawl_unit unit_of_name(const char *name)
{
	static const struct {
		const char *end;
		enum bcrawl_unit unit;
	} ends[] = {
		{ "_timestamp_seconds", BCRAWL_UNIT_TIMESTAMP }, { "_seconds", BCRAWL_UNIT_SECONDS },
		{ "_bytes", BCRAWL_UNIT_BYTES },                 { "_ratio", BCRAWL_UNIT_RATIO },
		{ "_celsius", BCRAWL_UNIT_CELSIUS },             { "_degrees", BCRAWL_UNIT_DEGREES },
	};
	char stem[128];

	snprintf(stem, sizeof(stem), "%s", name);
	if (ends_with(stem, "_total"))
		stem[strlen(stem) - strlen("_total")] = '\0';
	for (size_t i = 0; i < LEN(ends); i++)
		if (ends_with(stem, ends[i].end))
			return ends[i].unit;
	return BCRAWL_UNIT_ONE;
}

static void test_names(void **state)
{
	const struct bcrawl_metric *m;

	(void)state;
	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++) {
		enum bcrawl_unit unit = m->unit == BCRAWL_UNIT_BOOL ? BCRAWL_UNIT_ONE : m->unit;

		CHECK(m->name, strspn(m->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(m->name));
		CHECK(m->name, !strstr(m->name, "__") && !ends_with(m->name, "_"));
		CHECK(m->name, has_prefix_of_scope(m));
		CHECK_STR(m->name, bcrawl_unit_name(unit_of_name(m->name)), bcrawl_unit_name(unit));
		CHECK(m->name, ends_with(m->name, "_total") == (m->kind == BCRAWL_COUNTER));
		/* Suffixes with a meaning of their own. */
		CHECK(m->name, !ends_with(m->name, "_count") && !ends_with(m->name, "_sum") &&
		                       !ends_with(m->name, "_bucket"));
		CHECK(m->name, ends_with(m->name, "_code") ? m->integral && m->unit == BCRAWL_UNIT_ONE : 1);
		CHECK(m->name, m->kind != BCRAWL_COUNTER || m->integral);
		CHECK(m->name, m->unit != BCRAWL_UNIT_RATIO || !m->integral);
	}
}

static void test_texts(void **state)
{
	const struct bcrawl_metric *m;

	(void)state;
	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++) {
		size_t n = strlen(m->help);

		CHECK(m->name, n > 2 && m->help[n - 1] == '.' && m->help[n - 2] != '.');
		CHECK(m->name, !strpbrk(m->help, "\n\"\\|"));
		CHECK(m->name, m->source != NULL && m->labels != NULL);
		CHECK(m->name, !strpbrk(m->labels, " A"));
		/* The trap is a sentence or more, or nothing. */
		n = m->trap ? strlen(m->trap) : 0;
		CHECK(m->name, m->trap && (n == 0 || (n > 2 && m->trap[n - 1] == '.' && m->trap[n - 2] != '.')));
		CHECK(m->name, !strpbrk(m->trap, "\n\"\\|"));
		/* A partition has exactly one label beside the fleet: the word in its name. That of
		 * services has the service's name, too: it is one for each service. */
		if (strcmp(m->name, "balena_fleet_services_by_status") == 0)
			CHECK_STR(m->name, m->labels, "service_name,service_status");
		else if (strstr(m->name, "_by_"))
			CHECK_STR(m->name, strstr(m->name, "_by_") + 4, m->labels);
	}
}

static void test_enum_names(void **state)
{
	(void)state;
	assert_string_equal(bcrawl_scope_name(BCRAWL_SCOPE_CRAWL), "crawl");
	assert_string_equal(bcrawl_scope_name(BCRAWL_SCOPE_FLEET), "fleet");
	assert_string_equal(bcrawl_scope_name(BCRAWL_SCOPE_DEVICE), "device");
	assert_string_equal(bcrawl_scope_name(BCRAWL_SCOPE_SERVICE), "service");
	assert_string_equal(bcrawl_scope_name((enum bcrawl_scope)99), "");
	assert_string_equal(bcrawl_unit_name(BCRAWL_UNIT_ONE), "");
	assert_string_equal(bcrawl_unit_name(BCRAWL_UNIT_BOOL), "");
	assert_string_equal(bcrawl_unit_name(BCRAWL_UNIT_TIMESTAMP), "timestamp_seconds");
	assert_string_equal(bcrawl_unit_name((enum bcrawl_unit)99), "");
	assert_string_equal(bcrawl_set_name(BCRAWL_SET_LEAN), "lean");
	assert_string_equal(bcrawl_set_name(BCRAWL_SET_STANDARD), "standard");
	assert_string_equal(bcrawl_set_name(BCRAWL_SET_OPTIONAL), "optional");
	assert_string_equal(bcrawl_set_name((enum bcrawl_set)99), "");
}

/* ---- the choice ---- */

/* Whether the contract's metric is chosen by a spec that is a set. */
static void test_sets(void **state)
{
	static const struct {
		const char *spec;
		enum bcrawl_set up_to;
	} cases[] = { { "@lean", L }, { "@standard", S }, { "@all", O } };
	bool wanted[BCI_M__COUNT];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_true(bci_metrics_select(cases[i].spec, wanted));
		for (enum bci_metric_id id = 0; id < BCI_M__COUNT; id++)
			CHECK_INT(bci_metric(id)->pub.name, wanted[id], bci_metric(id)->pub.set <= cases[i].up_to);
	}
}

/* Metrics of the crawl are always there, so a case says only what it chooses beside them. */
static void test_specs(void **state)
{
	static const struct {
		const char *spec;
		const char *chosen[8];
	} cases[] = {
		{ "balena_device_up", { "balena_device_up" } },
		{ "balena_device_cpu_*", { "balena_device_cpu_usage_ratio",
		                           "balena_device_cpu_temperature_celsius" } },
		{ "*_degrees", { "balena_device_latitude_degrees", "balena_device_longitude_degrees" } },
		{ "balena_device_u?", { "balena_device_up" } },
		{ " balena_device_up , balena_devices_online,", { "balena_device_up", "balena_devices_online" } },
		{ "balena_device_up balena_device_up", { "balena_device_up" } },
		{ "balena_device_up,balena_fleet_info", { "balena_device_up", "balena_fleet_info" } },
		{ "balena_crawl_success", { NULL } },
		{ "balena_device_f[a-s]ozen", { "balena_device_frozen" } },
	};
	bool wanted[BCI_M__COUNT];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		size_t chosen = 0, named = 0;

		memset(wanted, 1, sizeof(wanted));
		CHECK(cases[i].spec, bci_metrics_select(cases[i].spec, wanted));
		for (enum bci_metric_id id = 0; id < BCI_M__COUNT; id++) {
			const struct bcrawl_metric *m = &bci_metric(id)->pub;

			if (m->scope == BCRAWL_SCOPE_CRAWL)
				CHECK(m->name, wanted[id]);
			else
				chosen += wanted[id];
			for (size_t k = 0; k < LEN(cases[i].chosen) && cases[i].chosen[k]; k++)
				if (strcmp(m->name, cases[i].chosen[k]) == 0)
					CHECK(cases[i].spec, wanted[id]);
		}
		while (named < LEN(cases[i].chosen) && cases[i].chosen[named])
			named++;
		CHECK_INT(cases[i].spec, chosen, named);
	}
}

static void test_bad_specs(void **state)
{
	static const char *const cases[] = {
		"", " ", ",", " , ,", "@", "@Lean", "@everything", "balena_device_upp", "device_up",
		"@lean balena_nothing", "@lean,@nothing", "BALENA_DEVICE_UP", "balena_device_up;balena_fleet_info",
	};
	char longer[300];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		bool wanted[BCI_M__COUNT];

		CHECK(cases[i], !bci_metrics_select(cases[i], NULL));
		CHECK(cases[i], !bci_metrics_select(cases[i], wanted));
	}
	memset(longer, '*', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	CHECK("a very long glob", !bci_metrics_select(longer, NULL));
	assert_true(bci_metrics_select("*", NULL));
}

/* ---- fields ---- */

static void test_fields(void **state)
{
	static const struct {
		const char *spec;
		uint64_t want;
	} cases[] = {
		{ "balena_crawl_success", 0 },
		{ "balena_fleet_crawl_success", 0 },
		{ "balena_device_vpn_connected", BCI_BIT(BCI_F_VPN) },
		{ "balena_device_created_timestamp_seconds", BCI_BIT(BCI_F_CREATED) },
		{ "balena_device_progress_ratio", BCI_STATE_FIELDS | BCI_BIT(BCI_F_PROGRESS) },
		{ "balena_device_longitude_degrees",
		  BCI_BIT(BCI_F_LONGITUDE) | BCI_BIT(BCI_F_CUSTOM_LONGITUDE) },
		{ "balena_fleet_devices_frozen", BCI_BIT(BCI_F_FROZEN) },
		{ "balena_fleet_devices_undervolted", BCI_STATE_FIELDS | BCI_BIT(BCI_F_UNDERVOLTED) },
		{ "balena_fleet_devices_by_connection", BCI_STATE_FIELDS },
		{ "balena_device_info",
		  BCI_BIT(BCI_F_DEVICE_NAME) | BCI_BIT(BCI_F_DEVICE_TYPE) | BCI_BIT(BCI_F_OS_VERSION) |
		          BCI_BIT(BCI_F_OS_VARIANT) | BCI_BIT(BCI_F_SUPERVISOR_VERSION) |
		          BCI_BIT(BCI_F_RELEASE_NAME) },
		{ "balena_device_offline_since_timestamp_seconds",
		  BCI_STATE_FIELDS | BCI_BIT(BCI_F_VPN_CHANGED) | BCI_BIT(BCI_F_HEARTBEAT_CHANGED) },
		{ "balena_device_on_target_release",
		  BCI_BIT(BCI_F_RUNNING_RELEASE) | BCI_BIT(BCI_F_TARGET_RELEASE) },
		{ "balena_device_os_update_pending", BCI_BIT(BCI_F_OS_VERSION) | BCI_BIT(BCI_F_TARGET_OS) },
		{ "balena_device_supervisor_update_pending",
		  BCI_BIT(BCI_F_SUPERVISOR_VERSION) | BCI_BIT(BCI_F_TARGET_SUPERVISOR) },
		{ "balena_device_service_status_code",
		  BCI_STATE_FIELDS | BCI_BIT(BCI_F_INSTALLS) | BCI_BIT(BCI_F_RUNNING_RELEASE) },
		{ "balena_device_service_download_progress_ratio",
		  BCI_STATE_FIELDS | BCI_BIT(BCI_F_INSTALLS) | BCI_BIT(BCI_F_RUNNING_RELEASE) },
		{ "balena_fleet_services_by_status",
		  BCI_STATE_FIELDS | BCI_BIT(BCI_F_INSTALLS) | BCI_BIT(BCI_F_RUNNING_RELEASE) },
		{ "balena_fleet_devices_by_release", BCI_BIT(BCI_F_RELEASE_NAME) },
		{ "balena_fleet_devices_by_os_version", BCI_BIT(BCI_F_OS_VERSION) },
		{ "balena_fleet_devices_by_supervisor_version", BCI_BIT(BCI_F_SUPERVISOR_VERSION) },
		{ "balena_fleet_devices_by_device_type", BCI_BIT(BCI_F_DEVICE_TYPE) },
		{ "balena_fleet_latest_release_status_code", 0 },
	};
	bool wanted[BCI_M__COUNT];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_true(bci_metrics_select(cases[i].spec, wanted));
		CHECK_INT(cases[i].spec, bci_metrics_fields(wanted), cases[i].want);
	}
	/* The state decides balena_device_up, whatever is asked beside. */
	assert_true(bci_metrics_select("balena_device_up", wanted));
	assert_int_equal(bci_metrics_fields(wanted) & BCI_STATE_FIELDS, BCI_STATE_FIELDS);
}

/* Words and their codes (metrics.md, Codes): for ever. */
static void test_words(void **state)
{
	static const char *const status[] = { "operational", "reduced-functionality", "updating",
		                              "configuring", "post-provisioning", "disconnected",
		                              "inactive", NULL };
	static const char *const heartbeat[] = { "online", "timeout", "offline", "unknown", NULL };
	static const char *const update[] = { "done", "downloading", "downloaded", "applying changes",
		                              "rejected", "aborted", NULL };
	static const char *const service[] = { "Running", "Starting", "Installed", "Installing", "Downloaded",
		                               "Downloading", "Handing over", "Awaiting handover", "Idle",
		                               "configuring", "Stopping", "Stopped", "paused", "restarting",
		                               "exited", "Dead", "removing", "Deleting", "deleted", "Unknown",
		                               NULL };
	static const char *const release[] = { "success", "running", "failed", "error", "cancelled",
		                               "interrupted", NULL };

	(void)state;
	for (size_t i = 0; i < LEN(status); i++)
		CHECK_STR("status", bci_status_words[i], status[i]);
	for (size_t i = 0; i < LEN(heartbeat); i++)
		CHECK_STR("heartbeat", bci_heartbeat_words[i], heartbeat[i]);
	for (size_t i = 0; i < LEN(update); i++)
		CHECK_STR("update", bci_update_words[i], update[i]);
	for (size_t i = 0; i < LEN(service); i++)
		CHECK_STR("service", bci_service_words[i], service[i]);
	for (size_t i = 0; i < LEN(release); i++)
		CHECK_STR("release", bci_release_words[i], release[i]);
	assert_int_equal(bci_word_code(service, "Running"), 1);
	assert_int_equal(bci_word_code(service, "Unknown"), 20);
	assert_int_equal(bci_word_code(service, "running"), 0);
	assert_int_equal(bci_word_code(service, ""), 0);
}

/* Every field that is asked for without a probe is one that the recorded server has. */
static void test_fields_exist(void **state)
{
	char *body = unit_fixture("recorded/v7-device-1-all-fields.json", NULL);
	struct json_object *root = json_tokener_parse(body), *rows = NULL, *row;

	(void)state;
	assert_non_null(root);
	assert_true(json_object_object_get_ex(root, "d", &rows));
	row = json_object_array_get_idx(rows, 0);
	/* Rows of other resources are not among a device's own members: they were recorded apart. */
	for (size_t i = 0; i < BCI_F__COUNT; i++)
		if (!bci_fields[i].probe && bci_fields[i].type != BCI_TYPE_ROWS)
			CHECK(bci_fields[i].name, json_object_object_get_ex(row, bci_fields[i].name, NULL));
	json_object_put(root);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contract),
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_enum_names),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_specs),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_fields_exist),
	};

	return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
