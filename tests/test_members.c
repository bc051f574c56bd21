/* SPDX-License-Identifier: MIT
 *
 * Whose a fleet is, where the members are to be learnt from, what a list of them says, and which of
 * them is this machine. */
#include "members.h"
#include "roster.h"
#include "source.h"
#include "unit.h"
#include "whoami.h"

#include <unistd.h>

#define FLEETS 20000

static struct bci_members members(const char *const *names)
{
	struct bci_members m = { 0 };

	for (; *names; names++)
		CHECK_INT(*names, bci_members_add(&m, *names, strlen(*names)), 0);
	bci_members_sort(&m);
	return m;
}

static struct bci_members numbered(size_t n)
{
	struct bci_members m = { 0 };

	assert_int_equal(bci_members_number(&m, n), 0);
	return m;
}

/* ---- whose a fleet is ---- */

/* Shards of other builds and machines must agree: these never change. */
static void test_owner_is_fixed(void **state)
{
	static const char *const names[] = { "10.0.0.1", "10.0.0.2", "web-3:9273", NULL };
	static const int64_t ids[] = { 1, 2, 3, 4, 5, 6, 7, 8, 1234567, (INT64_C(1) << 53) - 1 };
	struct bci_members named = members(names), number = numbered(10);
	char got[64] = "";

	(void)state;
	for (size_t i = 0; i < LEN(ids); i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%zu/%zu ",
		         bci_members_owner(&named, ids[i]), bci_members_owner(&number, ids[i]));
	/* Computed apart, by the definitions of FNV-1a and SplitMix64. */
	assert_string_equal(got, "2/4 1/3 2/7 1/4 0/6 2/3 0/8 0/1 0/8 2/5 ");
	/* Devices of no fleet, and fleets that nobody shares. */
	assert_int_equal(bci_members_owner(&number, 0), 0);
	assert_int_equal(bci_members_owner(&(struct bci_members){ 0 }, 7), 0);
	bci_members_free(&named);
	bci_members_free(&number);
}

/* One more takes its share from all, one less leaves its share to all, and nothing else moves. */
static void test_only_the_share_moves(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 9, 99 };

	(void)state;
	for (size_t i = 0; i < LEN(sizes); i++) {
		struct bci_members less = numbered(sizes[i]), more = numbered(sizes[i] + 1);
		double share = (double)FLEETS / (double)(sizes[i] + 1), moved = 0;

		for (int64_t id = 1; id <= FLEETS; id++) {
			size_t a = bci_members_owner(&less, id), b = bci_members_owner(&more, id);

			if (a == b)
				continue;
			CHECK_INT("to the new one", b, sizes[i]);
			moved++;
		}
		CHECK("its share", fabs(moved - share) < 5 * sqrt(share));
		bci_members_free(&less);
		bci_members_free(&more);
	}
}

static void test_shares_are_alike(void **state)
{
	struct bci_members m = numbered(10);
	double counts[10] = { 0 }, want = FLEETS / 10.0;

	(void)state;
	for (int64_t id = 1; id <= FLEETS; id++)
		counts[bci_members_owner(&m, id)]++;
	for (size_t i = 0; i < LEN(counts); i++)
		CHECK("a tenth", fabs(counts[i] - want) < 5 * sqrt(want));
	bci_members_free(&m);
}

/* The order in which a list comes, and names that come twice, change nothing. */
static void test_order(void **state)
{
	static const char *const a[] = { "c", "a", "b", "a", NULL }, *const b[] = { "a", "b", "c", NULL };
	struct bci_members x = members(a), y = members(b);

	(void)state;
	assert_int_equal(x.n, 3);
	assert_true(bci_members_equal(&x, &y));
	for (int64_t id = 0; id < 1000; id++)
		assert_int_equal(bci_members_owner(&x, id), bci_members_owner(&y, id));
	x.self = 1;
	assert_false(bci_members_equal(&x, &y));
	bci_members_free(&x);
	bci_members_free(&y);
}

