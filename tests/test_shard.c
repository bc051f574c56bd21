/* SPDX-License-Identifier: MIT
 *
 * Whole crawls that share the fleets: nothing twice, nothing lacking, and never a gap while members
 * come, go and cannot be learnt. */
#include "crawl_env.h"
#include "loopback.h"

#include <unistd.h>

#define MOVES "balena_shard_moves_total{account=\"default\"}"
#define ERRORS "balena_shard_membership_errors_total{account=\"default\"}"

static char list_path[64];

static void write_list(const char *text)
{
	FILE *f = fopen(list_path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int make_list(void **state)
{
	int fd;

	(void)state;
	snprintf(list_path, sizeof(list_path), "/tmp/balenacrawl-list-XXXXXX");
	fd = mkstemp(list_path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_list(void **state)
{
	(void)state;
	return unlink(list_path);
}

/* A member of the list, as it is called there, over an account of 201 fleets. */
static void member_begin(struct env *e, const char *self)
{
	char source[80];
	const char *options[] = { "shard-members", source, "shard-self", self, NULL };

	snprintf(source, sizeof(source), "file:%s", list_path);
	env_init(e, self, options);
	many(e);
}

/* How many fleets were crawled, and that each of them was asked for and no other. */
static size_t crawled(const struct env *e)
{
	size_t n = 0;

	for (int i = 0; i < MANY; i++) {
		double success = fleet_value(e, "balena_fleet_crawl_success", many_slugs[i], "");

		if (isnan(success))
			continue;
		CHECK_NUM(many_slugs[i], success, 1);
		n++;
	}
	CHECK_NUM(e->name, value(e, CRAWL("fleets")), (double)n);
	CHECK_INT(e->name, fake_sink_count(&e->sink, "balena_fleet_crawl_success{"), n);
	return n;
}

static bool has(const struct env *e, int fleet)
{
	return !isnan(fleet_value(e, "balena_fleet_crawl_success", many_slugs[fleet], ""));
}

static const char *last_line(const struct env *e)
{
	return e->log_lines ? e->log[e->log_lines - 1] : "";
}

/* ---- what each crawls ---- */

/* The series of all shards are those of one that crawls everything: each once, with the same value. */
static void test_union(void **state)
{
	static const int sizes[] = { 1, 2, 3, 10 };
	struct env whole;

	(void)state;
	env_init(&whole, "unsharded", NULL);
	many(&whole);
	CHECK_INT("unsharded", run(&whole), 0);
	for (size_t k = 0; k < LEN(sizes); k++) {
		size_t series = 0, of_crawl = 0, asked = 0;

		for (int i = 0; i < sizes[k]; i++) {
			char shard[32];
			const char *options[] = { "shard", shard, NULL };
			struct env e;

			snprintf(shard, sizeof(shard), "%d/%d", i, sizes[k]);
			env_init(&e, shard, options);
			many(&e);
			CHECK_INT(shard, run(&e), 0);
			CHECK(shard, crawled(&e) > 0);
			CHECK_NUM(shard, value(&e, CRAWL("shard_index")), i);
			CHECK_NUM(shard, value(&e, CRAWL("shards")), sizes[k]);
			for (size_t s = 0; s < e.sink.n; s++) {
				const struct fake_series *one = &e.sink.series[s];

				if (strstr(one->name, "account=")) {
					of_crawl++;
					continue;
				}
				CHECK_NUM(one->name, fake_sink_value(&whole.sink, one->name), one->value);
				series++;
			}
			/* Devices of no fleet: of the first alone. */
			CHECK_INT(shard, fake_count(&e.net, ORPHANS), i == 0);
			asked += fake_count(&e.net, DEVICES);
			env_fini(&e);
		}
		/* None lacking, and, as none is another's, none twice. */
		CHECK_INT("all", series, whole.sink.n - of_crawl / (size_t)sizes[k]);
		CHECK("requests", asked <= (size_t)sizes[k] + 2);
	}
	env_fini(&whole);
}

/* The budget is for all; what was spent stays spent when the members change. */
static void test_budget(void **state)
{
	static const struct {
		const char *budget;
		double per_minute;
	} cases[] = { { "true", 30 }, { "false", 120 } };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *options[] = { "shard", "1/4", "requests-per-minute", "120", "shard-budget",
			                  cases[i].budget, NULL };
		struct env e;

		env_init(&e, cases[i].budget, options);
		CHECK_INT(e.name, run(&e), 0);
		CHECK_NUM(e.name, e.c->gate.per_minute, cases[i].per_minute);
		CHECK_NUM(e.name, e.c->gate.most, cases[i].per_minute);
		CHECK(e.name, e.c->gate.tokens <= cases[i].per_minute - 4);
		env_fini(&e);
	}
}

static void test_ordinal(void **state)
{
	const char *options[] = { "shard-members", "ordinal:3", "shard-self", "balena-1", NULL };
	const char *high[] = { "shard-members", "ordinal:3", "shard-self", "balena-3", NULL };
	const char *nameless[] = { "shard-members", "ordinal:3", "shard-self", "balena", NULL };
	const char *fixed[] = { "shard", "1/3", NULL };
	struct env e, same;

	(void)state;
	env_init(&e, "ordinal", options);
	env_init(&same, "1/3", fixed);
	many(&e);
	many(&same);
	CHECK_INT("ordinal", run(&e), 0);
	CHECK_INT("1/3", run(&same), 0);
	for (int i = 0; i < MANY; i++)
		CHECK_INT(many_slugs[i], has(&e, i), has(&same, i));
	env_fini(&same);
	env_fini(&e);

	env_init(&e, "a number too high", high);
	CHECK_INT(e.name, run(&e), 0);
	CHECK_NUM(e.name, value(&e, ERRORS), 1);
	CHECK(e.name, strstr(e.log[0], "balena-3: the host's number is not below that of the members"));
	env_fini(&e);
	env_init(&e, "no number", nameless);
	CHECK_INT(e.name, run(&e), 0);
	CHECK(e.name, strstr(e.log[0], "does not end in a number"));
	env_fini(&e);
}

/* ---- members come and go ---- */

/* A fleet that goes to another is crawled once more; one that comes at once; each is counted once. */
static void test_hand_over(void **state)
{
	bool first[MANY];
	struct env e;
	size_t both, alone, went = 0;

	(void)state;
	write_list("a\nb\n");
	member_begin(&e, "a");
	CHECK_INT("two", run(&e), 0);
	both = crawled(&e);
	CHECK("a share", both > MANY / 3 && both < 2 * MANY / 3);
	CHECK_NUM("a start is no move", value(&e, MOVES), 0);
	for (int i = 0; i < MANY; i++)
		first[i] = has(&e, i);

	write_list("c\nb\na\n");
	CHECK_INT("three", run(&e), 0);
	CHECK_INT("none is dropped yet", crawled(&e), both);
	CHECK_NUM("three", value(&e, CRAWL("shards")), 3);
	CHECK_INT("three", run(&e), 0);
	for (int i = 0; i < MANY; i++) {
		CHECK("none comes as another joins", first[i] || !has(&e, i));
		went += first[i] && !has(&e, i);
	}
	CHECK("a third of them", went > both / 6 && went < both / 2);
	CHECK_INT("three", crawled(&e), both - went);
	CHECK_NUM("each is counted once", value(&e, MOVES), (double)went);
	CHECK("said", strstr(last_line(&e), "shard 0 of 3 now, 0 of 2 before: 0 fleets came, "));
	CHECK_INT("said once", e.log_lines, 1);

	write_list("a\n");
	CHECK_INT("alone", run(&e), 0);
	alone = crawled(&e);
	CHECK_INT("all at once", alone, MANY);
	CHECK_INT("alone", run(&e), 0);
	CHECK_INT("alone", crawled(&e), MANY);
	CHECK_NUM("alone", value(&e, MOVES), (double)(went + MANY - (both - went)));
	CHECK_NUM("no trouble", value(&e, ERRORS), 0);
	env_fini(&e);
}

/* A crawl that fails has handed nothing over, and members may change again before one succeeds. */
static void test_hand_over_waits(void **state)
{
	bool first[MANY];
	struct env e;

	(void)state;
	write_list("a\nb\n");
	member_begin(&e, "a");
	CHECK_INT("two", run(&e), 0);
	for (int i = 0; i < MANY; i++)
		first[i] = has(&e, i);
	write_list("a\nb\nc\n");
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = TRIES, .status = 503 });
	CHECK("no list", run(&e) != 0);
	CHECK_NUM("no list", value(&e, MOVES), 0);
	fake_forget(&e.net);
	write_list("a\nb\nc\nd\n");
	CHECK_INT("once more", run(&e), 0);
	for (int i = 0; i < MANY; i++)
		CHECK(many_slugs[i], !first[i] || has(&e, i));
	CHECK_INT("gone", run(&e), 0);
	CHECK("gone", crawled(&e) < MANY / 3);
	env_fini(&e);
}

/* Devices of no fleet are handed over like a fleet. */
static void test_hand_over_of_none(void **state)
{
	struct env e;

	(void)state;
	write_list("b\nc\n");
	member_begin(&e, "b");
	CHECK_INT("the first", run(&e), 0);
	CHECK_INT("the first", fake_count(&e.net, ORPHANS), 1);
	write_list("a\nb\nc\n");
	CHECK_INT("once more", run(&e), 0);
	CHECK_INT("once more", fake_count(&e.net, ORPHANS), 2);
	CHECK_INT("no more", run(&e), 0);
	CHECK_INT("no more", fake_count(&e.net, ORPHANS), 2);
	env_fini(&e);
}

/* A tag that nothing carries is told by one of all: whoever reads the devices of no fleet. */
static void test_unmatched_tag(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		char shard[8];
		const char *options[] = { "shard", shard, "device-tag", "site=nowhere", NULL };
		static const struct fake_fleet fleets[] = { { 1, "acme/a", NULL }, { 2, "acme/b", NULL },
			                                    { 3, "acme/c", NULL } };
		struct env e;

		snprintf(shard, sizeof(shard), "%d/2", i);
		env_init(&e, shard, options);
		e.world = (struct fake_world){ fleets, LEN(fleets), NULL, 0, CLOUD_FIELDS, false };
		CHECK_INT(shard, run(&e), 0);
		CHECK_NUM(shard, value(&e, CRAWL("unmatched_patterns")), i == 0);
		env_fini(&e);
	}
}

