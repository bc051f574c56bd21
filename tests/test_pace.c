/* SPDX-License-Identifier: MIT
 *
 * pace.c: each rule of streaming mode as a story over times in milliseconds. */
#include "pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S(seconds) ((int64_t)((seconds) * 1000.0))

static struct pace begin(double jitter_s)
{
	struct pace p;

	pace_init(&p, 0, S(60), S(60), S(jitter_s));
	return p;
}

static void crawl(struct pace *p, int64_t from, int64_t to)
{
	assert_true(pace_must_crawl(p, from));
	pace_crawl_begins(p, from);
	if (to >= from)
		pace_crawl_ends(p);
}

static void own_timer_keeps_its_grid(void **state)
{
	struct pace p = begin(5);

	(void)state;
	assert_int_equal(pace_wait_until(&p), S(5));
	assert_false(pace_must_crawl(&p, S(4.9)));
	crawl(&p, S(5.1), S(6));
	assert_int_equal(pace_wait_until(&p), S(65));
	assert_false(pace_must_crawl(&p, S(64.9)));
	/* Late, and so long that two are missed. */
	crawl(&p, S(66), S(200));
	assert_int_equal(pace_wait_until(&p), S(125));
	crawl(&p, S(200), S(201));
	assert_int_equal(pace_wait_until(&p), S(245));
}

static void a_trigger_ends_the_own_timer(void **state)
{
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, S(1));
	pace_trigger(&p, S(70), 1);
	crawl(&p, S(70), S(71));
	assert_int_equal(pace_wait_until(&p), -1);
	assert_false(pace_must_crawl(&p, S(1000)));
}

static void triggers_before_the_first_crawl_are_served_by_it(void **state)
{
	struct pace p = begin(5);

	(void)state;
	pace_trigger(&p, S(1), 1);
	pace_trigger(&p, S(2), 3);
	assert_false(pace_must_crawl(&p, S(2)));
	crawl(&p, S(5), S(6));
	assert_false(pace_must_crawl(&p, S(7)));
	assert_int_equal(p.ignored, 0);
}

static void the_first_early_trigger_is_expected(void **state)
{
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, S(1));
	pace_trigger(&p, S(10), 1);
	assert_int_equal(p.ignored, 0);
	assert_false(pace_must_crawl(&p, S(10)));
	pace_trigger(&p, S(20), 2);
	assert_int_equal(p.ignored, 2);
	assert_false(pace_must_crawl(&p, S(20)));
	pace_trigger(&p, S(70), 1);
	crawl(&p, S(70), S(71));
}

/* Telegraf's default interval of 10 s, for ten minutes. */
static void frequent_triggers_give_one_crawl_a_minute(void **state)
{
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, S(1));
	for (int t = 10; t < 610; t += 10) {
		pace_trigger(&p, S(t), 1);
		if (pace_must_crawl(&p, S(t)))
			crawl(&p, S(t), S(t + 1));
	}
	assert_in_range(p.crawls, 10, 11);
}

/* Telegraf's collection_jitter of 10 s makes distances of 50 to 70 s: none may be lost. */
static void a_jittered_host_loses_no_crawl(void **state)
{
	static const double jitter[] = { 9.9, 0, 3, 10, 0.1, 0, 10, 5, 0, 9, 1 };
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, S(1));
	for (size_t i = 0; i < sizeof(jitter) / sizeof(jitter[0]); i++) {
		int64_t t = S(60.0 * (double)(i + 1) + jitter[i]);

		pace_trigger(&p, t, 1);
		crawl(&p, t, t + S(1));
	}
	assert_int_equal(p.ignored, 0);
}

static void triggers_during_a_crawl_make_one_more(void **state)
{
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, -1);
	pace_trigger(&p, S(61), 1);
	pace_trigger(&p, S(62), 5);
	pace_crawl_ends(&p);
	crawl(&p, S(63), S(64));
	assert_false(pace_must_crawl(&p, S(65)));
	assert_int_equal(p.ignored, 0);
}

static void without_min_interval_nothing_is_ignored(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, 0, S(60), 0, 0);
	crawl(&p, 0, S(1));
	for (int t = 2; t < 20; t++) {
		pace_trigger(&p, S(t), 1);
		crawl(&p, S(t), S(t));
	}
	assert_int_equal(p.ignored, 0);
}

static void eof_without_a_trigger_ends_at_once(void **state)
{
	struct pace idle = begin(5), crawling = begin(0), between = begin(0);

	(void)state;
	pace_eof(&idle, S(1));
	assert_true(pace_must_leave(&idle, S(1)));
	assert_false(pace_must_crawl(&idle, S(9)));

	crawl(&crawling, 0, -1);
	assert_false(pace_must_leave(&crawling, S(1)));
	pace_eof(&crawling, S(2));
	assert_true(pace_must_leave(&crawling, S(2)));
	assert_int_equal(pace_gone_by(&crawling, S(2)), S(2) + PACE_LEAVE_MS);

	crawl(&between, 0, S(1));
	pace_eof(&between, S(2));
	assert_true(pace_must_leave(&between, S(2)));
}

/* telegraf --test: a newline and the end at once. */
static void eof_after_a_trigger_lets_the_crawl_run_on(void **state)
{
	struct pace p = begin(5);

	(void)state;
	pace_trigger(&p, S(0.1), 1);
	pace_eof(&p, S(0.1));
	assert_false(pace_must_leave(&p, S(0.1)));
	crawl(&p, S(0.1), -1);
	assert_false(pace_must_leave(&p, S(3.5)));
	assert_true(pace_must_leave(&p, S(0.1) + PACE_GRACE_MS));
	assert_int_equal(pace_gone_by(&p, S(3.6)), S(0.1) + PACE_LAST_MS);
	pace_crawl_ends(&p);
	assert_true(pace_must_leave(&p, S(2)));
}

static void eof_in_a_crawl_that_a_trigger_adopted(void **state)
{
	struct pace p = begin(0);

	(void)state;
	crawl(&p, 0, -1);
	pace_trigger(&p, S(0.2), 1);
	pace_eof(&p, S(0.2));
	assert_false(pace_must_leave(&p, S(1)));
	pace_crawl_ends(&p);
	assert_true(pace_must_leave(&p, S(1)));
}

static void stop_ends_everything(void **state)
{
	struct pace p = begin(0);

	(void)state;
	pace_trigger(&p, 0, 1);
	crawl(&p, 0, -1);
	pace_eof(&p, S(1));
	pace_stop(&p);
	assert_true(pace_must_leave(&p, S(1)));
	assert_int_equal(pace_gone_by(&p, S(1)), S(1) + PACE_LEAVE_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_timer_keeps_its_grid),
		cmocka_unit_test(a_trigger_ends_the_own_timer),
		cmocka_unit_test(triggers_before_the_first_crawl_are_served_by_it),
		cmocka_unit_test(the_first_early_trigger_is_expected),
		cmocka_unit_test(frequent_triggers_give_one_crawl_a_minute),
		cmocka_unit_test(a_jittered_host_loses_no_crawl),
		cmocka_unit_test(triggers_during_a_crawl_make_one_more),
		cmocka_unit_test(without_min_interval_nothing_is_ignored),
		cmocka_unit_test(eof_without_a_trigger_ends_at_once),
		cmocka_unit_test(eof_after_a_trigger_lets_the_crawl_run_on),
		cmocka_unit_test(eof_in_a_crawl_that_a_trigger_adopted),
		cmocka_unit_test(stop_ends_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
