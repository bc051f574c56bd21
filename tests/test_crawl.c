/* SPDX-License-Identifier: MIT
 *
 * Whole crawls over a scripted network, on a clock that only the script moves. What is checked is
 * what a sink gets: every device once, no sum that is false, and the crawl's own samples. */
#include "crawl_env.h"
#include "limits.h"

/* ---- a crawl that goes well ---- */

static void drop_line(char *text, const char *start)
{
	char *at = strstr(text, start), *next;

	assert_non_null(at);
	next = strchr(at, '\n') + 1;
	memmove(at, next, strlen(next) + 1);
}

static void test_full(void **state)
{
	struct env e;
	char *text, *want;

	(void)state;
	env_init(&e, "full", NULL);
	e.net.token = "sekret";
	assert_int_equal(run(&e), 0);
	check_small(&e);
	/* Control, 4 probes, control, list, devices, those of no fleet. */
	assert_int_equal(e.net.log_count, 9);
	assert_int_equal(e.sink.summary.requests, 9);
	assert_int_equal(e.sink.summary.retries, 0);
	assert_int_equal(e.log_lines, 0);
	assert_int_equal(e.sink.time_ms, INT64_C(1795414000000));
	/* Read once by eye, line by line, against small_devices above. The version and the number of
	 * bytes are left out: they change for reasons that are no crawl's. */
	text = fake_sink_text(&e.sink);
	drop_line(text, "balena_crawl_info{");
	drop_line(text, "balena_api_received_bytes_total{");
	want = unit_file(GOLDEN_DIR "/core_crawl.txt", NULL);
	if (strcmp(text, want) != 0) {
		FILE *f = fopen("core_crawl.got", "w");

		if (f) {
			fputs(text, f);
			fclose(f);
		}
		fail_msg("other samples than in golden/core_crawl.txt: see core_crawl.got");
	}
	free(text);
	free(want);
	env_fini(&e);
}

static void test_chunks(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 5, 7, 64, 4096 };

	(void)state;
	for (size_t i = 0; i < LEN(chunks); i++) {
		for (int together = 0; together < 2; together++) {
			static const char *const pages[] = { "page-size", "2", NULL };
			struct env e;

			env_init(&e, "chunks", pages);
			e.net.chunk = chunks[i];
			e.net.together = together;
			assert_int_equal(run(&e), 0);
			check_small(&e);
			env_fini(&e);
		}
	}
}

/* Requests stay within the bound of design.md 3.2, and side by side within the option. */
static void test_page_sizes(void **state)
{
	static const char *const sizes[] = { "1", "2", "3", "4", "5", "6", "7", "20000" };
	static const char *const concurrencies[] = { "1", "2", "3", "16" };

	(void)state;
	for (size_t i = 0; i < LEN(sizes); i++) {
		for (size_t k = 0; k < LEN(concurrencies); k++) {
			const char *const options[] = { "page-size", sizes[i], "concurrency", concurrencies[k],
				                        BCRAWL_KEY_METRICS, "balena_fleet_* balena_device_info "
				                        "balena_devices_online", NULL };
			int page = atoi(sizes[i]);
			struct env e;

			env_init(&e, sizes[i], options);
			e.net.together = true;
			e.net.chunk = 50;
			assert_int_equal(run(&e), 0);
			check_small(&e);
			CHECK(sizes[i], e.net.most_pending <= (size_t)atoi(concurrencies[k]));
			/* 2 groups (that of no fleet too), 7 devices; probes apart. */
			CHECK(sizes[i], fake_count(&e.net, "$filter") <= (size_t)(2 + 3 * 2 + (7 + page - 1) / page));
			CHECK_INT(sizes[i], fake_count(&e.net, IDS), page < 6 ? 1 : 0);
			env_fini(&e);
		}
	}
}

/* Exactly what is asked, to the byte, for a plan of ranges. */
static void test_targets(void **state)
{
	static const char *const options[] = { "page-size", "2", "concurrency", "1", BCRAWL_KEY_METRICS,
		                               "balena_device_status_code", NULL };
	static const char *const want[] = {
		"/v7/device?$select=id&$top=0",
		NULL, /* the fleet list: test_query.c */
		"/v7/device?$select=id&$filter=belongs_to__application%20in%20(1,2,3)&$orderby=id%20asc",
		"/v7/device?$select=id,uuid,belongs_to__application,overall_status"
		"&$filter=belongs_to__application%20in%20(1,2,3)%20and%20id%20le%202&$orderby=id%20asc",
		"/v7/device?$select=id,uuid,belongs_to__application,overall_status"
		"&$filter=belongs_to__application%20in%20(1,2,3)%20and%20id%20gt%202%20and%20id%20le%205"
		"&$orderby=id%20asc",
		"/v7/device?$select=id,uuid,belongs_to__application,overall_status"
		"&$filter=belongs_to__application%20in%20(1,2,3)%20and%20id%20gt%205&$orderby=id%20asc",
		"/v7/device?$select=id,uuid,belongs_to__application,overall_status"
		"&$filter=belongs_to__application%20eq%20null&$orderby=id%20asc",
	};
	struct env e;

	(void)state;
	env_init(&e, "targets", options);
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.net.log_count, LEN(want));
	for (size_t i = 0; i < LEN(want); i++)
		if (want[i])
			CHECK_STR("target", e.net.log[i].target, want[i]);
	env_fini(&e);
}

/* ---- answers that break off ---- */

/* One crawl whose nth request with a part in its target breaks off at a byte. */
static void cut_crawl(const char *part, int nth, size_t at, enum bci_result result,
                      const char *const *options)
{
	struct env e;

	env_init(&e, part, options);
	fake_rule(&e.net, (struct fake_rule){ .match = part, .skip = nth, .times = 1, .cut = true,
	                                      .cut_at = at, .result = result });
	CHECK_INT(part, run(&e), 0);
	check_small(&e);
	CHECK_NUM(part, value(&e, API("retries_total")), 1);
	CHECK_INT(part, e.sink.summary.retries, 1);
	CHECK_INT(part, e.log_lines, 0);
	CHECK_NUM(part, value(&e, result == BCI_RESULT_OK
	                                  ? "balena_api_requests_total{account=\"default\",result=\"garbage\"}"
	                                  : "balena_api_requests_total{account=\"default\",result=\"network\"}"),
	          1);
	env_fini(&e);
}

/* The length of the body that answers the nth request with a part in its target. */
static size_t body_length(const char *part, size_t nth, const char *const *options)
{
	struct env e;
	const char *target;
	char *body;
	size_t n;

	env_init(&e, part, options);
	assert_int_equal(run(&e), 0);
	target = fake_target(&e.net, part, nth);
	CHECK(part, target != NULL);
	body = fake_world_answer(&e.world, target);
	n = strlen(body);
	free(body);
	env_fini(&e);
	return n;
}

static void cut_everywhere(const char *part, int nth, const char *const *options)
{
	size_t n = body_length(part, (size_t)nth, options);

	assert_true(n >= 8);
	for (size_t at = 0; at < n; at += unit_stride()) {
		cut_crawl(part, nth, at, BCI_RESULT_NETWORK, options);
		cut_crawl(part, nth, at, BCI_RESULT_OK, options);
	}
}

static void test_cut_devices(void **state)
{
	(void)state;
	cut_everywhere(DEVICES, 0, NULL);
}

static void test_cut_orphans(void **state)
{
	(void)state;
	cut_everywhere(ORPHANS, 0, NULL);
}

static void test_cut_fleets(void **state)
{
	(void)state;
	cut_everywhere(LIST, 0, NULL);
}

static void test_cut_control(void **state)
{
	(void)state;
	cut_everywhere(CONTROL, 0, NULL);
	cut_everywhere(CONTROL, 1, NULL);
}

static void test_cut_ranges(void **state)
{
	static const char *const options[] = { "page-size", "2", "concurrency", "1", BCRAWL_KEY_METRICS,
		                               "balena_fleet_* balena_device_info balena_devices_online", NULL };

	(void)state;
	cut_everywhere(IDS, 0, options);
	/* The list of ids has the fleets in its filter, too: it is number 0. */
	for (int range = 1; range <= 3; range++)
		cut_everywhere(DEVICES, range, options);
}

/* Behind device k the next try begins, and only there. */
static void test_resume_target(void **state)
{
	static const char *const options[] = { "concurrency", "1", NULL };
	static const char *const after[] = { NULL, "%20and%20id%20gt%201&", "%20and%20id%20gt%202&",
		                             "%20and%20id%20gt%203&", "%20and%20id%20gt%205&",
		                             "%20and%20id%20gt%208&", "%20and%20id%20gt%209&" };
	size_t n = body_length(DEVICES, 0, options);
	struct env e;
	char *body;

	(void)state;
	for (size_t at = 0; at < n; at += 11 * unit_stride()) {
		size_t whole = 0;
		const char *target;

		env_init(&e, "resume", options);
		fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .cut = true, .cut_at = at,
		                                      .result = BCI_RESULT_NETWORK });
		assert_int_equal(run(&e), 0);
		body = fake_world_answer(&e.world, fake_target(&e.net, DEVICES, 0));
		/* Rows end with a device's name. */
		for (const char *p = body; (p = strstr(p, "\"device_name\":")) != NULL; p++)
			whole += (size_t)(strchr(p, '}') - body) < at;
		free(body);
		target = fake_target(&e.net, DEVICES, 1);
		CHECK("resume", target != NULL);
		if (after[whole])
			CHECK(after[whole], strstr(target, after[whole]) != NULL);
		else
			CHECK("from the start", strstr(target, "id%20gt") == NULL);
		assert_int_equal(fake_count(&e.net, DEVICES), 2);
		env_fini(&e);
	}
}

/* As long as each try brings a device, there is another one. */
static void test_cut_again_and_again(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "again and again", NULL);
	/* Each answer holds one row and a bit. */
	fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 5, .cut = true, .cut_at = 700,
	                                      .result = BCI_RESULT_NETWORK });
	assert_int_equal(run(&e), 0);
	check_small(&e);
	env_fini(&e);
}

/* ---- failures ---- */

/* What goes wrong with one group, or with all; the code if all fleets fail. */
static const struct trouble {
	const char *name;
	struct fake_rule rule;
	int code;
	const char *result; /* the word that counts it */
	bool retried;
} troubles[] = {
	{ "500", { .status = 500, .body = "" }, BCRAWL_E_SERVER, "server_error", true },
	{ "503", { .status = 503, .body = "" }, BCRAWL_E_SERVER, "server_error", true },
	{ "408", { .status = 408, .body = "" }, BCRAWL_E_SERVER, "server_error", true },
	{ "no answer", { .result = BCI_RESULT_NETWORK, .body = "" }, BCRAWL_E_NET, "network", true },
	{ "timeout", { .result = BCI_RESULT_TIMEOUT, .body = "" }, BCRAWL_E_TIMEOUT, "timeout", true },
	{ "HTML", { .body = "<html>Service unavailable</html>" }, BCRAWL_E_PROTOCOL, "garbage", true },
	{ "d null", { .body = "{\"d\":null}" }, BCRAWL_E_PROTOCOL, "garbage", true },
	{ "d number", { .body = "{\"d\":5}" }, BCRAWL_E_PROTOCOL, "garbage", true },
	{ "empty body", { .body = "" }, BCRAWL_E_PROTOCOL, "garbage", true },
	{ "throttled", { .status = 429, .body = "" }, BCRAWL_E_THROTTLED, "throttled", true },
	{ "throttled for an hour", { .status = 429, .body = "", .retry_after_s = 3600 },
	  BCRAWL_E_THROTTLED, "throttled", false },
	{ "403", { .status = 403, .body = "" }, BCRAWL_E_AUTH, "auth", false },
	{ "404", { .status = 404, .body = "" }, BCRAWL_E_REQUEST, "client_error", false },
	{ "400", { .status = 400, .body = "\"Malformed url: '/v7/device?$filter=x'\"" },
	  BCRAWL_E_REQUEST, "client_error", false },
	{ "302", { .status = 302, .body = "" }, BCRAWL_E_REQUEST, "client_error", false },
};

/* Rows that are not what was asked for: the group of fleet 201 is asked. */
#define ROW(id, fleet) "{\"id\":" #id ",\"uuid\":\"x" #id "\",\"belongs_to__application\":{\"__id\":" #fleet "}}"
static const struct {
	const char *name, *body;
} bad_pages[] = {
	{ "descending ids", "{\"d\":[" ROW(302, 201) "," ROW(301, 201) "," ROW(201, 201) "]}" },
	{ "an id twice", "{\"d\":[" ROW(301, 201) "," ROW(301, 201) "]}" },
	{ "no id", "{\"d\":[{\"uuid\":\"x\",\"belongs_to__application\":{\"__id\":201}}]}" },
	{ "id null", "{\"d\":[{\"id\":null,\"uuid\":\"x\",\"belongs_to__application\":{\"__id\":201}}]}" },
	{ "id 0", "{\"d\":[" ROW(0, 201) "]}" },
	{ "id as text", "{\"d\":[{\"id\":\"1\",\"uuid\":\"x\",\"belongs_to__application\":{\"__id\":201}}]}" },
	{ "no uuid", "{\"d\":[{\"id\":301,\"belongs_to__application\":{\"__id\":201}}]}" },
	{ "uuid empty", "{\"d\":[{\"id\":301,\"uuid\":\"\",\"belongs_to__application\":{\"__id\":201}}]}" },
	{ "a row of another group", "{\"d\":[" ROW(301, 7) "]}" },
	{ "a row of no fleet of ours", "{\"d\":[" ROW(301, 999) "]}" },
	{ "a row of no fleet", "{\"d\":[{\"id\":301,\"uuid\":\"x\",\"belongs_to__application\":null}]}" },
	{ "a fleet that is no reference", "{\"d\":[{\"id\":301,\"uuid\":\"x\",\"belongs_to__application\":201}]}" },
};