/* ---- members that cannot be learnt ---- */

static void test_lost(void **state)
{
	static const struct {
		const char *name, *list, *says; /* list NULL: no file */
	} cases[] = {
		{ "empty", "", "it names no member" },
		{ "an empty list", "[]", "it names no member" },
		{ "without us", "b\nc\n", "0 of its 2 members may be this instance: set shard-self" },
		{ "not to be read", "a b\n", "the file names a member by what is no name" },
		{ "cut", "[{\"targets\":[\"a\"", "the file is no whole JSON list" },
		{ "gone", NULL, "cannot read the file: No such file or directory" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct env e;
		size_t share;

		write_list("a\nb\n");
		member_begin(&e, "a");
		CHECK_INT(cases[i].name, run(&e), 0);
		share = crawled(&e);
		if (cases[i].list)
			write_list(cases[i].list);
		else
			unlink(list_path);
		for (int k = 1; k <= 3; k++) {
			CHECK_INT(cases[i].name, run(&e), 0);
			CHECK_INT(cases[i].name, crawled(&e), share);
			CHECK_NUM(cases[i].name, value(&e, ERRORS), k);
			CHECK_NUM(cases[i].name, value(&e, CRAWL("shards")), 2);
		}
		CHECK_INT(cases[i].name, e.log_lines, 1);
		CHECK(e.log[0], strstr(e.log[0], cases[i].says));
		CHECK(e.log[0], strstr(e.log[0], "; this goes on as shard 0 of 2"));
		write_list("a\nb\n");
		CHECK_INT(cases[i].name, run(&e), 0);
		CHECK_INT(cases[i].name, e.log_lines, 2);
		CHECK_STR(cases[i].name, e.log[1], "shard-members: the members are known again");
		CHECK_NUM(cases[i].name, value(&e, MOVES), 0);
		env_fini(&e);
	}
}

/* Until there was a good list all is crawled: better twice than not at all. */
static void test_not_known_yet(void **state)
{
	struct env e;
	size_t share;

	(void)state;
	write_list("b\n");
	member_begin(&e, "a");
	CHECK_INT("not known", run(&e), 0);
	CHECK_INT("not known", crawled(&e), MANY);
	CHECK_NUM("not known", value(&e, CRAWL("shards")), NAN);
	CHECK_NUM("not known", value(&e, CRAWL("shard_index")), NAN);
	CHECK_NUM("not known", value(&e, ERRORS), 1);
	CHECK(e.log[0], strstr(e.log[0], "; all fleets are crawled until the members are known"));
	/* The others may not have begun with theirs. */
	write_list("a\nb\n");
	CHECK_INT("known", run(&e), 0);
	CHECK_INT("known", crawled(&e), MANY);
	CHECK_NUM("known", value(&e, CRAWL("shards")), 2);
	CHECK_INT("known", run(&e), 0);
	share = crawled(&e);
	CHECK("known", share < MANY);
	CHECK_NUM("known", value(&e, MOVES), (double)(MANY - share));
	CHECK("known", strstr(last_line(&e), "shard 0 of 2 now, 0 of 1 before: 0 fleets came, "));
	env_fini(&e);
}

/* What was asked for of a check is no trouble of a crawl. */
static void test_lost_in_a_check(void **state)
{
	struct env e;

	(void)state;
	write_list("");
	member_begin(&e, "a");
	CHECK_INT("check", bcrawl_check(e.c, on_log, &e, &e.err), 0);
	e.log_lines = 0;
	CHECK_INT("crawl", run(&e), 0);
	CHECK_NUM("crawl", value(&e, ERRORS), 1);
	CHECK_INT("crawl", e.log_lines, 1);
	env_fini(&e);
}

/* ---- a list by HTTP ---- */

#define SOURCE "/v1?token=t0ps3cr3t"
#define TWO "[{\"targets\":[\"a:9\",\"b:9\"]}]"

/* Both servers are behind one network here. */
static void http_begin(struct env *e, const char *deadline_s)
{
	const char *options[] = { "shard-members", "http://sd" SOURCE, "shard-self", "a:9", "deadline",
		                  deadline_s, NULL };

	env_init(e, "http", options);
	many(e);
	e->c->shard.source = e->c->transport;
	e->c->shard.target = strdup(SOURCE);
}

static void test_http(void **state)
{
	struct env e;
	size_t share;

	(void)state;
	http_begin(&e, "60");
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .body = TWO });
	CHECK_INT("asked", run(&e), 0);
	share = crawled(&e);
	CHECK("asked", share < MANY);
	/* It is told nothing of ours, and does not count as the API. */
	assert_string_equal(e.net.log[0].target, SOURCE);
	assert_null(e.net.log[0].token);
	CHECK_NUM("asked", fake_sink_sum(&e.sink, "balena_api_requests_total{"),
	          (double)e.net.log_count - 1);
	fake_forget(&e.net);
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .status = 500, .body = "" });
	CHECK_INT("500", run(&e), 0);
	CHECK("500", strstr(last_line(&e), "shard-members http://sd/v1: scripted failure; this goes on"));
	fake_forget(&e.net);
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .hang = true, .body = "" });
	CHECK_INT("no answer", run(&e), 0);
	CHECK_INT("all the same", crawled(&e), share);
	CHECK_NUM("two", value(&e, ERRORS), 2);
	env_fini(&e);
}

