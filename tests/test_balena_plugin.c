/* SPDX-License-Identifier: MIT
 *
 * The collectd plugin between a fake daemon and a stub of the core: configuration, triggers,
 * values, shutdown. Waits are on conditions; the long ones only pass when the test fails. */
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_collectd.h"
#include "stub_core.h"

#define LONG_MS  10000
#define SHORT_MS 100 /* for what must not happen: too short only lets a failure pass */
#define MIN_GOOD "<Account \"good\">\n TokenFile \"/t\"\n</Account>\n"

#define LABELS(...) ((const struct bcrawl_label[]){__VA_ARGS__})
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

static double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- crawls ------------------------------------------------------------------------------- */

struct out {
	const struct bcrawl_sink *sink;
	void *user;
	int64_t time_ms;
};

static void emit(const struct out *o, const char *metric, double value, size_t n,
		 const struct bcrawl_label *labels)
{
	struct bcrawl_value v = {stub_metric(metric), value};
	struct bcrawl_sample s = {
		.labels = labels, .label_count = n, .values = &v, .value_count = 1};

	s.scope = v.metric->scope;
	s.time_ms = o->time_ms;
	assert_int_equal(o->sink->sample(o->user, &s), 0);
}

static int end(const struct out *o, int status, double duration)
{
	struct bcrawl_summary sum = {
		.size = sizeof(sum), .status = status, .complete = 1, .duration_s = duration};

	o->sink->end(o->user, &sum);
	return status;
}

static int crawl_nothing(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	(void)c;
	return end(&(struct out){sink, user, 0}, BCRAWL_OK, 0.1);
}

static int crawl_until_released(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	stub_wait_release();
	return crawl_nothing(c, sink, user);
}

/* Both end like a core that gives up late if nobody wakes it. */
static int crawl_until_woken(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	struct pollfd p = {.fd = stub_wake_fd(c), .events = POLLIN};

	poll(&p, 1, LONG_MS);
	return end(&(struct out){sink, user, 0}, stub_stopped(c) ? BCRAWL_E_STOPPED : BCRAWL_OK, 1);
}

static int crawl_until_stopped(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	double give_up = monotonic() + LONG_MS / 1000.0;

	while (!stub_stopped(c) && monotonic() < give_up)
		sched_yield();
	return end(&(struct out){sink, user, 0}, BCRAWL_E_STOPPED, 1);
}

static int crawl_and_fail(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	stub_log(c, BCRAWL_LOG_ERROR, "the API does not answer");
	stub_log(c, BCRAWL_LOG_WARNING, "a page broke off");
	stub_log(c, BCRAWL_LOG_INFO, "the API answers again");
	return end(&(struct out){sink, user, 0}, BCRAWL_E_NET, 1);
}

static int crawl_unspeakable(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	struct out o = {sink, user, 1000000000000 + stub_crawl_number(c)};

	emit(&o, "balena_device_heat", (double)NAN, 2, LABELS(FLEET("acme/gw"), DEVICE("d1")));
	emit(&o, "balena_device_heat", (double)-NAN, 2, LABELS(FLEET("acme/gw"), DEVICE("d1")));
	emit(&o, "balena_device_heat", (double)INFINITY, 2, LABELS(FLEET("acme/gw"), DEVICE("d1")));
	emit(&o, "balena_device_heat", 1, 2, LABELS(FLEET("acme/g\xC3"), DEVICE("d1")));
	emit(&o, "balena_device_heat", 1, 1, LABELS(FLEET("acme/gw")));
	emit(&o, "balena_device_heat", 1, 1, LABELS(DEVICE("d1")));
	emit(&o, "balena_crawl_success", 1, 1, LABELS(FLEET("acme/gw")));
	emit(&o, "balena_api_requests_total", 1e17, 1, LABELS(ACCOUNT("good")));
	emit(&o, "balena_device_heat", 1.5, 2, LABELS(FLEET("acme/gw"), DEVICE("good")));
	return end(&o, BCRAWL_OK, 1);
}

/* What the agent says of itself, asked as the core asks: before the crawl's own records. */
static struct bcrawl_host told[4];

