/* SPDX-License-Identifier: MIT
 *
 * Rankings: who gets a name, who keeps it, and that nothing is lost: the parts are the devices. */
#include "limits.h"
#include "ranking.h"
#include "unit.h"

#define KEY 7

/* One crawl's ranking after another. */
struct env {
	struct bci_ranking r;
	struct bci_names last, now;
	struct bci_naming naming;
};

static void env_init(struct env *e, size_t top)
{
	*e = (struct env){ 0 };
	e->naming = (struct bci_naming){ top, &e->last, &e->now };
}

static void env_fini(struct env *e)
{
	bci_ranking_free(&e->r);
	bci_names_free(&e->last);
	bci_names_free(&e->now);
}

static void add(struct env *e, const char *value, size_t times)
{
	for (size_t i = 0; i < times; i++)
		CHECK_INT(value ? value : "NULL", bci_ranking_add(&e->r, value), 0);
}

/* "a3 b1": the counts of values; "-" is no value. */
static void add_all(struct env *e, const char *spec)
{
	char word[64];
	int n;

	for (; sscanf(spec, " %63[^0-9 ]%d", word, &n) == 2; spec += strcspn(spec, " ")) {
		add(e, strcmp(word, "-") == 0 ? NULL : word, (size_t)n);
		spec += strspn(spec, " ");
	}
}

/* What is named, in the order of rank, then other and none: "a3 b1 other0 none2". */
static const char *parts(const struct env *e)
{
	static char text[4096];
	size_t used = 0;

	for (size_t i = 0; i < e->r.n; i++)
		if (e->r.rows[i].named)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%llu ", e->r.rows[i].value,
			                         (unsigned long long)e->r.rows[i].n);
	snprintf(text + used, sizeof(text) - used, "other%llu none%llu", (unsigned long long)e->r.other,
	         (unsigned long long)e->r.none);
	return text;
}

static void test_order(void **state)
{
	static const struct {
		const char *name, *spec;
		size_t top;
		const char *want;
	} cases[] = {
		{ "nothing", "", 3, "other0 none0" },
		{ "one", "a1", 3, "a1 other0 none0" },
		{ "by count", "a1 b3 c2", 3, "b3 c2 a1 other0 none0" },
		{ "then by bytes", "b2 a2 B2 c2", 4, "B2 a2 b2 c2 other0 none0" },
		{ "bytes are not signed", "\xc3\xbc" "1 z1", 2, "z1 \xc3\xbc" "1 other0 none0" },
		{ "a start of another", "ab1 a1 abc1", 3, "a1 ab1 abc1 other0 none0" },
		{ "top", "a1 b3 c2", 2, "b3 c2 other1 none0" },
		{ "the tie at the edge", "d1 c1 b1 a2", 2, "a2 b1 other2 none0" },
		{ "top 1", "a1 b3 c2", 1, "b3 other3 none0" },
		{ "none is none", "-4 a1", 1, "a1 other0 none4" },
		{ "none is not ranked", "-4 a1 b1", 1, "a1 other1 none4" },
		{ "no values at all", "-4", 1, "other0 none4" },
		{ "one after another", "a1 b1 a1 b1 a1", 1, "a3 other2 none0" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, cases[i].top);
		add_all(&e, cases[i].spec);
		CHECK_INT(cases[i].name, bci_ranking_choose(&e.r, KEY, NULL, &e.naming), 0);
		CHECK_STR(cases[i].name, parts(&e), cases[i].want);
		env_fini(&e);
	}
}

/* Before it was chosen the rows are in the order of bytes, and nothing is other. */
static void test_before_choice(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, 1);
	add_all(&e, "b1 a2 c3 -1");
	assert_int_equal(e.r.n, 3);
	assert_string_equal(e.r.rows[0].value, "a");
	assert_string_equal(e.r.rows[1].value, "b");
	assert_string_equal(e.r.rows[2].value, "c");
	assert_int_equal(e.r.other, 0);
	assert_int_equal(e.r.none, 1);
	env_fini(&e);
}

