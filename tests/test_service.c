/* SPDX-License-Identifier: MIT
 *
 * The services of devices: of all installs the one of each service that counts, and counts of them
 * for the fleet. Nothing is lost: what is not emitted is withheld for a reason, or rejected. */
#include "fake_sink.h"
#include "page.h"
#include "service.h"
#include "unit.h"

#include <json-c/json.h>

struct env {
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	struct bci_record record;
	struct bci_device device;
	bool wanted[BCI_M__COUNT];
	struct bci_services services;
	bool keep_stale;
};

static void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	fake_sink_init(&e->sink);
	e->out = fake_sink_out(&e->sink, "balena_device_service_* balena_fleet_services_by_status", e->wanted, &e->stats);
}

static void env_fini(struct env *e)
{
	bci_services_free(&e->services);
	fake_sink_fini(&e->sink);
}

static int read_row(struct env *e, const struct json_object *o)
{
	const struct bci_reading how = {
		.version = 7,
		.fields = bci_metrics_fields(e->wanted) | BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID) |
			  BCI_BIT(BCI_F_FLEET),
		.keep_stale = e->keep_stale,
		.stats = &e->stats,
	};

	assert_int_equal(bci_device_read(&e->device, o, &how), 0);
	return bci_services_read(&e->services, &e->device, "org/f", &e->stats, &e->out, &e->record);
}

#define HERE "\"is_connected_to_vpn\":true,\"api_heartbeat_state\":\"online\""
#define GONE "\"is_connected_to_vpn\":false,\"api_heartbeat_state\":\"offline\""

/* One device that runs a release (as JSON), with installs. */
static int read_device(struct env *e, const char *uuid, const char *state, const char *running,
                       const char *installs)
{
	size_t size = strlen(installs) + 512;
	char *text = malloc(size);
	struct json_object *o;
	int rc;

	assert_non_null(text);
	snprintf(text, size, "{\"id\":1,\"uuid\":\"%s\",%s,\"is_running__release\":%s,\"image_install\":%s}", uuid,
	         state, running, installs);
	o = json_tokener_parse(text);
	CHECK(text, o != NULL);
	rc = read_row(e, o);
	json_object_put(o);
	free(text);
	return rc;
}

static double value(const struct env *e, const char *metric, const char *uuid, const char *service)
{
	char series[512];

	snprintf(series, sizeof(series),
	         "balena_device_service_%s{fleet=\"org/f\",device_uuid=\"%s\",service_name=\"%s\"}", metric, uuid,
	         service);
	return fake_sink_value(&e->sink, series);
}

static uint64_t rejected(const struct env *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < BCI_REJECT__COUNT; i++)
		n += e->stats.rejected[i];
	return n;
}

#define IN(service, release, status, progress, date)                                               \
	"{\"image\":[{\"is_a_build_of__service\":[{\"service_name\":\"" service "\"}],\"id\":3}],"     \
	"\"is_provided_by__release\":" release ",\"status\":" status ",\"download_progress\":" progress \
	",\"install_date\":" date "}"
#define REL(id) "{\"__id\":" #id "}"
#define DAY(day) "\"2026-11-" #day "T06:18:44.187Z\""

/* ---- which one counts ---- */