/* As many values that cannot be given as there were crawls before, and one that can. */
static int crawl_and_ask(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	unsigned n = stub_crawl_number(c) - 1;
	struct out o = {sink, user, 1000000000000 + n};
	struct bcrawl_host h = {.size = sizeof(h)};

	for (unsigned i = 0; i < n; i++)
		emit(&o, "balena_device_heat", (double)NAN, 2,
		     LABELS(FLEET("acme/gw"), DEVICE("d1")));
	emit(&o, "balena_device_heat", 1.5, 2, LABELS(FLEET("acme/gw"), DEVICE("good")));
	if (sink->size >= sizeof(*sink) && sink->host)
		sink->host(user, &h);
	told[n] = h;
	emit(&o, "balena_crawl_success", 1, 1, LABELS(ACCOUNT("good")));
	return end(&o, BCRAWL_OK, 1);
}

/* Many devices of two records, then a fleet and the crawl itself. */
#define MANY 150

static int crawl_many(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	unsigned n = stub_crawl_number(c) - 1;
	struct out o = {sink, user, 1000000000000 + n};
	struct bcrawl_host h = {.size = sizeof(h)};
	char uuid[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(uuid, sizeof(uuid), "d%03d", i);
		emit(&o, "balena_device_heat", 1, 2, LABELS(FLEET("acme/gw"), DEVICE(uuid)));
		emit(&o, "balena_device_info", 1, 3,
		     LABELS(FLEET("acme/gw"), DEVICE(uuid), NAME("x")));
	}
	emit(&o, "balena_fleet_devices_by_status", MANY, 2,
	     LABELS(FLEET("acme/gw"), OTHER("status", "operational")));
	sink->host(user, &h);
	told[n] = h;
	emit(&o, "balena_crawl_success", 1, 1, LABELS(ACCOUNT("good")));
	return end(&o, BCRAWL_OK, 1);
}

/* Three crawls: the clock goes back before the second, which takes longer than the interval. */
static int crawl_golden(struct bcrawl *c, const struct bcrawl_sink *sink, void *user)
{
	static const int64_t times[] = {1795417216580, 1795417200000, 1795417336580};
	unsigned n = stub_crawl_number(c) - 1;
	struct out o = {sink, user, times[n]};

	emit(&o, "balena_device_heat", 21.5 + n, 2, LABELS(FLEET("acme/gateways"), DEVICE("6b3f")));
	emit(&o, "balena_device_heat", -3, 2, LABELS(FLEET("none"), DEVICE("7c40")));
	emit(&o, "balena_device_heat", 7, 3,
	     LABELS(ACCOUNT("good"), FLEET("acme/gateways"), DEVICE("6b3f")));
	emit(&o, "balena_device_heat", 8, 3,
	     LABELS(ACCOUNT("good"), FLEET("none"), DEVICE("6b3f")));
	emit(&o, "balena_device_info", 1, 5,
	     LABELS(FLEET("acme/gateways"), DEVICE("6b3f"), OTHER("device_type", "raspberrypi4-64"),
		    NAME("gw-berlin/1 \xC3\xA4"), OTHER("release", "1.2.3")));
	emit(&o, "balena_device_service_state", 2, 3,
	     LABELS(FLEET("acme/gateways"), DEVICE("6b3f"), OTHER("service_name", "main")));
	emit(&o, "balena_fleet_devices_by_status", 40, 2,
	     LABELS(FLEET("acme/gateways"), OTHER("status", "operational")));
	emit(&o, "balena_crawl_success", 1, 1, LABELS(ACCOUNT("good")));
	emit(&o, "balena_api_requests_total", 12.0 * (n + 1), 2,
	     LABELS(ACCOUNT("good"), OTHER("result", "ok")));
	return end(&o, BCRAWL_OK, n == 1 ? 95.25 : 2);
}

/* ---- helpers ------------------------------------------------------------------------------ */

static int set_up(void **state)
{
	(void)state;
	stub_reset(crawl_nothing);
	fake_load();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_unload();
	assert_int_equal(stub_alive(), 0);
	return 0;
}

