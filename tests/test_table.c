/* SPDX-License-Identifier: MIT
 *
 * table.c: what people see of a crawl. */
#include "table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct bcrawl_metric devices = {
	.name = "t_devices", .scope = BCRAWL_SCOPE_FLEET, .integral = 1, .heading = "devices"
};
static const struct bcrawl_metric by_state = {
	.name = "t_by_state", .scope = BCRAWL_SCOPE_FLEET, .integral = 1, .heading = ""
};
static const struct bcrawl_metric heat = { .name = "t_heat", .scope = BCRAWL_SCOPE_FLEET,
	                                   .unit = BCRAWL_UNIT_CELSIUS, .heading = "max °C" };
static const struct bcrawl_metric hidden = {
	.name = "t_hidden", .scope = BCRAWL_SCOPE_FLEET, .integral = 1
};

static void add(struct table *t, const char *fleet, const char *state,
                const struct bcrawl_metric *m, double value)
{
	struct bcrawl_label labels[] = { { "fleet", fleet, BCRAWL_ROLE_FLEET },
		                         { "state", state, BCRAWL_ROLE_OTHER } };
	struct bcrawl_value v = { m, value };
	struct bcrawl_sample s = { .scope = BCRAWL_SCOPE_FLEET, .labels = labels,
		                   .label_count = state ? 2 : 1, .values = &v, .value_count = 1 };

	assert_int_equal(table_sample(t, &s), 0);
}

static int collect(void *user, const char *bytes, size_t n)
{
	char *text = user;
	size_t len = strlen(text);

	assert_true(len + n < 1 << 16);
	memcpy(text + len, bytes, n);
	text[len + n] = '\0';
	return 0;
}

static void expect(struct table *t, const struct bcrawl_summary *sum, const char *expected)
{
	static char text[1 << 16];

	text[0] = '\0';
	assert_int_equal(table_write(t, sum, collect, text), 0);
	assert_string_equal(text, expected);
	table_fini(t);
}

static const struct bcrawl_summary good = { .size = sizeof(good), .complete = 1, .fleets = 3 };

static void a_row_for_each_fleet(void **state)
{
	struct table t = { .row_count = 0 };

	(void)state;
	add(&t, "acme/south", NULL, &devices, 1000);
	add(&t, "acme/south", "connected", &by_state, 990);
	add(&t, "acme/south", "never", &by_state, 0);
	add(&t, "acme/south", "lost", &by_state, 10);
	add(&t, "acme/south", NULL, &heat, 61.26);
	add(&t, "acme/south", NULL, &hidden, 1);
	add(&t, "acme/north", NULL, &devices, 5);
	add(&t, "acme/north", "connected", &by_state, 5);
	add(&t, "acme/north", "never", &by_state, 0);
	add(&t, "acme/north", "lost", &by_state, 0);
	add(&t, "none", NULL, &hidden, 1);
	expect(&t, &good,
	       "                     state\n"
	       "FLEET       devices  connected  lost  max °C\n"
	       "acme/north        5          5     0       -\n"
	       "acme/south     1000        990    10    61.3\n"
	       "none              -          -     -       -\n"
	       "TOTAL          1005        995    10\n");
}

static void a_column_of_zeros_stays_if_it_has_a_heading(void **state)
{
	struct table t = { .row_count = 0 };

	(void)state;
	add(&t, "a/b", NULL, &devices, 0);
	add(&t, "a/b", "connected", &by_state, 0);
	expect(&t, &good,
	       "FLEET  devices\n"
	       "a/b          0\n"
	       "TOTAL        0\n");
}

static void names_cannot_drive_the_terminal(void **state)
{
	struct table t = { .row_count = 0 };

	(void)state;
	add(&t, "zü\033[31mrich/\xc2\x9b\x7fx", "\t日本", &by_state, 1);
	expect(&t, &good,
	       "              state\n"
	       "FLEET            日本\n"
	       "zü[31mrich/x      1\n"
	       "TOTAL             1\n");
}

static void other_samples_are_skipped(void **state)
{
	struct bcrawl_label fleet = { "fleet", "a/b", BCRAWL_ROLE_FLEET };
	struct bcrawl_value v = { &devices, 1 };
	struct bcrawl_sample device = { .scope = BCRAWL_SCOPE_DEVICE, .labels = &fleet,
		                        .label_count = 1, .values = &v, .value_count = 1 };
	struct bcrawl_sample crawl = { .scope = BCRAWL_SCOPE_CRAWL, .values = &v,
		                       .value_count = 1 };
	struct table t = { .row_count = 0 };

	(void)state;
	assert_int_equal(table_sample(&t, &device), 0);
	assert_int_equal(table_sample(&t, &crawl), 0);
	expect(&t, &good, "No fleets.\n");
}

static void what_is_wrong_is_said(void **state)
{
	struct bcrawl_summary partial = { .size = sizeof(partial), .fleets = 12,
		                          .fleets_failed = 2 };
	struct bcrawl_summary incomplete = { .size = sizeof(incomplete), .fleets = 1 };
	struct bcrawl_summary failed = { .size = sizeof(failed), .status = BCRAWL_E_NET };
	struct table t = { .row_count = 0 };
	char expected[128];

	(void)state;
	add(&t, "a/b", NULL, &devices, 1);
	expect(&t, &partial,
	       "FLEET  devices\na/b          1\nTOTAL        1\n"
	       "Partial: 2 of 12 fleets could not be read.\n");
	add(&t, "a/b", NULL, &devices, 1);
	expect(&t, &incomplete,
	       "FLEET  devices\na/b          1\nTOTAL        1\n"
	       "Partial: not everything could be read.\n");
	snprintf(expected, sizeof(expected), "The crawl failed: %s.\n",
	         bcrawl_strerror(BCRAWL_E_NET));
	expect(&t, &failed, expected);
}

static void too_many_columns(void **state)
{
	struct table t = { .row_count = 0 };
	static char text[1 << 16];

	(void)state;
	for (int i = 0; i < TABLE_COLUMNS_MAX + 10; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%d", i);
		add(&t, "a/b", name, &by_state, 1);
	}
	assert_int_equal(table_write(&t, &good, collect, text), 0);
	assert_non_null(strstr(text, "More than 64 columns"));
	assert_non_null(strstr(text, " c63\n"));
	table_fini(&t);
}

static void many_rows_are_sorted(void **state)
{
	struct table t = { .row_count = 0 };

	(void)state;
	for (int i = 0; i < TABLE_ROWS_MAX + 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "acme/f%d", i * 7919 % (TABLE_ROWS_MAX + 5));
		add(&t, name, NULL, &devices, 1);
	}
	assert_int_equal(t.row_count, TABLE_ROWS_MAX);
	assert_true(t.rows_hidden);
	table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_for_each_fleet),
		cmocka_unit_test(a_column_of_zeros_stays_if_it_has_a_heading),
		cmocka_unit_test(names_cannot_drive_the_terminal),
		cmocka_unit_test(other_samples_are_skipped),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(too_many_columns),
		cmocka_unit_test(many_rows_are_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