/* Fleet 201 has failed, all others are right. */
static void check_201_failed(const struct env *e)
{
	check_no_sums(e, "org/f201");
	for (int i = 0; i < 200; i++)
		check_sums(e, &(struct sums){ many_slugs[i], 1, 1, 1, 0, 0 });
	CHECK_NUM(e->name, value(e, CRAWL("fleets")), 201);
	CHECK_NUM(e->name, value(e, CRAWL("fleets_failed")), 1);
	CHECK_INT(e->name, e->sink.summary.complete, 0);
	CHECK_INT(e->name, e->sink.summary.fleets_failed, 1);
	check_crawl_samples(e, 1);
	CHECK_INT(e->name, e->log_lines, 1);
	CHECK(e->name, strstr(e->log[0], "1 of 201 fleets") != NULL);
}

static void test_two_groups(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "two groups", NULL);
	many(&e);
	assert_int_equal(run(&e), 0);
	for (int i = 0; i < 200; i++)
		check_sums(&e, &(struct sums){ many_slugs[i], 1, 1, 1, 0, 0 });
	check_sums(&e, &(struct sums){ "org/f201", 5, 1, 1, 2, 2 });
	assert_int_equal(fake_count(&e.net, DEVICES), 2);
	assert_int_equal(e.sink.summary.complete, 1);
	env_fini(&e);
}

static void test_group_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(troubles); i++) {
		const struct trouble *t = &troubles[i];
		struct fake_rule rule = t->rule;
		char series[128];
		struct env e;

		env_init(&e, t->name, NULL);
		many(&e);
		rule.match = "in%20(201)";
		rule.times = t->retried ? TRIES : 1;
		fake_rule(&e.net, rule);
		CHECK_INT(t->name, run(&e), 0);
		check_201_failed(&e);
		CHECK_INT(t->name, fake_sink_count(&e.sink, "balena_device_info{"), 200);
		CHECK_NUM(t->name, value(&e, CRAWL("token_valid")), 1);
		CHECK_NUM(t->name, value(&e, API("retries_total")), t->retried ? BCI_RETRIES : 0);
		snprintf(series, sizeof(series), "balena_api_requests_total{account=\"default\",result=\"%s\"}",
		         t->result);
		/* That the probe of is_frozen was answered 500 is no trouble of the server's. */
		CHECK_NUM(t->name, value(&e, series), (t->retried ? TRIES : 1) + !strcmp(t->result, "client_error"));

		/* The next crawl, when it may ask, is good again, and says so. */
		e.net.mono_ms += t->rule.retry_after_s * 1000;
		e.log_lines = 0;
		CHECK_INT(t->name, run(&e), 0);
		check_sums(&e, &(struct sums){ "org/f201", 5, 1, 1, 2, 2 });
		CHECK_INT(t->name, e.sink.summary.complete, 1);
		CHECK_INT(t->name, e.log_lines, 1);
		CHECK_STR(t->name, e.log[0], "all is well again");
		env_fini(&e);
	}
}

static void test_bad_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(bad_pages); i++) {
		struct env e;

		env_init(&e, bad_pages[i].name, NULL);
		many(&e);
		fake_rule(&e.net, (struct fake_rule){ .match = "in%20(201)", .body = bad_pages[i].body });
		CHECK_INT(bad_pages[i].name, run(&e), 0);
		check_201_failed(&e);
		env_fini(&e);
	}
}

/* The same once only: what comes of it is right, or nothing. */
static void bad_rows_once(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		double devices;
		struct env e;

		env_init(&e, bad_pages[i].name, NULL);
		many(&e);
		fake_rule(&e.net, (struct fake_rule){ .match = "in%20(201)", .times = 1,
		                                      .body = bad_pages[i].body });
		CHECK_INT(bad_pages[i].name, run(&e), 0);
		devices = fleet_value(&e, "balena_fleet_devices", "org/f201", "");
		CHECK(bad_pages[i].name, isnan(devices) || devices == 5);
		env_fini(&e);
	}
}

/* An answer whose ids do not rise may have left out devices before the place where that shows. */
static void test_bad_order_once(void **state)
{
	(void)state;
	bad_rows_once(0, 1);
	bad_rows_once(1, 2);
}

static void test_bad_rows_once(void **state)
{
	(void)state;
	bad_rows_once(2, 8);
}

static void test_foreign_rows_once(void **state)
{
	(void)state;
	bad_rows_once(8, LEN(bad_pages));
}

/* A row beyond the range that was asked for. */
static void test_outside_range(void **state)
{
	static const char *const options[] = { "page-size", "2", "concurrency", "1", NULL };
	struct env e;

	(void)state;
	env_init(&e, "outside the range", options);
	fake_rule(&e.net, (struct fake_rule){ .match = "id%20le%202&",
	                                      .body = "{\"d\":[" ROW(1, 1) "," ROW(2, 1) "," ROW(3, 2) "]}" });
	assert_int_equal(run(&e), BCRAWL_E_PROTOCOL);
	for (size_t i = 0; i < LEN(small_sums); i++)
		check_no_sums(&e, small_sums[i].slug);
	check_crawl_samples(&e, 0);
	env_fini(&e);
}

/* One try again is enough, wherever the trouble was. */
static void test_retry_helps(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES, ORPHANS };

	(void)state;
	for (size_t i = 0; i < LEN(troubles); i++) {
		for (size_t k = 0; k < LEN(parts) && troubles[i].retried; k++) {
			struct fake_rule rule = troubles[i].rule;
			struct env e;

			env_init(&e, troubles[i].name, NULL);
			rule.match = parts[k];
			rule.times = 1;
			fake_rule(&e.net, rule);
			CHECK_INT(parts[k], run(&e), 0);
			check_small(&e);
			CHECK_NUM(parts[k], value(&e, API("retries_total")), 1);
			CHECK_INT(parts[k], e.log_lines, 0);
			env_fini(&e);
		}
	}
}

static void test_all_fleets_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(troubles); i++) {
		const struct trouble *t = &troubles[i];
		struct fake_rule rule = t->rule;
		struct env e;

		env_init(&e, t->name, NULL);
		rule.match = DEVICES;
		fake_rule(&e.net, rule);
		CHECK_INT(t->name, run(&e), t->code);
		CHECK_INT(t->name, e.err.http_status, t->rule.result ? 0 : t->rule.status ? t->rule.status : 200);
		for (size_t k = 0; k < LEN(small_sums); k++)
			check_no_sums(&e, small_sums[k].slug);
		check_crawl_samples(&e, 0);
		CHECK_NUM(t->name, value(&e, CRAWL("fleets_failed")), 3);
		CHECK(t->name, isnan(value(&e, CRAWL("last_success_timestamp_seconds"))));
		CHECK_INT(t->name, e.log_lines, 1);
		/* The same trouble is not said again. */
		CHECK_INT(t->name, run(&e), t->code);
		CHECK_INT(t->name, e.log_lines, 1);
		env_fini(&e);
	}
}

static void test_list_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(troubles); i++) {
		const struct trouble *t = &troubles[i];
		struct fake_rule rule = t->rule;
		struct env e;

		env_init(&e, t->name, NULL);
		rule.match = LIST;
		rule.times = t->retried ? TRIES : 1;
		fake_rule(&e.net, rule);
		CHECK_INT(t->name, run(&e), t->code);
		check_crawl_samples(&e, 0);
		CHECK_INT(t->name, fake_sink_count(&e.sink, "balena_fleet"), 0);
		CHECK_INT(t->name, fake_sink_count(&e.sink, "balena_device"), 0);
		CHECK(t->name, isnan(value(&e, CRAWL("fleets"))));
		CHECK(t->name, isnan(value(&e, CRAWL("devices"))));
		CHECK_INT(t->name, e.sink.summary.complete, 0);
		CHECK_INT(t->name, fake_count(&e.net, DEVICES), 0);
		env_fini(&e);
	}
}

/* Rows of the fleet list that no fleet can be made of. */
static void test_bad_list(void **state)
{
	static const char *const bodies[] = {
		"{\"d\":[{\"id\":1,\"slug\":\"a/b\"}]}",
		"{\"d\":[{\"id\":1,\"owns__device\":1}]}",
		"{\"d\":[{\"slug\":\"a/b\",\"owns__device\":1}]}",
		"{\"d\":[{\"id\":0,\"slug\":\"a/b\",\"owns__device\":1}]}",
		"{\"d\":[{\"id\":2,\"slug\":\"a/b\",\"owns__device\":1},{\"id\":1,\"slug\":\"a/c\",\"owns__device\":1}]}",
		"{\"d\":[{\"id\":2,\"slug\":\"a/b\",\"owns__device\":1},{\"id\":2,\"slug\":\"a/c\",\"owns__device\":1}]}",
		"{\"d\":[{\"id\":1,\"slug\":\"a/b\",\"owns__device\":-1}]}",
		"{\"d\":null}",
	};

	(void)state;
	for (size_t i = 0; i < LEN(bodies); i++) {
		struct env e;

		env_init(&e, bodies[i], NULL);
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = TRIES, .body = bodies[i] });
		CHECK_INT(bodies[i], run(&e), BCRAWL_E_PROTOCOL);
		CHECK_INT(bodies[i], fake_sink_count(&e.sink, "balena_fleet"), 0);
		check_crawl_samples(&e, 0);
		env_fini(&e);
	}
}

/* The devices of no fleet failed, all fleets are read: that is no complete crawl. */
static void test_orphans_fail(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "orphans", NULL);
	assert_int_equal(run(&e), 0);
	fake_rule(&e.net, (struct fake_rule){ .match = ORPHANS, .times = TRIES, .status = 500, .body = "" });
	assert_int_equal(run(&e), 0);
	for (size_t i = 0; i < LEN(small_sums); i++)
		check_sums(&e, &small_sums[i]);
	CHECK_INT("no sums", fake_sink_count(&e.sink, "balena_fleet_devices{fleet=\"none\""), 0);
	CHECK_NUM("not read", fleet_value(&e, "balena_fleet_crawl_success", "none", ""), 0);
	CHECK_INT("not complete", e.sink.summary.complete, 0);
	env_fini(&e);
}

/* ---- 401 ---- */

static void test_401(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES };
	static const struct {
		const char *name;
		struct fake_rule anonymous;
		int code;
		double token_valid;
	} cases[] = {
		{ "anonymous is let in: the token is bad", { .body = "{\"d\":[{\"id\":1}]}" }, BCRAWL_E_AUTH, 0 },
		{ "anonymous gets no rows", { .body = "{\"d\":[]}" }, BCRAWL_E_AUTH, 0 },
		{ "anonymous gets a 500", { .status = 500, .body = "" }, BCRAWL_E_SERVER, (double)NAN },
		{ "anonymous gets a 401", { .status = 401, .body = "" }, BCRAWL_E_SERVER, (double)NAN },
		{ "anonymous gets HTML", { .body = "<html>" }, BCRAWL_E_SERVER, (double)NAN },
		{ "anonymous gets no answer", { .result = BCI_RESULT_NETWORK, .body = "" }, BCRAWL_E_SERVER,
		  (double)NAN },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t k = 0; k < LEN(parts); k++) {
			struct fake_rule anonymous = cases[i].anonymous;
			struct env e;

			env_init(&e, cases[i].name, NULL);
			anonymous.match = "/v7/device_type?$select=id&$top=1";
			anonymous.times = 1;
			fake_rule(&e.net, anonymous);
			fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .status = 401, .body = "" });
			CHECK_INT(parts[k], run(&e), cases[i].code);
			CHECK_INT(parts[k], e.err.http_status, 401);
			check_crawl_samples(&e, 0);
			CHECK_NUM(cases[i].name, value(&e, CRAWL("token_valid")), cases[i].token_valid);
			CHECK_INT(parts[k], fake_count(&e.net, "device_type?"), 1);
			CHECK_INT(parts[k], e.log_lines, 1);
			for (size_t f = 0; f < LEN(small_sums) && k == 2; f++)
				check_no_sums(&e, small_sums[f].slug);
			env_fini(&e);
		}
	}
}

/* A token that was changed while the old one was refused. */
static void test_new_token(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES, ORPHANS };
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };

	(void)state;
	for (size_t k = 0; k < LEN(parts); k++) {
		struct env e;
		char fresh[] = "sekret-new";

		write_token("sekret-old");
		env_init(&e, parts[k], options);
		fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .token = "sekret-old", .times = 1,
		                                      .status = 401, .body = "", .then = new_token,
		                                      .user = fresh });
		CHECK_INT(parts[k], run(&e), 0);
		check_small(&e);
		CHECK_NUM(parts[k], value(&e, API("retries_total")), 1);
		CHECK_STR(parts[k], e.net.log[e.net.log_count - 1].token, "sekret-new");
		CHECK_INT(parts[k], fake_count(&e.net, "device_type?"), 0);
		CHECK_INT(parts[k], e.log_lines, 0);
		env_fini(&e);
	}
}

