/* SPDX-License-Identifier: MIT
 *
 * Sums over a fleet: partitions that add up, with every word of metrics.md and zeros, and values of
 * connected devices only. */
#include "fake_sink.h"
#include "fleet.h"
#include "unit.h"

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
	bool wanted[BCI_M__COUNT];
	char slug[16], name[16];
	struct bci_fleet fleet;
};

static void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->clock = (struct bci_clock){ .mono_ms = no_time, .wall_ms = no_time };
	assert_true(bci_metrics_select("@all", e->wanted));
	e->out = (struct bci_out){ .sink = &e->sink.sink, .user = &e->sink, .time_ms = 1, .account = "a",
		                   .wanted = e->wanted, .stats = &e->stats, .clock = &e->clock };
	strcpy(e->slug, "org/f");
	strcpy(e->name, "f");
	e->fleet = (struct bci_fleet){ .id = 1, .slug = e->slug, .name = e->name };
}

#define NONE -1.0

/* A device by hand; NONE leaves a field out. */
struct spec {
	enum bci_connection connection;
	double status, heartbeat, vpn, update, running, target, pinned, undervolted, frozen;
	double memory_usage, memory_total, storage_usage, storage_total, cpu, temp;
};

static void put(struct bci_device *d, enum bci_field f, double value)
{
	if (value == NONE)
		return;
	d->has |= BCI_BIT(f);
	d->number[f] = value;
}

static struct bci_device device(const struct spec *s)
{
	struct bci_device d = { .connection = s->connection };

	put(&d, BCI_F_STATUS, s->status);
	put(&d, BCI_F_HEARTBEAT, s->heartbeat);
	put(&d, BCI_F_VPN, s->vpn);
	put(&d, BCI_F_UPDATE_STATUS, s->update);
	put(&d, BCI_F_RUNNING_RELEASE, s->running);
	put(&d, BCI_F_TARGET_RELEASE, s->target);
	put(&d, BCI_F_PINNED_RELEASE, s->pinned);
	put(&d, BCI_F_UNDERVOLTED, s->undervolted);
	put(&d, BCI_F_FROZEN, s->frozen);
	put(&d, BCI_F_MEMORY_USAGE, s->memory_usage);
	put(&d, BCI_F_MEMORY_TOTAL, s->memory_total);
	put(&d, BCI_F_STORAGE_USAGE, s->storage_usage);
	put(&d, BCI_F_STORAGE_TOTAL, s->storage_total);
	put(&d, BCI_F_CPU_USAGE, s->cpu);
	put(&d, BCI_F_CPU_TEMP, s->temp);
	return d;
}

#define CON BCI_CONNECTED
#define DIS BCI_DISCONNECTED
#define NEV BCI_NEVER
#define INA BCI_INACTIVE

static const struct spec specs[] = {
	/* state status hb vpn update run tgt pin uv frz  mem        sto         cpu temp */
	{ CON, 1, 1, 1, 1, 2, 2, NONE, 0, 0, 500, 1000, 100, 1000, 20, 40 },
	{ CON, 2, 2, 0, 2, 1, 2, 5, 1, 1, 750, 1000, 3000, 2000, 100, 80 },
	{ CON, 3, 4, 1, NONE, 1, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE },
	{ CON, 0, 0, 1, 0, NONE, 2, NONE, 0, 0, 1, 0, 1, 0, 0, -10 },
	{ CON, NONE, NONE, 1, 6, 2, 2, NONE, 0, 0, 250, 1000, NONE, 1000, NONE, NONE },
	/* What these three say of themselves is stale. */
	{ DIS, 6, 3, 0, 5, 1, 2, 5, 1, 0, 999, 1000, 999, 1000, 100, 99 },
	{ NEV, 4, 4, 0, NONE, NONE, 2, NONE, 0, 0, NONE, NONE, NONE, NONE, NONE, NONE },
	{ INA, 7, 1, 1, 1, 2, 2, NONE, 1, 0, 999, 1000, 999, 1000, 100, 99 },
};