/* One that has just started is in the list a little later, and need not crawl all for that. */
static void test_joins(void **state)
{
	struct env e;

	(void)state;
	http_begin(&e, "60");
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 3, .body = "[{\"targets\":[\"b:9\"]}]" });
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .body = TWO });
	CHECK_INT("joins", run(&e), 0);
	CHECK("joins", crawled(&e) < MANY);
	CHECK_NUM("joins", value(&e, CRAWL("shards")), 2);
	CHECK_NUM("joins", value(&e, ERRORS), 0);
	CHECK_INT("joins", e.log_lines, 0);
	assert_in_range(e.net.log[3].at - e.net.log[0].at, 3 * BCI_MEMBERS_AGAIN_MS, 3 * BCI_MEMBERS_AGAIN_MS + 100);
	env_fini(&e);
}

/* It takes no more than a part of a crawl, however short that is. */
static void test_short_deadline(void **state)
{
	struct env e;

	(void)state;
	http_begin(&e, "4");
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .hang = true, .body = "" });
	CHECK_INT("deadline", run(&e), 0);
	CHECK_INT("deadline", crawled(&e), MANY);
	CHECK_NUM("deadline", value(&e, ERRORS), 1);
	env_fini(&e);
}

/* A stop ends the wait for a list, too. */
static void test_http_stop(void **state)
{
	struct env e;

	(void)state;
	http_begin(&e, "60");
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .hang = true, .body = "" });
	e.stop_at = 2;
	CHECK_INT("stopped", run(&e), BCRAWL_E_STOPPED);
	CHECK_INT("nothing was asked of the API", e.net.log_count, 1);
	env_fini(&e);
	http_begin(&e, "60");
	fake_rule(&e.net, (struct fake_rule){ .match = SOURCE, .times = 1, .body = "[{\"targets\":[\"b:9\"]}]" });
	e.stop_at = 2;
	CHECK_INT("stopped", run(&e), BCRAWL_E_STOPPED);
	CHECK_INT("nothing was asked of the API", e.net.log_count, 1);
	env_fini(&e);
}