static void test_one_each(void **state)
{
	static const struct {
		const char *name, *running, *installs;
		double code, progress; /* of main */
		uint64_t superseded;
	} cases[] = {
		{ "one", REL(2), "[" IN("main", REL(2), "\"Running\"", "null", DAY(23)) "]", 1, (double)NAN, 0 },
		{ "none", REL(2), "[]", (double)NAN, (double)NAN, 0 },
		{ "that of the running release, though older",
		  REL(1), "[" IN("main", REL(1), "\"Running\"", "null", DAY(22)) ","
		              IN("main", REL(2), "\"Downloading\"", "40", DAY(23)) "]", 1, (double)NAN, 2 },
		{ "and in any order",
		  REL(1), "[" IN("main", REL(2), "\"Downloading\"", "40", DAY(23)) ","
		              IN("main", REL(1), "\"Running\"", "null", DAY(22)) "]", 1, (double)NAN, 2 },
		{ "that of the running release, told expanded",
		  "[{\"id\":1}]", "[" IN("main", "[{\"id\":2}]", "\"Downloading\"", "40", DAY(23)) ","
		                      IN("main", "[{\"id\":1}]", "\"Running\"", "null", DAY(22)) "]", 1, (double)NAN, 2 },
		{ "that of the running release, without a date",
		  REL(1), "[" IN("main", REL(2), "\"Downloading\"", "40", DAY(23)) ","
		              IN("main", REL(1), "\"Running\"", "null", "null") "]", 1, (double)NAN, 2 },
		{ "of two of the running release the newer",
		  REL(1), "[" IN("main", REL(1), "\"exited\"", "null", DAY(22)) ","
		              IN("main", REL(1), "\"Running\"", "null", DAY(23)) "]", 1, (double)NAN, 1 },
		{ "the newest, where none is of the running release",
		  REL(9), "[" IN("main", REL(1), "\"Running\"", "null", DAY(21)) ","
		              IN("main", REL(3), "\"Downloading\"", "40", DAY(23)) ","
		              IN("main", REL(2), "\"exited\"", "null", DAY(22)) "]", 6, 0.4, 2 },
		{ "the newest, where it runs none",
		  "null", "[" IN("main", REL(1), "\"Downloading\"", "0", DAY(23)) ","
		              IN("main", REL(2), "\"exited\"", "null", DAY(22)) "]", 6, 0, 1 },
		{ "a date before none",
		  "null", "[" IN("main", REL(1), "\"exited\"", "null", "null") ","
		              IN("main", REL(2), "\"Running\"", "null", DAY(22)) "]", 1, (double)NAN, 1 },
		{ "and not after it",
		  "null", "[" IN("main", REL(2), "\"Running\"", "null", DAY(22)) ","
		              IN("main", REL(1), "\"exited\"", "null", "null") "]", 1, (double)NAN, 1 },
		{ "no dates: the first",
		  "null", "[" IN("main", REL(2), "\"Running\"", "null", "null") ","
		              IN("main", REL(1), "\"exited\"", "null", "null") "]", 1, (double)NAN, 1 },
		{ "one date: the first",
		  "null", "[" IN("main", REL(2), "\"Running\"", "null", DAY(22)) ","
		              IN("main", REL(1), "\"exited\"", "null", DAY(22)) "]", 1, (double)NAN, 1 },
		{ "a date that is none",
		  "null", "[" IN("main", REL(2), "\"exited\"", "null", "\"yesterday\"") ","
		              IN("main", REL(1), "\"Running\"", "null", DAY(22)) "]", 1, (double)NAN, 1 },
		{ "by a millisecond",
		  "null", "[" IN("main", REL(2), "\"exited\"", "null", "\"2026-11-23T06:18:44.187Z\"") ","
		              IN("main", REL(1), "\"Running\"", "null", "\"2026-11-23T06:18:44.188Z\"") "]", 1, (double)NAN, 1 },
		{ "null is no release that is run by a device without one",
		  "null", "[" IN("main", "null", "\"exited\"", "null", DAY(22)) ","
		              IN("main", REL(1), "\"Running\"", "null", DAY(23)) "]", 1, (double)NAN, 1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e);
		CHECK_INT(cases[i].name, read_device(&e, "u", HERE, cases[i].running, cases[i].installs), 0);
		CHECK_NUM(cases[i].name, value(&e, "status_code", "u", "main"), cases[i].code);
		CHECK_NUM(cases[i].name, value(&e, "download_progress_ratio", "u", "main"), cases[i].progress);
		CHECK_INT(cases[i].name, e.sink.n, !isnan(cases[i].code) + !isnan(cases[i].progress));
		CHECK_INT(cases[i].name, e.sink.duplicates, 0);
		CHECK_INT(cases[i].name, e.out.withheld[BCI_WITHHELD_SUPERSEDED], cases[i].superseded);
		CHECK_INT(cases[i].name, e.out.withheld[BCI_WITHHELD_STALE], 0);
		CHECK_INT(cases[i].name, e.out.withheld[BCI_WITHHELD_CAPPED], 0);
		/* A date that is none is counted, and decides nothing. */
		CHECK_INT(cases[i].name, rejected(&e), strstr(cases[i].installs, "yesterday") != NULL);
		env_fini(&e);
	}
}