static void add_all(struct env *e)
{
	for (size_t i = 0; i < LEN(specs); i++) {
		struct bci_device d = device(&specs[i]);

		bci_tally_add(&e->fleet.tally, &d);
	}
}

/* balena_<metric>{fleet="org/f"<labels>} */
static double value(const struct env *e, const char *metric, const char *labels)
{
	char series[256];

	snprintf(series, sizeof(series), "balena_%s{fleet=\"%s\"%s}", metric, e->slug, labels);
	return fake_sink_value(&e->sink, series);
}

/* Every part of every partition, in metrics.md's words. */
static const struct part {
	const char *by, *word;
	double want;
} parts[] = {
	{ "connection", "connected", 5 },
	{ "connection", "disconnected", 1 },
	{ "connection", "never", 1 },
	{ "connection", "inactive", 1 },
	{ "status", "operational", 1 },
	{ "status", "reduced-functionality", 1 },
	{ "status", "updating", 1 },
	{ "status", "configuring", 1 },
	{ "status", "post-provisioning", 0 },
	{ "status", "disconnected", 1 },
	{ "status", "inactive", 1 },
	{ "status", "other", 2 },
	{ "heartbeat", "online", 2 },
	{ "heartbeat", "timeout", 1 },
	{ "heartbeat", "offline", 1 },
	{ "heartbeat", "unknown", 2 },
	{ "heartbeat", "other", 2 },
	{ "update_status", "done", 1 },
	{ "update_status", "downloading", 1 },
	{ "update_status", "downloaded", 0 },
	{ "update_status", "applying changes", 0 },
	{ "update_status", "rejected", 0 },
	{ "update_status", "aborted", 1 },
	{ "update_status", "none", 1 },
	{ "update_status", "stale", 3 },
	{ "update_status", "other", 1 },
	{ "rollout", "on_target", 3 },
	{ "rollout", "pending", 1 },
	{ "rollout", "pending_offline", 1 },
	{ "rollout", "unknown", 3 },
};

static void check_parts(const struct env *e, bool zeros)
{
	static const char *const bys[] = { "connection", "status", "heartbeat", "update_status", "rollout" };

	for (size_t i = 0; i < LEN(parts); i++) {
		char metric[64], labels[64];

		snprintf(metric, sizeof(metric), "fleet_devices_by_%s", parts[i].by);
		snprintf(labels, sizeof(labels), ",%s=\"%s\"", parts[i].by, parts[i].word);
		CHECK_NUM(labels, value(e, metric, labels), zeros ? 0 : parts[i].want);
	}
	for (size_t i = 0; i < LEN(bys); i++) {
		char prefix[64];
		size_t n = 0;

		snprintf(prefix, sizeof(prefix), "balena_fleet_devices_by_%s{", bys[i]);
		for (size_t k = 0; k < LEN(parts); k++)
			n += strcmp(parts[k].by, bys[i]) == 0;
		/* All words, no others, and their sum is the fleet. */
		CHECK_INT(prefix, fake_sink_count(&e->sink, prefix), n);
		CHECK_NUM(prefix, fake_sink_sum(&e->sink, prefix), zeros ? 0 : LEN(specs));
	}
}