/* Two requests are under way with the old token: both are refused, both are tried again. */
static void test_new_token_side_by_side(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, "page-size", "2", "concurrency",
		                        "4", NULL };
	struct env e;
	char fresh[] = "sekret-new";

	(void)state;
	write_token("sekret-old");
	env_init(&e, "side by side", options);
	/* For what the core asks wrongly, not to fail for another reason. */
	fake_rule(&e.net, (struct fake_rule){ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" });
	fake_rule(&e.net, (struct fake_rule){ .match = "(1,2,3)%20and%20id%20", .token = "sekret-old",
	                                      .status = 401, .body = "", .then = new_token, .user = fresh });
	assert_int_equal(run(&e), 0);
	assert_true(e.net.most_pending >= 2);
	check_small(&e);
	assert_int_equal(fake_count(&e.net, "device_type?"), 0);
	env_fini(&e);
}

/* A new token that is refused as well is not tried for ever. */
static void test_new_token_is_bad_too(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES };
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };

	(void)state;
	for (size_t k = 0; k < LEN(parts); k++) {
		struct env e;
		char fresh[] = "sekret-new";

		write_token("sekret-old");
		env_init(&e, parts[k], options);
		fake_rule(&e.net, (struct fake_rule){ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" });
		fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .status = 401, .body = "",
		                                      .then = new_token, .user = fresh });
		CHECK_INT(parts[k], run(&e), BCRAWL_E_AUTH);
		CHECK_NUM(parts[k], value(&e, CRAWL("token_valid")), 0);
		env_fini(&e);
	}
}

/* A token file that is read anew at each crawl. */
static void test_token_between_crawls(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };
	struct env e;

	(void)state;
	write_token("sekret-1");
	env_init(&e, "between crawls", options);
	e.net.token = "sekret-1";
	assert_int_equal(run(&e), 0);
	write_token("sekret-2");
	e.net.token = "sekret-2";
	assert_int_equal(run(&e), 0);
	check_small(&e);
	write_token("sekret 3");
	assert_int_equal(run(&e), BCRAWL_E_CONFIG);
	check_crawl_samples(&e, 0);
	CHECK("nothing is known of a token that was not sent", isnan(value(&e, CRAWL("token_valid"))));
	env_fini(&e);
}

/* A crawl that is whole makes good the refusals before it: it is those in a row that slow down. */
static void test_refusals_that_pass(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "refusals that pass", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" });
	for (int i = 0; i < 6; i++) {
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 401, .body = "" });
		assert_int_equal(run(&e), BCRAWL_E_AUTH);
		assert_int_equal(run(&e), 0);
		check_small(&e);
	}
	env_fini(&e);
}

/* 1 after an authenticated 2xx, 0 on a 401, else absent: in this crawl. */
static void test_token_unknown(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "network gone", NULL);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("first crawl", value(&e, CRAWL("token_valid")), 1);
	fake_rule(&e.net, (struct fake_rule){ .result = BCI_RESULT_NETWORK, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_NET);
	CHECK_NUM("second crawl", value(&e, CRAWL("token_valid")), (double)NAN);
	env_fini(&e);
}

/* {"id":2,"exp":1795414724} */
static void test_token_expiry(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };
	struct env e;

	(void)state;
	write_token("eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MiwiZXhwIjoxNzk1NDE0NzI0fQ.sig");
	env_init(&e, "expiry", options);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("a session token", value(&e, CRAWL("token_expiry_timestamp_seconds")), 1795414724);
	write_token("an-api-key");
	assert_int_equal(run(&e), 0);
	CHECK_NUM("a key", value(&e, CRAWL("token_expiry_timestamp_seconds")), (double)NAN);
	env_fini(&e);
}

/* ---- deadline, stop, sink ---- */

static void test_deadline(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES, ORPHANS };
	static const char *const options[] = { "deadline", "20", "concurrency", "1", NULL };

	(void)state;
	for (size_t k = 0; k < LEN(parts); k++) {
		struct env e;
		int64_t began;
		bool fleets_read = k == 3;

		env_init(&e, parts[k], options);
		fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .times = 1, .hang = true });
		began = e.net.mono_ms;
		CHECK_INT(parts[k], run(&e), fleets_read ? 0 : BCRAWL_E_TIMEOUT);
		CHECK(parts[k], e.net.mono_ms - began >= 20000 && e.net.mono_ms - began <= 20400);
		check_crawl_samples(&e, fleets_read);
		CHECK(parts[k], value(&e, CRAWL("duration_seconds")) >= 20);
		CHECK_NUM(parts[k], value(&e, "balena_api_requests_total{account=\"default\","
		                               "result=\"timeout\"}"), 1);
		for (size_t f = 0; f < LEN(small_sums) && k == 2; f++)
			check_no_sums(&e, small_sums[f].slug);
		for (size_t f = 0; f < LEN(small_sums) && fleets_read; f++)
			check_sums(&e, &small_sums[f]);
		CHECK_INT(parts[k], e.log_lines, 1);
		env_fini(&e);
	}
}

/* The deadline is the interval, where it is not set. */
static void test_deadline_is_interval(void **state)
{
	static const char *const options[] = { BCRAWL_KEY_INTERVAL, "30", NULL };
	struct env e;
	int64_t began;

	(void)state;
	env_init(&e, "interval", options);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .hang = true });
	began = e.net.mono_ms;
	assert_int_equal(run(&e), BCRAWL_E_TIMEOUT);
	assert_true(e.net.mono_ms - began >= 30000 && e.net.mono_ms - began <= 30400);
	env_fini(&e);
}

static void slow_sink(void *user)
{
	((struct fake_transport *)user)->mono_ms += 10000;
}

static void test_sink_time(void **state)
{
	static const char *const options[] = { "deadline", "5", NULL };
	struct env e;

	(void)state;
	env_init(&e, "slow sink", options);
	e.sink.on_sample = slow_sink;
	e.sink.on_sample_user = &e.net;
	assert_int_equal(run(&e), 0);
	check_small(&e);
	env_fini(&e);
}

/* The stop callback says so at the 1st, 2nd, ... nth time it is asked. */
static void stop_everywhere(const char *name, const char *const *options)
{
	struct env e;
	int polls;

	env_init(&e, name, options);
	assert_int_equal(run(&e), 0);
	polls = e.polls;
	assert_true(polls >= 5);
	env_fini(&e);
	for (int at = 1; at <= polls; at += (int)unit_stride()) {
		char step[64];

		snprintf(step, sizeof(step), "%s, poll %d of %d", name, at, polls);
		env_init(&e, step, options);
		e.stop_at = at;
		CHECK_INT(step, run(&e), BCRAWL_E_STOPPED);
		CHECK_INT(step, fake_sink_count(&e.sink, "balena_crawl_"), 0);
		CHECK_INT(step, fake_sink_count(&e.sink, "balena_api_"), 0);
		CHECK_INT(step, e.sink.summary.complete, 0);
		CHECK_INT(step, e.log_lines, 0);
		env_fini(&e);
	}
}

static void test_stop_devices(void **state)
{
	static const char *const options[] = { "page-size", "2", "concurrency", "2", NULL };

	(void)state;
	stop_everywhere("devices", options);
}

static void test_stop_fleets(void **state)
{
	static const char *const options[] = { "detail", "fleets", NULL };

	(void)state;
	stop_everywhere("fleets", options);
}

/* Asked at least every 200 ms while nothing comes. */
static void test_stop_while_waiting(void **state)
{
	static const char *const parts[] = { CONTROL, LIST, DEVICES };

	(void)state;
	for (size_t k = 0; k < LEN(parts); k++) {
		struct env e;
		int64_t began;

		env_init(&e, parts[k], NULL);
		fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .hang = true });
		e.stop_at = 100;
		began = e.net.mono_ms;
		CHECK_INT(parts[k], run(&e), BCRAWL_E_STOPPED);
		CHECK(parts[k], e.net.mono_ms - began <= 100 * 200);
		env_fini(&e);
	}
}

/* Also in the pause before a request is tried again, long as it may be. */
static void test_stop_in_pause(void **state)
{
	static const char *const parts[] = { LIST, DEVICES };

	(void)state;
	for (size_t k = 0; k < LEN(parts); k++) {
		struct env e;
		int64_t began;

		env_init(&e, parts[k], NULL);
		fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .status = 429, .retry_after_s = 30,
		                                      .body = "", .times = 1 });
		e.stop_at = 20;
		began = e.net.mono_ms;
		CHECK_INT(parts[k], run(&e), BCRAWL_E_STOPPED);
		CHECK(parts[k], e.net.mono_ms - began <= 20 * 200);
		CHECK_INT(parts[k], e.polls, 20);
		env_fini(&e);
	}
}

static void test_sink_refuses(void **state)
{
	struct env e;
	size_t records;

	(void)state;
	env_init(&e, "sink", NULL);
	assert_int_equal(run(&e), 0);
	records = e.sink.records;
	assert_true(records > 60);
	env_fini(&e);
	for (size_t at = 1; at <= records; at += unit_stride()) {
		char step[64];

		snprintf(step, sizeof(step), "record %zu of %zu", at, records);
		env_init(&e, step, NULL);
		e.sink.refuse_at = at;
		e.sink.rc = 7;
		CHECK_INT(step, run(&e), BCRAWL_E_SINK);
		CHECK_INT(step, e.err.sink_rc, 7);
		CHECK_INT(step, e.sink.records, at);
		CHECK_INT(step, e.sink.summary.complete, 0);
		/* The next crawl begins anew. */
		e.sink.refuse_at = 0;
		CHECK_INT(step, run(&e), 0);
		check_small(&e);
		env_fini(&e);
	}
}

static void test_progress(void **state)
{
	static const char *const options[] = { "page-size", "2", "concurrency", "1", NULL };
	struct env e;

	(void)state;
	env_init(&e, "progress", options);
	e.net.step_ms = 1000;
	assert_int_equal(run(&e), 0);
	assert_true(e.sink.progresses >= 8);
	assert_int_equal(e.sink.progress.fleets, 3);
	assert_int_equal(e.sink.progress.devices_expected, 6);
	assert_int_equal(e.sink.progress.fleets_done, 3);
	/* At most five a second. */
	e.net.step_ms = 10;
	assert_int_equal(run(&e), 0);
	assert_true(e.sink.progresses <= 1);
	e.net.step_ms = 1000;
	e.sink.progress_rc = 9;
	assert_int_equal(run(&e), BCRAWL_E_SINK);
	assert_int_equal(e.err.sink_rc, 9);
	env_fini(&e);
}

static void test_no_sample_callback(void **state)
{
	struct bcrawl_sink none = { .size = sizeof(none) };
	struct env e;

	(void)state;
	env_init(&e, "no callback", NULL);
	assert_int_equal(bcrawl_run(e.c, &none, NULL, &e.err), BCRAWL_E_CONFIG);
	assert_int_equal(bcrawl_run(e.c, NULL, NULL, NULL), BCRAWL_E_CONFIG);
	assert_int_equal(e.net.log_count, 0);
	env_fini(&e);
}

/* ---- what is found out about the server ---- */

static void test_fleets_vanish(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "vanish", NULL);
	assert_int_equal(run(&e), 0);
	assert_int_equal(fake_count(&e.net, LIST), 1);

	/* Empty once: asked again, and that is believed. */
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .body = "{\"d\":[]}" });
	assert_int_equal(run(&e), 0);
	check_small(&e);
	assert_int_equal(fake_count(&e.net, LIST), 3);

	/* Empty twice: so be it. */
	fake_forget(&e.net);
	e.world.fleet_count = 0;
	assert_int_equal(run(&e), 0);
	assert_int_equal(fake_count(&e.net, LIST), 2);
	CHECK_NUM("fleets", value(&e, CRAWL("fleets")), 0);
	CHECK_NUM("success", value(&e, CRAWL("success")), 1);
	assert_int_equal(fake_count(&e.net, DEVICES), 0);

	/* Still empty: no news. */
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	assert_int_equal(fake_count(&e.net, LIST), 1);
	env_fini(&e);
}

static void test_versions(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "no balena API at all", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = "/v6/device?$select=id&$top=0", .times = 1,
	                                      .status = 404, .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = "/v7/", .times = 1, .status = 404, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_REQUEST);
	CHECK(e.err.message, strstr(e.err.message, "is no balena API") != NULL);
	CHECK(e.err.message, strstr(e.err.message, "https://api.balena-cloud.com") != NULL);
	assert_int_equal(e.net.log_count, 2);
	check_crawl_samples(&e, 0);
	CHECK("api_version", isnan(value(&e, CRAWL("api_version"))));
	env_fini(&e);
}

/* The devices of small_devices as version 6 tells them. */
#define FOLLOWS "\"should_be_running__release\":null,"
#define UP6                                                                                        \
	TYPE RUNS(2, "1.1.0") FOLLOWS                                                               \
	"\"overall_status\":\"idle\",\"is_connected_to_vpn\":true,"                                 \
	"\"api_heartbeat_state\":\"online\",\"last_connectivity_event\":\"2026-11-23T06:18:44.000Z\"," \
	"\"last_vpn_event\":\"2026-11-23T06:18:44.000Z\",\"memory_usage\":500,\"memory_total\":1000,"  \
	"\"cpu_temp\":50,\"is_undervolted\":true,\"update_status\":\"done\",\"device_name\":\"up\""
#define BEATS6                                                                                     \
	TYPE RUNS(1, "1.0.0") FOLLOWS                                                               \
	"\"overall_status\":\"idle\",\"is_connected_to_vpn\":false,"                                \
	"\"api_heartbeat_state\":\"timeout\",\"last_connectivity_event\":null,\"cpu_temp\":70,"     \
	"\"is_undervolted\":false,\"device_name\":\"beats\""
#define DOWN6                                                                                      \
	TYPE RUNS(1, "1.0.0") FOLLOWS                                                               \
	"\"overall_status\":\"offline\",\"is_connected_to_vpn\":false,"                             \
	"\"api_heartbeat_state\":\"offline\",\"last_connectivity_event\":\"2026-11-23T06:18:51.000Z\"," \
	"\"last_vpn_event\":\"2026-11-23T06:18:51.000Z\",\"memory_usage\":900,\"memory_total\":1000,"  \
	"\"cpu_temp\":90,\"is_undervolted\":true,\"update_status\":\"done\",\"device_name\":\"down\""