/* What one device runs says nothing of the next. */
static void test_no_leftovers(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(read_device(&e, "u", HERE, REL(1), "[]"), 0);
	assert_int_equal(read_device(&e, "v", HERE, "null",
	                             "[" IN("main", REL(1), "\"exited\"", "null", DAY(22)) ","
	                             IN("main", REL(2), "\"Running\"", "null", DAY(23)) "]"), 0);
	CHECK_NUM("the newest", value(&e, "status_code", "v", "main"), 1);
	env_fini(&e);
}

/* Services do not take each other's place. */
static void test_several(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(read_device(&e, "u", HERE, REL(1),
	                             "[" IN("web", REL(1), "\"Running\"", "null", DAY(22)) ","
	                             IN("main", REL(1), "\"exited\"", "null", DAY(22)) ","
	                             IN("web", REL(2), "\"Downloaded\"", "100", DAY(23)) ","
	                             IN("main2", REL(2), "\"Downloading\"", "12", DAY(23)) "]"), 0);
	CHECK_NUM("web", value(&e, "status_code", "u", "web"), 1);
	CHECK_NUM("main", value(&e, "status_code", "u", "main"), 15);
	CHECK_NUM("main2", value(&e, "status_code", "u", "main2"), 6);
	CHECK_NUM("main2", value(&e, "download_progress_ratio", "u", "main2"), 0.12);
	CHECK_INT("series", e.sink.n, 4);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_SUPERSEDED], 2);
	/* In the order of bytes. */
	assert_int_equal(e.services.n, 3);
	assert_string_equal(e.services.rows[0].name, "main");
	assert_string_equal(e.services.rows[1].name, "main2");
	assert_string_equal(e.services.rows[2].name, "web");
	env_fini(&e);
}

/* ---- what an install says ---- */