/* ---- real sources, beside a scripted API ---- */

static char *answer(void *user, const char *target)
{
	const char *text = *(const char **)user;

	return text && strcmp(target, "/sd?x=1") == 0 ? strdup(text) : NULL;
}

static void test_real_http(void **state)
{
	static const struct {
		const char *name, *url, *says; /* what is at URL: nothing, where says is of that */
		double shards;
	} cases[] = {
		{ "a list", "/sd?x=1", NULL, 2 },
		{ "no path", "", "HTTP 404", NAN },
		{ "another path", "/other", "HTTP 404", NAN },
	};
	const char *list = "[{\"targets\":[\"10.0.0.2:1\",\"10.0.0.1:1\"]}]";
	struct loopback server;

	(void)state;
	loopback_start(&server, answer, &list, NULL);
	for (size_t i = 0; i < LEN(cases); i++) {
		char source[128];
		const char *options[] = { "shard-members", source, "shard-self", "10.0.0.2", NULL };
		struct env e;

		snprintf(source, sizeof(source), "%s%s", server.url, cases[i].url);
		env_init(&e, cases[i].name, options);
		/* The connection of the first is good for the next. */
		for (int k = 1; k <= 2; k++) {
			CHECK_INT(cases[i].name, run(&e), 0);
			CHECK_NUM(cases[i].name, value(&e, CRAWL("shards")), cases[i].shards);
			CHECK_NUM(cases[i].name, value(&e, ERRORS), cases[i].says ? k : 0);
		}
		CHECK_INT(cases[i].name, atomic_load(&server.accepted), i + 1);
		if (cases[i].says)
			CHECK(e.log[0], strstr(e.log[0], cases[i].says));
		env_fini(&e);
	}
	loopback_stop(&server);
}

