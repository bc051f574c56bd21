/* SPDX-License-Identifier: MIT
 *
 * Counts of devices by a server of which not all is known: what cannot be told apart is not told. */
#include "accounts.h"
#include "fake_sink.h"
#include "fake_transport.h"
#include "unit.h"

#define BY_CONNECTION "balena_fleet_devices_by_connection{fleet=\"acme/a\""

static const struct fake_device devices[] = {
	{ 1, 1, UP7("a") ",\"is_active\":true" }, { 2, 1, UP7("a") ",\"is_active\":false" },
};

/* Where it is not known whether the server has inactive devices they would count as connected. */
static void test_counts(void **state)
{
	struct bcrawl_config *cfg = bcrawl_config_new();
	struct fake_world world = { .fleets = three_fleets, .fleet_count = 1, .devices = devices,
		                    .device_count = LEN(devices) };
	struct fake_transport net;
	struct fake_sink sink;
	struct bcrawl *c;

	(void)state;
	assert_non_null(cfg);
	assert_int_equal(bcrawl_config_set(cfg, "token", "sekret", NULL), 0);
	assert_int_equal(bcrawl_config_set(cfg, "detail", "fleets", NULL), 0);
	assert_int_equal(bcrawl_new(&c, cfg, NULL), 0);
	bcrawl_config_free(cfg);
	fake_init(&net);
	fake_install(&net, c);
	net.answer = fake_world_answer;
	net.answer_user = &world;
	fake_sink_init(&sink);

	fake_rule(&net, (struct fake_rule){ .match = "$select=id,is_active&$top", .times = 1,
	                                    .result = BCI_RESULT_NETWORK, .body = "" });
	assert_int_equal(bcrawl_run(c, &sink.sink, &sink, NULL), 0);
	assert_int_equal(fake_sink_count(&sink, BY_CONNECTION), 0);
	CHECK_NUM("withheld", fake_sink_value(&sink, "balena_crawl_withheld_values{account=\"default\","
	                                             "reason=\"inconsistent\"}"), 4);
	CHECK_NUM("devices", fake_sink_value(&sink, "balena_fleet_devices{fleet=\"acme/a\"}"), 2);
	CHECK_NUM("online", fake_sink_sum(&sink, "balena_devices_online{fleet=\"acme/a\""), 2);

	fake_forget(&net);
	net.mono_ms += 60000;
	fake_sink_clear(&sink);
	assert_int_equal(bcrawl_run(c, &sink.sink, &sink, NULL), 0);
	CHECK_NUM("connected", fake_sink_value(&sink, BY_CONNECTION ",connection=\"connected\"}"), 1);
	CHECK_NUM("inactive", fake_sink_value(&sink, BY_CONNECTION ",connection=\"inactive\"}"), 1);
	assert_int_equal(fake_sink_count(&sink, BY_CONNECTION), 4);
	bcrawl_free(c);
	fake_sink_fini(&sink);
	fake_fini(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