/* The target is named wherever it stands, and takes no other's place. */
static void test_always(void **state)
{
	static const struct {
		const char *name, *spec, *always;
		size_t top;
		const char *want;
	} cases[] = {
		{ "at 0", "a2 b1", "t", 2, "a2 b1 t0 other0 none0" },
		{ "at 0, of an empty fleet", "", "t", 2, "t0 other0 none0" },
		{ "inside", "a1 t3", "t", 2, "t3 a1 other0 none0" },
		{ "outside", "a3 b2 t1", "t", 2, "a3 b2 t1 other0 none0" },
		{ "far outside", "a5 b4 c3 d2 t1", "t", 1, "a5 t1 other9 none0" },
		{ "at 0, and others at the edge", "b1 c1", "a", 1, "b1 a0 other1 none0" },
		{ "at 0, at a tie of counts the others' place is not taken", "b1 c1 d1", "a", 2, "b1 c1 a0 other1 none0" },
		{ "not told", "a1", NULL, 1, "a1 other0 none0" },
		{ "empty", "a1", "", 1, "a1 other0 none0" },
		{ "another's name", "a1 -2", "none", 1, "a1 other0 none2" },
		{ "the rest's name", "a1 b1", "other", 1, "a1 other1 none0" },
		{ "as a label would have it", "a1", "x\ny", 1, "a1 x y0 other0 none0" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, cases[i].top);
		add_all(&e, cases[i].spec);
		CHECK_INT(cases[i].name, bci_ranking_choose(&e.r, KEY, cases[i].always, &e.naming), 0);
		CHECK_STR(cases[i].name, parts(&e), cases[i].want);
		env_fini(&e);
	}
}

/* A value that has a name keeps it while it is among the first 2 x top. */
static void test_hysteresis(void **state)
{
	static const struct {
		const char *name;
		size_t top;
		const char *always;
		struct {
			const char *spec;
			bool partial; /* not all rankings of the crawl were made */
			bool absent;  /* this one was not made */
			const char *want;
		} crawls[5];
	} cases[] = {
		{ "stays while in the first 2N, and goes when not", 1, NULL,
		  { { "a3 b2", false, false, "a3 other2 none0" },
		    { "a2 b3", false, false, "b3 a2 other0 none0" },
		    { "a2 b3 c1", false, false, "b3 a2 other1 none0" },
		    { "a1 b3 c2", false, false, "b3 other3 none0" },
		    /* Gone is gone: it is second, but has no name to keep. */
		    { "a2 b3", false, false, "b3 other2 none0" } } },
		{ "a tie does not change names to and fro", 1, NULL,
		  { { "b2 a1", false, false, "b2 other1 none0" },
		    { "b2 a2", false, false, "a2 b2 other0 none0" },
		    { "b2 a1", false, false, "b2 a1 other0 none0" } } },
		{ "2 x top", 2, NULL,
		  { { "a9 b8 c7 d6 e5", false, false, "a9 b8 other18 none0" },
		    { "a6 b5 c9 d8 e7", false, false, "c9 d8 a6 other12 none0" } } },
		{ "the last of the first 2 x top", 2, NULL,
		  { { "a9 b8", false, false, "a9 b8 other0 none0" },
		    { "a6 b1 c9 d8", false, false, "c9 d8 a6 b1 other0 none0" },
		    { "a6 b1 c9 d8 e2", false, false, "c9 d8 a6 other3 none0" } } },
		{ "a value that nobody has any more has no name", 2, NULL,
		  { { "a1", false, false, "a1 other0 none0" }, { "b1", false, false, "b1 other0 none0" },
		    { "", false, false, "other0 none0" } } },
		{ "a crawl in parts keeps what was named", 1, NULL,
		  { { "a3 b2", false, false, "a3 other2 none0" },
		    { "", true, true, NULL },
		    { "a2 b3", false, false, "b3 a2 other0 none0" } } },
		{ "and two of them", 1, NULL,
		  { { "a3 b2", false, false, "a3 other2 none0" },
		    { "", true, true, NULL },
		    { "", true, true, NULL },
		    { "a2 b3", false, false, "b3 a2 other0 none0" } } },
		{ "a whole crawl without it forgets", 1, NULL,
		  { { "a3 b2", false, false, "a3 other2 none0" },
		    { "", false, true, NULL },
		    { "a2 b3", false, false, "b3 other2 none0" } } },
		{ "a crawl in parts adds what it named", 1, NULL,
		  { { "a3 b2", false, false, "a3 other2 none0" },
		    { "a2 b3 c1", true, false, "b3 a2 other1 none0" },
		    { "b1 c2", false, false, "c2 b1 other0 none0" } } },
		{ "a target of once has a name to keep", 1, "t",
		  { { "a3 t1", false, false, "a3 t1 other0 none0" },
		    { "a3 t1", false, false, "a3 t1 other0 none0" } } },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, cases[i].top);
		for (size_t k = 0; k < LEN(cases[i].crawls) && cases[i].crawls[k].spec; k++) {
			char name[128];

			snprintf(name, sizeof(name), "%s, crawl %zu", cases[i].name, k);
			bci_ranking_free(&e.r);
			if (!cases[i].crawls[k].absent) {
				add_all(&e, cases[i].crawls[k].spec);
				CHECK_INT(name, bci_ranking_choose(&e.r, KEY, k == 0 ? cases[i].always : NULL,
				                                   &e.naming), 0);
				CHECK_STR(name, parts(&e), cases[i].crawls[k].want);
			}
			CHECK_INT(name, bci_names_turn(&e.last, &e.now, !cases[i].crawls[k].partial), 0);
			CHECK_INT(name, e.now.n, 0);
		}
		env_fini(&e);
	}
}

