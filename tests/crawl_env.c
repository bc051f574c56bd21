/* SPDX-License-Identifier: MIT
 *
 * Whole crawls over a scripted network: what they need, and what must be true of each. */
#include "crawl_env.h"

const struct fake_fleet small_fleets[SMALL_FLEETS] = {
	{ 1, "acme/a", FLEET },
	{ 2, "acme/b", FLEET },
	{ 3, "acme/empty", BARE_FLEET },
};
const struct fake_device small_devices[SMALL_DEVICES] = {
	{ 1, 1, UP }, { 2, 1, UP },    { 3, 2, DOWN },   { 5, 1, DOWN },
	{ 8, 2, BEATS }, { 9, 1, UNBORN }, { 12, 0, UNBORN },
};
const struct sums small_sums[SMALL_FLEETS] = {
	{ "acme/a", 4, 2, 2, 1, 1 },
	{ "acme/b", 2, 0, 1, 1, 0 },
	{ "acme/empty", 0, 0, 0, 0, 0 },
};

/* ---- one crawler over one network ---- */

static int on_stop(void *user)
{
	struct env *e = user;

	e->polls++;
	return e->stop_at && e->polls >= e->stop_at;
}

void on_log(void *user, int level, const char *line)
{
	struct env *e = user;

	CHECK(line, !strchr(line, '\n') && !strstr(line, "sekret") && !strstr(line, "$filter"));
	if (level <= BCRAWL_LOG_INFO && e->log_lines < LEN(e->log))
		snprintf(e->log[e->log_lines++], sizeof(e->log[0]), "%s", line);
}

void env_init(struct env *e, const char *name, const char *const *options)
{
	struct bcrawl_config *cfg = bcrawl_config_new();
	bool file = false;

	memset(e, 0, sizeof(*e));
	e->name = name;
	e->err.size = sizeof(e->err);
	assert_non_null(cfg);
	for (; options && *options; options += 2) {
		CHECK_INT(options[0], bcrawl_config_set(cfg, options[0], options[1], &e->err), 0);
		file |= strcmp(options[0], BCRAWL_KEY_TOKEN_FILE) == 0;
	}
	if (!file)
		assert_int_equal(bcrawl_config_set(cfg, "token", "sekret", &e->err), 0);
	CHECK_INT(name, bcrawl_new(&e->c, cfg, &e->err), 0);
	bcrawl_config_free(cfg);
	fake_init(&e->net);
	fake_install(&e->net, e->c);
	e->world = (struct fake_world){ small_fleets, LEN(small_fleets), small_devices,
		                        LEN(small_devices), CLOUD_FIELDS, false };
	e->net.answer = fake_world_answer;
	e->net.answer_user = &e->world;
	fake_sink_init(&e->sink);
	bcrawl_set_log(e->c, on_log, e);
	bcrawl_set_stop(e->c, on_stop, e);
}

void env_fini(struct env *e)
{
	bcrawl_free(e->c);
	fake_sink_fini(&e->sink);
	fake_fini(&e->net);
}

int run(struct env *e)
{
	int rc;

	fake_sink_clear(&e->sink);
	e->err = (struct bcrawl_error){ .size = sizeof(e->err) };
	rc = bcrawl_run(e->c, &e->sink.sink, &e->sink, &e->err);
	CHECK_INT(e->name, e->sink.ends, 1);
	CHECK_INT(e->name, e->sink.summary.status, rc);
	CHECK_INT(e->name, e->err.code, rc);
	CHECK_INT(e->name, e->sink.duplicates, 0);
	CHECK_INT(e->name, e->net.pending_count, 0);
	CHECK(e->name, rc == 0 || e->err.message[0] != '\0');
	CHECK(e->name, !strstr(e->err.message, "sekret") && !strstr(e->err.message, "$"));
	return rc;
}

struct fake_fleet many_fleets[MANY];
char many_slugs[MANY][16];
struct fake_device many_devices[MANY + 4];

void many(struct env *e)
{
	for (int i = 0; i < MANY; i++) {
		snprintf(many_slugs[i], sizeof(many_slugs[i]), "org/f%d", i + 1);
		many_fleets[i] = (struct fake_fleet){ i + 1, many_slugs[i], NULL };
		many_devices[i] = (struct fake_device){ i + 1, i + 1, UP };
	}
	for (int i = 0; i < 4; i++)
		many_devices[MANY + i] = (struct fake_device){ 301 + i, MANY, i < 2 ? DOWN : UNBORN };
	e->world = (struct fake_world){ many_fleets, MANY, many_devices, LEN(many_devices), CLOUD_FIELDS,
		                        false };
}

/* ---- what came of it ---- */