static void test_words(void **state)
{
	static const char *const words[] = {
		"Running", "Starting", "Installed", "Installing", "Downloaded", "Downloading", "Handing over",
		"Awaiting handover", "Idle", "configuring", "Stopping", "Stopped", "paused", "restarting",
		"exited", "Dead", "removing", "Deleting", "deleted", "Unknown",
		/* Not these. */
		"running", "Dancing", "Running ",
	};

	(void)state;
	for (size_t i = 0; i < LEN(words); i++) {
		size_t code = i < 20 ? i + 1 : 0;
		char installs[512];
		struct env e;

		env_init(&e);
		snprintf(installs, sizeof(installs), "[" IN("main", "null", "\"%s\"", "null", "null") "]", words[i]);
		CHECK_INT(words[i], read_device(&e, "u", HERE, "null", installs), 0);
		CHECK_NUM(words[i], value(&e, "status_code", "u", "main"), (double)code);
		CHECK_INT(words[i], e.stats.rejected[BCI_REJECT_UNKNOWN_WORD], code == 0);
		CHECK_INT(words[i], e.stats.unknown_count, code == 0);
		if (code == 0) {
			CHECK_STR(words[i], e.stats.unknown[0].word, words[i]);
			CHECK(words[i], strstr(e.stats.unknown[0].field, "service") != NULL);
		}
		for (size_t k = 0; k < BCI_SERVICE_CODES; k++)
			CHECK_INT(words[i], e.services.rows[0].by_code[k], k == code);
		env_fini(&e);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *name, *status, *progress;
		double code, ratio;
		enum bci_reject why; /* COUNT: nothing was rejected */
		size_t by_code;      /* where it is counted */
	} cases[] = {
		{ "no progress", "\"Running\"", "null", 1, (double)NAN, BCI_REJECT__COUNT, 1 },
		{ "progress 0", "\"Downloading\"", "0", 6, 0, BCI_REJECT__COUNT, 6 },
		{ "progress 100", "\"Downloading\"", "100", 6, 1, BCI_REJECT__COUNT, 6 },
		{ "progress between", "\"Downloading\"", "33.3", 6, 0.333, BCI_REJECT__COUNT, 6 },
		{ "progress too high", "\"Downloading\"", "101", 6, (double)NAN, BCI_REJECT_RANGE, 6 },
		{ "progress below", "\"Downloading\"", "-1", 6, (double)NAN, BCI_REJECT_RANGE, 6 },
		{ "progress is no number", "\"Downloading\"", "\"50\"", 6, (double)NAN, BCI_REJECT_TYPE, 6 },
		{ "no status", "null", "50", (double)NAN, 0.5, BCI_REJECT__COUNT, 0 },
		{ "no status and no progress", "null", "null", (double)NAN, (double)NAN, BCI_REJECT__COUNT, 0 },
		{ "status empty", "\"\"", "null", (double)NAN, (double)NAN, BCI_REJECT__COUNT, 0 },
		{ "status is no text", "5", "50", (double)NAN, 0.5, BCI_REJECT_TYPE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char installs[512];
		struct env e;

		env_init(&e);
		snprintf(installs, sizeof(installs), "[" IN("main", "null", "%s", "%s", "null") "]", cases[i].status,
		         cases[i].progress);
		CHECK_INT(cases[i].name, read_device(&e, "u", HERE, "null", installs), 0);
		CHECK_NUM(cases[i].name, value(&e, "status_code", "u", "main"), cases[i].code);
		CHECK_NUM(cases[i].name, value(&e, "download_progress_ratio", "u", "main"), cases[i].ratio);
		CHECK_INT(cases[i].name, e.sink.n, !isnan(cases[i].code) + !isnan(cases[i].ratio));
		CHECK_INT(cases[i].name, rejected(&e), cases[i].why != BCI_REJECT__COUNT);
		if (cases[i].why != BCI_REJECT__COUNT)
			CHECK_INT(cases[i].name, e.stats.rejected[cases[i].why], 1);
		CHECK_INT(cases[i].name, e.services.n, 1);
		for (size_t k = 0; k < BCI_SERVICE_CODES; k++)
			CHECK_INT(cases[i].name, e.services.rows[0].by_code[k], k == cases[i].by_code);
		env_fini(&e);
	}
}

/* An install that names no service says nothing of one, and is counted. */
static void test_nameless(void **state)
{
	static const struct {
		const char *name, *image;
	} cases[] = {
		{ "no image", "" },
		{ "image null", "\"image\":null," },
		{ "image empty", "\"image\":[]," },
		{ "image not expanded", "\"image\":{\"__id\":3}," },
		{ "image is no array", "\"image\":5," },
		{ "no service", "\"image\":[{\"id\":3}]," },
		{ "service empty", "\"image\":[{\"is_a_build_of__service\":[],\"id\":3}]," },
		{ "service not expanded", "\"image\":[{\"is_a_build_of__service\":{\"__id\":1}}]," },
		{ "no name", "\"image\":[{\"is_a_build_of__service\":[{\"id\":1}]}]," },
		{ "name null", "\"image\":[{\"is_a_build_of__service\":[{\"service_name\":null}]}]," },
		{ "name empty", "\"image\":[{\"is_a_build_of__service\":[{\"service_name\":\"\"}]}]," },
		{ "name is no text", "\"image\":[{\"is_a_build_of__service\":[{\"service_name\":7}]}]," },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char installs[1024];
		struct env e;

		env_init(&e);
		snprintf(installs, sizeof(installs), "[{%s\"status\":\"Running\",\"download_progress\":5},"
		         IN("main", "null", "\"Running\"", "null", "null") "]", cases[i].image);
		CHECK_INT(cases[i].name, read_device(&e, "u", HERE, "null", installs), 0);
		CHECK_INT(cases[i].name, e.stats.rejected[BCI_REJECT_TYPE], 1);
		CHECK_INT(cases[i].name, rejected(&e), 1);
		CHECK_INT(cases[i].name, e.services.n, 1);
		CHECK_NUM(cases[i].name, value(&e, "status_code", "u", "main"), 1);
		CHECK_INT(cases[i].name, e.sink.n, 1);
		env_fini(&e);
	}
}

/* Names that are one as labels are one service: no series comes twice. */
static void test_names_that_look_alike(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(read_device(&e, "u", HERE, "null",
	                             "[" IN("ma\\u0001in", "null", "\"Running\"", "null", DAY(21)) ","
	                             IN("ma in", "null", "\"Idle\"", "null", DAY(22)) "]"), 0);
	assert_int_equal(e.sink.duplicates, 0);
	assert_int_equal(e.services.n, 1);
	assert_string_equal(e.services.rows[0].name, "ma in");
	CHECK_NUM("the newer one", value(&e, "status_code", "u", "ma in"), 9);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_SUPERSEDED], 1);
	env_fini(&e);
}