static void start(const char *config, stub_crawl_fn *crawl)
{
	stub_reset(crawl);
	assert_int_equal(fake_config(config), 0);
	assert_int_equal(fake_init(), 0);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static unsigned count_lines(const char *text, const char *part)
{
	unsigned n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

static void shut_down_promptly(void)
{
	double begun = monotonic();

	assert_int_equal(fake_shutdown(), 0);
	assert_true(monotonic() - begun < 1);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_options_reach_the_core_as_text(void **state)
{
	(void)state;
	assert_int_equal(fake_config("<Account \"good\">\n"
				     "  TokenFile \"/t\"\n"
				     "  Interval 30\n"
				     "  StartJitter 0.5\n"
				     "  AllowHTTP true\n"
				     "  Fleet \"acme/*\" \"other/one\"\n"
				     "  Fleet \"third/x\"\n"
				     "</Account>\n"),
			 0);
	assert_string_equal(stub_settings(), "good/account=good\n"
					     "good/token-file=/t\n"
					     "good/interval=30\n"
					     "good/start-jitter=0.5\n"
					     "good/allow-http=true\n"
					     "good/fleet=acme/*\n"
					     "good/fleet=other/one\n"
					     "good/fleet=third/x\n"
					     "good/metrics=@lean\n");
	assert_string_equal(fake_log(), "");
	assert_int_equal(fake_shutdown(), 0);
}

static void test_named_metrics_replace_the_default(void **state)
{
	(void)state;
	start("<Account \"good\">\n TokenFile \"/t\"\n Metrics \"@standard\"\n</Account>\n",
	      crawl_nothing);
	assert_null(strstr(stub_settings(), "@lean"));
	assert_contains(stub_settings(), "good/metrics=@standard\n");
	fake_shutdown();
}

static void set_variables(void)
{
	setenv("BALENA_ACCOUNT", "its", 1);
	setenv("BALENA_TOKEN_FILE", "/its", 1);
	setenv("BALENA_FLEET", "its/*", 1);
	setenv("BALENA_METRICS", "@all", 1);
	setenv("CRAWL_INTERVAL", "20", 1);
}

static void unset_variables(void)
{
	static const char *const names[] = {"BALENA_ACCOUNT", "BALENA_TOKEN_FILE", "BALENA_FLEET",
					    "BALENA_METRICS", "CRAWL_INTERVAL"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

/* Only where it is asked for, and only what the block leaves open. */
static void test_environment(void **state)
{
	static const struct {
		const char *config, *settings;
	} cases[] = {
		{"<Account>\n Environment true\n</Account>\n",
		 "its/account=its\nits/token-file=/its\nits/interval=20\nits/metrics=@all\n"
		 "its/fleet=its/*\n"},
		{"<Account \"a\">\n TokenFile \"/t\"\n Environment true\n Fleet \"x/y\"\n"
		 " Metrics \"@standard\"\n</Account>\n",
		 "a/account=a\na/token-file=/t\na/fleet=x/y\na/metrics=@standard\na/interval=20\n"},
		{"<Account \"a\">\n TokenFile \"/t\"\n Environment false\n</Account>\n",
		 "a/account=a\na/token-file=/t\na/metrics=@lean\n"},
		{"<Account>\n TokenFile \"/t\"\n</Account>\n",
		 "default/token-file=/t\ndefault/metrics=@lean\n"},
	};

	(void)state;
	set_variables();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(cases[i].config, crawl_nothing);
		assert_string_equal(stub_settings(), cases[i].settings);
		assert_string_equal(fake_log(), "");
		fake_shutdown();
		fake_unload();
		fake_load();
	}
	setenv("CRAWL_INTERVAL", "5", 1);
	start("<Account>\n Environment true\n</Account>\n", crawl_nothing);
	unset_variables();
	assert_contains(fake_log(), "ERR balena plugin: account \"its\": left out: interval: "
				    "\"5\" is not allowed: 10 to 86400 seconds\n");
	fake_shutdown();
}

static void test_a_bad_account_leaves_the_others(void **state)
{
	static const struct {
		const char *config, *log;
	} cases[] = {
		{"<Account \"bad\">\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: no API token: set token-file\n"},
		{"<Account \"bad\">\n TokenFile \"/t\"\n Interval 5\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: interval: \"5\" is not allowed: "
		 "10 to 86400 seconds\n"},
		{"<Account \"bad\">\n TokenFile \"/t\"\n Nonsense \"x\"\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: Nonsense: there is no such "
		 "option\n"},
		{"<Account \"bad\">\n TokenFile \"/t\" \"/u\"\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: TokenFile takes one value, not "
		 "2\n"},
		{"<Account \"bad\">\n TokenFile\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: TokenFile has no value\n"},
		{"<Account \"bad\">\n Account \"x\"\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: Account is the name of the block, "
		 "not an option in it\n"},
		{"<Account \"bad\">\n <Fleet \"x\">\n Interval 10\n </Fleet>\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: Fleet can't be a block\n"},
		{"<Account>\n</Account>\n",
		 "ERR balena plugin: account \"default\": left out: no API token: set token-file\n"},
		{"<Account \"bad\" \"worse\">\n TokenFile \"/t\"\n</Account>\n",
		 "ERR balena plugin: an <Account> block takes one name; it is left out\n"},
		{"<Account \"bad\">\n TokenFile \"/t\"\n Environment \"maybe\"\n</Account>\n",
		 "ERR balena plugin: account \"bad\": left out: Environment is true or false\n"},
		{MIN_GOOD,
		 "ERR balena plugin: account \"good\": is there twice; the second is left out\n"},
		{"TokenFile \"/t\"\n",
		 "WARNING balena plugin: TokenFile is ignored: options belong "
		 "into an <account> block\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		stub_reset(crawl_nothing);
		assert_int_equal(fake_config(MIN_GOOD), 0);
		assert_int_equal(fake_config(cases[i].config), 0);
		assert_int_equal(fake_init(), 0);
		assert_string_equal(fake_log(), cases[i].log);
		assert_int_equal(fake_read("balena/bad"), -1000);
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(1, LONG_MS));
		shut_down_promptly();
		fake_unload();
		fake_load();
	}
}

static void test_trouble_in_init_is_the_accounts_own(void **state)
{
	(void)state;
	start("<Account \"unmakeable\">\n TokenFile \"/t\"\n</Account>\n" MIN_GOOD, crawl_nothing);
	assert_string_equal(fake_log(), "ERR balena plugin: account \"unmakeable\": does not run: "
					"out of memory\n");
	assert_int_equal(fake_read("balena/good"), 0);
	assert_true(stub_wait_ended(1, LONG_MS));
	shut_down_promptly();
}

static void test_no_thread_no_read(void **state)
{
	(void)state;
	fake_refuse_threads(true);
	start(MIN_GOOD, crawl_nothing);
	assert_contains(fake_log(), "ERR balena plugin: account \"good\": does not run: no thread");
	assert_int_equal(fake_read("balena/good"), -1000);
	shut_down_promptly();

	fake_refuse_threads(false);
	fake_refuse_reads(true);
	start(MIN_GOOD, crawl_nothing);
	assert_contains(fake_log(), "does not run: collectd would not register the read callback");
	shut_down_promptly();
}

static void test_nothing_configured(void **state)
{
	(void)state;
	start("", crawl_nothing);
	assert_contains(fake_log(), "WARNING balena plugin: no usable account is configured");
	shut_down_promptly();
}

static void test_the_interval_is_the_accounts(void **state)
{
	(void)state;
	start(MIN_GOOD "<Account \"slow\">\n TokenFile \"/t\"\n Interval 300\n</Account>\n",
	      crawl_nothing);
	assert_true(fake_read_interval("balena/good") == 60);
	assert_true(fake_read_interval("balena/slow") == 300);
	shut_down_promptly();
}

static void test_types_are_registered(void **state)
{
	(void)state;
	fake_define_gauge("device_heat");
	start(MIN_GOOD, crawl_nothing);
	assert_string_equal(fake_data_set("device_heat"), "GAUGE");
	assert_string_equal(fake_data_set("crawl_success"), "GAUGE");
	assert_string_equal(fake_data_set("api_requests"), "DERIVE");
	assert_int_equal(fake_replaced_data_sets(), 0);
	shut_down_promptly();
}

/* GOLDEN_UPDATE=1 in the environment writes the file anew: a diff to review. */
static void compare_golden(const char *path, const char *text)
{
	static char golden[16384];
	bool update = getenv("GOLDEN_UPDATE") != NULL;
	FILE *f = fopen(path, update ? "w" : "r");

	assert_non_null(f);
	if (update)
		fputs(text, f);
	else
		golden[fread(golden, 1, sizeof(golden) - 1, f)] = '\0';
	fclose(f);
	if (!update)
		assert_string_equal(text, golden);
}

static void test_values_are_the_golden_ones(void **state)
{
	(void)state;
	start(MIN_GOOD, crawl_golden);
	for (unsigned n = 1; n <= 3; n++) {
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(n, LONG_MS));
	}
	shut_down_promptly();
	compare_golden(GOLDEN_DIR "/collectd_putval.txt", fake_values());
	assert_string_equal(fake_log(), "");
}

static void test_what_would_break_a_scrape_is_skipped(void **state)
{
	(void)state;
	start(MIN_GOOD, crawl_unspeakable);
	for (unsigned n = 1; n <= 2; n++) {
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(n, LONG_MS));
	}
	shut_down_promptly();
	assert_int_equal(count_lines(fake_values(), "PUTVAL"), 2);
	assert_int_equal(count_lines(fake_values(), "PUTVAL \"good/balena-acme:gw/device_heat\""),
			 2);
	assert_string_equal(fake_log(),
			    "WARNING balena plugin: account \"good\": 8 values of this crawl could "
			    "not be given to collectd; the first, balena_device_heat: not a finite "
			    "number (this is said once)\n");
}

static void test_the_core_learns_what_was_skipped(void **state)
{
	(void)state;
	memset(told, 0xff, sizeof(told));
	start(MIN_GOOD, crawl_and_ask);
	for (unsigned n = 1; n <= 4; n++) {
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(n, LONG_MS));
	}
	shut_down_promptly();
	/* Of each crawl by itself; collectd's triggers are all followed. */
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(told[n].withheld_values, n);
		assert_int_equal(told[n].ignored_triggers, 0);
		assert_int_equal(told[n].size, sizeof(told[n]));
	}
}

