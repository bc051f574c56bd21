/* SPDX-License-Identifier: MIT
 *
 * The gate: a budget that fills up with time, and a door that the server closes. */
#include "gate.h"
#include "unit.h"

static void test_no_budget(void **state)
{
	struct bci_gate g = { 0 };

	(void)state;
	bci_gate_budget(&g, 0, 1, 1000);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(bci_gate_wait(&g, 1000), 0);
		bci_gate_pass(&g, 1000);
	}
}

/* 60 a minute, 3 at once: one more each second. */
static void test_budget(void **state)
{
	static const struct {
		int64_t now, wait;
	} steps[] = {
		{ 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 1000 }, { 400, 600 }, { 999, 1 }, { 1000, 0 }, { 1000, 1000 },
		{ 2500, 0 }, { 2500, 500 }, { 3000, 0 },
		/* What is not spent is saved up to 3. */
		{ 100000, 0 }, { 100000, 0 }, { 100000, 0 }, { 100000, 1000 },
	};
	struct bci_gate g = { 0 };

	(void)state;
	bci_gate_budget(&g, 60, 3, 0);
	for (size_t i = 0; i < LEN(steps); i++) {
		assert_int_equal(bci_gate_wait(&g, steps[i].now), steps[i].wait);
		if (steps[i].wait == 0)
			bci_gate_pass(&g, steps[i].now);
	}
}

/* However it is used, a minute lets at most the budget and what was saved through. */
static void test_never_more(void **state)
{
	for (int per_minute = 1; per_minute < 2000; per_minute = per_minute * 3 + 1) {
		struct bci_gate g = { 0 };
		int passed = 0;

		bci_gate_budget(&g, per_minute, 5, 0);
		for (int64_t now = 0; now <= 60000; now += 7) {
			while (bci_gate_wait(&g, now) == 0) {
				bci_gate_pass(&g, now);
				passed++;
			}
		}
		assert_in_range(passed, per_minute, per_minute + 5);
	}
	(void)state;
}

/* Another budget refills nothing: else one that is set anew for each crawl would be none. */
static void test_changed(void **state)
{
	struct bci_gate g = { 0 };

	(void)state;
	bci_gate_budget(&g, 60, 3, 0);
	for (int i = 0; i < 3; i++)
		bci_gate_pass(&g, 0);
	bci_gate_budget(&g, 60, 3, 0);
	assert_int_equal(bci_gate_wait(&g, 0), 1000);
	/* What had been earned until then was earned by the old one. */
	bci_gate_budget(&g, 6, 3, 500);
	assert_int_equal(bci_gate_wait(&g, 500), 5000);
	bci_gate_budget(&g, 600, 30, 500);
	assert_int_equal(bci_gate_wait(&g, 500), 50);
	/* No more than the smaller one lets be saved. */
	bci_gate_budget(&g, 60, 2, 1000000);
	bci_gate_pass(&g, 1000000);
	bci_gate_pass(&g, 1000000);
	assert_int_equal(bci_gate_wait(&g, 1000000), 1000);
}

static void test_closed(void **state)
{
	struct bci_gate g = { 0 };

	(void)state;
	bci_gate_budget(&g, 0, 1, 0);
	assert_false(bci_gate_is_closed(&g, 0));
	bci_gate_close(&g, 100, 5000);
	assert_true(bci_gate_is_closed(&g, 100));
	assert_int_equal(bci_gate_wait(&g, 100), 5000);
	assert_int_equal(bci_gate_wait(&g, 5099), 1);
	/* A shorter wish does not open it. */
	bci_gate_close(&g, 200, 10);
	assert_int_equal(bci_gate_wait(&g, 200), 4900);
	assert_int_equal(g.closings, 1);
	assert_int_equal(bci_gate_wait(&g, 5100), 0);
	assert_false(bci_gate_is_closed(&g, 5100));
}

/* The longer of two waits counts. */
static void test_both(void **state)
{
	struct bci_gate g = { 0 };

	(void)state;
	bci_gate_budget(&g, 60, 1, 0);
	bci_gate_pass(&g, 0);
	bci_gate_close(&g, 0, 300);
	assert_int_equal(bci_gate_wait(&g, 0), 1000);
	assert_false(bci_gate_is_closed(&g, 500));
	bci_gate_close(&g, 0, 3000);
	assert_int_equal(bci_gate_wait(&g, 0), 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_budget),  cmocka_unit_test(test_budget),
		cmocka_unit_test(test_never_more), cmocka_unit_test(test_closed),
		cmocka_unit_test(test_both),       cmocka_unit_test(test_changed),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
