/* SPDX-License-Identifier: MIT
 *
 * Sums over a fleet: partitions that add up, with every word of metrics.md and zeros, and values of
 * connected devices only. */
#include "fake_sink.h"
#include "fleet.h"
#include "unit.h"

/* As a value is passed on that is neither whole nor a time. */
#define MILLIONTH(x) (round((x) * 1e6) / 1e6)

struct env {
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	struct bci_record record;
	bool wanted[BCI_M__COUNT];
	char slug[16], name[16];
	struct bci_fleet fleet;
	struct bci_names last, now;
	struct bci_naming naming;
};

static void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->out = fake_sink_out(&e->sink, "@all", e->wanted, &e->stats);
	e->naming = (struct bci_naming){ 20, &e->last, &e->now };
	strcpy(e->slug, "org/f");
	strcpy(e->name, "f");
	e->fleet = (struct bci_fleet){ .id = 1, .slug = e->slug, .name = e->name };
}

static void env_fini(struct env *e)
{
	bci_tally_clear(&e->fleet.tally);
	bci_names_free(&e->last);
	bci_names_free(&e->now);
	fake_sink_fini(&e->sink);
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
	struct bci_device d = { .connection = s->connection, .speaks = s->connection == BCI_CONNECTED };

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

		assert_int_equal(bci_tally_add(&e->fleet.tally, &d), 0);
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
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	check_parts(&e, false);
	assert_int_equal(e.sink.duplicates, 0);
	env_fini(&e);
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
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_NUM(cases[i].metric, value(&e, cases[i].metric, ""), MILLIONTH(cases[i].want));
	/* VPN connections, an inactive device's too: what the older exporter counted. */
	CHECK_NUM("online", value(&e, "devices_online", ",fleet_name=\"f\""), 5);
	env_fini(&e);
}

/* An empty fleet has zeros, and no means of nothing. */
static void test_empty(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	check_parts(&e, true);
	CHECK_NUM("devices", value(&e, "fleet_devices", ""), 0);
	CHECK_NUM("online", value(&e, "devices_online", ",fleet_name=\"f\""), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_cpu"), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_memory"), 0);
	CHECK_INT("means", fake_sink_count(&e.sink, "balena_fleet_storage"), 0);
	env_fini(&e);
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
	assert_int_equal(bci_tally_add(&e.fleet.tally, &d), 0);
	cold.temp = -20;
	d = device(&cold);
	assert_int_equal(bci_tally_add(&e.fleet.tally, &d), 0);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	CHECK_NUM("max", value(&e, "fleet_cpu_temperature_max_celsius", ""), -20);
	CHECK_NUM("mean", value(&e, "fleet_cpu_temperature_mean_celsius", ""), -25);
	env_fini(&e);
}

/* What the server cannot tell is no zero. */
static void test_fields_missing(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	add_all(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, ~(BCI_BIT(BCI_F_FROZEN) | BCI_BIT(BCI_F_UPDATE_STATUS)), &e.naming,
	                                &e.out, &e.record), 0);
	CHECK_NUM("frozen", value(&e, "fleet_devices_frozen", ""), (double)NAN);
	CHECK_INT("updates", fake_sink_count(&e.sink, "balena_fleet_devices_by_update_status"), 0);
	CHECK_INT("status", fake_sink_count(&e.sink, "balena_fleet_devices_by_status"), 8);
	env_fini(&e);
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
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	check_parts(&e, false);
	CHECK_INT("online", fake_sink_count(&e.sink, "balena_devices_online"), 0);
	env_fini(&e);
}

static void test_sink_refuses(void **state)
{
	struct env e;
	size_t records;

	(void)state;
	env_init(&e);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	records = e.sink.records;
	env_fini(&e);
	/* One for the values, one for devices_online, one for each part; other and none of each
	 * ranking. */
	assert_int_equal(records, 2 + LEN(parts) + 2 * BCI_DIMENSION__COUNT);
	for (size_t at = 1; at <= records; at++) {
		env_init(&e);
		e.sink.refuse_at = at;
		e.sink.rc = 3;
		assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), BCRAWL_E_SINK);
		assert_int_equal(e.sink.records, at);
		env_fini(&e);
	}
}

