/* SPDX-License-Identifier: MIT
 *
 * fill.c: what a crawl may bring, as stories of crawls. */
#include "fill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A crawl that finds so many new series; returns how many it brought. */
static unsigned long crawl(struct fill *f, unsigned long found)
{
	fill_begin(f);
	for (unsigned long i = 0; i < found; i++) {
		if (fill_allows(f))
			fill_feed(f, 1);
		else
			fill_hold(f, 1);
	}
	if (f->fed > 0 && f->most > 0)
		fill_await(f);
	return f->fed;
}

static void no_limit(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 0, 60, 1);
	assert_int_equal(crawl(&f, 1000000), 1000000);
	assert_false(f.waiting);
	assert_int_equal(crawl(&f, 1000000), 1000000);
}

/* What is taken in fast is followed by more, up to what was configured. */
static void grows(void **state)
{
	static const unsigned long brought[] = {20000, 40000, 60000, 60000};
	struct fill f;

	(void)state;
	fill_init(&f, 1000, 60, 1);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(crawl(&f, 1000000), brought[i]);
		assert_int_equal(f.held, 1000000 - brought[i]);
		assert_true(f.waiting);
		fill_taken(&f, i % 2 ? 0.5 : 0);
		assert_false(f.waiting);
	}
}

/* As many as keep the agent busy for 0.4 of the interval; a guess is not believed at once. */
static void follows_the_agent(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 1000, 60, 1);
	crawl(&f, 1000000);
	fill_taken(&f, 8);
	/* 4 squares of 20,000 in 24 s instead of 1 in 8: of 20,000 to 40,000. */
	assert_int_equal(crawl(&f, 1000000), 20000);
	fill_taken(&f, 24);
	/* As it was foreseen: one more of 3 squares, from 40,000 on. */
	assert_int_equal(crawl(&f, 1000000), 12916);
	fill_taken(&f, 1000);
	assert_int_equal(crawl(&f, 1000000), 6458);
	fill_taken(&f, 0.1);
	assert_int_equal(crawl(&f, 1000000), 12916);
}

/* Fewer than might have come say nothing of how many could. */
static void learns_nothing_from_few(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 1000, 60, 1);
	assert_int_equal(crawl(&f, 10), 10);
	fill_taken(&f, 60);
	assert_int_equal(crawl(&f, 1000000), 20000);
}

/* Several that fill one agent share what it can take. */
static void shared(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 1000, 60, 4);
	assert_int_equal(crawl(&f, 1000000), 5000);
	/* 2 squares of 5,000 in 6 s: from 5,000 to 8,660. */
	fill_taken(&f, 3);
	assert_int_equal(crawl(&f, 1000000), 3661);
}

/* While some wait, none follow. */
static void waits(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 1000, 60, 1);
	crawl(&f, 1000000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(crawl(&f, 1000000), 0);
		assert_true(f.waiting);
	}
	fill_taken(&f, 200);
	/* Too many, and once is enough to know it. */
	assert_int_equal(crawl(&f, 1000000), 10000);
	/* Not for ever: what is waited for may have been dropped, which says nothing of the rest. */
	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < 5; i++)
			assert_int_equal(crawl(&f, 1000000), 0);
		assert_int_equal(crawl(&f, 1000000), 10000);
	}
}

/* It goes on, however slow the agent and however small the limit. */
static void never_ends(void **state)
{
	struct fill f;

	(void)state;
	fill_init(&f, 0.1, 10, 1);
	assert_int_equal(crawl(&f, 1000000), 1);
	fill_init(&f, 1000, 60, 1);
	for (int i = 0; i < 20; i++) {
		crawl(&f, 1000000);
		fill_taken(&f, 1e6);
	}
	assert_int_equal(crawl(&f, 1000000), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit),
		cmocka_unit_test(grows),
		cmocka_unit_test(follows_the_agent),
		cmocka_unit_test(learns_nothing_from_few),
		cmocka_unit_test(shared),
		cmocka_unit_test(waits),
		cmocka_unit_test(never_ends),
	};

	return cmocka_run_group_tests_name("fill", tests, NULL, NULL);
}