static void test_partitions(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	add_all(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	check_parts(&e, false);
	assert_int_equal(e.sink.duplicates, 0);
	fake_sink_fini(&e.sink);
}

static void test_values(void **state)
{
	static const struct {
		const char *metric;
		double want;
	} cases[] = {
		{ "fleet_devices", 8 },
		{ "fleet_devices_pinned", 2 },
		{ "fleet_devices_undervolted", 1 },
		{ "fleet_devices_frozen", 1 },
		{ "fleet_devices_without_metrics", 1 },
		{ "fleet_cpu_temperature_max_celsius", 80 },
		{ "fleet_cpu_temperature_mean_celsius", (40.0 + 80 - 10) / 3 },
		{ "fleet_cpu_usage_mean_ratio", (0.2 + 1 + 0) / 3 },
		{ "fleet_cpu_usage_max_ratio", 1 },
		{ "fleet_memory_usage_mean_ratio", (0.5 + 0.75 + 0.25) / 3 },
		{ "fleet_memory_usage_max_ratio", 0.75 },
		{ "fleet_storage_usage_mean_ratio", (0.1 + 1.5) / 2 },
		{ "fleet_storage_usage_max_ratio", 1.5 },
	};
	struct env e;

	(void)state;
	env_init(&e);
	add_all(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_NUM(cases[i].metric, value(&e, cases[i].metric, ""), cases[i].want);
	/* VPN connections, an inactive device's too: what the older exporter counted. */
	CHECK_NUM("online", value(&e, "devices_online", ",fleet_name=\"f\""), 5);
	fake_sink_fini(&e.sink);
}

/* An empty fleet has zeros, and no means of nothing. */
static void test_empty(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	check_parts(&e, true);
	CHECK_NUM("devices", value(&e, "fleet_devices", ""), 0);
	CHECK_NUM("online", value(&e, "devices_online", ",fleet_name=\"f\""), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_cpu"), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_memory"), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_storage"), 0);
	fake_sink_fini(&e.sink);
}

/* The highest of temperatures below zero is below zero. */
static void test_negative_maximum(void **state)
{
	struct spec cold = specs[0];
	struct bci_device d;
	struct env e;

	(void)state;
	env_init(&e);
	cold.temp = -30;
	d = device(&cold);
	bci_tally_add(&e.fleet.tally, &d);
	cold.temp = -20;
	d = device(&cold);
	bci_tally_add(&e.fleet.tally, &d);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	CHECK_NUM("max", value(&e, "fleet_cpu_temperature_max_celsius", ""), -20);
	CHECK_NUM("mean", value(&e, "fleet_cpu_temperature_mean_celsius", ""), -25);
	fake_sink_fini(&e.sink);
}

/* What the server cannot tell is no zero. */
static void test_fields_missing(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	add_all(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, ~(BCI_BIT(BCI_F_FROZEN) | BCI_BIT(BCI_F_UPDATE_STATUS)),
	                                &e.out, &e.record), 0);
	CHECK_NUM("frozen", value(&e, "fleet_devices_frozen", ""), (double)NAN);
	CHECK_INT("updates", fake_sink_count(&e.sink, "balena_fleet_devices_by_update_status"), 0);
	CHECK_INT("status", fake_sink_count(&e.sink, "balena_fleet_devices_by_status"), 8);
	fake_sink_fini(&e.sink);
}

/* Not for those of no fleet: balena_devices_online. */
static void test_no_fleet(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	strcpy(e.slug, "none");
	e.fleet.id = 0;
	e.fleet.name = NULL;
	add_all(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	check_parts(&e, false);
	CHECK_INT("online", fake_sink_count(&e.sink, "balena_devices_online"), 0);
	fake_sink_fini(&e.sink);
}

static void test_sink_refuses(void **state)
{
	struct env e;
	size_t records;

	(void)state;
	env_init(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), 0);
	records = e.sink.records;
	fake_sink_fini(&e.sink);
	/* One for the values, one for devices_online, one for each part. */
	assert_int_equal(records, 2 + LEN(parts));
	for (size_t at = 1; at <= records; at++) {
		env_init(&e);
		e.sink.refuse_at = at;
		e.sink.rc = 3;
		assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.out, &e.record), BCRAWL_E_SINK);
		assert_int_equal(e.sink.records, at);
		fake_sink_fini(&e.sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partitions),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_negative_maximum),
		cmocka_unit_test(test_fields_missing),
		cmocka_unit_test(test_no_fleet),
		cmocka_unit_test(test_sink_refuses),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