static const struct fake_device devices_of_v6[] = {
	{ 1, 1, UP6 }, { 2, 1, UP6 },    { 3, 2, DOWN6 },   { 5, 1, DOWN6 },
	{ 8, 2, BEATS6 }, { 9, 1, UNBORN }, { 12, 0, UNBORN },
};

static void env_init_v6(struct env *e, const char *name, const char *const *options)
{
	env_init(e, name, options);
	e->world.v6 = true;
	e->world.devices = devices_of_v6;
	fake_rule(&e->net, (struct fake_rule){ .match = "/v7/", .status = 404, .body = "" });
}

/* All samples but those that tell how they were got. */
static char *text_of_any_version(const struct env *e)
{
	static const char *const how[] = { "balena_api_", "balena_crawl_duration_seconds",
		                           "balena_crawl_last_success_timestamp_seconds",
		                           "balena_crawl_api_version" };
	char *text = fake_sink_text(&e->sink), *out = text, *line, *rest = text;

	while ((line = strtok_r(rest, "\n", &rest))) {
		bool skip = false;

		for (size_t i = 0; i < LEN(how); i++)
			skip |= strncmp(line, how[i], strlen(how[i])) == 0;
		if (skip)
			continue;
		memmove(out, line, strlen(line));
		out += strlen(line);
		*out++ = '\n';
	}
	*out = '\0';
	return text;
}

/* The same account told by version 6 gives the same samples: what version 7 alone can tell is not
 * in it. */
static void test_v6(void **state)
{
	static const char *const details[][3] = { { "detail", "devices", NULL }, { "detail", "fleets", NULL },
		                                  { "detail", "services", NULL } };

	(void)state;
	for (size_t i = 0; i < LEN(details); i++) {
		struct env e;
		char *v7, *v6;

		env_init(&e, "v7", details[i]);
		assert_int_equal(run(&e), 0);
		v7 = text_of_any_version(&e);
		assert_int_equal(fake_count(&e.net, "/v6/"), 0);
		CHECK_NUM("version", value(&e, CRAWL("api_version")), 7);
		env_fini(&e);

		env_init_v6(&e, "v6", details[i]);
		assert_int_equal(run(&e), 0);
		v6 = text_of_any_version(&e);
		CHECK_STR(details[i][1], v6, v7);
		CHECK_NUM("version", value(&e, CRAWL("api_version")), 6);
		CHECK_NUM("token", value(&e, CRAWL("token_valid")), 1);
		check_crawl_samples(&e, 1);
		assert_int_equal(e.log_lines, 0);
		assert_int_equal(fake_count(&e.net, "/v7/"), 1);
		/* And it is known the next time. */
		fake_forget(&e.net);
		assert_int_equal(run(&e), 0);
		assert_int_equal(fake_count(&e.net, "/v7/"), 0);
		assert_int_equal(fake_count(&e.net, "&$top=0"), 0);
		CHECK_NUM("version", value(&e, CRAWL("api_version")), 6);
		env_fini(&e);
		free(v7);
		free(v6);
	}
}

/* What version 6 tells by other fields is asked for, what it has not is not: fake_transport.c. */
static void test_v6_fields(void **state)
{
	static const struct {
		const char *metrics, *select;
	} cases[] = {
		{ "balena_device_status_code",
		  "/v6/device?$select=id,uuid,belongs_to__application,is_connected_to_vpn,api_heartbeat_state,"
		  "overall_status&$filter" },
		{ "balena_device_pinned",
		  "/v6/device?$select=id,uuid,belongs_to__application,should_be_running__release&$filter" },
		{ "balena_fleet_devices_pinned",
		  "/v6/device?$select=id,uuid,belongs_to__application,should_be_running__release&$filter" },
		{ "balena_device_heartbeat_changed_timestamp_seconds",
		  "/v6/device?$select=id,uuid,belongs_to__application&$filter" },
		{ "balena_device_supervisor_update_pending",
		  "/v6/device?$select=id,uuid,belongs_to__application,supervisor_version&$filter" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *const options[] = { BCRAWL_KEY_METRICS, cases[i].metrics, NULL };
		const char *target;
		struct env e;

		env_init_v6(&e, cases[i].metrics, options);
		CHECK_INT(cases[i].metrics, run(&e), 0);
		target = fake_target(&e.net, DEVICES, 0);
		CHECK(target, strncmp(target, cases[i].select, strlen(cases[i].select)) == 0);
		env_fini(&e);
	}
}

/* Pinned devices have a target of their own. */
static void test_v6_pinned(void **state)
{
	static const char *const options[] = { BCRAWL_KEY_METRICS, "balena_device_pinned "
		                               "balena_device_on_target_release balena_fleet_devices_*", NULL };
	static const struct fake_device devices[] = {
		{ 1, 1, RUNS(2, "1.1.0") "\"should_be_running__release\":null" },
		{ 2, 1, RUNS(1, "1.0.0") "\"should_be_running__release\":null" },
		{ 3, 1, RUNS(1, "1.0.0") "\"should_be_running__release\":{\"__id\":1}" },
		{ 4, 3, RUNS(1, "1.0.0") "\"should_be_running__release\":null" },
		{ 5, 0, RUNS(1, "1.0.0") "\"should_be_running__release\":{\"__id\":1}" },
		{ 6, 0, RUNS(1, "1.0.0") "\"should_be_running__release\":null" },
	};
	static const struct {
		const char *fleet, *uuid;
		double pinned, on_target;
	} want[] = {
		{ "acme/a", "u1", 0, 1 }, { "acme/a", "u2", 0, 0 }, { "acme/a", "u3", 1, 1 },
		{ "acme/empty", "u4", 0, (double)NAN }, { "none", "u5", 1, 1 }, { "none", "u6", 0, (double)NAN },
	};
	struct env e;

	(void)state;
	env_init_v6(&e, "pinned", options);
	e.world.devices = devices;
	e.world.device_count = LEN(devices);
	assert_int_equal(run(&e), 0);
	for (size_t i = 0; i < LEN(want); i++) {
		char more[64];

		snprintf(more, sizeof(more), ",device_uuid=\"%s\"", want[i].uuid);
		CHECK_NUM(want[i].uuid, fleet_value(&e, "balena_device_pinned", want[i].fleet, more), want[i].pinned);
		CHECK_NUM(want[i].uuid, fleet_value(&e, "balena_device_on_target_release", want[i].fleet, more),
		          want[i].on_target);
	}
	CHECK_NUM("pinned", fleet_value(&e, "balena_fleet_devices_pinned", "acme/a", ""), 1);
	CHECK_NUM("on target", fleet_value(&e, "balena_fleet_devices_by_rollout", "acme/a",
	                                   ",rollout=\"on_target\""), 2);
	CHECK_NUM("pending", fleet_value(&e, "balena_fleet_devices_by_rollout", "acme/a",
	                                 ",rollout=\"pending_offline\""), 1);
	env_fini(&e);
}

/* In version 7 the server tells each device's target: none is none, whatever the fleet's is. */
static void test_v7_target(void **state)
{
	static const struct fake_device devices[] = {
		{ 1, 1, RUNS(2, "1.1.0") "\"should_be_running__release\":null" },
		{ 2, 1, RUNS(2, "1.1.0") "\"should_be_running__release\":{\"__id\":2}" },
	};
	struct env e;

	(void)state;
	env_init(&e, "v7 target", NULL);
	e.world.devices = devices;
	e.world.device_count = LEN(devices);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("none", fleet_value(&e, "balena_device_on_target_release", "acme/a", ",device_uuid=\"u1\""),
	          (double)NAN);
	CHECK_NUM("told", fleet_value(&e, "balena_device_on_target_release", "acme/a", ",device_uuid=\"u2\""), 1);
	CHECK_NUM("unknown", fleet_value(&e, "balena_fleet_devices_by_rollout", "acme/a", ",rollout=\"unknown\""), 1);
	env_fini(&e);
}

/* A server that learns version 7 is spoken to in it, an hour later at the latest. */
static void test_v6_grows_up(void **state)
{
	struct env e;

	(void)state;
	env_init_v6(&e, "grows up", NULL);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("before", value(&e, CRAWL("api_version")), 6);
	fake_forget(&e.net);
	e.world.v6 = false;
	e.world.devices = small_devices;
	e.net.mono_ms += BCI_PROBE_TTL_MS;
	assert_int_equal(run(&e), 0);
	check_small(&e);
	assert_int_equal(fake_count(&e.net, "/v6/"), 0);
	env_fini(&e);
}

static void test_probes(void **state)
{
	struct env e;
	const char *target;

	(void)state;
	env_init(&e, "probes", NULL);
	assert_int_equal(run(&e), 0);
	/* @standard needs these four of the fields that not every server has, each asked once. */
	assert_int_equal(fake_count(&e.net, "$select=id,changed_api_heartbeat_state_on__date&$top=0"), 1);
	assert_int_equal(fake_count(&e.net, "$select=id,update_status&$top=0"), 1);
	assert_int_equal(fake_count(&e.net, "$select=id,last_update_status_event&$top=0"), 1);
	assert_int_equal(fake_count(&e.net, "$select=id,is_frozen&$top=0"), 1);
	assert_int_equal(fake_count(&e.net, "&$top=0"), 6);
	target = fake_target(&e.net, DEVICES, 0);
	assert_non_null(strstr(target, ",update_status"));
	assert_null(strstr(target, "is_frozen"));
	CHECK_INT("what cannot be told is no 0", fake_sink_count(&e.sink, "balena_fleet_devices_frozen"), 0);
	assert_true(fake_sink_count(&e.sink, "balena_fleet_devices_by_update_status") > 0);
	env_fini(&e);
}

static void test_field_missing(void **state)
{
	static const long codes[] = { 500, 400 };

	(void)state;
	for (size_t i = 0; i < LEN(codes); i++) {
		struct env e;

		env_init(&e, "missing", NULL);
		e.world.lacks = "";
		fake_rule(&e.net, (struct fake_rule){ .match = "$select=id,update_status&", .status = codes[i],
		                                      .body = "" });
		assert_int_equal(run(&e), 0);
		assert_null(strstr(fake_target(&e.net, DEVICES, 0), ",update_status"));
		assert_non_null(strstr(fake_target(&e.net, DEVICES, 0), ",is_frozen"));
		CHECK_INT("update", fake_sink_count(&e.sink, "balena_fleet_devices_by_update_status"), 0);
		CHECK_INT("update", fake_sink_count(&e.sink, "balena_device_update_status_code"), 0);
		CHECK_INT("frozen", fake_sink_count(&e.sink, "balena_fleet_devices_frozen"), 4);
		env_fini(&e);
	}
}

/* Without a good control behind, a 500 says nothing about a field. */
static void test_no_conclusion(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "no conclusion", NULL);
	e.world.lacks = "";
	fake_rule(&e.net, (struct fake_rule){ .match = "$select=id,", .times = 4, .status = 500, .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = CONTROL, .skip = 1, .times = TRIES, .status = 500,
	                                      .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_SERVER);
	check_crawl_samples(&e, 0);
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	assert_non_null(strstr(fake_target(&e.net, DEVICES, 0), ",update_status"));
	assert_non_null(strstr(fake_target(&e.net, DEVICES, 0), ",is_frozen"));
	env_fini(&e);
}

/* A probe that was not answered says nothing either: what was known stays, and it is asked again. */
static void test_unsure_probe(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "unsure", NULL);
	assert_int_equal(run(&e), 0);
	fake_forget(&e.net);
	e.net.mono_ms += BCI_PROBE_TTL_MS;
	fake_rule(&e.net, (struct fake_rule){ .match = "$select=id,update_status&$top", .times = 1,
	                                      .result = BCI_RESULT_NETWORK, .body = "" });
	assert_int_equal(run(&e), 0);
	CHECK("what was known stays", strstr(fake_target(&e.net, DEVICES, 0), ",update_status") != NULL);
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	CHECK_INT("asked again", fake_count(&e.net, "$select=id,update_status&$top"), 1);
	CHECK("found again", strstr(fake_target(&e.net, DEVICES, 0), ",update_status") != NULL);
	env_fini(&e);
}

/* A probe that broke off is no probe: the next crawl asks again, not the one of an hour later. */
static void test_broken_probe(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "broken", NULL);
	assert_int_equal(run(&e), 0);
	fake_forget(&e.net);
	e.net.mono_ms += BCI_PROBE_TTL_MS;
	fake_rule(&e.net, (struct fake_rule){ .match = CONTROL, .skip = 1, .times = TRIES, .status = 500,
	                                      .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_SERVER);
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	CHECK_INT("asked again", fake_count(&e.net, "$select=id,update_status&$top"), 1);
	check_small(&e);
	env_fini(&e);
}

/* A 500 inside a crawl never changes the field list. */
static void test_500_changes_no_fields(void **state)
{
	struct env e;
	char *before;

	(void)state;
	env_init(&e, "500", NULL);
	assert_int_equal(run(&e), 0);
	before = strdup(fake_target(&e.net, DEVICES, 0));
	fake_forget(&e.net);
	fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = TRIES, .status = 500, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_SERVER);
	CHECK_STR("first", fake_target(&e.net, DEVICES, 0), before);
	CHECK_STR("second", fake_target(&e.net, DEVICES, 1), before);
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	CHECK_STR("third", fake_target(&e.net, DEVICES, 0), before);
	free(before);
	env_fini(&e);
}

/* ---- detail fleets ---- */