double value(const struct env *e, const char *series)
{
	return fake_sink_value(&e->sink, series);
}

double fleet_value(const struct env *e, const char *metric, const char *slug, const char *more)
{
	char series[512];

	snprintf(series, sizeof(series), "%s{fleet=\"%s\"%s}", metric, slug, more);
	return value(e, series);
}

void check_sums(const struct env *e, const struct sums *want)
{
	char more[128];

	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_crawl_success", want->slug, ""), 1);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices", want->slug, ""), want->devices);
	snprintf(more, sizeof(more), ",fleet_name=\"%s\"", strchr(want->slug, '/') + 1);
	CHECK_NUM(e->name, fleet_value(e, "balena_devices_online", want->slug, more), want->online);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices_by_connection", want->slug,
	                               ",connection=\"connected\""), want->connected);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices_by_connection", want->slug,
	                               ",connection=\"disconnected\""), want->disconnected);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices_by_connection", want->slug,
	                               ",connection=\"never\""), want->never);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices_by_connection", want->slug,
	                               ",connection=\"inactive\""), 0);
}

void check_no_sums(const struct env *e, const char *slug)
{
	static const char *const sums[] = {
		"balena_fleet_devices", "balena_devices_online", "balena_fleet_cpu_temperature_max",
	};

	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_crawl_success", slug, ""), 0);
	for (size_t i = 0; i < LEN(sums); i++) {
		char prefix[256];

		snprintf(prefix, sizeof(prefix), "%s{fleet=\"%s\"", sums[i], slug);
		CHECK_INT(e->name, fake_sink_count(&e->sink, prefix), 0);
		snprintf(prefix, sizeof(prefix), "%s_by_connection{fleet=\"%s\"", sums[i], slug);
		CHECK_INT(e->name, fake_sink_count(&e->sink, prefix), 0);
	}
}

void check_crawl_samples(const struct env *e, int success)
{
	CHECK_NUM(e->name, value(e, CRAWL("success")), success);
	CHECK(e->name, !isnan(value(e, CRAWL("duration_seconds"))));
	CHECK(e->name, !isnan(value(e, CRAWL("interval_seconds"))));
	CHECK_NUM(e->name, value(e, CRAWL("shard_index")), 0);
	CHECK_NUM(e->name, value(e, CRAWL("shards")), 1);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_crawl_info{account=\"default\",version=\""), 1);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_api_requests_total{"), 8);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_api_rejected_values_total{"), 4);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_crawl_withheld_values{"), 7);
	CHECK_NUM(e->name, value(e, WITHHELD("agent")), 0);
	CHECK_NUM(e->name, value(e, CRAWL("ignored_triggers")), 0);
	CHECK_NUM(e->name, value(e, "balena_shard_moves_total{account=\"default\"}"), 0);
	CHECK_NUM(e->name, value(e, "balena_shard_membership_errors_total{account=\"default\"}"), 0);
	/* Told of a crawl whose list was read. */
	CHECK_INT(e->name, isnan(value(e, CRAWL("detail_reduced"))), isnan(value(e, CRAWL("fleets"))));
	CHECK_INT(e->name, e->sink.hosts, 1);
	CHECK(e->name, !isnan(value(e, API("retries_total"))));
}

void check_small(const struct env *e)
{
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_info{"), 7);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_info{fleet=\"acme/a\""), 4);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_info{fleet=\"acme/b\""), 2);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_info{fleet=\"none\",device_uuid=\"u12\""), 1);
	for (size_t i = 0; i < LEN(small_sums); i++)
		check_sums(e, &small_sums[i]);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_devices", "none", ""), 1);
	CHECK_NUM(e->name, fleet_value(e, "balena_fleet_crawl_success", "none", ""), 1);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_devices_online{fleet=\"none\""), 0);
	check_crawl_samples(e, 1);
	CHECK_NUM(e->name, value(e, CRAWL("fleets")), 3);
	CHECK_NUM(e->name, value(e, CRAWL("fleets_failed")), 0);
	CHECK_NUM(e->name, value(e, CRAWL("devices")), 7);
	CHECK_NUM(e->name, value(e, CRAWL("token_valid")), 1);
	CHECK_NUM(e->name, value(e, CRAWL("api_version")), 7);
	CHECK_INT(e->name, e->sink.summary.complete, 1);
	CHECK_INT(e->name, e->sink.summary.fleets, 3);
	CHECK_INT(e->name, e->sink.summary.fleets_failed, 0);
	CHECK_INT(e->name, e->sink.summary.devices, 7);
}

double requests(const struct env *e, const char *result)
{
	char series[128];

	snprintf(series, sizeof(series), "balena_api_requests_total{account=\"default\",result=\"%s\"}", result);
	return value(e, series);
}