static void test_new_devices_come_as_collectd_can_take_them(void **state)
{
	/* 120 new series a crawl are two each of 60 devices. Those of the second crawl stay in the
	 * queue while the third is made. */
	static const struct {
		bool take;
		unsigned devices, held;
	} crawls[] = {{true, 60, 180}, {false, 120, 60}, {false, 60, 180}, {true, 150, 0}};

	(void)state;
	memset(told, 0xff, sizeof(told));
	start("<Account \"good\">\n TokenFile \"/t\"\n NewSeriesPerSecond 2\n</Account>\n",
	      crawl_many);
	for (unsigned n = 0; n < 4; n++) {
		size_t before = strlen(fake_values());
		const char *values;

		if (n > 0 && crawls[n].take != crawls[n - 1].take)
			fake_take_in(crawls[n].take);
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(n + 1, LONG_MS));
		values = fake_values() + before;
		assert_int_equal(count_lines(values, "device_heat"), crawls[n].devices);
		assert_int_equal(count_lines(values, "device_info"), crawls[n].devices);
		assert_int_equal(count_lines(values, "crawl_success"), 1);
		assert_int_equal(count_lines(values, "fleet_devices_by_status"), 1);
		assert_int_equal(told[n].paced_values, crawls[n].held);
		assert_int_equal(told[n].withheld_values, 0);
	}
	shut_down_promptly();
	assert_string_equal(fake_log(),
			    "NOTICE balena plugin: account \"good\": 180 values of new devices wait "
			    "for the next crawls, so that collectd can take them in: see "
			    "NewSeriesPerSecond\n"
			    "NOTICE balena plugin: account \"good\": no devices wait any more\n");
}