/* What is no list of installs has none. */
static void test_no_list(void **state)
{
	static const char *const cases[] = { "null", "[]", "5", "\"x\"", "{}", "[5]", "[null]" };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e);
		CHECK_INT(cases[i], read_device(&e, "u", HERE, "null", cases[i]), 0);
		CHECK_INT(cases[i], e.services.n, 0);
		CHECK_INT(cases[i], e.sink.n, 0);
		env_fini(&e);
	}
}

/* ---- devices that are not connected ---- */

#define TWO                                                                                        \
	"[" IN("main", REL(1), "\"Running\"", "null", DAY(22)) ","                                  \
	IN("web", REL(1), "\"Downloading\"", "50", DAY(22)) "]"

static void test_stale(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	assert_int_equal(read_device(&e, "u", GONE, REL(1), TWO), 0);
	assert_int_equal(e.sink.n, 0);
	/* Two codes and a progress. */
	assert_int_equal(e.out.withheld[BCI_WITHHELD_STALE], 3);
	/* The services are known all the same: with zeros. */
	assert_int_equal(e.services.n, 2);
	for (size_t i = 0; i < e.services.n; i++)
		for (size_t k = 0; k < BCI_SERVICE_CODES; k++)
			CHECK_INT(e.services.rows[i].name, e.services.rows[i].by_code[k], 0);
	/* A connected one adds to them, one that is inactive does not. */
	assert_int_equal(read_device(&e, "v", HERE, REL(1), TWO), 0);
	assert_int_equal(read_device(&e, "w", HERE ",\"overall_status\":\"inactive\"", REL(1), TWO), 0);
	assert_int_equal(e.services.n, 2);
	assert_int_equal(e.services.rows[0].by_code[1], 1);
	assert_int_equal(e.services.rows[1].by_code[6], 1);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_STALE], 6);
	assert_int_equal(e.sink.n, 3);
	/* What is superseded is not stale, too. */
	assert_int_equal(read_device(&e, "x", GONE, REL(1),
	                             "[" IN("main", REL(1), "\"Running\"", "null", DAY(22)) ","
	                             IN("main", REL(2), "\"Downloading\"", "50", DAY(23)) "]"), 0);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_STALE], 7);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_SUPERSEDED], 2);
	env_fini(&e);
}

static void test_keep_stale(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	e.keep_stale = true;
	assert_int_equal(read_device(&e, "u", GONE, REL(1), TWO), 0);
	CHECK_NUM("main", value(&e, "status_code", "u", "main"), 1);
	CHECK_NUM("web", value(&e, "status_code", "u", "web"), 6);
	CHECK_NUM("web", value(&e, "download_progress_ratio", "u", "web"), 0.5);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_STALE], 0);
	assert_int_equal(e.services.rows[0].by_code[1], 1);
	assert_int_equal(e.services.rows[1].by_code[6], 1);
	env_fini(&e);
}

/* What is not wanted is not withheld. */
static void test_wanted(void **state)
{
	static const struct {
		const char *metrics;
		size_t series;
		uint64_t stale, superseded;
	} cases[] = {
		{ "balena_device_service_*", 3, 3, 2 },
		{ "balena_device_service_status_code", 2, 2, 1 },
		{ "balena_device_service_download_progress_ratio", 1, 1, 1 },
		{ "balena_fleet_services_by_status", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e);
		assert_true(bci_metrics_select(cases[i].metrics, e.wanted));
		CHECK_INT(cases[i].metrics, read_device(&e, "u", HERE, REL(1), TWO), 0);
		CHECK_INT(cases[i].metrics, e.sink.n, cases[i].series);
		CHECK_INT(cases[i].metrics, read_device(&e, "v", GONE, REL(1), TWO), 0);
		CHECK_INT(cases[i].metrics, e.out.withheld[BCI_WITHHELD_STALE], cases[i].stale);
		CHECK_INT(cases[i].metrics, read_device(&e, "w", GONE, REL(1),
		          "[" IN("x", REL(2), "null", "null", "null") ","
		          IN("x", REL(3), "\"Downloading\"", "50", "null") "]"), 0);
		CHECK_INT(cases[i].metrics, e.out.withheld[BCI_WITHHELD_SUPERSEDED], cases[i].superseded);
		CHECK_INT(cases[i].metrics, e.services.n, 3);
		CHECK_INT(cases[i].metrics, e.services.rows[0].by_code[1], 1);
		env_fini(&e);
	}
}