static void test_real_http_too_large(void **state)
{
	const char *options[] = { "shard-members", NULL, NULL };
	char source[128], *text = malloc(BCI_MEMBERS_BYTES_MAX + 2);
	const char *large = text;
	struct loopback server;
	struct env e;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', BCI_MEMBERS_BYTES_MAX + 1);
	text[BCI_MEMBERS_BYTES_MAX + 1] = '\0';
	loopback_start(&server, answer, &large, NULL);
	snprintf(source, sizeof(source), "http:%s/sd?x=1", server.url);
	options[1] = source;
	env_init(&e, "too large", options);
	CHECK_INT("too large", run(&e), 0);
	CHECK_NUM("too large", value(&e, ERRORS), 1);
	CHECK(e.log[0], strstr(e.log[0], "its answer is larger than this library allows"));
	env_fini(&e);
	write_list(text);
	member_begin(&e, "a");
	CHECK_INT("too large", run(&e), 0);
	CHECK(e.log[0], strstr(e.log[0], "the file is too large"));
	env_fini(&e);
	loopback_stop(&server);
	free(text);
}

static void test_real_names(void **state)
{
	static const struct {
		const char *source;
		double shards;
	} cases[] = { { "dns:localhost", 1 }, { "dns:127.0.0.1", 1 }, { "dns:nobody.invalid", NAN } };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *options[] = { "shard-members", cases[i].source, NULL };
		struct env e;

		env_init(&e, cases[i].source, options);
		CHECK_INT(cases[i].source, run(&e), 0);
		CHECK_NUM(cases[i].source, value(&e, CRAWL("shards")), cases[i].shards);
		CHECK_NUM(cases[i].source, value(&e, ERRORS), isnan(cases[i].shards));
		env_fini(&e);
	}
}

