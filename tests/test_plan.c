/* SPDX-License-Identifier: MIT
 *
 * The plan: groups of fleets, ranges of ids that leave out no id and hold none twice, and the bound
 * on requests. */
#include "limits.h"
#include "plan.h"
#include "unit.h"

#define FLEETS_MOST 500

static struct bci_fleet rows[FLEETS_MOST];

static struct bci_fleets fleets(size_t n, int64_t first_id, int64_t devices_each)
{
	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct bci_fleet){ .id = first_id + (int64_t)i };
		rows[i].counted[BCI_COUNT_ALL] = devices_each;
	}
	return (struct bci_fleets){ .rows = rows, .n = n, .cap = FLEETS_MOST };
}

static void test_groups(void **state)
{
	static const struct {
		const char *name;
		size_t fleets;
		int64_t first_id;
		size_t groups; /* without those of no fleet */
	} cases[] = {
		{ "none", 0, 1, 0 },
		{ "one", 1, 1, 1 },
		{ "just a group", 200, 1, 1 },
		{ "one more", 201, 1, 2 },
		{ "two groups", 400, 1, 2 },
		{ "three", 450, 1, 3 },
		{ "long ids", 201, INT64_C(9223372036854770000), 2 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (int orphans = 0; orphans < 2; orphans++) {
			struct bci_fleets fs = fleets(cases[i].fleets, cases[i].first_id, 2);
			struct bci_plan p;
			size_t next = 0;

			CHECK_INT(cases[i].name, bci_plan_make(&p, &fs, orphans ? 5 : -1, 1000, ""), 0);
			CHECK_INT(cases[i].name, p.n, cases[i].groups + (size_t)orphans);
			for (size_t g = 0; g < cases[i].groups; g++) {
				char first[64];

				/* One after the other, none left out. */
				CHECK_INT(cases[i].name, p.groups[g].first, next);
				CHECK(cases[i].name, p.groups[g].n >= 1 && p.groups[g].n <= 200);
				CHECK_INT(cases[i].name, p.groups[g].expected, 2 * p.groups[g].n);
				CHECK(cases[i].name, strlen(p.groups[g].filter) < BCI_GROUP_ID_BYTES_MAX + 100);
				snprintf(first, sizeof(first), "%%20in%%20(%lld",
				         (long long)cases[i].first_id + (long long)next);
				CHECK(cases[i].name, strstr(p.groups[g].filter, first) != NULL);
				next += p.groups[g].n;
			}
			CHECK_INT(cases[i].name, next, cases[i].fleets);
			if (orphans) {
				CHECK_INT(cases[i].name, p.groups[p.n - 1].n, 0);
				CHECK_INT(cases[i].name, p.groups[p.n - 1].expected, 5);
				CHECK_STR(cases[i].name, p.groups[p.n - 1].filter,
				          "belongs_to__application%20eq%20null");
			}
			bci_plan_free(&p);
		}
	}
}

/* Each group's filter leaves the devices with a tag, that of no fleet too. */
static void test_device_tag(void **state)
{
	struct bci_fleets fs = fleets(201, 1, 2);
	struct bci_plan p;

	(void)state;
	assert_int_equal(bci_plan_make(&p, &fs, 0, 1000, "TAGGED"), 0);
	assert_int_equal(p.n, 3);
	for (size_t g = 0; g < p.n; g++) {
		size_t n = strlen(p.groups[g].filter), tail = strlen("%20and%20TAGGED");

		CHECK_STR("tail", p.groups[g].filter + n - tail, "%20and%20TAGGED");
	}
	CHECK_STR("no fleet", p.groups[2].filter, "belongs_to__application%20eq%20null%20and%20TAGGED");
	bci_plan_free(&p);
}

/* Carries a plan of one group out against the ids 3, 6, 9 ...; counts how often each is read. */
static size_t carry_out(const char *name, int64_t expected, int64_t devices, int64_t page, int *read)
{
	struct bci_fleets fs = fleets(1, 1, expected);
	struct bci_plan p;
	struct bci_work w;
	size_t requests = 0, closed = 0;

	memset(read, 0, (size_t)devices * sizeof(*read));
	assert_int_equal(bci_plan_make(&p, &fs, -1, page, ""), 0);
	while (bci_plan_next(&p, &w)) {
		int64_t count = 0;

		requests++;
		CHECK(name, closed == 0);
		if (w.ids) {
			struct bci_work other;

			CHECK_INT(name, requests, 1);
			/* What comes next is known when the ids are. */
			CHECK(name, !bci_plan_next(&p, &other));
			for (int64_t i = 0; i < devices; i++)
				assert_int_equal(bci_plan_learn_id(&p, w.group, 3 * (i + 1)), 0);
			CHECK(name, !bci_plan_finish(&p, &w));
			continue;
		}
		for (int64_t i = 0; i < devices; i++) {
			if (3 * (i + 1) <= w.after || (w.upto && 3 * (i + 1) > w.upto))
				continue;
			read[i]++;
			count++;
		}
		if (expected > page)
			CHECK(name, count <= page);
		closed += bci_plan_finish(&p, &w);
	}
	CHECK_INT(name, closed, 1);
	CHECK_INT(name, p.groups[0].state, BCI_GROUP_DONE);
	bci_plan_free(&p);
	return requests;
}

static void test_ranges(void **state)
{
	static const struct {
		const char *name;
		int64_t expected, devices, page;
		size_t requests;
	} cases[] = {
		{ "no device", 0, 0, 10, 1 },
		{ "one", 1, 1, 10, 1 },
		{ "one below a page", 9, 9, 10, 1 },
		{ "a page", 10, 10, 10, 1 },
		{ "a page and one", 11, 11, 10, 1 + 2 },
		{ "two pages less one", 19, 19, 10, 1 + 2 },
		{ "two pages", 20, 20, 10, 1 + 2 },
		{ "two pages and one", 21, 21, 10, 1 + 3 },
		{ "ten pages", 100, 100, 10, 1 + 10 },
		{ "of one", 5, 5, 1, 1 + 5 },
		{ "fewer than were expected", 11, 3, 10, 1 + 1 },
		{ "none where many were expected", 11, 0, 10, 1 + 1 },
		{ "just a page where more were expected", 25, 10, 10, 1 + 1 },
		{ "more than were expected", 11, 35, 10, 1 + 4 },
		{ "many more than were expected, in one page", 2, 35, 10, 1 },
		{ "many", 20060, 20060, 1000, 1 + 21 },
	};
	static int read[20060];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_INT(cases[i].name,
		          carry_out(cases[i].name, cases[i].expected, cases[i].devices, cases[i].page, read),
		          cases[i].requests);
		for (int64_t k = 0; k < cases[i].devices; k++)
			CHECK_INT(cases[i].name, read[k], 1);
	}
}