static void test_bounds(void **state)
{
	char name[BCI_MEMBER_BYTES_MAX + 2];
	struct bci_members m = { 0 };

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_int_equal(bci_members_add(&m, name, BCI_MEMBER_BYTES_MAX), 0);
	assert_int_equal(bci_members_add(&m, name, BCI_MEMBER_BYTES_MAX + 1), BCRAWL_E_PROTOCOL);
	assert_int_equal(bci_members_add(&m, "", 0), BCRAWL_E_PROTOCOL);
	assert_int_equal(bci_members_add(&m, "a b", 3), BCRAWL_E_PROTOCOL);
	assert_int_equal(bci_members_add(&m, "\xc3\xa4", 2), BCRAWL_E_PROTOCOL);
	assert_int_equal(bci_members_add(&m, "a\0b", 3), BCRAWL_E_PROTOCOL);
	assert_int_equal(bci_members_number(&m, BCI_MEMBERS_MAX - 1), 0);
	assert_int_equal(bci_members_add(&m, "b", 1), BCRAWL_E_LIMIT);
	bci_members_free(&m);
}

/* ---- what options say ---- */

static void test_sources(void **state)
{
	static const struct {
		const char *text;
		int kind; /* -1: refused */
		const char *rest;
	} cases[] = {
		{ "ordinal:3", BCI_SOURCE_ORDINAL, "3" },
		{ "ordinal:1000", BCI_SOURCE_ORDINAL, "1000" },
		{ "ordinal:0", -1, "" },
		{ "ordinal:1001", -1, "" },
		{ "ordinal:99999999999999999999", -1, "" },
		{ "ordinal:3x", -1, "" },
		{ "ordinal:", -1, "" },
		{ "dns:balena.monitoring.svc.cluster.local", BCI_SOURCE_DNS,
		  "balena.monitoring.svc.cluster.local" },
		{ "dns:tasks.balena_agent", BCI_SOURCE_DNS, "tasks.balena_agent" },
		{ "dns:", -1, "" },
		{ "dns:a/b", -1, "" },
		{ "dns:a:53", -1, "" },
		{ "file:/etc/balenacrawl/members", BCI_SOURCE_FILE, "/etc/balenacrawl/members" },
		{ "file:", -1, "" },
		{ "http:http://consul:8500/v1/health/service/balena?passing", BCI_SOURCE_HTTP,
		  "http://consul:8500/v1/health/service/balena?passing" },
		{ "http://127.0.0.1:8500", BCI_SOURCE_HTTP, "http://127.0.0.1:8500" },
		{ "https://[::1]/sd", BCI_SOURCE_HTTP, "https://[::1]/sd" },
		{ "http:https://sd/", BCI_SOURCE_HTTP, "https://sd/" },
		{ "http:sd", -1, "" },
		{ "http:///sd", -1, "" },
		{ "http://", -1, "" },
		{ "http://me:secret@sd/", -1, "" },
		{ "http://sd/a b", -1, "" },
		{ "http://sd/#a", -1, "" },
		{ "etcd:x", -1, "" },
		{ "", -1, "" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_source s;
		bool good = bci_source_parse(cases[i].text, &s);

		CHECK_INT(cases[i].text, good, cases[i].kind >= 0);
		if (!good)
			continue;
		CHECK_INT(cases[i].text, s.kind, cases[i].kind);
		CHECK_STR(cases[i].text, s.text, cases[i].rest);
	}
	assert_int_equal(bci_source_base("http://sd:80/a?b"), strlen("http://sd:80"));
	assert_int_equal(bci_source_base("https://sd?b"), strlen("https://sd"));
}

static void test_shards(void **state)
{
	static const struct {
		const char *text;
		bool good;
		size_t i, n;
	} cases[] = {
		{ "0/1", true, 0, 1 }, { "2/3", true, 2, 3 },   { "999/1000", true, 999, 1000 },
		{ "3/3", false, 0, 0 }, { "0/0", false, 0, 0 }, { "1000/1001", false, 0, 0 },
		{ "-1/3", false, 0, 0 }, { "1", false, 0, 0 },  { "1/", false, 0, 0 },
		{ "/3", false, 0, 0 }, { "1/3/4", false, 0, 0 }, { " 1/3", false, 0, 0 },
	};

	(void)state;
	for (size_t k = 0; k < LEN(cases); k++) {
		size_t i = 0, n = 0;

		CHECK_INT(cases[k].text, bci_shard_parse(cases[k].text, &i, &n), cases[k].good);
		CHECK(cases[k].text, !cases[k].good || (i == cases[k].i && n == cases[k].n));
	}
}

static void test_ordinals(void **state)
{
	size_t i;

	(void)state;
	assert_true(bci_ordinal_parse("balena-2", &i) && i == 2);
	assert_true(bci_ordinal_parse("balena-10.balena.svc.cluster.local", &i) && i == 10);
	assert_true(bci_ordinal_parse("web007", &i) && i == 7);
	assert_false(bci_ordinal_parse("balena", &i));
	assert_false(bci_ordinal_parse("", &i));
	assert_false(bci_ordinal_parse("balena-99999999999", &i));
}

/* ---- what a list says ---- */

#define SERVICE(service, status)                                                                   \
	"{\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.9\"},\"Service\":{\"ID\":\"b1\"," service "},"  \
	"\"Checks\":[{\"Status\":\"passing\"},{\"Status\":\"" status "\"}]}"

static void test_rosters(void **state)
{
	static const struct {
		const char *name, *text, *want; /* want NULL: refused */
	} cases[] = {
		{ "nothing", "", "" },
		{ "blank", " \r\n\n", "" },
		{ "lines", "b\r\n# who left: c\n\n  a:9273 \nb", "a:9273 b" },
		{ "IPv6", "[fd00::1]:9273\nfd00::2\n", "[fd00::1]:9273 fd00::2" },
		{ "two words", "a\nb c\n", NULL },
		{ "a page of HTML", "<html>\n", NULL },
		{ "no targets", "[]", "" },
		{ "no targets, blank", "\n[ ]\n", "" },
		{ "targets", "[{\"targets\":[\"b:1\",\"a:1\"],\"labels\":{\"x\":\"y\"}},{\"targets\":[\"c\"]}]",
		  "a:1 b:1 c" },
		{ "targets of no text", "[{\"targets\":[1]}]", NULL },
		{ "no text", "[{\"targets\":\"a\"}]", NULL },
		{ "an entry of another kind", "[{\"targets\":[\"a\"]},{\"name\":\"b\"}]", NULL },
		{ "an entry of no kind", "[{\"targets\":[\"a\"]},null]", NULL },
		{ "cut", "[{\"targets\":[\"a\",\"b\"", NULL },
		{ "an object", "{\"targets\":[\"a\"]}", NULL },
		{ "more behind", "[{\"targets\":[\"a\"]}] x", NULL },
		{ "Consul", "[" SERVICE("\"Address\":\"10.0.0.1\",\"Port\":9273", "passing") ","
		  SERVICE("\"Address\":\"\",\"Port\":9273", "warning") ","
		  SERVICE("\"Address\":\"fd00::1\",\"Port\":1", "passing") "]",
		  "10.0.0.1:9273 10.0.0.9:9273 [fd00::1]:1" },
		{ "Consul, one is critical", "[" SERVICE("\"Address\":\"10.0.0.1\",\"Port\":9273", "critical") ","
		  SERVICE("\"Address\":\"10.0.0.2\",\"Port\":9273", "passing") "]", "10.0.0.2:9273" },
		{ "Consul without an address", "[{\"Service\":{\"Port\":1}}]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_members m = { 0 };
		const char *why = NULL;
		char got[256] = "";
		int rc = bci_roster_read(&m, cases[i].text, strlen(cases[i].text), &why);

		CHECK_INT(cases[i].name, rc, cases[i].want ? 0 : BCRAWL_E_PROTOCOL);
		CHECK(cases[i].name, cases[i].want || (why && *why));
		bci_members_sort(&m);
		for (size_t k = 0; k < m.n; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", k ? " " : "", m.rows[k].name);
		if (cases[i].want)
			CHECK_STR(cases[i].name, got, cases[i].want);
		bci_members_free(&m);
	}
}

static void test_rosters_bounds(void **state)
{
	size_t n = 0, size = 16 * (BCI_MEMBERS_MAX + 1);
	char *text = malloc(size);
	struct bci_members m = { 0 };
	const char *why = NULL;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i <= BCI_MEMBERS_MAX; i++)
		n += (size_t)snprintf(text + n, size - n, "m%d\n", i);
	assert_int_equal(bci_roster_read(&m, text, n, &why), BCRAWL_E_PROTOCOL);
	assert_string_equal(why, "names more members than there may be");
	bci_members_free(&m);
	assert_int_equal(bci_roster_read(&m, "a\0b", 3, &why), BCRAWL_E_PROTOCOL);
	bci_members_free(&m);
	free(text);
}

/* ---- who this is ---- */

static void test_whoami(void **state)
{
	static const struct {
		const char *name, *configured, *members[4];
		size_t found;
		const char *self;
	} cases[] = {
		{ "the member's text", "10.0.0.2:1", { "10.0.0.1:1", "10.0.0.2:1" }, 1, "10.0.0.2:1" },
		{ "its host", "10.0.0.2", { "10.0.0.1:1", "10.0.0.2:1" }, 1, "10.0.0.2:1" },
		{ "twins on a host", "10.0.0.2", { "10.0.0.2:1", "10.0.0.2:2" }, 2, NULL },
		{ "one of them", "10.0.0.2:2", { "10.0.0.2:1", "10.0.0.2:2" }, 1, "10.0.0.2:2" },
		{ "IPv6, written otherwise", "fd00:0::0:1", { "[fd00::1]:9", "[fd00::2]:9" }, 1, "[fd00::1]:9" },
		{ "a name", "Web-1", { "web-1:9", "web-2:9" }, 1, "web-1:9" },
		{ "short for long", "web-1", { "web-1.example.com:9", "web-2.example.com:9" }, 1,
		  "web-1.example.com:9" },
		{ "long for short", "web-2.example.com", { "web-1", "web-2" }, 1, "web-2" },
		{ "no address is short", "10", { "10.0.0.1", "10.0.0.2" }, 0, NULL },
		{ "nobody", "10.0.0.3", { "10.0.0.1", "10.0.0.2" }, 0, NULL },
		{ "by an own address", "", { "127.0.0.1:9", "198.51.100.7:9" }, 1, "127.0.0.1:9" },
		{ "several by own addresses", "", { "127.0.0.1:8", "127.0.0.1:9" }, 2, NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_members m = members(cases[i].members);
		size_t self = 0;

		CHECK_INT(cases[i].name, bci_whoami(&m, cases[i].configured, &self), cases[i].found);
		if (cases[i].self)
			CHECK_STR(cases[i].name, m.rows[self].name, cases[i].self);
		bci_members_free(&m);
	}
}

static void test_whoami_by_name(void **state)
{
	char host[BCI_HOST_BYTES_MAX + 1], member[BCI_HOST_BYTES_MAX + 8];
	const char *const names[] = { "a.invalid:9", member, NULL };
	struct bci_members m;
	size_t self;

	(void)state;
	bci_whoami_host(host);
	if (!bci_member_is_name(host, strlen(host)))
		skip();
	snprintf(member, sizeof(member), "%s:9", host);
	m = members(names);
	assert_int_equal(bci_whoami(&m, "", &self), 1);
	assert_string_equal(m.rows[self].name, member);
	bci_members_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner_is_fixed),
		cmocka_unit_test(test_only_the_share_moves),
		cmocka_unit_test(test_shares_are_alike),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_shards),
		cmocka_unit_test(test_ordinals),
		cmocka_unit_test(test_rosters),
		cmocka_unit_test(test_rosters_bounds),
		cmocka_unit_test(test_whoami),
		cmocka_unit_test(test_whoami_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