/* A number that was rejected is a report all the same. */
static void test_without_metrics(void **state)
{
	static const struct {
		const char *name;
		double total;
		bool wrong, speaks;
		double want;
	} cases[] = {
		{ "told", 1000, false, true, 0 },
		{ "not told", NONE, false, true, 1 },
		{ "rejected", NONE, true, true, 0 },
		{ "not told, and not connected", NONE, false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct spec spec = specs[0];
		struct bci_device d;
		struct env e;

		env_init(&e);
		spec.memory_total = cases[i].total;
		d = device(&spec);
		d.wrong |= cases[i].wrong ? BCI_BIT(BCI_F_MEMORY_TOTAL) : 0;
		d.speaks = cases[i].speaks;
		assert_int_equal(bci_tally_add(&e.fleet.tally, &d), 0);
		assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
		CHECK_NUM(cases[i].name, value(&e, "fleet_devices_without_metrics", ""), cases[i].want);
		env_fini(&e);
	}
}

/* ---- rankings ---- */

static void add_named(struct env *e, const char *release, const char *os, const char *supervisor,
                      const char *type)
{
	static const enum bci_field fields[] = { BCI_F_RELEASE_NAME, BCI_F_OS_VERSION,
		                                 BCI_F_SUPERVISOR_VERSION, BCI_F_DEVICE_TYPE };
	const char *const texts[] = { release, os, supervisor, type };
	struct bci_device d = device(&specs[0]);

	for (size_t i = 0; i < LEN(fields); i++) {
		if (!texts[i])
			continue;
		d.has |= BCI_BIT(fields[i]);
		d.text[fields[i]] = texts[i];
	}
	assert_int_equal(bci_tally_add(&e->fleet.tally, &d), 0);
}

/* Each dimension by its own field, each with the fleet for its sum. */
static void test_rankings(void **state)
{
	static const struct {
		const char *by, *word;
		double want;
	} cases[] = {
		{ "release", "1.0", 2 },
		{ "release", "0.9", (double)NAN }, /* the third of two */
		{ "release", "1.1", 1 },
		{ "release", "2.0", 0 },           /* the target */
		{ "release", "other", 1 },
		{ "release", "none", 1 },
		{ "os_version", "balenaOS 5", 4 },
		{ "os_version", "other", 0 },
		{ "os_version", "none", 1 },
		{ "supervisor_version", "16", 1 },
		{ "supervisor_version", "17", 3 },
		{ "supervisor_version", "other", 0 },
		{ "supervisor_version", "none", 1 },
		{ "device_type", "intel-nuc", 1 },
		{ "device_type", "pi", 2 },
		{ "device_type", "qemu", (double)NAN },
		{ "device_type", "other", 1 },
		{ "device_type", "none", 1 },
	};
	static const char *const bys[] = { "release", "os_version", "supervisor_version", "device_type" };
	char target[] = "2.0";
	struct env e;

	(void)state;
	env_init(&e);
	e.naming.top = 2;
	e.fleet.target = target;
	add_named(&e, "1.0", "balenaOS 5", "17", "pi");
	add_named(&e, "1.0", "balenaOS 5", "17", "pi");
	add_named(&e, "1.1", "balenaOS 5", "17", "intel-nuc");
	add_named(&e, "1.2", "balenaOS 5", "16", "qemu");
	add_named(&e, NULL, NULL, NULL, NULL);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		char metric[64], labels[64];

		snprintf(metric, sizeof(metric), "fleet_devices_by_%s", cases[i].by);
		snprintf(labels, sizeof(labels), ",%s=\"%s\"", cases[i].by, cases[i].word);
		CHECK_NUM(labels, value(&e, metric, labels), cases[i].want);
	}
	for (size_t i = 0; i < LEN(bys); i++) {
		char prefix[64];

		snprintf(prefix, sizeof(prefix), "balena_fleet_devices_by_%s{", bys[i]);
		CHECK_NUM(prefix, fake_sink_sum(&e.sink, prefix), 5);
	}
	assert_int_equal(e.sink.duplicates, 0);
	env_fini(&e);
}

/* Two fleets may name what they like: a name in one is no name in the other. */
static void test_rankings_of_two_fleets(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	e.naming.top = 1;
	for (int64_t id = 1; id <= 2; id++) {
		bci_tally_clear(&e.fleet.tally);
		e.fleet.id = id;
		add_named(&e, id == 1 ? "b" : "a", NULL, NULL, NULL);
		assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	}
	assert_int_equal(bci_names_turn(&e.last, &e.now, true), 0);
	fake_sink_clear(&e.sink);
	/* In fleet 2 "b" is second now, and had no name there: only what has one may stay. */
	bci_tally_clear(&e.fleet.tally);
	add_named(&e, "a", NULL, NULL, NULL);
	add_named(&e, "a", NULL, NULL, NULL);
	add_named(&e, "b", NULL, NULL, NULL);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	CHECK_NUM("a", value(&e, "fleet_devices_by_release", ",release=\"a\""), 2);
	CHECK_NUM("b", value(&e, "fleet_devices_by_release", ",release=\"b\""), (double)NAN);
	CHECK_NUM("other", value(&e, "fleet_devices_by_release", ",release=\"other\""), 1);
	env_fini(&e);
	/* In fleet 1 it had one. */
	env_init(&e);
	e.naming.top = 1;
	add_named(&e, "b", NULL, NULL, NULL);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	assert_int_equal(bci_names_turn(&e.last, &e.now, true), 0);
	fake_sink_clear(&e.sink);
	bci_tally_clear(&e.fleet.tally);
	add_named(&e, "a", NULL, NULL, NULL);
	add_named(&e, "a", NULL, NULL, NULL);
	add_named(&e, "b", NULL, NULL, NULL);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	CHECK_NUM("b", value(&e, "fleet_devices_by_release", ",release=\"b\""), 1);
	CHECK_NUM("other", value(&e, "fleet_devices_by_release", ",release=\"other\""), 0);
	env_fini(&e);
}