/* 3 x groups + ceil(devices / page) (design.md 3.2; the two are the fleet list's). */
static void test_bound(void **state)
{
	static int read[200];

	(void)state;
	for (int64_t page = 1; page <= 20; page++)
		for (int64_t devices = 0; devices <= 100; devices++)
			assert_true(carry_out("bound", devices, devices, page, read) <=
			            (size_t)(3 + (devices + page - 1) / page));
}

/* Ranges of a group that was begun go before another group's ids. */
static void test_order(void **state)
{
	struct bci_fleets fs = fleets(201, 1, 0);
	struct bci_plan p;
	struct bci_work a, b, c, d;

	(void)state;
	rows[0].counted[BCI_COUNT_ALL] = 4;
	rows[200].counted[BCI_COUNT_ALL] = 4;
	assert_int_equal(bci_plan_make(&p, &fs, 0, 2, ""), 0);
	assert_int_equal(p.n, 3);
	assert_true(bci_plan_next(&p, &a));
	assert_true(a.ids && a.group == &p.groups[0]);
	for (int64_t id = 1; id <= 4; id++)
		assert_int_equal(bci_plan_learn_id(&p, a.group, id), 0);
	assert_false(bci_plan_finish(&p, &a));
	assert_true(bci_plan_next(&p, &a) && bci_plan_next(&p, &b));
	assert_true(a.group == &p.groups[0] && a.after == 0 && a.upto == 2);
	assert_true(b.group == &p.groups[0] && b.after == 2 && b.upto == 0);
	assert_true(bci_plan_next(&p, &c));
	assert_true(c.ids && c.group == &p.groups[1]);
	/* The devices of no fleet: none expected, asked for at once. */
	assert_true(bci_plan_next(&p, &d));
	assert_true(!d.ids && d.group == &p.groups[2] && d.after == 0 && d.upto == 0);
	assert_false(bci_plan_next(&p, &d));
	/* In whatever order they end, the last one closes the group. */
	assert_false(bci_plan_finish(&p, &b));
	assert_true(bci_plan_finish(&p, &a));
	/* A group that failed gives no more work. */
	c.group->state = BCI_GROUP_FAILED;
	assert_false(bci_plan_next(&p, &d));
	bci_plan_free(&p);
	assert_int_equal(p.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_device_tag),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