static void test_detail_fleets(void **state)
{
	static const char *const options[] = { "detail", "fleets", NULL };
	struct env e;

	(void)state;
	env_init(&e, "detail fleets", options);
	assert_int_equal(run(&e), 0);
	/* is_active and two controls; then the list, online, connected, never. */
	assert_int_equal(e.net.log_count, 7);
	assert_int_equal(fake_count(&e.net, "/v7/application?"), 4);
	for (size_t i = 0; i < LEN(small_sums); i++)
		check_sums(&e, &small_sums[i]);
	CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device_"), 0);
	CHECK_INT("status", fake_sink_count(&e.sink, "balena_fleet_devices_by_status"), 0);
	CHECK_INT("info", fake_sink_count(&e.sink, "balena_fleet_info"), 3);
	CHECK_NUM("no devices were read", value(&e, CRAWL("devices")), (double)NAN);
	check_crawl_samples(&e, 1);
	assert_int_equal(e.sink.summary.complete, 1);
	/* And the next time only the four. */
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.net.log_count, 4);
	assert_int_equal(e.sink.summary.requests, 4);
	env_fini(&e);
}

/* A server that tells inactive devices: they count as nothing else. */
static void test_detail_fleets_activation(void **state)
{
	static const char *const options[] = { "detail", "fleets", NULL };
	static const struct fake_device devices[] = {
		{ 1, 1, UP ",\"is_active\":true" },
		{ 2, 1, UP ",\"is_active\":false" },
		{ 3, 1, UNBORN ",\"is_active\":false" },
		{ 4, 1, UNBORN ",\"is_active\":true" },
		{ 5, 1, DOWN ",\"is_active\":true" },
		{ 6, 1, DOWN ",\"is_active\":true" },
	};
	struct env e;

	(void)state;
	env_init(&e, "activation", options);
	e.world = (struct fake_world){ small_fleets, 1, devices, LEN(devices), "", false };
	assert_int_equal(run(&e), 0);
	assert_int_equal(fake_count(&e.net, "/v7/application?"), 5);
	CHECK_NUM("all", fleet_value(&e, "balena_fleet_devices", "acme/a", ""), 6);
	CHECK_NUM("connected", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
	                                   ",connection=\"connected\""), 1);
	CHECK_NUM("disconnected", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
	                                      ",connection=\"disconnected\""), 2);
	CHECK_NUM("never", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
	                               ",connection=\"never\""), 1);
	CHECK_NUM("inactive", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
	                                  ",connection=\"inactive\""), 2);
	env_fini(&e);
}

/* Counts of different moments that do not add up are not told; nor is what was not answered. */
static void test_detail_fleets_odd(void **state)
{
	static const char *const options[] = { "detail", "fleets", NULL };
	static const struct {
		const char *name, *connected;
		bool partition;
	} cases[] = {
		{ "more connected than devices", "{\"d\":[{\"owns__device\":9,\"id\":1},{\"owns__device\":1,\"id\":2},"
		                                 "{\"owns__device\":0,\"id\":3}]}", false },
		{ "a fleet is missing", "{\"d\":[{\"owns__device\":1,\"id\":2},{\"owns__device\":0,\"id\":3}]}", false },
		{ "another fleet is there", "{\"d\":[{\"owns__device\":2,\"id\":1},{\"owns__device\":1,\"id\":2},"
		                            "{\"owns__device\":0,\"id\":3},{\"owns__device\":5,\"id\":99}]}", true },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, cases[i].name, options);
		fake_rule(&e.net, (struct fake_rule){ .match = "in%20('online','timeout')", .times = 1,
		                                      .body = cases[i].connected });
		assert_int_equal(run(&e), 0);
		CHECK_INT(cases[i].name,
		          fake_sink_count(&e.sink, "balena_fleet_devices_by_connection{fleet=\"acme/a\""),
		          cases[i].partition ? 4 : 0);
		CHECK_INT(cases[i].name,
		          fake_sink_count(&e.sink, "balena_fleet_devices_by_connection{fleet=\"acme/b\""), 4);
		CHECK_NUM(cases[i].name, value(&e, WITHHELD("inconsistent")), cases[i].partition ? 0 : 4);
		CHECK_NUM(cases[i].name, fleet_value(&e, "balena_fleet_devices", "acme/a", ""), 4);
		CHECK_INT(cases[i].name, fake_sink_count(&e.sink, "balena_fleet_devices{"), 3);
		/* It is the number of one crawl, no counter. */
		assert_int_equal(run(&e), 0);
		CHECK_NUM(cases[i].name, value(&e, WITHHELD("inconsistent")), 0);
		env_fini(&e);
	}
}

static void test_detail_fleets_cut(void **state)
{
	static const char *const options[] = { "detail", "fleets", NULL };
	static const char *const part = "($filter=is_connected_to_vpn%20eq%20true)";
	size_t n = body_length(part, 0, options);

	(void)state;
	for (size_t at = 0; at < n; at += unit_stride()) {
		struct env e;

		env_init(&e, "cut", options);
		fake_rule(&e.net, (struct fake_rule){ .match = part, .times = 1, .cut = true, .cut_at = at,
		                                      .result = BCI_RESULT_NETWORK });
		assert_int_equal(run(&e), 0);
		for (size_t i = 0; i < LEN(small_sums); i++)
			check_sums(&e, &small_sums[i]);
		env_fini(&e);
	}
}

/* ---- the crawl's own numbers ---- */

static void test_counters(void **state)
{
	struct env e;
	uint64_t first;

	(void)state;
	env_init(&e, "counters", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429, .retry_after_s = 7,
	                                      .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .result = BCI_RESULT_TIMEOUT,
	                                      .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = ORPHANS, .times = 1, .body = "<html>" });
	assert_int_equal(run(&e), 0);
	check_small(&e);
	/* 2 controls, 3 probes, list, devices, orphans; the 500 for is_frozen is about our query. */
	CHECK_NUM("ok", requests(&e, "ok"), 8);
	CHECK_NUM("auth", requests(&e, "auth"), 0);
	CHECK_NUM("throttled", requests(&e, "throttled"), 1);
	CHECK_NUM("client_error", requests(&e, "client_error"), 1);
	CHECK_NUM("server_error", requests(&e, "server_error"), 0);
	CHECK_NUM("timeout", requests(&e, "timeout"), 1);
	CHECK_NUM("network", requests(&e, "network"), 0);
	CHECK_NUM("garbage", requests(&e, "garbage"), 1);
	CHECK_NUM("retries", value(&e, API("retries_total")), 3);
	CHECK_NUM("throttled", value(&e, API("throttled_seconds_total")), 7);
	CHECK_NUM("bytes", value(&e, API("received_bytes_total")), (double)e.sink.summary.bytes_received);
	assert_int_equal(e.sink.summary.requests, 12);
	assert_int_equal(e.sink.summary.retries, 3);
	assert_true(e.sink.summary.bytes_received > 12 * 100);
	/* Waited for: 7 s, and 250 ms for each of the others. */
	assert_true(e.sink.summary.duration_s >= 7.2 && e.sink.summary.duration_s < 8.5);

	/* Counters go on, the summary begins anew. */
	first = e.sink.summary.bytes_received;
	assert_int_equal(run(&e), 0);
	CHECK_NUM("ok", requests(&e, "ok"), 11);
	CHECK_NUM("retries", value(&e, API("retries_total")), 3);
	assert_int_equal(e.sink.summary.requests, 3);
	assert_int_equal(e.sink.summary.retries, 0);
	CHECK_NUM("bytes", value(&e, API("received_bytes_total")),
	          (double)(first + e.sink.summary.bytes_received));
	env_fini(&e);
}

/* What is counted is what is heeded, whatever a server asks for: a whole number that every reader
 * can hold. */
static void test_throttled_for_ever(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "throttled for ever", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429,
	                                      .retry_after_s = INT64_MAX, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_THROTTLED);
	CHECK_NUM("throttled", value(&e, API("throttled_seconds_total")), BCI_HOLD_MAX_S);
	env_fini(&e);
}

static void test_rejected_values(void **state)
{
	static const struct fake_device devices[] = {
		{ 1, 1, "\"cpu_usage\":250,\"cpu_temp\":\"hot\",\"overall_status\":\"dancing\"" },
		{ 2, 1, "\"memory_usage\":-1,\"last_vpn_event\":\"yesterday\",\"api_heartbeat_state\":\"odd\"" },
	};
	struct env e;

	(void)state;
	env_init(&e, "rejected", NULL);
	e.world.devices = devices;
	e.world.device_count = LEN(devices);
	/* Rows that came before the answer broke off are not read twice, nor counted twice. */
	fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .cut = true, .cut_at = 150,
	                                      .result = BCI_RESULT_NETWORK });
	assert_int_equal(run(&e), 0);
	CHECK_NUM("type", value(&e, "balena_api_rejected_values_total{account=\"default\",reason=\"type\"}"), 2);
	CHECK_NUM("range", value(&e, "balena_api_rejected_values_total{account=\"default\",reason=\"range\"}"), 2);
	CHECK_NUM("unknown_word", value(&e, "balena_api_rejected_values_total{account=\"default\",reason=\"unknown_word\"}"), 2);
	CHECK_NUM("too_long", value(&e, "balena_api_rejected_values_total{account=\"default\",reason=\"too_long\"}"), 0);
	CHECK_NUM("other", fleet_value(&e, "balena_fleet_devices_by_status", "acme/a", ",status=\"other\""), 2);
	env_fini(&e);
}

static void test_interval(void **state)
{
	static const char *const set[] = { BCRAWL_KEY_INTERVAL, "30", NULL };
	static const struct {
		const char *name;
		const char *const *options;
		double first, second;
	} cases[] = {
		{ "not configured: the distance", NULL, 60, 90 },
		{ "configured", set, 30, 30 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		int64_t began;
		struct env e;

		env_init(&e, cases[i].name, cases[i].options);
		began = e.net.mono_ms;
		assert_int_equal(run(&e), 0);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("interval_seconds")), cases[i].first);
		e.net.mono_ms = began + 90000;
		assert_int_equal(run(&e), 0);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("interval_seconds")), cases[i].second);
		/* Failing crawls say it, too. */
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .status = 404, .body = "" });
		e.net.mono_ms = began + 180000;
		assert_int_equal(run(&e), BCRAWL_E_REQUEST);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("interval_seconds")), cases[i].second);
		env_fini(&e);
	}
}

static void test_clock_set_back(void **state)
{
	struct env e;
	int64_t last = 0;

	(void)state;
	env_init(&e, "set back", NULL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(run(&e), 0);
		assert_true(e.sink.time_ms > last);
		last = e.sink.time_ms;
		e.net.wall_ms -= 3600 * 1000;
	}
	e.net.wall_ms = last + 60000;
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.sink.time_ms, last + 60000);
	env_fini(&e);
}

static void test_last_success(void **state)
{
	struct env e;
	double first;

	(void)state;
	env_init(&e, "last success", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 404, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_REQUEST);
	CHECK_NUM("none yet", value(&e, CRAWL("last_success_timestamp_seconds")), (double)NAN);
	assert_int_equal(run(&e), 0);
	first = value(&e, CRAWL("last_success_timestamp_seconds"));
	assert_true(first >= 1795414000 && first < 1795414010);
	e.net.wall_ms += 60000;
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 404, .body = "" });
	assert_int_equal(run(&e), BCRAWL_E_REQUEST);
	CHECK_NUM("as before", value(&e, CRAWL("last_success_timestamp_seconds")), first);
	assert_int_equal(run(&e), 0);
	assert_true(value(&e, CRAWL("last_success_timestamp_seconds")) >= first + 60);
	env_fini(&e);
}

/* What was found out is used again for an hour. */
static void test_reuse(void **state)
{
	struct env e;
	char *first, *second;

	(void)state;
	env_init(&e, "reuse", NULL);
	e.world.lacks = "";
	assert_int_equal(run(&e), 0);
	fake_forget(&e.net);
	e.net.mono_ms += BCI_PROBE_TTL_MS / 2;
	assert_int_equal(run(&e), 0);
	check_small(&e);
	assert_int_equal(e.net.log_count, 3);
	first = strdup(fake_target(&e.net, DEVICES, 0));
	fake_forget(&e.net);
	e.net.mono_ms += BCI_PROBE_TTL_MS / 2;
	/* An hour later the server has lost a field. */
	e.world.lacks = "is_frozen";
	assert_int_equal(run(&e), 0);
	check_small(&e);
	assert_int_equal(e.net.log_count, 9);
	second = strdup(fake_target(&e.net, DEVICES, 0));
	assert_non_null(strstr(first, ",is_frozen"));
	assert_null(strstr(second, ",is_frozen"));
	free(first);
	free(second);
	env_fini(&e);
}

/* Fleets and devices come and go between crawls. */
static void test_changes(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "changes", NULL);
	assert_int_equal(run(&e), 0);
	e.world.fleet_count = 2;
	e.world.device_count = 4;
	assert_int_equal(run(&e), 0);
	check_sums(&e, &(struct sums){ "acme/a", 3, 2, 2, 1, 0 });
	check_sums(&e, &(struct sums){ "acme/b", 1, 0, 0, 1, 0 });
	CHECK_INT("gone", fake_sink_count(&e.sink, "balena_fleet_crawl_success{fleet=\"acme/empty\""), 0);
	CHECK_INT("none", fake_sink_count(&e.sink, "balena_fleet_devices{fleet=\"none\""), 0);
	CHECK_NUM("devices", value(&e, CRAWL("devices")), 4);
	env_fini(&e);
}

/* ---- options that shape a crawl ---- */