/* ---- the check ---- */

static void test_check(void **state)
{
	struct env e;

	(void)state;
	write_list("a\nb\n");
	member_begin(&e, "b");
	CHECK_INT("check", bcrawl_check(e.c, on_log, &e, &e.err), 0);
	for (size_t i = 0; i < e.log_lines; i++)
		if (strstr(e.log[i], "shard: 1 of 2, counted from 0, with ") && strstr(e.log[i], " of 201 fleets")) {
			env_fini(&e);
			return;
		}
	fail_msg("the check does not tell the shard");
}

/* Without a share of few fleets the token is not at fault. */
static void test_check_without_share(void **state)
{
	static const struct fake_fleet one[] = { { 7, "acme/a", NULL } };
	size_t without = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		char shard[8];
		const char *options[] = { "shard", shard, NULL };
		struct env e;

		snprintf(shard, sizeof(shard), "%d/2", i);
		env_init(&e, shard, options);
		e.world = (struct fake_world){ one, LEN(one), NULL, 0, CLOUD_FIELDS, false };
		CHECK_INT(shard, bcrawl_check(e.c, on_log, &e, &e.err), 0);
		for (size_t k = 0; k < e.log_lines; k++) {
			CHECK(e.log[k], !strstr(e.log[k], "none to crawl"));
			without += strstr(e.log[k], "with 0 of 1 fleets") != NULL;
		}
		env_fini(&e);
	}
	assert_int_equal(without, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_union),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_ordinal),
		cmocka_unit_test(test_hand_over),
		cmocka_unit_test(test_hand_over_waits),
		cmocka_unit_test(test_hand_over_of_none),
		cmocka_unit_test(test_unmatched_tag),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_lost_in_a_check),
		cmocka_unit_test(test_not_known_yet),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_joins),
		cmocka_unit_test(test_short_deadline),
		cmocka_unit_test(test_http_stop),
		cmocka_unit_test(test_real_http),
		cmocka_unit_test(test_real_http_too_large),
		cmocka_unit_test(test_real_names),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_without_share),
	};

	return cmocka_run_group_tests(tests, make_list, remove_list);
}