static void test_all_at_once_without_a_limit(void **state)
{
	(void)state;
	start("<Account \"good\">\n TokenFile \"/t\"\n NewSeriesPerSecond 0\n</Account>\n",
	      crawl_many);
	fake_take_in(false);
	assert_int_equal(fake_read("balena/good"), 0);
	assert_true(stub_wait_ended(1, LONG_MS));
	shut_down_promptly();
	assert_int_equal(count_lines(fake_values(), "device_heat"), MANY);
	assert_string_equal(fake_log(), "");
}

static void test_triggers_during_a_crawl_are_one(void **state)
{
	(void)state;
	start(MIN_GOOD, crawl_until_released);
	fake_read("balena/good");
	assert_true(stub_wait_begun(1, LONG_MS));
	for (int i = 0; i < 5; i++)
		assert_int_equal(fake_read("balena/good"), 0);
	assert_false(stub_wait_begun(2, SHORT_MS));
	stub_release();
	assert_true(stub_wait_begun(2, LONG_MS));
	stub_release();
	assert_true(stub_wait_ended(2, LONG_MS));
	assert_false(stub_wait_begun(3, SHORT_MS));
	shut_down_promptly();
}

static void test_no_crawl_without_a_trigger(void **state)
{
	(void)state;
	start(MIN_GOOD, crawl_nothing);
	assert_false(stub_wait_begun(1, SHORT_MS));
	shut_down_promptly();
}