static void test_account(void **state)
{
	static const char *const crawl_only[] = { BCRAWL_KEY_ACCOUNT, "main", NULL };
	static const char *const all[] = { BCRAWL_KEY_ACCOUNT, "main", "account-label", "all", NULL };
	struct env e;

	(void)state;
	env_init(&e, "crawl only", crawl_only);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("crawl", value(&e, "balena_crawl_success{account=\"main\"}"), 1);
	CHECK_NUM("fleet", value(&e, "balena_fleet_devices{fleet=\"acme/a\"}"), 4);
	env_fini(&e);
	env_init(&e, "everywhere", all);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("crawl", value(&e, "balena_crawl_success{account=\"main\"}"), 1);
	CHECK_NUM("fleet", value(&e, "balena_fleet_devices{account=\"main\",fleet=\"acme/a\"}"), 4);
	CHECK_NUM("device", value(&e, "balena_device_up{account=\"main\",fleet=\"acme/a\",device_uuid=\"u1\"}"), 1);
	for (size_t i = 0; i < e.sink.n; i++)
		CHECK(e.sink.series[i].name, strstr(e.sink.series[i].name, "account=\"main\"") != NULL);
	env_fini(&e);
}

static const struct pattern {
	const char *name, *fleet, *exclude;
	const char *filter;   /* the fleets asked for; NULL: none */
	bool orphans;
	double fleets, unmatched;
} patterns[] = {
	{ "all", NULL, NULL, "in%20(1,2,3)", true, 3, 0 },
	{ "one", "acme/b", NULL, "in%20(2)", false, 1, 0 },
	{ "some", "acme/[ab]", NULL, "in%20(1,2)", false, 2, 0 },
	{ "all but one", NULL, "acme/e*", "in%20(1,2)", true, 2, 0 },
	{ "exclude wins", "acme/a acme/b", "acme/a", "in%20(2)", false, 1, 0 },
	{ "one that is not there", "acme/b acme/x", NULL, "in%20(2)", false, 1, 1 },
	{ "two that are not there", "acme/b acme/x", "other/*", "in%20(2)", false, 1, 2 },
	{ "nothing is left", "acme/x", NULL, NULL, false, 0, 1 },
	/* "none" is a pattern that has its match in the devices of no fleet. */
	{ "those of no fleet", "none acme/b", NULL, "in%20(2)", true, 1, 0 },
	{ "not those of no fleet", NULL, "none", "in%20(1,2,3)", false, 3, 0 },
};

static void crawl_patterns(const struct pattern *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *options[5] = { NULL };
		size_t n = 0;
		struct env e;

		if (cases[i].fleet) {
			options[n++] = "fleet";
			options[n++] = cases[i].fleet;
		}
		if (cases[i].exclude) {
			options[n++] = "exclude-fleet";
			options[n++] = cases[i].exclude;
		}
		env_init(&e, cases[i].name, options);
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK_INT(cases[i].name, fake_count(&e.net, DEVICES), cases[i].filter ? 1 : 0);
		if (cases[i].filter)
			CHECK(cases[i].name, strstr(fake_target(&e.net, DEVICES, 0), cases[i].filter) != NULL);
		CHECK_INT(cases[i].name, fake_count(&e.net, ORPHANS), cases[i].orphans);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("fleets")), cases[i].fleets);
		CHECK_INT(cases[i].name, fake_sink_count(&e.sink, "balena_fleet_info"), (long long)cases[i].fleets);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("unmatched_patterns")), cases[i].unmatched);
		CHECK_INT(cases[i].name, e.log_lines, cases[i].unmatched > 0);
		/* The same is not said again. */
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK_INT(cases[i].name, e.log_lines, cases[i].unmatched > 0);
		env_fini(&e);
	}
}

static void test_fleet_patterns(void **state)
{
	(void)state;
	crawl_patterns(patterns, LEN(patterns) - 2);
}

static void test_pattern_none(void **state)
{
	(void)state;
	crawl_patterns(patterns + LEN(patterns) - 2, 2);
}

static void test_metrics_option(void **state)
{
	static const char *const options[] = { BCRAWL_KEY_METRICS, "balena_device_up", NULL };
	struct env e;

	(void)state;
	env_init(&e, "metrics", options);
	assert_int_equal(run(&e), 0);
	CHECK_INT("up", fake_sink_count(&e.sink, "balena_device_up{"), 5);
	CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device"), 5);
	CHECK_INT("fleets", fake_sink_count(&e.sink, "balena_fleet"), 0);
	check_crawl_samples(&e, 1);
	/* Control, list, devices, those of no fleet: nothing to probe. */
	assert_int_equal(e.net.log_count, 4);
	env_fini(&e);
}

/* ---- which fleets and devices ---- */

#define ORGANIZATION(handle)                                                                       \
	"\"organization\":[{\"handle\":\"" handle "\"}],\"should_be_running__release\":[]"

static const struct fake_fleet two_organizations[] = {
	{ 1, "acme/a", ORGANIZATION("acme") },
	{ 2, "zoo/b", ORGANIZATION("zoo") },
	{ 3, "acorn/c", ORGANIZATION("acorn") },
};

/* A line that says which patterns match nothing, once. */
static void test_organizations(void **state)
{
	static const struct {
		const char *name, *options[9];
		const char *filter; /* the fleets asked for */
		bool orphans;
		double unmatched;
		const char *says;   /* NULL: nothing */
	} cases[] = {
		{ "one", { "organization", "zoo" }, "in%20(2)", false, 0, NULL },
		{ "globs", { "organization", "ac*" }, "in%20(1,3)", false, 0, NULL },
		{ "all but one", { "exclude-organization", "acme" }, "in%20(2,3)", true, 0, NULL },
		{ "settings add up", { "organization", "zoo", "organization", "acme" }, "in%20(1,2)", false, 0, NULL },
		{ "both kinds", { "organization", "ac*", "fleet", "*/c" }, "in%20(3)", false, 0, NULL },
		{ "that of no fleet", { "organization", "none zoo" }, "in%20(2)", true, 0, NULL },
		{ "one that is not there", { "organization", "zoo nobody" }, "in%20(2)", false, 1, "organization nobody" },
		{ "all kinds, in their order",
		  { "fleet", "zoo/* f/1", "exclude-fleet", "f/2", "organization", "zoo o1", "exclude-organization", "o2,o3" },
		  "in%20(2)", false, 5, "fleet f/1, exclude-fleet f/2, organization o1, exclude-organization o2, exclude-organization o3" },
		{ "a slug is no handle", { "organization", "zoo zoo/b" }, "in%20(2)", false, 1, "organization zoo/b" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char line[256];
		struct env e;

		env_init(&e, cases[i].name, cases[i].options);
		e.world.fleets = two_organizations;
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK(cases[i].name, strstr(fake_target(&e.net, DEVICES, 0), cases[i].filter) != NULL);
		CHECK_INT(cases[i].name, fake_count(&e.net, ORPHANS), cases[i].orphans);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("unmatched_patterns")), cases[i].unmatched);
		snprintf(line, sizeof(line), "configured patterns that match nothing: %s",
		         cases[i].says ? cases[i].says : "");
		CHECK_INT(cases[i].name, e.log_lines, cases[i].says != NULL);
		if (cases[i].says)
			CHECK_STR(cases[i].name, e.log[0], line);
		/* The same is not said again, but counted. */
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK_INT(cases[i].name, e.log_lines, cases[i].says != NULL);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("unmatched_patterns")), cases[i].unmatched);
		env_fini(&e);
	}
}

/* What was said is said again when it has changed. */
static void test_unmatched_changes(void **state)
{
	static const char *const options[] = { "fleet", "acme/* zoo/* acorn/*", NULL };
	struct env e;

	(void)state;
	env_init(&e, "changes", options);
	e.world.fleets = two_organizations;
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.log_lines, 0);
	e.world.fleet_count = 2;
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.log_lines, 1);
	CHECK("one", strstr(e.log[0], ": fleet acorn/*") != NULL);
	e.world.fleet_count = 1;
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.log_lines, 2);
	CHECK("two", strstr(e.log[1], ": fleet zoo/*, fleet acorn/*") != NULL);
	CHECK_NUM("two", value(&e, CRAWL("unmatched_patterns")), 2);
	/* Where there is no fleet at all, that is the trouble. */
	e.world.fleet_count = 0;
	assert_int_equal(run(&e), 0);
	CHECK_NUM("none", value(&e, CRAWL("unmatched_patterns")), 0);
	assert_int_equal(e.log_lines, 2);
	env_fini(&e);
}

static void test_archived(void **state)
{
	static const char *const options[] = { "archived-fleets", "true", NULL };
	static const struct fake_fleet fleets[] = {
		{ 1, "acme/a", FLEET },
		{ 2, "acme/b", FLEET ",\"is_archived\":true" },
	};

	(void)state;
	for (int archived = 0; archived < 2; archived++) {
		struct env e;

		env_init(&e, archived ? "archived" : "not archived", archived ? options : NULL);
		e.world.fleets = fleets;
		e.world.fleet_count = LEN(fleets);
		assert_int_equal(run(&e), 0);
		CHECK_NUM(e.name, value(&e, CRAWL("fleets")), archived ? 2 : 1);
		CHECK_INT(e.name, fake_count(&e.net, "is_archived%20eq%20false"), !archived);
		CHECK_INT(e.name, fake_sink_count(&e.sink, "balena_device_info{fleet=\"acme/b\""), archived ? 2 : 0);
		env_fini(&e);
	}
}

#define BERLIN ",\"device_tag\":[{\"tag_key\":\"site\",\"value\":\"berlin\"}]"
#define LYON ",\"device_tag\":[{\"tag_key\":\"site\",\"value\":\"lyon\"}]"

static const struct fake_device tagged_devices[] = {
	{ 1, 1, UP BERLIN }, { 2, 1, UP LYON }, { 3, 2, DOWN }, { 5, 1, DOWN BERLIN },
	{ 8, 2, BEATS LYON }, { 9, 1, UNBORN }, { 12, 0, UNBORN BERLIN },
};

/* Only devices with the tag, in rows, counts and sums alike. */
static void test_device_tag(void **state)
{
	static const struct {
		const char *name, *tag, *detail;
		double a, a_connected, b; /* devices */
		size_t orphans;
		double unmatched;
	} cases[] = {
		{ "a key", "site", "devices", 3, 2, 1, 1, 0 },
		{ "a key and its value", "site=berlin", "devices", 2, 1, 0, 1, 0 },
		{ "another value", "site=lyon", "devices", 1, 1, 1, 0, 0 },
		{ "no such value", "site=paris", "devices", 0, 0, 0, 0, 1 },
		{ "no such key", "sit", "devices", 0, 0, 0, 0, 1 },
		{ "counted", "site", "fleets", 3, 2, 1, 0, 0 },
		{ "counted, a key and its value", "site=berlin", "fleets", 2, 1, 0, 0, 0 },
		{ "counted, no such key", "sit", "fleets", 0, 0, 0, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *const options[] = { "device-tag", cases[i].tag, "detail", cases[i].detail, NULL };
		bool devices = strcmp(cases[i].detail, "devices") == 0;
		struct env e;

		env_init(&e, cases[i].name, options);
		e.world.devices = tagged_devices;
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK_NUM(cases[i].name, fleet_value(&e, "balena_fleet_devices", "acme/a", ""), cases[i].a);
		CHECK_NUM(cases[i].name, fleet_value(&e, "balena_fleet_devices", "acme/b", ""), cases[i].b);
		CHECK_NUM(cases[i].name, fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
		                                     ",connection=\"connected\""), cases[i].a_connected);
		CHECK_INT(cases[i].name, fake_sink_count(&e.sink, "balena_device_info{fleet=\"acme/a\""),
		          devices ? (long long)cases[i].a : 0);
		CHECK_INT(cases[i].name, fake_sink_count(&e.sink, "balena_device_info{fleet=\"none\""),
		          cases[i].orphans);
		CHECK_NUM(cases[i].name, value(&e, CRAWL("unmatched_patterns")), cases[i].unmatched);
		CHECK_INT(cases[i].name, e.log_lines, cases[i].unmatched > 0);
		if (cases[i].unmatched > 0)
			CHECK(e.log[0], strstr(e.log[0], cases[i].tag) != NULL);
		/* All requests for rows or counts are for these. */
		CHECK_INT(cases[i].name, fake_count(&e.net, "device_tag/any(t:t/tag_key%20eq%20'"),
		          fake_count(&e.net, "$filter"));
		env_fini(&e);
	}
}

/* A tag that only a device of no fleet carries matches something; a check takes no line away from
 * the crawl that comes after it. */