/* What is not wanted is not ranked, and needs no names. */
static void test_rankings_not_wanted(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	e.wanted[BCI_M_FLEET_BY_RELEASE] = e.wanted[BCI_M_FLEET_BY_OS] = false;
	add_named(&e, "1.0", "5", "17", "pi");
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	CHECK_INT("release", fake_sink_count(&e.sink, "balena_fleet_devices_by_release"), 0);
	CHECK_INT("os", fake_sink_count(&e.sink, "balena_fleet_devices_by_os_version"), 0);
	CHECK_INT("supervisor", fake_sink_count(&e.sink, "balena_fleet_devices_by_supervisor_version"), 3);
	assert_int_equal(e.now.n, 2);
	env_fini(&e);
}

/* ---- services ---- */

/* For each service all words of metrics.md, and other. */
static void test_services(void **state)
{
	static const char *const words[] = {
		"other", "Running", "Starting", "Installed", "Installing", "Downloaded", "Downloading",
		"Handing over", "Awaiting handover", "Idle", "configuring", "Stopping", "Stopped", "paused",
		"restarting", "exited", "Dead", "removing", "Deleting", "deleted", "Unknown",
	};
	struct bci_services *s;
	struct env e;

	(void)state;
	env_init(&e);
	s = &e.fleet.tally.services;
	/* Memory that bci_tally_clear() frees. */
	s->rows = calloc(2, sizeof(*s->rows));
	assert_non_null(s->rows);
	s->n = s->cap = 2;
	s->rows[0].name = strdup("main");
	s->rows[1].name = strdup("web");
	for (size_t i = 0; i < LEN(words); i++)
		s->rows[0].by_code[i] = 100 + i;
	s->rows[1].by_code[1] = 7;
	assert_int_equal(LEN(words), BCI_SERVICE_CODES);
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	for (size_t i = 0; i < LEN(words); i++) {
		char labels[128];

		snprintf(labels, sizeof(labels), ",service_name=\"main\",service_status=\"%s\"", words[i]);
		CHECK_NUM(labels, value(&e, "fleet_services_by_status", labels), (double)(100 + i));
		snprintf(labels, sizeof(labels), ",service_name=\"web\",service_status=\"%s\"", words[i]);
		CHECK_NUM(labels, value(&e, "fleet_services_by_status", labels), i == 1 ? 7 : 0);
	}
	CHECK_INT("parts", fake_sink_count(&e.sink, "balena_fleet_services_by_status{"), 2 * LEN(words));
	fake_sink_clear(&e.sink);
	e.wanted[BCI_M_FLEET_SERVICES] = false;
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	CHECK_INT("not wanted", fake_sink_count(&e.sink, "balena_fleet_services_by_status{"), 0);
	env_fini(&e);
}

/* stale-values keep: what a lost device said last counts. */
static void test_keep_stale(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	for (size_t i = 0; i < LEN(specs); i++) {
		struct bci_device d = device(&specs[i]);

		d.speaks = true;
		assert_int_equal(bci_tally_add(&e.fleet.tally, &d), 0);
	}
	assert_int_equal(bci_tally_emit(&e.fleet, UINT64_MAX, &e.naming, &e.out, &e.record), 0);
	/* Only the device that never said anything: it is not connected, so that is no "none". */
	CHECK_NUM("stale", value(&e, "fleet_devices_by_update_status", ",update_status=\"stale\""), 1);
	CHECK_NUM("without metrics", value(&e, "fleet_devices_without_metrics", ""), 1);
	CHECK_NUM("rejected", value(&e, "fleet_devices_by_update_status", ",update_status=\"rejected\""), 1);
	CHECK_NUM("undervolted", value(&e, "fleet_devices_undervolted", ""), 3);
	CHECK_NUM("temperature", value(&e, "fleet_cpu_temperature_max_celsius", ""), 99);
	CHECK_NUM("sum", fake_sink_sum(&e.sink, "balena_fleet_devices_by_update_status{"), LEN(specs));
	/* The state is the same for all that. */
	CHECK_NUM("connected", value(&e, "fleet_devices_by_connection", ",connection=\"connected\""), 5);
	CHECK_NUM("pending", value(&e, "fleet_devices_by_rollout", ",rollout=\"pending\""), 1);
	env_fini(&e);
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
		cmocka_unit_test(test_without_metrics),
		cmocka_unit_test(test_rankings),
		cmocka_unit_test(test_rankings_of_two_fleets),
		cmocka_unit_test(test_rankings_not_wanted),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_keep_stale),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
