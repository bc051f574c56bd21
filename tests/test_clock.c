/* SPDX-License-Identifier: MIT
 *
 * Dates of the API, and the clock that leaves out the sink's time. */
#include "clock.h"
#include "unit.h"

/* The wanted seconds are from date -u -d "..." +%s. */
static void test_dates(void **state)
{
	static const struct {
		const char *text;
		double want;
	} cases[] = {
		{ "1970-01-01T00:00:00.000Z", 0 },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1999-12-31T23:59:59Z", 946684799 },
		{ "2000-02-29T12:00:00Z", 951825600 },
		{ "2001-09-09T01:46:40Z", 1000000000 },
		{ "2024-02-29T23:59:59Z", 1709251199 },
		{ "2024-12-31T00:00:00Z", 1735603200 },
		{ "2026-03-01T00:00:00Z", 1772323200 },
		{ "2026-11-23T06:18:44Z", 1795414724 },
		{ "2038-01-19T03:14:08Z", 2147483648.0 },
		{ "2100-03-01T00:00:00Z", 4107542400.0 },
		{ "9999-12-31T23:59:59Z", 253402300799.0 },
		{ "2026-11-23T06:18:44.5Z", 1795414724.5 },
	};
	double seconds;

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		seconds = -1;
		CHECK(cases[i].text, bci_date_parse(cases[i].text, &seconds));
		CHECK_NUM(cases[i].text, seconds, cases[i].want);
	}
	assert_true(bci_date_parse("2026-11-23T06:18:44.296Z", &seconds));
	assert_true(fabs(seconds - 1795414724.296) < 1e-6);
	assert_true(bci_date_parse("2026-11-23T06:18:44.296123456789Z", &seconds));
	assert_true(fabs(seconds - 1795414724.296123) < 1e-6);
}

static void test_no_dates(void **state)
{
	static const char *const cases[] = {
		"", "Z", "2026", "2026-11-23", "2026-11-23T06:18:44", "2026-11-23T06:18:44.Z",
		"2026-11-23T06:18:44.296", "2026-11-23 06:18:44.296Z", "2026-11-23T06:18:44.296ZZ",
		"2026-11-23T06:18:44.296Z ", " 2026-11-23T06:18:44.296Z", "2026-11-23T06:18:44+00:00",
		"2026-11-23T06:18:44z", "2026-11-23t06:18:44Z", "26-11-23T06:18:44Z",
		"12026-11-23T06:18:44Z", "2026-1-23T06:18:44Z", "2026-00-23T06:18:44Z",
		"2026-13-23T06:18:44Z", "2026-11-00T06:18:44Z", "2026-11-31T06:18:44Z",
		"2026-02-30T06:18:44Z", "2026-11-23T24:00:00Z", "2026-11-23T06:60:44Z",
		"2026-11-23T06:18:61Z", "1969-12-31T23:59:59Z", "-026-11-23T06:18:44Z",
		"+026-11-23T06:18:44Z", "2026-11-23T06:18:-1Z", "2026-11-23T06:18:44.2x6Z",
		"2026-11-23T06:18:44,296Z", "9999-12-31T23:59:60.5Z", "null", "0",
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		double seconds = 42;

		CHECK(cases[i], !bci_date_parse(cases[i], &seconds));
		CHECK_NUM(cases[i], seconds, 42);
	}
}

/* The 29th of February is a date in leap years only. */
static void test_leap_days(void **state)
{
	double seconds;

	(void)state;
	assert_true(bci_date_parse("2028-02-29T00:00:00Z", &seconds));
	CHECK_NUM("2028", seconds, 1835395200);
	CHECK("2026", !bci_date_parse("2026-02-29T00:00:00Z", &seconds));
	CHECK("2100", !bci_date_parse("2100-02-29T00:00:00Z", &seconds));
}

static int64_t forty(void *user)
{
	return 40 + *(int64_t *)user;
}

static int64_t fifty(void *user)
{
	return 50 + *(int64_t *)user;
}

static void test_pause(void **state)
{
	int64_t add = 3;
	struct bci_clock c = { .mono_ms = forty, .wall_ms = fifty, .user = &add, .paused_ms = 10 };

	(void)state;
	assert_int_equal(bci_clock_mono(&c), 43);
	assert_int_equal(bci_clock_net(&c), 33);
	assert_int_equal(bci_clock_wall(&c), 53);
}

static void test_system(void **state)
{
	struct bci_clock c = bci_clock_system();
	int64_t before = bci_clock_mono(&c);

	(void)state;
	assert_true(bci_clock_mono(&c) >= before);
	/* Milliseconds: between 2020 and 2100. */
	assert_true(bci_clock_wall(&c) > INT64_C(1577836800000));
	assert_true(bci_clock_wall(&c) < INT64_C(4102444800000));
	assert_int_equal(c.paused_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_no_dates),
		cmocka_unit_test(test_leap_days),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_system),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