static void test_device_tag_said(void **state)
{
	static const char *const orphan[] = { "device-tag", "only=here", NULL };
	static const char *const nobody[] = { "device-tag", "no=where", NULL };
	static const struct fake_device devices[] = {
		{ 1, 1, UP },
		{ 12, 0, UNBORN ",\"device_tag\":[{\"tag_key\":\"only\",\"value\":\"here\"}]" },
	};
	struct env e;

	(void)state;
	env_init(&e, "of no fleet", orphan);
	e.world.devices = devices;
	e.world.device_count = LEN(devices);
	assert_int_equal(run(&e), 0);
	CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device_info{"), 1);
	CHECK_NUM("unmatched", value(&e, CRAWL("unmatched_patterns")), 0);
	CHECK_INT("log", e.log_lines, 0);
	env_fini(&e);

	env_init(&e, "check, then crawl", nobody);
	assert_int_equal(bcrawl_check(e.c, NULL, NULL, &e.err), 0);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("unmatched", value(&e, CRAWL("unmatched_patterns")), 1);
	CHECK_INT("log", e.log_lines, 1);
	env_fini(&e);
}

/* A group of several ranges: the ids, too, are of those devices. */
static void test_device_tag_ranges(void **state)
{
	static const char *const options[] = { "device-tag", "site", "page-size", "1", NULL };
	struct env e;

	(void)state;
	env_init(&e, "ranges", options);
	e.world.devices = tagged_devices;
	assert_int_equal(run(&e), 0);
	CHECK_INT("ids", fake_count(&e.net, IDS), 1);
	/* 4 devices of fleets, one each. */
	CHECK_INT("ranges", fake_count(&e.net, DEVICES), 1 + 4);
	CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device_info{"), 5);
	CHECK_NUM("devices", value(&e, CRAWL("devices")), 5);
	env_fini(&e);
}

static void test_info_tags(void **state)
{
	static const char *const options[] = { "info-tags", "site", "info-tags", "Env", NULL };
	static const struct fake_fleet fleets[] = {
		{ 1, "acme/a", FLEET ",\"application_tag\":[{\"tag_key\":\"Env\",\"value\":\"prod\"}]" },
		{ 2, "acme/b", FLEET ",\"application_tag\":[]" },
	};
	struct env e;

	(void)state;
	env_init(&e, "info tags", options);
	e.world.fleets = fleets;
	e.world.fleet_count = LEN(fleets);
	e.world.devices = tagged_devices;
	assert_int_equal(run(&e), 0);
	CHECK("list", strstr(fake_target(&e.net, LIST, 0),
	                     "application_tag($select=tag_key,value;$filter=tag_key%20in%20('site','Env'))") != NULL);
	CHECK("devices", strstr(fake_target(&e.net, DEVICES, 0),
	                        "device_tag($select=tag_key,value;$filter=tag_key%20in%20('site','Env'))") != NULL);
	CHECK_NUM("fleet", value(&e, "balena_fleet_info{fleet=\"acme/a\",fleet_name=\"a\",organization=\"acme\","
	                             "device_type=\"raspberrypi3\",fleet_id=\"1\",tag_env=\"prod\"}"), 1);
	CHECK_NUM("fleet without", value(&e, "balena_fleet_info{fleet=\"acme/b\",fleet_name=\"b\","
	                                     "organization=\"acme\",device_type=\"raspberrypi3\",fleet_id=\"2\"}"), 1);
	CHECK_NUM("device", value(&e, "balena_device_info{fleet=\"acme/a\",device_uuid=\"u1\",device_name=\"up\","
	                              "device_type=\"raspberrypi3\",release=\"1.1.0\",tag_site=\"berlin\"}"), 1);
	CHECK_NUM("device without", value(&e, "balena_device_info{fleet=\"acme/b\",device_uuid=\"u3\","
	                                      "device_name=\"down\",device_type=\"raspberrypi3\",release=\"1.0.0\"}"), 1);
	CHECK_INT("infos", fake_sink_count(&e.sink, "balena_device_info{"), 7);
	env_fini(&e);

	/* Not asked for, not shown. */
	env_init(&e, "no info tags", NULL);
	e.world.devices = tagged_devices;
	assert_int_equal(run(&e), 0);
	CHECK_INT("none", fake_count(&e.net, "_tag("), 0);
	for (size_t i = 0; i < e.sink.n; i++)
		CHECK(e.sink.series[i].name, !strstr(e.sink.series[i].name, "tag_"));
	env_fini(&e);
}

static void test_latest_release(void **state)
{
	static const char *const options[] = { BCRAWL_KEY_METRICS, "balena_fleet_latest_release_status_code", NULL };
	static const struct fake_fleet fleets[] = {
		{ 1, "acme/a", FLEET ",\"owns__release\":[{\"status\":\"failed\"}]" },
		{ 2, "acme/b", FLEET ",\"owns__release\":[]" },
	};
	struct env e;

	(void)state;
	env_init(&e, "latest release", options);
	e.world.fleets = fleets;
	e.world.fleet_count = LEN(fleets);
	assert_int_equal(run(&e), 0);
	CHECK("asked for", strstr(fake_target(&e.net, LIST, 0),
	                          ",owns__release($select=status;$orderby=id%20desc;$top=1),") != NULL);
	CHECK_NUM("failed", fleet_value(&e, "balena_fleet_latest_release_status_code", "acme/a", ""), 3);
	CHECK_INT("one", fake_sink_count(&e.sink, "balena_fleet_latest_release_status_code"), 1);
	env_fini(&e);
	env_init(&e, "not wanted", NULL);
	assert_int_equal(run(&e), 0);
	CHECK_INT("not asked for", fake_count(&e.net, "owns__release"), 0);
	env_fini(&e);
}

/* ---- services ---- */

#define INSTALL(service, release, status, progress)                                                \
	"{\"image\":[{\"is_a_build_of__service\":[{\"service_name\":\"" service "\"}],\"id\":3}],"     \
	"\"is_provided_by__release\":{\"__id\":" #release "},\"status\":\"" status                      \
	"\",\"download_progress\":" progress ",\"install_date\":\"2026-11-23T06:18:44.187Z\"}"
#define INSTALLS(list) ",\"image_install\":[" list "]"

static const struct fake_device serving_devices[] = {
	/* Being updated: the old release's still runs. */
	{ 1, 1, BEATS INSTALLS(INSTALL("main", 2, "Downloading", "40") "," INSTALL("main", 1, "Running", "null")) },
	{ 2, 1, UP INSTALLS(INSTALL("main", 2, "Running", "null") "," INSTALL("web", 2, "exited", "null")) },
	{ 3, 2, DOWN INSTALLS(INSTALL("main", 1, "Running", "null") "," INSTALL("old", 1, "Downloading", "5")) },
	{ 12, 0, UP INSTALLS(INSTALL("lone", 2, "Running", "null")) },
};

#define BY_STATUS "balena_fleet_services_by_status"

static void check_services(const struct env *e)
{
	static const struct {
		const char *fleet, *more;
		double want;
	} cases[] = {
		{ "acme/a", ",service_name=\"main\",service_status=\"Running\"", 2 },
		{ "acme/a", ",service_name=\"main\",service_status=\"Downloading\"", 0 },
		{ "acme/a", ",service_name=\"web\",service_status=\"exited\"", 1 },
		{ "acme/a", ",service_name=\"web\",service_status=\"other\"", 0 },
		{ "acme/a", ",service_name=\"old\",service_status=\"Running\"", (double)NAN },
		{ "acme/b", ",service_name=\"main\",service_status=\"Running\"", 0 },
		{ "acme/b", ",service_name=\"old\",service_status=\"Downloading\"", 0 },
		{ "none", ",service_name=\"lone\",service_status=\"Running\"", 1 },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_NUM(cases[i].more, fleet_value(e, BY_STATUS, cases[i].fleet, cases[i].more), cases[i].want);
	CHECK_INT(e->name, fake_sink_count(&e->sink, BY_STATUS "{fleet=\"acme/a\""), 2 * 21);
	CHECK_INT(e->name, fake_sink_count(&e->sink, BY_STATUS "{fleet=\"acme/b\""), 2 * 21);
	CHECK_INT(e->name, fake_sink_count(&e->sink, BY_STATUS "{fleet=\"none\""), 21);
	CHECK_NUM(e->name, fake_sink_sum(&e->sink, BY_STATUS "{"), 4);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_service_status_code{"), 4);
	CHECK_NUM(e->name, fleet_value(e, "balena_device_service_status_code", "acme/a",
	                               ",device_uuid=\"u1\",service_name=\"main\""), 1);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_device_service_download_progress_ratio{"), 0);
	/* The download of the release to come: its code and its progress. */
	CHECK_NUM(e->name, value(e, WITHHELD("superseded")), 2);
	/* Of device 3: two codes, one progress; memory used, size and ratio, temperature, undervolted,
	 * update status. */
	CHECK_NUM(e->name, value(e, WITHHELD("stale")), 3 + 6);
	CHECK_NUM(e->name, value(e, WITHHELD("capped")), 0);
}

static void test_services(void **state)
{
	static const char *const options[] = { "detail", "services", NULL };
	static const char *const pages[] = { "detail", "services", "page-size", "1", NULL };
	struct env e;
	size_t n;

	(void)state;
	env_init(&e, "services", options);
	e.world.devices = serving_devices;
	e.world.device_count = LEN(serving_devices);
	assert_int_equal(run(&e), 0);
	check_services(&e);
	/* Crawl after crawl the same. */
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	check_services(&e);
	n = strlen(fake_target(&e.net, DEVICES, 0));
	assert_true(n > 0);
	env_fini(&e);
	env_init(&e, "pages", pages);
	e.world.devices = serving_devices;
	e.world.device_count = LEN(serving_devices);
	e.net.together = true;
	e.net.chunk = 11;
	assert_int_equal(run(&e), 0);
	check_services(&e);
	env_fini(&e);
	/* Less detail: neither asked for nor told. */
	env_init(&e, "devices", NULL);
	e.world.devices = serving_devices;
	e.world.device_count = LEN(serving_devices);
	assert_int_equal(run(&e), 0);
	CHECK_INT("asked", fake_count(&e.net, "image_install"), 0);
	CHECK_INT("told", fake_sink_count(&e.sink, "balena_device_service"), 0);
	CHECK_INT("told", fake_sink_count(&e.sink, BY_STATUS), 0);
	CHECK_NUM("superseded", value(&e, WITHHELD("superseded")), 0);
	env_fini(&e);
}

/* An answer that breaks off and is gone on with counts no service twice. */
static void test_services_cut(void **state)
{
	static const char *const options[] = { "detail", "services", NULL };
	size_t n = 0;

	(void)state;
	for (size_t at = 0; at == 0 || at < n; at += 7 * unit_stride()) {
		struct env e;
		char *body;

		env_init(&e, "services cut", options);
		e.world.devices = serving_devices;
		e.world.device_count = LEN(serving_devices);
		fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .cut = true, .cut_at = at,
		                                      .result = BCI_RESULT_NETWORK });
		assert_int_equal(run(&e), 0);
		check_services(&e);
		if (n == 0) {
			body = fake_world_answer(&e.world, fake_target(&e.net, DEVICES, 0));
			n = strlen(body);
			free(body);
		}
		env_fini(&e);
	}
}

/* ---- what is withheld ---- */

static double withheld_sum(const struct env *e)
{
	return fake_sink_sum(&e->sink, "balena_crawl_withheld_values{");
}

/* With keep all that is withheld else is emitted, and no value more or less. */
static void test_stale_values(void **state)
{
	static const char *const keep[] = { "stale-values", "keep", NULL };
	struct env e;
	size_t dropped;
	double stale;

	(void)state;
	env_init(&e, "drop", NULL);
	assert_int_equal(run(&e), 0);
	dropped = fake_sink_count(&e.sink, "balena_device_");
	stale = value(&e, WITHHELD("stale"));
	/* 3 and 5 reported memory used, size and ratio, temperature, undervolted, update status; 9 and
	 * 12 undervolted. */
	CHECK_NUM("stale", stale, 2 * 6 + 2 * 1);
	CHECK_NUM("all", withheld_sum(&e), stale);
	CHECK_NUM("temperature", fleet_value(&e, "balena_device_cpu_temperature_celsius", "acme/b",
	                                     ",device_uuid=\"u3\""), (double)NAN);
	/* Of this crawl alone. */
	assert_int_equal(run(&e), 0);
	CHECK_NUM("again", value(&e, WITHHELD("stale")), stale);
	env_fini(&e);

	env_init(&e, "keep", keep);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("none", withheld_sum(&e), 0);
	CHECK_INT("series", fake_sink_count(&e.sink, "balena_device_"), dropped + (size_t)stale);
	CHECK_NUM("temperature", fleet_value(&e, "balena_device_cpu_temperature_celsius", "acme/b",
	                                     ",device_uuid=\"u3\""), 90);
	CHECK_NUM("up", fleet_value(&e, "balena_device_up", "acme/b", ",device_uuid=\"u3\""), 0);
	CHECK_NUM("maximum", fleet_value(&e, "balena_fleet_cpu_temperature_max_celsius", "acme/b", ""), 90);
	CHECK_NUM("stale", fleet_value(&e, "balena_fleet_devices_by_update_status", "acme/b",
	                               ",update_status=\"stale\""), 0);
	check_small(&e);
	env_fini(&e);
}

/* What the host could not take, and what it did not follow. */
static void test_host(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "host", NULL);
	e.sink.host = (struct bcrawl_host){ .withheld_values = 7, .shortened_values = 5, .paced_values = 9,
		                            .ignored_triggers = 3 };
	assert_int_equal(run(&e), 0);
	CHECK_NUM("agent", value(&e, WITHHELD("agent")), 7);
	CHECK_NUM("shortened", value(&e, WITHHELD("shortened")), 5);
	CHECK_NUM("paced", value(&e, WITHHELD("paced")), 9);
	CHECK_NUM("triggers", value(&e, CRAWL("ignored_triggers")), 3);
	assert_int_equal(e.sink.hosts, 1);
	/* Asked when all but the crawl's own records have come. */
	assert_int_equal(e.sink.records - e.sink.records_at_host, 1 + 1 + 8 + 7 + 4);
	/* Of this crawl alone. */
	e.sink.host = (struct bcrawl_host){ .withheld_values = 1 };
	assert_int_equal(run(&e), 0);
	CHECK_NUM("agent", value(&e, WITHHELD("agent")), 1);
	CHECK_NUM("triggers", value(&e, CRAWL("ignored_triggers")), 0);
	/* A failed crawl asks, too. */
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 404, .body = "" });
	e.sink.host = (struct bcrawl_host){ .ignored_triggers = 9 };
	assert_int_equal(run(&e), BCRAWL_E_REQUEST);
	CHECK_NUM("triggers", value(&e, CRAWL("ignored_triggers")), 9);
	/* Nobody need tell. */
	e.sink.sink.host = NULL;
	assert_int_equal(run(&e), 0);
	CHECK_NUM("agent", value(&e, WITHHELD("agent")), 0);
	CHECK_NUM("triggers", value(&e, CRAWL("ignored_triggers")), 0);
	assert_int_equal(e.sink.hosts, 0);
	env_fini(&e);
	/* A stopped one has no records, so nobody is asked. */
	env_init(&e, "stopped", NULL);
	e.stop_at = 5;
	assert_int_equal(run(&e), BCRAWL_E_STOPPED);
	assert_int_equal(e.sink.hosts, 0);
	env_fini(&e);
}