/* A name in one ranking is none in another. */
static void test_keys(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, 1);
	add_all(&e, "a3");
	assert_int_equal(bci_ranking_choose(&e.r, KEY, NULL, &e.naming), 0);
	assert_int_equal(bci_names_turn(&e.last, &e.now, true), 0);
	assert_int_equal(e.last.n, 1);
	bci_ranking_free(&e.r);
	add_all(&e, "a1 b3");
	assert_int_equal(bci_ranking_choose(&e.r, KEY + 1, NULL, &e.naming), 0);
	assert_string_equal(parts(&e), "b3 other1 none0");
	bci_ranking_free(&e.r);
	add_all(&e, "a1 b3");
	assert_int_equal(bci_ranking_choose(&e.r, KEY, NULL, &e.naming), 0);
	assert_string_equal(parts(&e), "b3 a1 other0 none0");
	env_fini(&e);
}

/* Names do not grow from crawl to crawl, partial ones included. */
static void test_names_are_bounded(void **state)
{
	struct env e;

	(void)state;
	env_init(&e, 2);
	/* New values in each crawl, and never a whole one: what this ranking has no more is gone, and
	 * what another had, which was not made since, is there. */
	bci_ranking_free(&e.r);
	add_all(&e, "x2 y1");
	assert_int_equal(bci_ranking_choose(&e.r, KEY + 1, NULL, &e.naming), 0);
	assert_int_equal(bci_names_turn(&e.last, &e.now, true), 0);
	for (int i = 0; i < 1000; i++) {
		char values[64];

		snprintf(values, sizeof(values), "a%c%c3 b%c%c2 c1", 'a' + i / 26 % 26, 'a' + i % 26,
		         'a' + i / 26 % 26, 'a' + i % 26);
		bci_ranking_free(&e.r);
		add_all(&e, values);
		assert_int_equal(bci_ranking_choose(&e.r, KEY, NULL, &e.naming), 0);
		assert_int_equal(bci_names_turn(&e.last, &e.now, false), 0);
		assert_in_range(e.last.n, 4, 5);
	}
	bci_ranking_free(&e.r);
	assert_int_equal(bci_names_turn(&e.last, &e.now, true), 0);
	assert_int_equal(e.last.n, 0);
	env_fini(&e);
}