static void test_accounts_crawl_side_by_side(void **state)
{
	(void)state;
	start(MIN_GOOD "<Account \"too\">\n TokenFile \"/t\"\n</Account>\n", crawl_until_released);
	fake_read("balena/good");
	fake_read("balena/too");
	assert_true(stub_wait_begun(2, LONG_MS));
	stub_release();
	stub_release();
	assert_true(stub_wait_ended(2, LONG_MS));
	shut_down_promptly();
}

static void test_shutdown_ends_a_crawl(void **state)
{
	static stub_crawl_fn *const crawls[] = {crawl_until_woken, crawl_until_stopped};

	(void)state;
	for (size_t i = 0; i < sizeof(crawls) / sizeof(crawls[0]); i++) {
		start(MIN_GOOD "<Account \"too\">\n TokenFile \"/t\"\n</Account>\n", crawls[i]);
		fake_read("balena/good");
		fake_read("balena/too");
		assert_true(stub_wait_begun(2, LONG_MS));
		/* One more that waits: it must not begin any more. */
		fake_read("balena/good");
		shut_down_promptly();
		assert_false(stub_wait_begun(3, 0));
		fake_unload();
		fake_load();
	}
}

static void test_shutdown_ends_the_start_jitter(void **state)
{
	unsigned late = 0;

	(void)state;
	/* That a random part of an hour is below SHORT_MS happens to one in 36,000. */
	start("<Account \"good\">\n TokenFile \"/t\"\n StartJitter 3600\n</Account>\n",
	      crawl_nothing);
	assert_int_equal(fake_read("balena/good"), 0);
	late += !stub_wait_begun(1, SHORT_MS);
	shut_down_promptly();
	assert_int_equal(late, 1);
}

static void test_a_failing_crawl_fails_no_read(void **state)
{
	(void)state;
	start(MIN_GOOD, crawl_and_fail);
	for (unsigned n = 1; n <= 2; n++) {
		assert_int_equal(fake_read("balena/good"), 0);
		assert_true(stub_wait_ended(n, LONG_MS));
	}
	shut_down_promptly();
	assert_int_equal(count_lines(fake_log(), "\n"), 6);
	assert_contains(fake_log(),
			"ERR balena plugin: account \"good\": the API does not answer\n"
			"WARNING balena plugin: account \"good\": a page broke off\n"
			"NOTICE balena plugin: account \"good\": the API answers again\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_options_reach_the_core_as_text),
		TEST(test_named_metrics_replace_the_default),
		TEST(test_environment),
		TEST(test_a_bad_account_leaves_the_others),
		TEST(test_trouble_in_init_is_the_accounts_own),
		TEST(test_no_thread_no_read),
		TEST(test_nothing_configured),
		TEST(test_the_interval_is_the_accounts),
		TEST(test_types_are_registered),
		TEST(test_values_are_the_golden_ones),
		TEST(test_what_would_break_a_scrape_is_skipped),
		TEST(test_the_core_learns_what_was_skipped),
		TEST(test_new_devices_come_as_collectd_can_take_them),
		TEST(test_all_at_once_without_a_limit),
		TEST(test_triggers_during_a_crawl_are_one),
		TEST(test_no_crawl_without_a_trigger),
		TEST(test_accounts_crawl_side_by_side),
		TEST(test_shutdown_ends_a_crawl),
		TEST(test_shutdown_ends_the_start_jitter),
		TEST(test_a_failing_crawl_fails_no_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