/* ---- caps ---- */

/* Installs of services from the first on. */
static char *many(int first, int n)
{
	char *text = malloc((size_t)n * 300 + 3), *out = text;

	assert_non_null(text);
	*out++ = '[';
	for (int i = 0; i < n; i++)
		out += sprintf(out, "%s" IN("s%05d", "null", "\"Running\"", "null", "null"), i ? "," : "", first + i);
	strcpy(out, "]");
	return text;
}

static void test_too_many_of_a_device(void **state)
{
	struct env e;
	char *installs = many(0, BCI_DEVICE_SERVICES_MAX + 5);

	(void)state;
	env_init(&e);
	assert_int_equal(read_device(&e, "u", HERE, "null", installs), 0);
	assert_int_equal(e.sink.n, BCI_DEVICE_SERVICES_MAX);
	assert_int_equal(e.services.n, BCI_DEVICE_SERVICES_MAX);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_CAPPED], 5);
	free(installs);
	env_fini(&e);
}

/* A fleet's further services are not counted, but its devices' are told. */
static void test_too_many_of_a_fleet(void **state)
{
	struct env e;

	(void)state;
	env_init(&e);
	for (int i = 0; i < 3; i++) {
		char *installs = many(100 * i, 100);
		char uuid[8];

		snprintf(uuid, sizeof(uuid), "u%d", i);
		assert_int_equal(read_device(&e, uuid, HERE, "null", installs), 0);
		free(installs);
	}
	assert_int_equal(e.sink.n, 300);
	assert_int_equal(e.services.n, BCI_FLEET_SERVICES_MAX);
	assert_int_equal(e.out.withheld[BCI_WITHHELD_CAPPED], 300 - BCI_FLEET_SERVICES_MAX);
	for (size_t i = 0; i < e.services.n; i++)
		CHECK_INT(e.services.rows[i].name, e.services.rows[i].by_code[1], 1);
	env_fini(&e);
}

/* Every value of an answer is emitted, withheld or rejected. */
static void test_nothing_is_lost(void **state)
{
	static const char *const statuses[] = { "\"Running\"", "\"Dancing\"", "null", "7" };
	static const char *const progresses[] = { "null", "50", "150", "\"x\"" };
	size_t given = 0, seen;
	uint64_t bad = 0;
	struct env e;

	(void)state;
	env_init(&e);
	for (size_t s = 0; s < LEN(statuses); s++) {
		for (size_t p = 0; p < LEN(progresses); p++) {
			for (int dup = 0; dup < 2; dup++) {
				char installs[1024], uuid[16];

				/* Each twice, as installs of one service. */
				snprintf(installs, sizeof(installs),
				         "[" IN("main", "null", "%s", "%s", DAY(22)) "," IN("main", "null", "%s", "%s", DAY(23)) "]",
				         statuses[s], progresses[p], statuses[s], progresses[p]);
				snprintf(uuid, sizeof(uuid), "u%zu%zu%d", s, p, dup);
				assert_int_equal(read_device(&e, uuid, dup ? GONE : HERE, "null", installs), 0);
				given += 2u * ((s != 2) + (size_t)(p != 0));
				bad += 2u * ((s == 3) + (uint64_t)(p >= 2));
			}
		}
	}
	seen = e.sink.n + e.out.withheld[BCI_WITHHELD_STALE] + e.out.withheld[BCI_WITHHELD_SUPERSEDED];
	assert_int_equal(e.stats.rejected[BCI_REJECT_TYPE] + e.stats.rejected[BCI_REJECT_RANGE], bad);
	assert_int_equal(seen + bad, given);
	env_fini(&e);
}

/* ---- the real server ---- */