/* A word that nobody knows is said once, however many devices and crawls have it. */
static void test_unknown_word(void **state)
{
	static const struct fake_device devices[] = {
		{ 1, 1, "\"overall_status\":\"dancing\",\"api_heartbeat_state\":\"online\"" },
		{ 2, 1, "\"overall_status\":\"dancing\",\"api_heartbeat_state\":\"online\"" },
		{ 3, 1, "\"overall_status\":\"singing\",\"api_heartbeat_state\":\"online\"" },
	};
	struct env e;

	(void)state;
	env_init(&e, "unknown", NULL);
	e.world.devices = devices;
	e.world.device_count = 2;
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(run(&e), 0);
		assert_int_equal(e.log_lines, 1);
		CHECK(e.log[0], strstr(e.log[0], "\"dancing\" for overall_status") != NULL);
		CHECK_NUM("other", fleet_value(&e, "balena_fleet_devices_by_status", "acme/a", ",status=\"other\""), 2);
		CHECK_NUM("counted", value(&e, "balena_api_rejected_values_total{account=\"default\","
		                               "reason=\"unknown_word\"}"), 2 * i);
	}
	/* Another one is news. */
	e.world.device_count = 3;
	assert_int_equal(run(&e), 0);
	assert_int_equal(e.log_lines, 2);
	CHECK(e.log[1], strstr(e.log[1], "\"singing\"") != NULL);
	env_fini(&e);
}

/* ---- too many series ---- */

static void test_max_series(void **state)
{
	char limit[32];
	const char *const options[] = { "max-series", limit, BCRAWL_KEY_METRICS,
		                        "balena_device_up balena_fleet_devices_by_connection", NULL };
	const struct bcrawl_metric *m;
	unsigned fixed = 0;
	struct env e;

	(void)state;
	/* The crawl's own, the partition of three fleets, and 5 of the 6 devices of fleets. */
	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++)
		fixed += m->scope == BCRAWL_SCOPE_CRAWL;
	snprintf(limit, sizeof(limit), "%u", fixed + 3 * BCI_PARTITION_ESTIMATE + 5);
	env_init(&e, "max-series", options);
	e.world.lacks = "is_frozen";
	for (int i = 0; i < 2; i++) {
		fake_forget(&e.net);
		assert_int_equal(run(&e), 0);
		CHECK_NUM("reduced", value(&e, CRAWL("detail_reduced")), 1);
		CHECK_INT("no devices are read", fake_count(&e.net, DEVICES) + fake_count(&e.net, ORPHANS), 0);
		CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device_up"), 0);
		CHECK_NUM("devices", value(&e, CRAWL("devices")), (double)NAN);
		CHECK_NUM("connected", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
		                                   ",connection=\"connected\""), 2);
		CHECK_NUM("inactive", fleet_value(&e, "balena_fleet_devices_by_connection", "acme/a",
		                                  ",connection=\"inactive\""), 0);
		/* It is found out whether inactive devices are told, and then asked for them. */
		CHECK_INT("inactive", fake_count(&e.net, "($filter=is_active%20eq%20false"), 1);
		CHECK_INT("probes", fake_count(&e.net, "$select=id,is_active&$top=0"), i == 0);
		check_crawl_samples(&e, 1);
		/* Said once. */
		CHECK_INT("log", e.log_lines, 1);
		CHECK(e.log[0], strstr(e.log[0], "only fleets are crawled") && strstr(e.log[0], limit));
	}
	/* Just below the limit it stays so: it must not come and go with a device. */
	e.world.device_count = 5;
	assert_int_equal(run(&e), 0);
	CHECK_NUM("at the edge", value(&e, CRAWL("detail_reduced")), 1);
	CHECK_INT("log", e.log_lines, 1);
	/* Two fleets less: all detail again, and that is said. */
	e.world.fleet_count = 1;
	fake_forget(&e.net);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("not reduced", value(&e, CRAWL("detail_reduced")), 0);
	CHECK_INT("devices", fake_sink_count(&e.sink, "balena_device_up"), 3);
	CHECK_INT("log", e.log_lines, 2);
	CHECK(e.log[1], strstr(e.log[1], "all detail again") != NULL);
	/* What only the counts needed is not asked of devices. */
	CHECK(DEVICES, fake_count(&e.net, DEVICES) > 0 && !strstr(fake_target(&e.net, DEVICES, 0), "is_active"));
	assert_int_equal(run(&e), 0);
	CHECK_INT("log", e.log_lines, 2);
	/* And it can come again. */
	e.world.device_count = LEN(small_devices);
	e.world.fleet_count = LEN(small_fleets);
	assert_int_equal(run(&e), 0);
	CHECK_NUM("reduced", value(&e, CRAWL("detail_reduced")), 1);
	CHECK_INT("log", e.log_lines, 3);
	env_fini(&e);
}

static void test_max_series_off(void **state)
{
	static const char *const cases[][5] = {
		{ "max-series", "0", NULL },
		/* Nothing to reduce. */
		{ "max-series", "1", "detail", "fleets", NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, cases[i][1], cases[i]);
		assert_int_equal(run(&e), 0);
		CHECK_NUM(e.name, value(&e, CRAWL("detail_reduced")), 0);
		CHECK_INT(e.name, e.log_lines, 0);
		env_fini(&e);
	}
}

/* ---- names from crawl to crawl ---- */

#define OF(version) "\"is_running__release\":[{\"id\":1,\"commit\":\"c\",\"raw_version\":\"" version "\"}]"

/* The target of acme/a is 1.1.0; by_release names one more. */
static void test_top_versions(void **state)
{
	static const char *const options[] = { "top-versions", "1", BCRAWL_KEY_METRICS,
		                               "balena_fleet_devices_by_release", NULL };
	static const struct fake_device first[] = { { 1, 1, OF("a") }, { 2, 1, OF("a") }, { 3, 1, OF("b") } };
	static const struct fake_device second[] = { { 1, 1, OF("a") }, { 2, 1, OF("b") }, { 3, 1, OF("b") } };
	struct env e;

	(void)state;
	for (int between = 0; between < 4; between++) {
		static const char *const names[] = { "at once", "after a crawl that failed",
			                             "after one that was stopped", "after one of less detail" };

		env_init(&e, names[between], options);
		e.world.devices = first;
		e.world.device_count = LEN(first);
		assert_int_equal(run(&e), 0);
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"a\""), 2);
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"other\""), 1);
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"1.1.0\""), 0);
		CHECK_INT(e.name, fake_sink_count(&e.sink, "balena_fleet_devices_by_release{fleet=\"acme/a\""), 4);
		if (between == 1) {
			fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .status = 404, .body = "" });
			assert_int_equal(run(&e), BCRAWL_E_REQUEST);
			fake_forget(&e.net);
		} else if (between == 2) {
			e.stop_at = e.polls + 3;
			assert_int_equal(run(&e), BCRAWL_E_STOPPED);
			e.stop_at = 0;
		} else if (between == 3) {
			e.c->cfg->values[BCI_OPT_MAX_SERIES].number = 1;
			assert_int_equal(run(&e), 0);
			CHECK_NUM(e.name, value(&e, CRAWL("detail_reduced")), 1);
			e.c->cfg->values[BCI_OPT_MAX_SERIES].number = 0;
		}
		e.world.devices = second;
		assert_int_equal(run(&e), 0);
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"b\""), 2);
		/* It had a name, and is second. */
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"a\""), 1);
		CHECK_NUM(e.name, fleet_value(&e, "balena_fleet_devices_by_release", "acme/a", ",release=\"other\""), 0);
		env_fini(&e);
	}
}

/* A fleet that is gone is gone: no series speaks of it, nor of its devices. */
static void test_fleet_goes(void **state)
{
	static const char *const details[] = { "fleets", "devices", "services" };

	(void)state;
	for (size_t i = 0; i < LEN(details); i++) {
		const char *const options[] = { "detail", details[i], NULL };
		struct env e;
		size_t spoke = 0;

		env_init(&e, details[i], options);
		assert_int_equal(run(&e), 0);
		for (size_t k = 0; k < e.sink.n; k++)
			spoke += strstr(e.sink.series[k].name, "fleet=\"acme/b\"") != NULL;
		CHECK(e.name, spoke > 5);
		e.world.fleet_count = 1;
		assert_int_equal(run(&e), 0);
		for (size_t k = 0; k < e.sink.n; k++) {
			CHECK(e.sink.series[k].name, !strstr(e.sink.series[k].name, "acme/b"));
			CHECK(e.sink.series[k].name, !strstr(e.sink.series[k].name, "acme/empty"));
			CHECK(e.sink.series[k].name, !strstr(e.sink.series[k].name, "\"u3\""));
		}
		CHECK_NUM(e.name, value(&e, CRAWL("fleets")), 1);
		CHECK_NUM(e.name, value(&e, CRAWL("fleets_failed")), 0);
		env_fini(&e);
	}
}

/* ---- the check ---- */

static void test_check(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "check", NULL);
	assert_int_equal(bcrawl_check(e.c, on_log, &e, &e.err), 0);
	assert_int_equal(fake_count(&e.net, "belongs_to__application"), 0);
	assert_true(e.log_lines >= 6);
	assert_non_null(strstr(e.log[0], "account \"default\""));
	for (size_t i = 0; i < LEN(small_sums); i++) {
		char line[128];
		bool found = false;

		snprintf(line, sizeof(line), "fleet: %s, %d devices", small_sums[i].slug,
		         (int)small_sums[i].devices);
		for (size_t k = 0; k < e.log_lines; k++)
			found |= strcmp(e.log[k], line) == 0;
		CHECK(line, found);
	}
	/* And the crawler is as good as new. */
	assert_int_equal(run(&e), 0);
	check_small(&e);
	CHECK_NUM("a check is no crawl", value(&e, CRAWL("interval_seconds")), 60);
	env_fini(&e);
}

static void test_check_fails(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, "check", NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" });
	fake_rule(&e.net, (struct fake_rule){ .match = CONTROL, .status = 401, .body = "" });
	assert_int_equal(bcrawl_check(e.c, on_log, &e, &e.err), BCRAWL_E_AUTH);
	assert_int_equal(e.err.code, BCRAWL_E_AUTH);
	assert_int_equal(e.sink.records, 0);
	env_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_cut_devices),
		cmocka_unit_test(test_cut_orphans),
		cmocka_unit_test(test_cut_fleets),
		cmocka_unit_test(test_cut_control),
		cmocka_unit_test(test_cut_ranges),
		cmocka_unit_test(test_resume_target),
		cmocka_unit_test(test_cut_again_and_again),
		cmocka_unit_test(test_two_groups),
		cmocka_unit_test(test_group_fails),
		cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_bad_order_once),
		cmocka_unit_test(test_bad_rows_once),
		cmocka_unit_test(test_foreign_rows_once),
		cmocka_unit_test(test_outside_range),
		cmocka_unit_test(test_retry_helps),
		cmocka_unit_test(test_all_fleets_fail),
		cmocka_unit_test(test_list_fails),
		cmocka_unit_test(test_bad_list),
		cmocka_unit_test(test_orphans_fail),
		cmocka_unit_test(test_401),
		cmocka_unit_test(test_new_token),
		cmocka_unit_test(test_new_token_side_by_side),
		cmocka_unit_test(test_new_token_is_bad_too),
		cmocka_unit_test(test_token_between_crawls),
		cmocka_unit_test(test_refusals_that_pass),
		cmocka_unit_test(test_token_unknown),
		cmocka_unit_test(test_token_expiry),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_is_interval),
		cmocka_unit_test(test_sink_time),
		cmocka_unit_test(test_stop_devices),
		cmocka_unit_test(test_stop_fleets),
		cmocka_unit_test(test_stop_while_waiting),
		cmocka_unit_test(test_stop_in_pause),
		cmocka_unit_test(test_sink_refuses),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_no_sample_callback),
		cmocka_unit_test(test_fleets_vanish),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_v6_fields),
		cmocka_unit_test(test_v6_pinned),
		cmocka_unit_test(test_v7_target),
		cmocka_unit_test(test_v6_grows_up),
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_field_missing),
		cmocka_unit_test(test_no_conclusion),
		cmocka_unit_test(test_unsure_probe),
		cmocka_unit_test(test_broken_probe),
		cmocka_unit_test(test_500_changes_no_fields),
		cmocka_unit_test(test_detail_fleets),
		cmocka_unit_test(test_detail_fleets_activation),
		cmocka_unit_test(test_detail_fleets_odd),
		cmocka_unit_test(test_detail_fleets_cut),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_throttled_for_ever),
		cmocka_unit_test(test_rejected_values),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_last_success),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_fleet_patterns),
		cmocka_unit_test(test_pattern_none),
		cmocka_unit_test(test_metrics_option),
		cmocka_unit_test(test_organizations),
		cmocka_unit_test(test_unmatched_changes),
		cmocka_unit_test(test_archived),
		cmocka_unit_test(test_device_tag),
		cmocka_unit_test(test_device_tag_said),
		cmocka_unit_test(test_device_tag_ranges),
		cmocka_unit_test(test_info_tags),
		cmocka_unit_test(test_latest_release),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_services_cut),
		cmocka_unit_test(test_stale_values),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_unknown_word),
		cmocka_unit_test(test_max_series),
		cmocka_unit_test(test_max_series_off),
		cmocka_unit_test(test_top_versions),
		cmocka_unit_test(test_fleet_goes),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_fails),
	};

	return cmocka_run_group_tests_name("crawl", tests, make_token_file, remove_token_file);
}