/* A value as a label may hold it: what has no name of its own must not take another's. */
static void test_odd_values(void **state)
{
	static char longest[BCI_RANKED_BYTES_MAX + 9], cut[BCI_RANKED_BYTES_MAX + 1];
	const struct {
		const char *name, *values[3];
		const char *want_value; /* NULL: none is named */
		uint64_t count, other, none;
	} cases[] = {
		{ "other is the rest", { "other", "a" }, "a", 1, 1, 0 },
		{ "none is none", { "none", "a" }, "a", 1, 0, 1 },
		{ "empty is none", { "", "a" }, "a", 1, 0, 1 },
		{ "Other is a name", { "Other" }, "Other", 1, 0, 0 },
		{ "a newline is a blank", { "a\nb" }, "a b", 1, 0, 0 },
		{ "two that are one as labels", { "a\nb", "a\tb" }, "a b", 2, 0, 0 },
		{ "and the label itself", { "a b", "a\nb", "a b" }, "a b", 3, 0, 0 },
		{ "the label, afterwards", { "a\nb", "a b" }, "a b", 2, 0, 0 },
		{ "no UTF-8", { "a\xff", "a\xfe" }, "a\xef\xbf\xbd", 2, 0, 0 },
		{ "UTF-8", { "\xc3\xbc", "\xc3\xbc" }, "\xc3\xbc", 2, 0, 0 },
		{ "the longest there is", { cut }, cut, 1, 0, 0 },
		{ "too long has no name", { longest }, NULL, 0, 1, 0 },
		{ "nor takes that of its beginning", { cut, longest }, cut, 1, 1, 0 },
	};

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	memset(cut, 'x', sizeof(cut) - 1);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;

		env_init(&e, 5);
		for (size_t k = 0; k < 3 && cases[i].values[k]; k++)
			CHECK_INT(cases[i].name, bci_ranking_add(&e.r, cases[i].values[k]), 0);
		CHECK_INT(cases[i].name, bci_ranking_choose(&e.r, KEY, NULL, &e.naming), 0);
		CHECK_INT(cases[i].name, e.r.n, cases[i].want_value ? 1 : 0);
		CHECK_STR(cases[i].name, e.r.n ? e.r.rows[0].value : NULL, cases[i].want_value);
		CHECK_INT(cases[i].name, e.r.n ? e.r.rows[0].n : 0, cases[i].count);
		CHECK_INT(cases[i].name, e.r.other, cases[i].other);
		CHECK_INT(cases[i].name, e.r.none, cases[i].none);
		env_fini(&e);
	}
}

/* More distinct values than are kept: the rest is other, and those that are kept go on counting. */
static void test_too_many(void **state)
{
	enum { MORE = 100 };
	uint64_t sum = 0, named = 0;
	struct env e;
	char value[32];

	(void)state;
	env_init(&e, 3);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < BCI_RANKING_MAX + MORE; i++) {
			snprintf(value, sizeof(value), "v%05d", i);
			assert_int_equal(bci_ranking_add(&e.r, value), 0);
		}
	}
	assert_int_equal(e.r.n, BCI_RANKING_MAX);
	assert_int_equal(e.r.other, 2 * MORE);
	/* A target among those that were not kept is named, though its devices were not counted. */
	snprintf(value, sizeof(value), "v%05d", BCI_RANKING_MAX + 1);
	assert_int_equal(bci_ranking_choose(&e.r, KEY, value, &e.naming), 0);
	assert_int_equal(e.r.n, BCI_RANKING_MAX + 1);
	for (size_t i = 0; i < e.r.n; i++) {
		named += e.r.rows[i].named;
		sum += e.r.rows[i].named ? e.r.rows[i].n : 0;
	}
	assert_int_equal(named, 4);
	assert_int_equal(sum + e.r.other + e.r.none, 2 * (BCI_RANKING_MAX + MORE));
	env_fini(&e);
	/* One that was reserved is, however many come before it. */
	env_init(&e, 3);
	assert_int_equal(bci_ranking_reserve(&e.r, "target"), 0);
	for (int i = 0; i < BCI_RANKING_MAX + MORE; i++) {
		snprintf(value, sizeof(value), "v%05d", i);
		assert_int_equal(bci_ranking_add(&e.r, value), 0);
	}
	for (int i = 0; i < 7; i++)
		assert_int_equal(bci_ranking_add(&e.r, "target"), 0);
	assert_int_equal(bci_ranking_choose(&e.r, KEY, "target", &e.naming), 0);
	assert_string_equal(e.r.rows[0].value, "target");
	assert_int_equal(e.r.rows[0].n, 7);
	assert_true(e.r.rows[0].named);
	assert_int_equal(e.r.other, BCI_RANKING_MAX + MORE - 2);
	env_fini(&e);
}