static int on_row(void *user, const struct json_object *o)
{
	struct json_object *copy = NULL, *id = NULL;
	char uuid[16];
	int rc;

	/* These bodies tell no state: all are connected. */
	assert_int_equal(json_object_deep_copy((struct json_object *)(uintptr_t)o, &copy, NULL), 0);
	assert_true(json_object_object_get_ex(copy, "id", &id));
	snprintf(uuid, sizeof(uuid), "u%d", json_object_get_int(id));
	json_object_object_add(copy, "uuid", json_object_new_string(uuid));
	json_object_object_add(copy, "is_connected_to_vpn", json_object_new_boolean(true));
	rc = read_row(user, copy);
	json_object_put(copy);
	return rc;
}

static void test_recorded(void **state)
{
	static const char *const files[] = { "recorded/v6-device-expand-installs.json",
		                             "recorded/v7-device-expand-installs.json" };

	(void)state;
	for (size_t i = 0; i < LEN(files); i++) {
		size_t len;
		char *body = unit_fixture(files[i], &len);
		struct env e;
		struct bci_page *p;

		env_init(&e);
		p = bci_page_new(on_row, &e);
		assert_non_null(p);
		/* In pieces, as it comes. */
		for (size_t at = 0; at < len; at += 1000)
			CHECK_INT(files[i], bci_page_feed(p, body + at, len - at < 1000 ? len - at : 1000), 0);
		CHECK_INT(files[i], bci_page_finish(p), 0);
		/* By eye: 20 devices with main and telemetry, but for 19, which has none; all Running, but
		 * for 18, which downloads both. */
		CHECK_NUM(files[i], value(&e, "status_code", "u1", "main"), 1);
		CHECK_NUM(files[i], value(&e, "status_code", "u6", "telemetry"), 1);
		CHECK_NUM(files[i], value(&e, "download_progress_ratio", "u1", "main"), (double)NAN);
		CHECK_NUM(files[i], value(&e, "status_code", "u18", "main"), 6);
		CHECK_NUM(files[i], value(&e, "status_code", "u18", "telemetry"), 6);
		CHECK_NUM(files[i], value(&e, "download_progress_ratio", "u18", "main"), 0.86);
		CHECK_NUM(files[i], value(&e, "download_progress_ratio", "u18", "telemetry"), 0.38);
		CHECK_NUM(files[i], value(&e, "status_code", "u19", "main"), (double)NAN);
		CHECK_NUM(files[i], value(&e, "status_code", "u20", "telemetry"), 1);
		CHECK_INT(files[i], fake_sink_count(&e.sink, "balena_device_service_status_code{"), 38);
		CHECK_NUM(files[i], fake_sink_sum(&e.sink, "balena_device_service_status_code{"), 36 * 1 + 2 * 6);
		CHECK_INT(files[i], fake_sink_count(&e.sink, "balena_device_service_download_progress_ratio{"), 2);
		CHECK_INT(files[i], e.services.n, 2);
		for (size_t s = 0; s < 2; s++) {
			CHECK_STR(files[i], e.services.rows[s].name, s ? "telemetry" : "main");
			CHECK_INT(files[i], e.services.rows[s].by_code[1], 18);
			CHECK_INT(files[i], e.services.rows[s].by_code[6], 1);
		}
		for (size_t k = 0; k < BCI_WITHHELD__COUNT; k++)
			CHECK_INT(files[i], e.out.withheld[k], 0);
		CHECK_INT(files[i], rejected(&e), 0);
		CHECK_INT(files[i], e.sink.duplicates, 0);
		bci_page_free(p);
		free(body);
		env_fini(&e);
	}
}

static void test_sink_refuses(void **state)
{
	struct env e;

	(void)state;
	for (size_t at = 1; at <= 2; at++) {
		env_init(&e);
		e.sink.refuse_at = at;
		e.sink.rc = 3;
		assert_int_equal(read_device(&e, "u", HERE, REL(1), TWO), BCRAWL_E_SINK);
		assert_int_equal(e.sink.records, at);
		env_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_each),
		cmocka_unit_test(test_no_leftovers),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_names_that_look_alike),
		cmocka_unit_test(test_no_list),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_keep_stale),
		cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_too_many_of_a_device),
		cmocka_unit_test(test_too_many_of_a_fleet),
		cmocka_unit_test(test_nothing_is_lost),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_sink_refuses),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
