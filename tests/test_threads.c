/* SPDX-License-Identifier: MIT
 *
 * Accounts that crawl side by side in threads of one process: they do not notice each other. Built
 * with ThreadSanitizer it also finds what two of them share without saying so. */
#include "accounts.h"
#include "fake_sink.h"
#include "loopback.h"
#include "truth.h"
#include "unit.h"

#include <pthread.h>

#define CRAWLS 20
#define THREADS 2

struct account {
	pthread_t thread;
	pthread_barrier_t *start;
	struct fake_transport net;
	struct fake_world world;
	struct loopback server;
	const char *const *options;
	bool over_http;
	struct truth truth;
	const char *broken; /* of one of its crawls */
	int crawls;
};

static struct bcrawl *new_crawler(struct account *a)
{
	struct bcrawl_config *cfg = bcrawl_config_new();
	struct bcrawl *c = NULL;
	int rc = cfg ? 0 : -1;

	for (const char *const *o = a->options; *o && !rc; o += 2)
		rc = bcrawl_config_set(cfg, o[0], o[1], NULL);
	if (!rc && a->over_http)
		rc = bcrawl_config_set(cfg, "api-url", a->server.url, NULL);
	if (!rc)
		rc = bcrawl_config_set(cfg, "token", "sekret", NULL);
	if (!rc)
		rc = bcrawl_new(&c, cfg, NULL);
	bcrawl_config_free(cfg);
	if (c && !a->over_http)
		fake_install(&a->net, c);
	return c;
}

/* No assertion here: only the test's own thread may fail it. */
static void *crawl(void *user)
{
	struct account *a = user;
	struct fake_sink sink;

	fake_sink_init(&sink);
	pthread_barrier_wait(a->start);
	/* Lives begin and end beside each other too. */
	for (int life = 0; life < 2; life++) {
		struct bcrawl *c = new_crawler(a);

		for (int i = 0; c && i < CRAWLS / 2; i++) {
			int rc;

			fake_sink_clear(&sink);
			rc = bcrawl_run(c, &sink.sink, &sink, NULL);
			if (!a->broken)
				a->broken = truth_lacking(&a->truth, &sink, rc);
			a->net.mono_ms += 60000;
			a->crawls++;
		}
		bcrawl_free(c);
	}
	fake_sink_fini(&sink);
	return NULL;
}

static void learn(struct account *a)
{
	struct bcrawl *c = new_crawler(a);
	struct fake_sink sink;

	assert_non_null(c);
	fake_sink_init(&sink);
	assert_int_equal(bcrawl_run(c, &sink.sink, &sink, NULL), 0);
	assert_int_equal(sink.summary.complete, 1);
	truth_take(&a->truth, &sink);
	fake_sink_fini(&sink);
	bcrawl_free(c);
}

static void side_by_side(bool over_http)
{
	static const char *const options[THREADS][9] = {
		{ "detail", "services", "page-size", "2", "requests-per-minute", "0", "concurrency", "3", NULL },
		{ "detail", "devices", "info-tags", "site", "requests-per-minute", "0", "proxy", "none", NULL },
	};
	struct account accounts[THREADS];
	pthread_barrier_t start;

	memset(accounts, 0, sizeof(accounts));
	assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (size_t i = 0; i < THREADS; i++) {
		struct account *a = &accounts[i];

		a->start = &start;
		a->options = options[i];
		a->over_http = over_http;
		a->world = (struct fake_world){
			.fleets = three_fleets,
			.fleet_count = LEN(three_fleets) - i,
			.devices = i ? second7 : first7,
			.device_count = i ? LEN(second7) : LEN(first7),
		};
		fake_init(&a->net);
		a->net.answer = fake_world_answer;
		a->net.answer_user = &a->world;
		a->net.together = true;
		a->net.chunk = 100;
		if (over_http)
			loopback_start(&a->server, fake_world_answer, &a->world, "sekret");
		learn(a);
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&accounts[i].thread, NULL, crawl, &accounts[i]), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(accounts[i].thread, NULL), 0);
	for (size_t i = 0; i < THREADS; i++) {
		struct account *a = &accounts[i];

		if (a->broken)
			print_error("account %zu: %s\n", i, a->broken);
		assert_null(a->broken);
		assert_int_equal(a->crawls, CRAWLS);
		if (over_http)
			loopback_stop(&a->server);
		truth_free(&a->truth);
		fake_fini(&a->net);
	}
	pthread_barrier_destroy(&start);
}

static void test_fake(void **state)
{
	(void)state;
	side_by_side(false);
}

static void test_http(void **state)
{
	(void)state;
	side_by_side(true);
}

static int prepare(void **state)
{
	(void)state;
	return bcrawl_global_init();
}

static int clean_up(void **state)
{
	(void)state;
	bcrawl_global_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake),
		cmocka_unit_test(test_http),
	};

	return cmocka_run_group_tests(tests, prepare, clean_up);
}