/* ---- against a naive model ---- */

enum { VALUES = 30 };

static uint64_t dice;

/* xorshift64: the same numbers on every machine. */
static size_t throw_dice(size_t sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (size_t)(dice % sides);
}

static const char *value_name(size_t i)
{
	static char name[2][16];
	static size_t turn;

	turn = !turn;
	/* Not in the order of their numbers. */
	snprintf(name[turn], sizeof(name[turn]), "%c%zu", (char)('a' + i * 7 % 26), i);
	return name[turn];
}

/* The place of value i by count descending, then bytes: how many are before it. */
static size_t place(const uint64_t *count, size_t i)
{
	size_t before = 0;

	for (size_t k = 0; k < VALUES; k++) {
		if (k == i || count[k] == 0)
			continue;
		before += count[k] > count[i] ||
		          (count[k] == count[i] && strcmp(value_name(k), value_name(i)) < 0);
	}
	return before;
}

static const struct bci_rank *row_of(const struct bci_ranking *r, const char *value)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->rows[i].value, value) == 0)
			return &r->rows[i];
	return NULL;
}

static void test_model(void **state)
{
	(void)state;
	dice = 0x9e3779b97f4a7c15u;
	for (int run = 0; run < 300; run++) {
		bool had[VALUES] = { false };
		size_t top = 1 + throw_dice(8), values = 1 + throw_dice(VALUES);
		struct env e;

		env_init(&e, top);
		for (int crawl = 0; crawl < 5; crawl++) {
			uint64_t count[VALUES] = { 0 }, none = 0, other = 0, sum = 0;
			size_t devices = throw_dice(120), target = throw_dice(2 * VALUES);
			char name[64];

			bci_ranking_free(&e.r);
			snprintf(name, sizeof(name), "run %d, crawl %d", run, crawl);
			for (size_t d = 0; d < devices; d++) {
				size_t v = throw_dice(values + 1);

				/* The squares of evenly spread numbers are not evenly spread. */
				v = v == values ? VALUES : v * v / values;
				if (v == VALUES)
					none++;
				else
					count[v]++;
				CHECK_INT(name, bci_ranking_add(&e.r, v == VALUES ? NULL : value_name(v)), 0);
			}
			CHECK_INT(name, bci_ranking_choose(&e.r, KEY, target < VALUES ? value_name(target) : NULL,
			                                   &e.naming), 0);
			for (size_t v = 0; v < VALUES; v++) {
				size_t at = place(count, v);
				bool named = v == target ||
				             (count[v] && (at < top || (at < 2 * top && had[v])));
				const struct bci_rank *row = row_of(&e.r, value_name(v));

				CHECK_INT(name, row && row->named, named);
				CHECK_INT(name, row ? row->n : 0, count[v]);
				other += named ? 0 : count[v];
				had[v] = named;
			}
			CHECK_INT(name, e.r.other, other);
			CHECK_INT(name, e.r.none, none);
			for (size_t i = 0; i < e.r.n; i++)
				sum += e.r.rows[i].named ? e.r.rows[i].n : 0;
			CHECK_INT(name, sum + e.r.other + e.r.none, devices);
			CHECK_INT(name, bci_names_turn(&e.last, &e.now, true), 0);
		}
		env_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_before_choice),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_names_are_bounded),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("ranking", tests, NULL, NULL);
}
