/* SPDX-License-Identifier: MIT
 *
 * Faults of the API, of the server behind it and of the clock, over whole crawls. After each the
 * complete set that was emitted is compared with what was true on the server, with what was logged
 * and counted, and with what was waited for, on a clock that only the script moves. */
#include "crawl_env.h"
#include "limits.h"
#include "truth.h"

#include <inttypes.h>

#include <unistd.h>

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)

/* ---- what is true ---- */

struct lines {
	char *text;
	char *at[20000];
	size_t n;
};

/* What tells how a crawl went and not what it found; see check_tale(). */
static bool tells_how(const char *line)
{
	static const char *const how[] = {
		"balena_api_", "balena_crawl_duration_seconds", "balena_crawl_interval_seconds",
		"balena_crawl_last_success_timestamp_seconds", "balena_crawl_info",
	};

	for (size_t i = 0; i < LEN(how); i++)
		if (strncmp(line, how[i], strlen(how[i])) == 0)
			return true;
	return false;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_line(struct lines *l, char *line)
{
	assert_true(l->n < LEN(l->at));
	l->at[l->n++] = line;
}

static void found(const struct fake_sink *s, struct lines *l)
{
	char *line, *rest;

	l->n = 0;
	l->text = rest = fake_sink_text(s);
	while ((line = strtok_r(rest, "\n", &rest)))
		if (!tells_how(line))
			add_line(l, line);
}

static void check_lines(const char *name, struct lines *got, struct lines *want)
{
	qsort(got->at, got->n, sizeof(got->at[0]), compare_lines);
	qsort(want->at, want->n, sizeof(want->at[0]), compare_lines);
	for (size_t i = 0; i < got->n && i < want->n; i++) {
		int diff = strcmp(got->at[i], want->at[i]);

		if (diff)
			print_error("case \"%s\": %s: %.300s\n", name,
			            diff < 0 ? "not to be expected" : "missing",
			            diff < 0 ? got->at[i] : want->at[i]);
		assert_int_equal(diff, 0);
	}
	if (got->n > want->n)
		print_error("case \"%s\": not to be expected: %.300s\n", name, got->at[want->n]);
	if (got->n < want->n)
		print_error("case \"%s\": missing: %.300s\n", name, want->at[got->n]);
	assert_int_equal(got->n, want->n);
}

/* What a crawl without any fault finds of a world: that of test_crawl.c's golden output, checked
 * there. */
static void truth(const struct env *e, const struct fake_world *w, struct lines *l)
{
	struct env t;

	memset(&t, 0, sizeof(t));
	t.name = e->name;
	assert_int_equal(bcrawl_new(&t.c, e->c->cfg, NULL), 0);
	t.c->cfg->values[BCI_OPT_REQUESTS_PER_MINUTE].number = 0;
	t.c->cfg->values[BCI_OPT_PAGE_SIZE].number = 20000;
	t.c->cfg->values[BCI_OPT_CONCURRENCY].number = 1;
	fake_init(&t.net);
	fake_install(&t.net, t.c);
	t.world = *w;
	t.net.answer = fake_world_answer;
	t.net.answer_user = &t.world;
	fake_sink_init(&t.sink);
	CHECK_INT(e->name, run(&t), 0);
	CHECK_INT(e->name, t.sink.summary.complete, 1);
	found(&t.sink, l);
	env_fini(&t);
}

/* Whether a line speaks of a fleet that was emitted as not read. */
static bool is_of_unread(const struct env *e, const char *line)
{
	const char *at = strstr(line, "{fleet=\"");
	char slug[1100];

	if (!at)
		return false;
	at += strlen("{fleet=\"");
	snprintf(slug, sizeof(slug), "%.*s", (int)strcspn(at, "\""), at);
	return fleet_value(e, "balena_fleet_crawl_success", slug, "") == 0;
}

static bool is_emitted(const struct env *e, int64_t id)
{
	char part[64];

	snprintf(part, sizeof(part), ",device_uuid=\"u%" PRId64 "\"", id);
	for (size_t i = 0; i < e->sink.n; i++)
		if (strncmp(e->sink.series[i].name, "balena_device_info{", 19) == 0 &&
		    strstr(e->sink.series[i].name, part))
			return true;
	return false;
}

static const char *slug_of(const struct fake_world *w, int64_t fleet)
{
	for (size_t i = 0; i < w->fleet_count; i++)
		if (w->fleets[i].id == fleet)
			return w->fleets[i].slug;
	return "none";
}

/* The world as far as it was emitted; all devices of fleets that were read must have been. */
static struct fake_world emitted(const struct env *e, const struct fake_world *w,
                                 struct fake_device *room)
{
	struct fake_world seen = *w;

	seen.devices = room;
	seen.device_count = 0;
	for (size_t i = 0; i < w->device_count; i++) {
		const struct fake_device *d = &w->devices[i];

		if (is_emitted(e, d->id))
			room[seen.device_count++] = *d;
		else
			CHECK(e->name, fleet_value(e, "balena_fleet_crawl_success",
			                           slug_of(w, d->fleet), "") != 1);
	}
	return seen;
}

static char text_success[] = "balena_crawl_success{account=\"default\"} 0";
static char text_none[] = "balena_fleet_crawl_success{fleet=\"none\"} 0";

/* Everything that was emitted is true of the world, and nothing is missing but the sums, and devices,
 * of as many fleets as failed (-1: of any number), which say so. The list of fleets was read. */
static void check_found(const struct env *e, const struct fake_world *w, int failed)
{
	static struct lines got, all, want;
	struct fake_device *room = calloc(w->device_count + 1, sizeof(*room));
	struct fake_world seen;
	int count = 0;
	bool none = fleet_value(e, "balena_fleet_crawl_success", "none", "") == 0;
	static char text_failed[80];

	assert_non_null(room);
	seen = emitted(e, w, room);
	found(&e->sink, &got);
	truth(e, &seen, &all);
	for (size_t i = 0; i < w->fleet_count; i++)
		count += fleet_value(e, "balena_fleet_crawl_success", w->fleets[i].slug, "") == 0;
	if (failed >= 0)
		CHECK_INT(e->name, count, failed);
	want.n = 0;
	for (size_t i = 0; i < all.n; i++) {
		char *line = all.at[i];
		bool fleet = strncmp(line, "balena_device_", 14) != 0 && is_of_unread(e, line);

		if (fleet && strncmp(line, "balena_fleet_crawl_success", 26) == 0)
			line[strlen(line) - 1] = '0';
		else if (fleet && !truth_is_of_list(line))
			continue;
		if (strncmp(line, "balena_crawl_fleets_failed{", 27) == 0) {
			snprintf(text_failed, sizeof(text_failed), "%.*s %d", (int)strcspn(line, " "), line,
			         count);
			line = text_failed;
		}
		if (strncmp(line, "balena_crawl_success{", 21) == 0 && count > 0 &&
		    (size_t)count == w->fleet_count)
			line = text_success;
		add_line(&want, line);
	}
	/* Not in the truth of a world whose devices of no fleet were not seen. */
	if (none && !is_emitted(e, 12) && !is_emitted(e, 70))
		add_line(&want, text_none);
	check_lines(e->name, &got, &want);
	CHECK_INT(e->name, e->sink.summary.complete, count == 0 && !none && e->sink.summary.status == 0);
	free(got.text);
	free(all.text);
	free(room);
}

/* The list was not read: only the crawl's own records came. token: 1, 0 or NAN. */
static void check_nothing(const struct env *e, double token)
{
	static char lines[][80] = {
		"balena_crawl_ignored_triggers{account=\"default\"} 0",
		"balena_crawl_shard_index{account=\"default\"} 0",
		"balena_crawl_shards{account=\"default\"} 1",
		"balena_crawl_success{account=\"default\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"agent\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"capped\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"inconsistent\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"paced\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"shortened\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"stale\"} 0",
		"balena_crawl_withheld_values{account=\"default\",reason=\"superseded\"} 0",
		"balena_shard_membership_errors_total{account=\"default\"} 0",
		"balena_shard_moves_total{account=\"default\"} 0",
	};
	static char version[80], valid[80];
	static struct lines got, want;

	want.n = 0;
	for (size_t i = 0; i < LEN(lines); i++)
		add_line(&want, lines[i]);
	snprintf(version, sizeof(version), "balena_crawl_api_version{account=\"default\"} %d",
	         e->c->server.version);
	snprintf(valid, sizeof(valid), "balena_crawl_token_valid{account=\"default\"} %g", token);
	if (e->c->server.version)
		add_line(&want, version);
	if (!isnan(token))
		add_line(&want, valid);
	found(&e->sink, &got);
	check_lines(e->name, &got, &want);
	CHECK_INT(e->name, e->sink.summary.complete, 0);
	free(got.text);
}

/* What was counted since the crawler was made, such as "9 ok, 1 throttled; 1 again, 30 s". */
static void check_tale(const struct env *e, const char *want)
{
	static const char *const results[] = { "ok", "auth", "throttled", "client_error", "server_error",
		                               "timeout", "network", "garbage" };
	char got[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < LEN(results); i++)
		if (requests(e, results[i]) > 0)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.0f %s", n ? ", " : "",
			                      requests(e, results[i]), results[i]);
	snprintf(got + n, sizeof(got) - n, "; %.0f again, %.0f s", value(e, API("retries_total")),
	         value(e, API("throttled_seconds_total")));
	CHECK_STR(e->name, got, want);
}

/* The log has these lines, or rather begins of some: "" is any. */
static void check_log(const struct env *e, size_t n, const char *last)
{
	CHECK_INT(e->name, e->log_lines, n);
	if (n > 0)
		CHECK(e->log[n - 1], strstr(e->log[n - 1], last) != NULL);
}

/* An account with nothing that the server lacks, which was crawled once, well, at the time 5000:
 * from then on a crawl is one request for the list, and then one for the devices beside one for
 * those of no fleet. */
static void begin(struct env *e, const char *name, const char *const *options)
{
	env_init(e, name, options);
	e->world.lacks = "";
	CHECK_INT(name, run(e), 0);
	check_found(e, &e->world, 0);
	check_tale(e, "9 ok; 0 again, 0 s");
	fake_forget(&e->net);
}

/* The next crawl, so long after the last began. */
static int crawl_after(struct env *e, int64_t ms)
{
	int64_t began = e->c->last_start_mono;

	CHECK(e->name, e->net.mono_ms <= began + ms);
	e->net.wall_ms += began + ms - e->net.mono_ms;
	e->net.mono_ms = began + ms;
	return run(e);
}

static const char *const all_parts[] = { LIST, DEVICES, ORPHANS };

/* ---- 429 and 503 ---- */

/* One request is told to wait: all others do. */
static void hold_one(long status, const char *tale)
{
	static const char *const options[] = { "page-size", "1", "concurrency", "3", BCRAWL_KEY_METRICS,
		                               "balena_fleet_* balena_device_* balena_devices_online", NULL };
	struct env e;
	int64_t at = 0;
	size_t before = 0, after = 0;

	env_init(&e, "one for all", options);
	e.world.lacks = "";
	e.net.together = true;
	e.net.chunk = 50;
	fake_rule(&e.net, (struct fake_rule){ .match = "id%20gt%202%20and%20id%20le%203&", .times = 1,
	                                      .status = status, .body = "", .retry_after_s = 30 });
	assert_int_equal(run(&e), 0);
	check_found(&e, &e.world, 0);
	check_tale(&e, tale);
	check_log(&e, 0, "");
	for (size_t i = 0; i < e.net.log_count && !at; i++)
		if (strstr(e.net.log[i].target, "id%20gt%202%20and%20id%20le%203&"))
			at = e.net.log[i].at;
	for (size_t i = 0; i < e.net.log_count; i++) {
		int64_t t = e.net.log[i].at;

		before += t <= at;
		after += t >= at + 30001;
		CHECK("neither", t <= at || (t >= at + 30001 && t <= at + 31000));
	}
	/* Not only the one that was told. */
	assert_true(before >= 8 && after >= 4);
	assert_true(value(&e, CRAWL("duration_seconds")) < 31);
	env_fini(&e);
}

static void test_hold_is_shared(void **state)
{
	(void)state;
	hold_one(429, "22 ok, 1 throttled; 1 again, 30 s");
	hold_one(503, "22 ok, 1 server_error; 1 again, 30 s");
}

/* Two that were under way are told to wait: the longer one counts, whichever comes first. */
static void test_longest_hold(void **state)
{
	static const char *const options[] = { "page-size", "1", "concurrency", "3", NULL };
	static const long seconds[][2] = { { 30, 5 }, { 5, 30 } };

	(void)state;
	for (size_t i = 0; i < LEN(seconds); i++) {
		static const char *const parts[] = { "id%20gt%201%20and%20id%20le%202&",
			                             "id%20gt%202%20and%20id%20le%203&" };
		struct env e;
		int64_t at = 0;

		env_init(&e, "longest", options);
		e.world.lacks = "";
		e.net.together = true;
		for (size_t k = 0; k < LEN(parts); k++)
			fake_rule(&e.net, (struct fake_rule){ .match = parts[k], .times = 1, .status = 429, .body = "",
			                                      .retry_after_s = seconds[i][k] });
		assert_int_equal(run(&e), 0);
		check_found(&e, &e.world, 0);
		CHECK_NUM("both count", value(&e, API("throttled_seconds_total")), 35);
		for (size_t k = 0; k < e.net.log_count; k++) {
			if (at && e.net.log[k].at > at)
				CHECK("too early", e.net.log[k].at >= at + 30000);
			if (strstr(e.net.log[k].target, parts[1]) && !at)
				at = e.net.log[k].at;
		}
		env_fini(&e);
	}
}

/* A wish that outlasts crawls: they fail, quietly and without a request, until it is over. */
static void hold_over_crawls(const char *part, long status)
{
	struct env e;
	int64_t until;
	double token = 1;

	begin(&e, part, NULL);
	fake_rule(&e.net, (struct fake_rule){ .match = part, .times = 1, .status = status, .body = "",
	                                      .retry_after_s = 200 });
	for (int i = 1; i <= 3; i++) {
		size_t asked = e.net.log_count;

		CHECK_INT(part, crawl_after(&e, MINUTE), i == 1 && status == 503 ? BCRAWL_E_SERVER
		                                                                 : BCRAWL_E_THROTTLED);
		if (i == 1 && part != all_parts[0])
			check_found(&e, &e.world, SMALL_FLEETS);
		else
			check_nothing(&e, (double)NAN);
		token = value(&e, CRAWL("token_valid"));
		CHECK(part, i == 1 || isnan(token));
		CHECK(part, i == 1 || e.net.log_count == asked);
		CHECK(part, e.sink.summary.duration_s < 1);
		CHECK_NUM(part, value(&e, API("throttled_seconds_total")), 200);
		/* It is not our own budget. */
		CHECK(part, i == 1 || strstr(e.err.message, "asked not to be asked"));
		CHECK_INT(part, e.err.http_status, i == 1 ? status : 429);
		/* That now nothing is read any more is said, too. */
		check_log(&e, i > 1 && part == all_parts[2] ? 2 : 1, "");
	}
	until = 5000 + MINUTE + 200 * 1000;
	fake_forget(&e.net);
	e.log_lines = 0;
	/* Now it ends within the crawl, which waits. */
	CHECK_INT(part, crawl_after(&e, MINUTE), 0);
	check_found(&e, &e.world, 0);
	CHECK(part, e.net.log[0].at >= until && e.net.log[0].at < until + 10);
	CHECK_INT(part, e.net.log_count, 3);
	check_log(&e, 1, "all is well again");
	env_fini(&e);
}

/* An outage of many faces is one line, and one more if it grows from some fleets to all. What a
 * person is to mend here is another. */
static void test_one_outage_one_line(void **state)
{
	static const struct fake_rule faces[] = {
		{ .status = 500, .body = "" }, { .result = BCI_RESULT_NETWORK }, { .body = "<html>" },
		{ .status = 404, .body = "" }, { .status = 503, .body = "" },
	};
	struct env e;

	(void)state;
	begin(&e, "one outage", NULL);
	for (size_t i = 0; i < 4 * LEN(faces); i++) {
		struct fake_rule rule = faces[i % LEN(faces)];

		/* Of the devices of no fleet, then of all, then of either. */
		rule.match = i < LEN(faces) || (i >= 2 * LEN(faces) && i % 2) ? ORPHANS : LIST;
		fake_forget(&e.net);
		fake_rule(&e.net, rule);
		CHECK_INT(e.name, crawl_after(&e, MINUTE) != 0, strcmp(rule.match, LIST) == 0);
		check_log(&e, i < LEN(faces) ? 1 : 2, "");
	}
	for (size_t i = 0; i < 3; i++) {
		fake_forget(&e.net);
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .status = i % 2 ? 500 : 403, .body = "" });
		CHECK(e.name, crawl_after(&e, MINUTE) != 0);
		check_log(&e, 3, "/v7/application");
	}
	fake_forget(&e.net);
	CHECK_INT(e.name, crawl_after(&e, 20 * MINUTE), 0);
	check_log(&e, 4, "all is well again");
	check_found(&e, &e.world, 0);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .status = 500, .body = "" });
	CHECK(e.name, crawl_after(&e, MINUTE) != 0);
	check_log(&e, 5, "/v7/application");
	env_fini(&e);
}

/* Who mends one thing is told the next, each once. */
static void test_one_bad_token_file_after_another(void **state)
{
	char away[sizeof(token_path) + 8];
	struct env e;

	(void)state;
	write_token("sekret");
	begin(&e, "token file", (const char *const[]){ BCRAWL_KEY_TOKEN_FILE, token_path, NULL });
	snprintf(away, sizeof(away), "%s.away", token_path);
	assert_int_equal(rename(token_path, away), 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(e.name, crawl_after(&e, MINUTE), BCRAWL_E_CONFIG);
	check_log(&e, 1, "No such file");
	assert_int_equal(rename(away, token_path), 0);
	write_token("two words");
	for (int i = 0; i < 3; i++)
		CHECK_INT(e.name, crawl_after(&e, MINUTE), BCRAWL_E_CONFIG);
	check_log(&e, 2, "does not hold one token");
	write_token("sekret");
	CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
	check_log(&e, 3, "all is well again");
	env_fini(&e);
}

/* Where a part fails for good, each outage of all is a line all the same. */
static void test_outages_beside_a_lasting_one(void **state)
{
	struct env e;

	(void)state;
	begin(&e, "lasting", NULL);
	for (size_t n = 1; n <= 3; n++) {
		fake_forget(&e.net);
		fake_rule(&e.net, (struct fake_rule){ .match = ORPHANS, .status = 400, .body = "" });
		for (int i = 0; i < 5; i++)
			CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_log(&e, n, "");
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .status = 500, .body = "" });
		CHECK(e.name, crawl_after(&e, MINUTE) != 0);
		CHECK(e.name, crawl_after(&e, MINUTE) != 0);
		check_log(&e, n + 1, "/v7/application");
	}
	env_fini(&e);
}

static void test_hold_over_crawls(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		hold_over_crawls(all_parts[i], 429);
		hold_over_crawls(all_parts[i], 503);
	}
}

/* How long it is: a second less than is left of the crawl, more than that, and for ever. */
static void test_hold_lengths(void **state)
{
	static const char *const options[] = { "deadline", "60", NULL };
	static const struct {
		long seconds;
		bool waits;
		double heeded;
	} cases[] = {
		{ 1, true, 1 }, { 59, true, 59 }, { 60, false, 60 }, { 61, false, 61 }, { 3600, false, 3600 },
		{ 3601, false, 3600 }, { 2147483647, false, 3600 }, { 9223372036854775807, false, 3600 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char name[32];
		struct env e;
		int64_t over = (int64_t)cases[i].heeded * 1000;

		snprintf(name, sizeof(name), "%ld s", cases[i].seconds);
		begin(&e, name, options);
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429, .body = "",
		                                      .retry_after_s = cases[i].seconds });
		CHECK_INT(name, crawl_after(&e, MINUTE), cases[i].waits ? 0 : BCRAWL_E_THROTTLED);
		CHECK_NUM(name, value(&e, API("throttled_seconds_total")), cases[i].heeded);
		if (cases[i].waits) {
			check_found(&e, &e.world, 0);
			CHECK_INT(name, e.net.log[1].at - e.net.log[0].at, over + 1);
			check_log(&e, 0, "");
		} else {
			check_nothing(&e, (double)NAN);
			check_log(&e, 1, "");
			CHECK_INT(name, e.net.log_count, 1);
			CHECK(name, e.sink.summary.duration_s < 1);
			if (over > 2 * MINUTE) {
				/* A second too early for the crawl to wait it out. */
				CHECK_INT(name, crawl_after(&e, over - MINUTE - 1000), BCRAWL_E_THROTTLED);
				check_nothing(&e, (double)NAN);
				CHECK_INT(name, e.net.log_count, 1);
			}
			CHECK_INT(name, crawl_after(&e, over > 2 * MINUTE ? 2000 : MINUTE), 0);
			CHECK_INT(name, e.net.log[1].at - e.net.log[0].at, over + 1);
			check_found(&e, &e.world, 0);
			check_log(&e, 2, "all is well again");
		}
		env_fini(&e);
	}
}

/* A 429 that does not say how long: some seconds, at random, longer each time, in each crawl. */
static void test_hold_not_said(void **state)
{
	int64_t least = HOUR, most = 0, most2 = 0, most4 = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 64; seed++) {
		struct env e;
		int64_t first, second, fourth;

		env_init(&e, "not said", NULL);
		e.world.lacks = "";
		e.c->clock.seed = seed * 77777;
		assert_int_equal(run(&e), 0);
		fake_forget(&e.net);
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 4, .status = 429, .body = "" });
		CHECK_INT(e.name, crawl_after(&e, MINUTE), BCRAWL_E_THROTTLED);
		check_nothing(&e, (double)NAN);
		CHECK_INT(e.name, e.net.log_count, TRIES);
		check_tale(&e, "9 ok, 3 throttled; 2 again, 0 s");
		/* The next crawl still waits: the third refusal held it up, too. */
		CHECK_INT(e.name, crawl_after(&e, 13000), 0);
		check_found(&e, &e.world, 0);
		check_log(&e, 2, "all is well again");
		first = e.net.log[1].at - e.net.log[0].at - 1;
		second = e.net.log[2].at - e.net.log[1].at - 1;
		fourth = e.net.log[4].at - e.net.log[3].at - 1;
		CHECK(e.name, first >= 1000 && first < 3000 && second >= 1000 && second < 5000);
		CHECK(e.name, fourth >= 1000 && fourth < 17000);
		least = first < least ? first : least;
		most = first > most ? first : most;
		most2 = second > most2 ? second : most2;
		most4 = fourth > most4 ? fourth : most4;
		env_fini(&e);
	}
	assert_true(least < 1500 && most > 2500);
	/* Up to twice as long each time. */
	assert_true(most2 > 4000 && most4 > 12000);
}

/* A good answer ends the growth. */
static void test_hold_forgets(void **state)
{
	struct env e;

	(void)state;
	begin(&e, "forgets", NULL);
	for (int i = 0; i < 8; i++) {
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429, .body = "" });
		assert_int_equal(crawl_after(&e, MINUTE), 0);
		check_found(&e, &e.world, 0);
		CHECK("as the first time", e.net.log[1].at - e.net.log[0].at < 3002);
		fake_forget(&e.net);
	}
	check_log(&e, 0, "");
	env_fini(&e);
}

/* ---- the budget ---- */

/* Any n requests that were begun take as long as the budget says, but for what was saved. */
static void check_budget(const struct env *e, size_t burst, int64_t ms_each)
{
	for (size_t i = 0; i < e->net.log_count; i++)
		for (size_t k = i + burst; k < e->net.log_count; k++)
			CHECK(e->name, e->net.log[k].at - e->net.log[i].at >=
			                       (int64_t)(k - i + 1 - burst) * ms_each - 1);
}

#define SMALL_PAGES "page-size", "1", "requests-per-minute", "60", BCRAWL_KEY_METRICS, \
	"balena_device_info balena_fleet_devices balena_fleet_crawl_success"

static void test_budget_spreads(void **state)
{
	static const char *const options[] = { SMALL_PAGES, "deadline", "600", NULL };
	struct env e;
	size_t asked;
	int64_t took, idle;

	(void)state;
	env_init(&e, "spreads", options);
	many(&e);
	assert_int_equal(run(&e), 0);
	check_found(&e, &e.world, 0);
	check_log(&e, 0, "");
	asked = e.net.log_count;
	assert_true(asked >= 210);
	took = e.net.log[asked - 1].at - e.net.log[0].at;
	/* 60 at once, then one a second, and no slower. */
	assert_true(took >= (int64_t)(asked - 60) * 1000 - 1 && took <= (int64_t)(asked - 60) * 1000 + 1000);
	check_budget(&e, 60, 1000);
	/* However long it does nothing, no more is saved. */
	for (idle = 0; idle <= HOUR; idle += HOUR) {
		fake_forget(&e.net);
		assert_int_equal(crawl_after(&e, 10 * MINUTE + idle), 0);
		check_found(&e, &e.world, 0);
		check_budget(&e, 60, 1000);
		took = e.net.log[e.net.log_count - 1].at - e.net.log[0].at;
		assert_true(took <= (int64_t)(e.net.log_count - 60) * 1000 + 1000);
	}
	env_fini(&e);
}

/* A longer interval saves what it is entitled to, a shorter one a minute's. */
static void test_budget_burst(void **state)
{
	static const struct {
		const char *interval;
		size_t burst;
	} cases[] = { { "10", 60 }, { "60", 60 }, { "120", 120 } };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *const options[] = { SMALL_PAGES, "deadline", "600", BCRAWL_KEY_INTERVAL,
			                        cases[i].interval, NULL };
		struct env e;

		env_init(&e, cases[i].interval, options);
		many(&e);
		assert_int_equal(run(&e), 0);
		check_found(&e, &e.world, 0);
		check_budget(&e, cases[i].burst, 1000);
		CHECK(e.name, e.net.log[cases[i].burst - 1].at - e.net.log[0].at < 1000);
		env_fini(&e);
	}
}

static void test_budget_too_small(void **state)
{
	static const char *const options[] = { SMALL_PAGES, NULL };
	struct env e;

	(void)state;
	env_init(&e, "too small", options);
	many(&e);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(i ? crawl_after(&e, MINUTE) : run(&e), BCRAWL_E_THROTTLED);
		CHECK(e.err.message, strstr(e.err.message, "budget of 60 requests a minute") != NULL);
		assert_int_equal(e.err.http_status, 0);
		check_found(&e, &e.world, MANY);
		assert_true(e.sink.summary.devices >= 50 && e.sink.summary.duration_s <= 60.4);
		check_log(&e, 1, "budget of 60 requests a minute");
		CHECK_NUM("nobody throttled us", requests(&e, "throttled"), 0);
		check_budget(&e, 60, 1000);
		fake_forget(&e.net);
	}
	/* The advice helps. */
	e.c->cfg->values[BCI_OPT_PAGE_SIZE].number = 300;
	assert_int_equal(crawl_after(&e, MINUTE), 0);
	check_found(&e, &e.world, 0);
	check_log(&e, 2, "all is well again");
	env_fini(&e);
}

/* Each crawler has its own budget, and its own closed door. */
static void test_budgets_apart(void **state)
{
	static const char *const options[] = { "requests-per-minute", "9", NULL };
	struct env e, other;

	(void)state;
	begin(&e, "one", options);
	begin(&other, "other", options);
	assert_true(other.sink.summary.duration_s < 1);
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429, .body = "",
	                                      .retry_after_s = 3600 });
	assert_int_equal(crawl_after(&e, MINUTE), BCRAWL_E_THROTTLED);
	assert_int_equal(crawl_after(&other, MINUTE), 0);
	check_found(&other, &other.world, 0);
	assert_true(other.sink.summary.duration_s < 1);
	check_log(&other, 0, "");
	env_fini(&e);
	env_fini(&other);
}

/* ---- other faults ---- */

static const struct {
	const char *name;
	struct fake_rule rule;
	int code;
	const char *result;
} passing[] = {
	{ "408", { .status = 408, .body = "" }, BCRAWL_E_SERVER, "server_error" },
	{ "500", { .status = 500, .body = "" }, BCRAWL_E_SERVER, "server_error" },
	{ "502", { .status = 502, .body = "<html>" }, BCRAWL_E_SERVER, "server_error" },
	{ "503", { .status = 503, .body = "" }, BCRAWL_E_SERVER, "server_error" },
	{ "504", { .status = 504, .body = "" }, BCRAWL_E_SERVER, "server_error" },
	{ "timeout", { .result = BCI_RESULT_TIMEOUT, .body = "" }, BCRAWL_E_TIMEOUT, "timeout" },
	{ "network", { .result = BCI_RESULT_NETWORK, .body = "" }, BCRAWL_E_NET, "network" },
	{ "garbage", { .body = "<html>" }, BCRAWL_E_PROTOCOL, "garbage" },
};

/* Three tries and no more, of the very same query, in each of three crawls. */
static void test_tries(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(passing); i++) {
		for (size_t k = 0; k < LEN(all_parts); k++) {
			struct fake_rule rule = passing[i].rule;
			struct env e;
			char tale[80], *query;

			begin(&e, passing[i].name, NULL);
			assert_int_equal(crawl_after(&e, MINUTE), 0);
			query = strdup(fake_target(&e.net, all_parts[k], 0));
			fake_forget(&e.net);
			rule.match = all_parts[k];
			rule.times = 3 * TRIES;
			fake_rule(&e.net, rule);
			for (int crawl = 1; crawl <= 3; crawl++) {
				CHECK_INT(e.name, crawl_after(&e, MINUTE), k == 2 ? 0 : passing[i].code);
				if (k == 0)
					check_nothing(&e, (double)NAN);
				else
					check_found(&e, &e.world, k == 1 ? SMALL_FLEETS : 0);
				CHECK_INT(e.name, fake_count(&e.net, all_parts[k]), crawl * TRIES);
				snprintf(tale, sizeof(tale), "%d ok, %d %s; %d again, 0 s",
				         12 + (k ? 2 * crawl : 0), crawl * TRIES, passing[i].result,
				         crawl * BCI_RETRIES);
				check_tale(&e, tale);
				CHECK(e.name, e.sink.summary.duration_s < 1.6);
				check_log(&e, 1, "");
			}
			for (size_t n = 0; n < 3 * TRIES; n++)
				CHECK_STR(e.name, fake_target(&e.net, all_parts[k], n), query);
			fake_forget(&e.net);
			assert_int_equal(crawl_after(&e, MINUTE), 0);
			check_found(&e, &e.world, 0);
			CHECK_INT(e.name, e.net.log_count, 3);
			CHECK_STR(e.name, fake_target(&e.net, all_parts[k], 0), query);
			check_log(&e, 2, "all is well again");
			free(query);
			env_fini(&e);
		}
	}
}

/* Of a group that is given up nothing more is asked. */
static void test_given_up(void **state)
{
	static const char *const options[] = { "concurrency", "1", NULL };
	struct env e;

	(void)state;
	begin(&e, "given up", options);
	e.c->cfg->values[BCI_OPT_PAGE_SIZE].number = 1;
	fake_rule(&e.net, (struct fake_rule){ .match = "id%20gt%201%20and%20id%20le%202&", .times = TRIES,
	                                      .status = 500, .body = "" });
	assert_int_equal(crawl_after(&e, MINUTE), BCRAWL_E_SERVER);
	assert_int_equal(e.sink.summary.devices, 2);
	check_found(&e, &e.world, SMALL_FLEETS);
	/* The list, ids, the first range, the second three times, those of no fleet. */
	assert_int_equal(e.net.log_count, 7);
	env_fini(&e);
}

/* Full jitter: from nothing to all of the range, another one for each crawler. */
static void test_jitter(void **state)
{
	(void)state;
	for (size_t k = 0; k < LEN(all_parts); k++) {
		int64_t sum[2] = { 0 }, least[2] = { HOUR, HOUR }, most[2] = { 0 };
		int64_t waits[64];
		size_t same = 0;

		for (size_t seed = 0; seed < LEN(waits); seed++) {
			struct env e;

			env_init(&e, all_parts[k], NULL);
			e.c->clock.seed = seed;
			fake_rule(&e.net, (struct fake_rule){ .match = all_parts[k], .times = 2,
			                                      .result = BCI_RESULT_NETWORK, .body = "" });
			assert_int_equal(run(&e), 0);
			check_small(&e);
			for (size_t n = 0, i = 0; n < 3; i++) {
				static int64_t last;
				int64_t wait = e.net.log[i].at - last;

				if (!strstr(e.net.log[i].target, all_parts[k]))
					continue;
				last = e.net.log[i].at;
				if (n++ == 0)
					continue;
				/* A step of the network is in it, or two where two are read. */
				CHECK(e.name, wait >= 1 && wait < (n == 2 ? 500 : 1000) + 3);
				sum[n - 2] += wait;
				least[n - 2] = wait < least[n - 2] ? wait : least[n - 2];
				most[n - 2] = wait > most[n - 2] ? wait : most[n - 2];
				waits[seed] = wait;
			}
			for (size_t i = 0; i < seed; i++)
				same += waits[i] == waits[seed];
			env_fini(&e);
		}
		assert_true(least[0] < 50 && most[0] > 450 && least[1] < 100 && most[1] > 900);
		assert_in_range(sum[0] / 64, 200, 300);
		assert_in_range(sum[1] / 64, 400, 600);
		assert_true(same < 16);
	}
}

static void slow(void *user)
{
	((struct fake_transport *)user)->step_ms = 9800;
}

static void fast(void *user)
{
	((struct fake_transport *)user)->step_ms = 1;
}

/* A wait that would end behind the deadline is none: what went wrong is said at once, and not that
 * time is up. */
static void test_no_time_to_wait(void **state)
{
	static const char *const options[] = { "deadline", "10", NULL };
	int again = 0, given_up = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 32; seed++) {
		struct env e;
		int rc;

		begin(&e, "no time", options);
		e.c->clock.seed = seed;
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .result = BCI_RESULT_NETWORK,
		                                      .body = "", .then = slow, .user = &e.net });
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .then = fast, .user = &e.net });
		rc = crawl_after(&e, MINUTE);
		if (rc == 0)
			check_found(&e, &e.world, 0);
		else
			check_nothing(&e, (double)NAN);
		CHECK_INT(e.name, rc, rc ? BCRAWL_E_NET : 0);
		CHECK(e.name, rc == 0 || e.sink.summary.duration_s == 9.8);
		given_up += rc != 0;
		again += rc == 0;
		env_fini(&e);
	}
	assert_true(again > 5 && given_up > 10);
}

/* All faults at once, by chance. */
struct chaos {
	uint64_t seed;
	unsigned of_ten; /* that go wrong */
};

static unsigned draw(struct chaos *c, unsigned n)
{
	c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(c->seed >> 33) % n;
}

static struct fake_rule any_fault(void *user, const char *target)
{
	static const struct fake_rule faults[] = {
		{ .status = 408, .body = "" },
		{ .status = 500, .body = "" },
		{ .status = 503, .body = "", .retry_after_s = 3 },
		{ .status = 429, .body = "", .retry_after_s = 5 },
		{ .status = 429, .body = "" },
		{ .result = BCI_RESULT_TIMEOUT, .body = "" },
		{ .result = BCI_RESULT_NETWORK, .body = "" },
		{ .body = "{\"d\":null}" },
		{ .body = "{\"d\":[{}]}" },
		{ .cut = true, .result = BCI_RESULT_NETWORK },
		{ .cut = true },
		{ .hang = true },
	};
	struct chaos *c = user;
	struct fake_rule rule = { 0 };

	(void)target;
	if (draw(c, 10) >= c->of_ten)
		return rule;
	rule = faults[draw(c, draw(c, 20) ? LEN(faults) - 1 : LEN(faults))];
	rule.cut_at = draw(c, 3000);
	return rule;
}

static void test_all_at_once(void **state)
{
	static const char *const options[] = { "deadline", "20", NULL };
	size_t good = 0, some = 0, none = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct chaos chaos = { seed, 2 + (unsigned)seed % 5 };
		struct env e;

		begin(&e, "all at once", options);
		e.c->cfg->values[BCI_OPT_PAGE_SIZE].number = 2;
		e.c->clock.seed = seed;
		e.net.chaos = any_fault;
		e.net.chaos_user = &chaos;
		for (int i = 0; i < 8; i++) {
			int64_t began = e.c->last_start_mono + MINUTE;
			int rc = crawl_after(&e, MINUTE);

			CHECK(e.name, e.net.mono_ms - began <= 20000 + BCI_STOP_POLL_MS);
			if (isnan(value(&e, CRAWL("fleets")))) {
				check_nothing(&e, value(&e, CRAWL("token_valid")));
				none++;
			} else {
				check_found(&e, &e.world, -1);
				good += e.sink.summary.complete != 0;
				some += !e.sink.summary.complete;
			}
			CHECK(e.name, rc == 0 || rc == BCRAWL_E_TIMEOUT || bcrawl_is_transient(rc) ||
			              rc == BCRAWL_E_PROTOCOL);
			e.log_lines = 0;
		}
		/* And right again by itself, the door still being closed perhaps. */
		e.net.chaos = NULL;
		assert_int_equal(crawl_after(&e, MINUTE), 0);
		check_found(&e, &e.world, 0);
		env_fini(&e);
	}
	/* All three happen. */
	assert_true(good > 50 && some > 50 && none > 50);
}

/* ---- 401 and 403 ---- */

#define ANONYMOUS "device_type?$select=id&$top=1"
#define LET_IN "{\"d\":[{\"id\":1}]}"

/* All but an anonymous request is answered so, and that if the server is well. */
static void refuse(struct env *e, const char *token, long status, bool trouble)
{
	if (trouble)
		fake_rule(&e->net, (struct fake_rule){ .match = ANONYMOUS, .status = 500, .body = "" });
	else
		fake_rule(&e->net, (struct fake_rule){ .match = ANONYMOUS, .body = LET_IN });
	fake_rule(&e->net, (struct fake_rule){ .token = token, .status = status, .body = "" });
}

/* The token is exchanged while requests are under way with the old one, after a number of them. */
static void test_token_rotates(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, "page-size", "1", "concurrency",
		                        "3", BCRAWL_KEY_METRICS, "balena_fleet_* balena_device_info "
		                        "balena_devices_online", NULL };
	static const long codes[] = { 401, 403 };
	int side_by_side = 0;

	(void)state;
	for (int at = 0; at < 18; at++) {
		char fresh[] = "sekret-new";
		struct env e;

		write_token("sekret-old");
		env_init(&e, "rotates", options);
		e.world.lacks = "";
		CHECK_INT(e.name, run(&e), 0);
		e.net.together = true;
		e.net.chunk = 50;
		fake_rule(&e.net, (struct fake_rule){ .match = ANONYMOUS, .body = LET_IN });
		fake_rule(&e.net, (struct fake_rule){ .token = "sekret-old", .skip = at / 2, .status = codes[at % 2],
		                                      .body = "", .then = new_token, .user = fresh });
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &e.world, 0);
		CHECK_NUM(e.name, requests(&e, "auth"), value(&e, API("retries_total")));
		/* Others were under way with the old one. */
		side_by_side += requests(&e, "auth") > 1;
		CHECK_INT(e.name, fake_count(&e.net, ANONYMOUS), 0);
		CHECK_STR(e.name, e.net.log[e.net.log_count - 1].token, "sekret-new");
		check_log(&e, 0, "");
		env_fini(&e);
	}
	assert_true(side_by_side > 5);
}

/* A request that fails otherwise first, and then because the token was exchanged. */
static void test_token_rotates_in_trouble(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };

	(void)state;
	for (size_t k = 0; k < LEN(all_parts); k++) {
		char fresh[] = "sekret-new";
		struct env e;

		write_token("sekret-old");
		begin(&e, all_parts[k], options);
		fake_rule(&e.net, (struct fake_rule){ .match = ANONYMOUS, .body = LET_IN });
		fake_rule(&e.net, (struct fake_rule){ .match = all_parts[k], .times = 1, .status = 502, .body = "" });
		fake_rule(&e.net, (struct fake_rule){ .match = all_parts[k], .token = "sekret-old", .times = 1,
		                                      .status = 401, .body = "", .then = new_token, .user = fresh });
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &e.world, 0);
		check_tale(&e, "12 ok, 1 auth, 1 server_error; 2 again, 0 s");
		check_log(&e, 0, "");
		env_fini(&e);
	}
}

/* Twice in one crawl. */
static void test_token_rotates_twice(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };
	char second[] = "sekret-2", third[] = "sekret-3";
	struct env e;

	(void)state;
	write_token("sekret-1");
	begin(&e, "twice", options);
	fake_rule(&e.net, (struct fake_rule){ .match = ANONYMOUS, .body = LET_IN });
	fake_rule(&e.net, (struct fake_rule){ .match = LIST, .token = "sekret-1", .times = 1, .status = 401,
	                                      .body = "", .then = new_token, .user = second });
	fake_rule(&e.net, (struct fake_rule){ .match = "device?", .token = "sekret-2", .times = 2, .status = 401,
	                                      .body = "", .then = new_token, .user = third });
	assert_int_equal(crawl_after(&e, MINUTE), 0);
	check_found(&e, &e.world, 0);
	check_tale(&e, "12 ok, 3 auth; 3 again, 0 s");
	env_fini(&e);
}

/* A bad token is asked for again after 1, 2, 4, 8, then every 15 minutes; a server in trouble, of
 * which a 401 says nothing, at each crawl. */
static void test_slows_down(void **state)
{
	static const struct {
		const char *name;
		long status;
		bool trouble;
		int code;
		double token;
		const char *asked; /* requests of each crawl, as digits */
	} cases[] = {
		{ "bad token", 401, false, BCRAWL_E_AUTH, 0, "22020002000000020000000000000020" },
		{ "forbidden", 403, false, BCRAWL_E_AUTH, (double)NAN, "11010001000000010000000000000010" },
		{ "trouble", 401, true, BCRAWL_E_SERVER, (double)NAN, "222222222222" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		size_t crawls = strlen(cases[i].asked), before = 0;
		struct env e;

		begin(&e, cases[i].name, NULL);
		refuse(&e, NULL, cases[i].status, cases[i].trouble);
		for (size_t k = 0; k < crawls; k++) {
			CHECK_INT(e.name, crawl_after(&e, MINUTE + (k % 2 ? 900 : -900)), cases[i].code);
			CHECK_INT(e.name, e.err.http_status, cases[i].status);
			check_nothing(&e, cases[i].token);
			CHECK_INT(e.name, e.net.log_count - before, cases[i].asked[k] - '0');
			CHECK_INT(e.name, e.sink.summary.requests, cases[i].asked[k] - '0');
			before = e.net.log_count;
			check_log(&e, 1, "");
		}
		/* Right again, without anything being done, at the next time it is asked. */
		fake_forget(&e.net);
		for (size_t k = 0; k < 16 && e.net.log_count == 0; k++)
			crawl_after(&e, MINUTE);
		CHECK_INT(e.name, e.net.log_count, 3);
		check_found(&e, &e.world, 0);
		check_log(&e, 2, "all is well again");
		/* And the slowness is forgotten. */
		fake_forget(&e.net);
		refuse(&e, NULL, cases[i].status, cases[i].trouble);
		before = 0;
		for (size_t k = 0; k < 3; k++) {
			CHECK_INT(e.name, crawl_after(&e, MINUTE), cases[i].code);
			CHECK_INT(e.name, e.net.log_count - before, cases[i].asked[k] - '0');
			before = e.net.log_count;
		}
		env_fini(&e);
	}
}

/* A new token in the file is tried at the very next crawl. */
static void test_new_token_at_once(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, NULL };

	(void)state;
	for (int crawls = 1; crawls < 12; crawls++) {
		struct env e;

		write_token("sekret-bad");
		env_init(&e, "at once", options);
		e.world.lacks = "";
		refuse(&e, "sekret-bad", 401, false);
		CHECK_INT(e.name, run(&e), BCRAWL_E_AUTH);
		for (int i = 1; i < crawls; i++)
			CHECK_INT(e.name, crawl_after(&e, MINUTE), BCRAWL_E_AUTH);
		check_nothing(&e, 0);
		write_token("sekret-good");
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &e.world, 0);
		check_log(&e, 2, "all is well again");
		/* The bad one back: as if never seen. */
		write_token("sekret-bad");
		for (int i = 0; i < 2; i++) {
			size_t before = e.net.log_count;

			CHECK_INT(e.name, crawl_after(&e, MINUTE), BCRAWL_E_AUTH);
			CHECK_INT(e.name, e.net.log_count - before, 2);
		}
		env_fini(&e);
	}
}

/* What is forbidden of one group costs nothing of the others, however long. */
static void test_part_forbidden(void **state)
{
	static const char *const options[] = { BCRAWL_KEY_METRICS, "balena_device_info balena_fleet_devices "
		                               "balena_fleet_crawl_success", NULL };
	struct env e;

	(void)state;
	env_init(&e, "part", options);
	many(&e);
	fake_rule(&e.net, (struct fake_rule){ .match = "in%20(201)", .status = 403, .body = "" });
	for (int i = 0; i < 6; i++) {
		assert_int_equal(i ? crawl_after(&e, MINUTE) : run(&e), 0);
		check_found(&e, &e.world, 1);
		CHECK_NUM("token", value(&e, CRAWL("token_valid")), 1);
		check_log(&e, 1, "1 of 201 fleets");
		assert_int_equal(fake_count(&e.net, "in%20(201)"), i + 1);
	}
	env_fini(&e);
}

/* A server that has version 6 alone. */
static void test_refused_by_v6(void **state)
{
	const char *const options[] = { BCRAWL_KEY_TOKEN_FILE, token_path, "detail", "fleets", NULL };
	static const struct {
		const char *name;
		long anonymous;
		int code;
		double token;
	} cases[] = {
		{ "bad token", 200, BCRAWL_E_AUTH, 0 },
		{ "trouble", 401, BCRAWL_E_SERVER, (double)NAN },
	};
	char fresh[] = "sekret-new";
	struct env e;

	(void)state;
	write_token("sekret");
	for (size_t i = 0; i < LEN(cases); i++) {
		env_init(&e, cases[i].name, options);
		e.world.v6 = true;
		fake_rule(&e.net, (struct fake_rule){ .match = "/v7/", .status = 404, .body = "" });
		fake_rule(&e.net, (struct fake_rule){ .match = "/v6/" ANONYMOUS, .times = 1, .body = LET_IN,
		                                      .status = cases[i].anonymous });
		fake_rule(&e.net, (struct fake_rule){ .match = "/v6/", .times = 1, .status = 401, .body = "" });
		CHECK_INT(e.name, run(&e), cases[i].code);
		CHECK_INT(e.name, e.err.http_status, 401);
		check_nothing(&e, cases[i].token);
		CHECK_INT(e.name, e.net.log_count, 3);
		env_fini(&e);
	}
	/* And it may be exchanged, or the server be in trouble, there too. */
	env_init(&e, "rotated", options);
	e.world.v6 = true;
	fake_rule(&e.net, (struct fake_rule){ .match = "/v7/", .status = 404, .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = "/v6/", .times = 1, .status = 503, .body = "" });
	fake_rule(&e.net, (struct fake_rule){ .match = "/v6/", .times = 1, .status = 401, .body = "",
	                                      .then = new_token, .user = fresh });
	assert_int_equal(run(&e), 0);
	CHECK_NUM("version", value(&e, CRAWL("api_version")), 6);
	CHECK_NUM("token", value(&e, CRAWL("token_valid")), 1);
	env_fini(&e);
}

/* ---- bodies ---- */

static const size_t chunks[] = { 1, 2, 3, 7, 0 };

struct body {
	const char *name, *text;
	size_t len; /* 0: up to its NUL */
};

static const struct body no_answers[] = {
	{ "d null", "{\"d\":null}", 0 },
	{ "d object", "{\"d\":{}}", 0 },
	{ "d row", "{\"d\":{\"id\":1}}", 0 },
	{ "d number", "{\"d\":7}", 0 },
	{ "d false", "{\"d\":false}", 0 },
	{ "d text", "{\"d\":\"[]\"}", 0 },
	{ "no d", "{}", 0 },
	{ "another name", "{\"e\":[]}", 0 },
	{ "d behind", "{\"e\":1,\"d\":[]}", 0 },
	{ "bare array", "[]", 0 },
	{ "bare null", "null", 0 },
	{ "text", "\"Malformed url\"", 0 },
	{ "HTML", "<!DOCTYPE html><html><body>Bad gateway</body></html>", 0 },
	{ "empty", "", 0 },
	{ "blanks", " \r\n\t", 0 },
	{ "BOM", "\xef\xbb\xbf{\"d\":[]}", 0 },
	{ "UTF-16", "{\0\"\0d\0\"\0:\0[\0]\0}\0", 16 },
	{ "NULs", "\0\0\0\0", 4 },
	{ "gzip", "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10 },
	{ "NaN", "{\"d\":NaN}", 0 },
	{ "d twice", "{\"d\":[],\"d\":[]}", 0 },
	{ "a null row", "{\"d\":[null]}", 0 },
	{ "an array row", "{\"d\":[[]]}", 0 },
	{ "an empty row", "{\"d\":[{}]}", 0 },
};

static void begin_quiet(struct env *e, const char *name)
{
	fake_forget(&e->net);
	e->name = name;
	e->log_lines = 0;
	e->c->said.trouble = 0;
}

/* What is no answer is none, even if all say so: no list is no account without fleets. */
static void test_no_answer(void **state)
{
	struct env e;

	(void)state;
	begin(&e, "no answer", NULL);
	for (size_t i = 0; i < LEN(no_answers); i++) {
		for (size_t k = 0; k < LEN(all_parts); k++) {
			const struct body *b = &no_answers[i];
			struct fake_rule rule = { .match = all_parts[k], .times = TRIES, .body = b->text,
				                  .body_len = b->len };
			double garbage = requests(&e, "garbage");
			/* A row that cannot be in its place is not asked for again. */
			bool disorder = strcmp(b->name, "an empty row") == 0 && k > 0;

			rule.times = disorder ? 1 : TRIES;
			begin_quiet(&e, b->name);
			e.net.chunk = chunks[(i + k) % LEN(chunks)];
			fake_rule(&e.net, rule);
			CHECK_INT(e.name, crawl_after(&e, MINUTE), k == 2 ? 0 : BCRAWL_E_PROTOCOL);
			if (k == 0)
				check_nothing(&e, (double)NAN);
			else
				check_found(&e, &e.world, k == 1 ? SMALL_FLEETS : 0);
			check_log(&e, 1, "");
			CHECK_NUM(e.name, requests(&e, "garbage") - garbage, rule.times);
			/* Once is made good. */
			if (disorder)
				continue;
			begin_quiet(&e, b->name);
			rule.times = 1;
			fake_rule(&e.net, rule);
			CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
			check_found(&e, &e.world, 0);
			check_log(&e, 0, "");
			CHECK_NUM(e.name, requests(&e, "garbage") - garbage, TRIES + 1);
		}
	}
	env_fini(&e);
}

/* A good answer that goes on. */
static void test_goes_on(void **state)
{
	static const struct body ends[] = {
		{ "x", "x", 1 }, { "brace", "}", 1 }, { "comma", ",", 1 }, { "another answer", "{\"d\":[]}", 8 },
		{ "NUL", "\0", 1 }, { "HTML", "<html>", 6 }, { "BOM", "\xef\xbb\xbf", 3 }, { "null", "null", 4 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(ends); i++) {
		for (size_t k = 0; k < LEN(all_parts); k++) {
			for (int times = 1; times <= TRIES; times += TRIES - 1) {
				struct fake_rule rule = { .match = all_parts[k], .times = times };
				char body[8192], *good;
				struct env e;

				begin(&e, ends[i].name, NULL);
				assert_int_equal(crawl_after(&e, MINUTE), 0);
				good = fake_world_answer(&e.world, fake_target(&e.net, all_parts[k], 0));
				rule.body_len = strlen(good) + ends[i].len;
				assert_true(rule.body_len < sizeof(body));
				memcpy(body, good, strlen(good));
				memcpy(body + strlen(good), ends[i].text, ends[i].len);
				free(good);
				rule.body = body;
				e.net.chunk = chunks[i % LEN(chunks)];
				/* Told again all the same, they are rows that were not asked for. */
				if (k > 0 && times > 1)
					rule.times = 2;
				fake_rule(&e.net, rule);
				CHECK_INT(e.name, crawl_after(&e, MINUTE),
				          times == 1 || k == 2 ? 0 : BCRAWL_E_PROTOCOL);
				if (times > 1 && k == 0)
					check_nothing(&e, (double)NAN);
				else
					check_found(&e, &e.world, times > 1 && k == 1 ? SMALL_FLEETS : 0);
				/* They were read before the end was seen to be none. */
				if (k > 0)
					CHECK_INT(e.name, e.sink.summary.devices, SMALL_DEVICES);
				CHECK_NUM(e.name, requests(&e, "garbage"), rule.times);
				env_fini(&e);
			}
		}
	}
}

/* Answers of probes that break off say nothing. */
static void test_cut_probes(void **state)
{
	static const char good[] = "{\"d\":[]}", one[] = "{\"d\":[{\"id\":1}]}";

	(void)state;
	for (size_t at = 0; at < sizeof(one) - 1; at++) {
		for (int result = 0; result < 2; result++) {
			enum bci_result how = result ? BCI_RESULT_NETWORK : BCI_RESULT_OK;
			struct env e;

			env_init(&e, "anonymous", NULL);
			fake_rule(&e.net, (struct fake_rule){ .match = ANONYMOUS, .times = 1, .body = one,
			                                      .cut = true, .cut_at = at, .result = how });
			fake_rule(&e.net, (struct fake_rule){ .status = 401, .body = "" });
			CHECK_INT(e.name, run(&e), BCRAWL_E_SERVER);
			check_nothing(&e, (double)NAN);
			env_fini(&e);
			if (at >= sizeof(good) - 1)
				continue;
			begin(&e, "field", NULL);
			fake_rule(&e.net, (struct fake_rule){ .match = "$select=id,is_frozen&$top=0", .times = 1,
			                                      .body = good, .cut = true, .cut_at = at,
			                                      .result = how });
			CHECK_INT(e.name, crawl_after(&e, HOUR), 0);
			check_found(&e, &e.world, 0);
			CHECK_INT(e.name, e.net.log_count, 9);
			/* And it is asked again. */
			CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
			CHECK_INT(e.name, e.net.log_count, 18);
			env_fini(&e);
		}
	}
}

/* ---- rows ---- */

#define ALL_METRICS BCRAWL_KEY_METRICS, "balena_device_* balena_fleet_* balena_devices_online balena_crawl_* " \
	"balena_api_* balena_shard_*"

/* A world of three devices in acme/a, the second as given. */
static struct fake_world world_of(struct fake_device *room, const char *members)
{
	room[0] = (struct fake_device){ 10, 1, UP };
	room[1] = (struct fake_device){ 20, 1, members };
	room[2] = (struct fake_device){ 30, 1, DOWN };
	return (struct fake_world){ small_fleets, SMALL_FLEETS, room, 3, "", false };
}

/* What a device told so gives is what one told otherwise gives, and so many values more are counted
 * as rejected. want NULL: the answer is refused, and the devices behind it are not read. */
static void check_row(const char *name, const char *members, const char *want, const char *reason,
                      int rejected, const char *const *options)
{
	struct fake_device room[2][3];
	struct fake_world told = world_of(room[0], members), right = world_of(room[1], want ? want : UP);
	char series[128];
	struct env e;

	env_init(&e, name, options);
	e.world = told;
	e.net.chunk = strlen(members) % 5 + 1;
	if (strlen(members) > 100000)
		e.net.chunk = 16384;
	CHECK_INT(name, run(&e), want ? 0 : strlen(members) > 1000000 ? BCRAWL_E_LIMIT : BCRAWL_E_PROTOCOL);
	if (!want) {
		CHECK_INT(name, e.sink.summary.devices, 1);
		check_found(&e, &right, SMALL_FLEETS);
	} else {
		check_found(&e, &right, 0);
	}
	snprintf(series, sizeof(series), "balena_api_rejected_values_total{account=\"default\",reason=\"%s\"}",
	         reason ? reason : "type");
	CHECK_NUM(name, fake_sink_sum(&e.sink, "balena_api_rejected_values_total{"), rejected);
	CHECK_NUM(name, value(&e, series), rejected);
	env_fini(&e);
}

#define ONLINE "\"is_connected_to_vpn\":true,\"api_heartbeat_state\":\"online\","

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		const char *as; /* what it is as good as; NULL: the answer is refused */
		const char *reason;
	} literals[] = {
		{ "NaN", "null", "type" }, { "Infinity", "null", "type" }, { "-Infinity", "null", "type" },
		{ "1e999", "null", "type" }, { "-1e999", "null", "type" }, { "1e-999", "0", NULL },
		{ "-0", "0", NULL }, { "0.0", "0", NULL }, { "-0.0", "0", NULL }, { "1e1", "10", NULL },
		{ "9223372036854775807", "null", "range" }, { "9223372036854775808", "null", "range" },
		{ "-9223372036854775809", "null", "range" }, { "18446744073709551616", "null", "range" },
		{ "2147483647", "null", "range" }, { "-2147483648", "null", "range" }, { "1e300", "null", "range" },
		{ "0.5", "null", "type" }, { "\"50\"", "null", "type" }, { "\"NaN\"", "null", "type" },
		{ "\"\"", "null", "type" }, { "true", "null", "type" }, { "[]", "null", "type" },
		{ "[50]", "null", "type" }, { "{}", "null", "type" }, { "{\"id\":1}", "null", "type" },
		{ "nan", NULL, NULL }, { "+1", NULL, NULL }, { ".5", NULL, NULL }, { "0x10", NULL, NULL },
		{ "1e", NULL, NULL }, { "--1", NULL, NULL }, { "", NULL, NULL }, { "nul", NULL, NULL },
	};
	static const char *const fields[] = {
		"cpu_usage", "cpu_temp", "memory_usage", "memory_total", "storage_usage", "storage_total",
		"overall_progress", "provisioning_progress",
	};
	/* That it makes no sense is a report all the same: all but how many report nothing. */
	static const char *const options[] = { BCRAWL_KEY_METRICS, "balena_device_* balena_fleet_devices "
		"balena_fleet_devices_by_connection balena_fleet_cpu_* balena_fleet_memory_* balena_fleet_storage_* "
		"balena_fleet_crawl_success balena_fleet_info balena_crawl_* balena_api_* balena_shard_*", NULL };

	(void)state;
	for (size_t f = 0; f < LEN(fields); f++) {
		for (size_t i = 0; i < LEN(literals); i++) {
			char told[512], want[512], name[128];
			const char *other = strcmp(fields[f], "memory_usage") == 0 ? ",\"memory_total\":100"
				: strcmp(fields[f], "storage_usage") == 0 ? ",\"storage_total\":100" : "";

			snprintf(name, sizeof(name), "%s %s", fields[f], literals[i].text);
			snprintf(told, sizeof(told), ONLINE "\"%s\":%s%s", fields[f], literals[i].text, other);
			snprintf(want, sizeof(want), ONLINE "\"%s\":%s%s", fields[f],
			         literals[i].as ? literals[i].as : "", other);
			check_row(name, told, literals[i].as ? want : NULL, literals[i].reason,
			          literals[i].reason != NULL, options);
		}
	}
}

/* The numbers that rows stand on: id, fleet, and the list's. */
static void test_ids(void **state)
{
	static const char *const bad[] = {
		"NaN", "Infinity", "-1", "1e1", "20.0", "\"20\"", "true", "null", "[]", "{}", "9223372036854775807",
		"9223372036854775808", "99999999999999999999999", "1e999",
	};
	static const char *const fleet[] = {
		"1", "\"1\"", "true", "{}", "{\"__id\":null}", "{\"__id\":\"1\"}", "{\"__id\":NaN}", "{\"__id\":1.0}",
		"{\"__id\":-1}", "{\"__id\":99}", "{\"__id\":9223372036854775808}", "[{\"id\":\"1\"}]", "[1]",
		"[{\"id\":1},{\"id\":1}]", "null", "[]",
	};

	(void)state;
	for (size_t i = 0; i < LEN(bad); i++) {
		static const char *const columns[] = { "id", "owns__device" };
		char told[1024];
		struct env e;

		env_init(&e, bad[i], NULL);
		e.world.lacks = "";
		snprintf(told, sizeof(told), "{\"d\":[{\"id\":1,\"uuid\":\"u1\",\"belongs_to__application\":"
		         "{\"__id\":1}," UP "},{\"id\":%s,\"uuid\":\"u2\",\"belongs_to__application\":"
		         "{\"__id\":1}}]}", bad[i]);
		fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .body = told });
		CHECK_INT(e.name, run(&e), BCRAWL_E_PROTOCOL);
		CHECK_INT(e.name, fake_sink_count(&e.sink, "balena_device_info{fleet=\"acme"), 1);
		check_found(&e, &e.world, SMALL_FLEETS);
		env_fini(&e);
		for (size_t k = 0; k < LEN(columns); k++) {
			env_init(&e, bad[i], NULL);
			e.world.lacks = "";
			snprintf(told, sizeof(told), "{\"d\":[{\"%s\":%s,\"%s\":1,\"slug\":\"acme/a\"}]}",
			         columns[k], bad[i], columns[!k]);
			fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = TRIES, .body = told });
			CHECK_INT(e.name, run(&e), BCRAWL_E_PROTOCOL);
			check_nothing(&e, 1);
			env_fini(&e);
		}
	}
	for (size_t i = 0; i < LEN(fleet); i++) {
		char told[512];
		struct env e;

		env_init(&e, fleet[i], NULL);
		e.world.lacks = "";
		snprintf(told, sizeof(told), "{\"d\":[{\"id\":1,\"uuid\":\"u1\",\"belongs_to__application\":%s}]}",
		         fleet[i]);
		fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .body = told });
		CHECK_INT(e.name, run(&e), BCRAWL_E_PROTOCOL);
		CHECK_INT(e.name, fake_sink_count(&e.sink, "balena_device_info{fleet=\"acme"), 0);
		check_found(&e, &e.world, SMALL_FLEETS);
		env_fini(&e);
	}
}

/* Members that come twice: the last one counts, wherever; for names that rows stand on, too. */
static void test_duplicate_keys(void **state)
{
	static const char *const options[] = { ALL_METRICS, NULL };
	static const struct {
		const char *name, *told, *as;
	} cases[] = {
		{ "number", ONLINE "\"cpu_temp\":50,\"cpu_temp\":60", ONLINE "\"cpu_temp\":60" },
		{ "then null", ONLINE "\"cpu_temp\":50,\"cpu_temp\":null", ONLINE "\"cpu_temp\":null" },
		{ "null first", ONLINE "\"cpu_temp\":null,\"cpu_temp\":50", ONLINE "\"cpu_temp\":50" },
		{ "bool", ONLINE "\"is_connected_to_vpn\":false", "\"is_connected_to_vpn\":false,"
		  "\"api_heartbeat_state\":\"online\"" },
		{ "reference", "\"should_be_running__release\":{\"__id\":1},\"should_be_running__release\":{\"__id\":2,"
		  "\"__id\":3}," ONLINE "\"x\":1", "\"should_be_running__release\":{\"__id\":3}," ONLINE "\"x\":1" },
		{ "the same id", "\"id\":20", "\"x\":1" },
		{ "the same fleet", "\"belongs_to__application\":{\"__id\":1}", "\"x\":1" },
		{ "another id", "\"id\":5", NULL },
		{ "no id", "\"id\":null", NULL },
		{ "another fleet", "\"belongs_to__application\":{\"__id\":99}", NULL },
		{ "no fleet", "\"belongs_to__application\":null", NULL },
		{ "no uuid", "\"uuid\":\"\"", NULL },
		{ "uuid null", "\"uuid\":null", NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		check_row(cases[i].name, cases[i].told, cases[i].as, NULL, 0, options);
}

/* A text of n bytes in a member, or around it. */
static char *long_text(const char *before, size_t n, const char *after)
{
	char *text = malloc(strlen(before) + n + strlen(after) + 1);

	assert_non_null(text);
	strcpy(text, before);
	memset(text + strlen(before), 'x', n);
	strcpy(text + strlen(before) + n, after);
	return text;
}

/* A megabyte of text is cut to what a label holds, and counted each time it is. */
static void test_long_texts(void **state)
{
	static const char *const options[] = { "info-tags", "site", ALL_METRICS, NULL };
	static const struct {
		const char *name, *before, *after;
		int cuts;
	} cases[] = {
		{ "device_name", ONLINE "\"device_name\":\"", "\"", 1 },
		{ "tag", ONLINE "\"device_tag\":[{\"tag_key\":\"site\",\"value\":\"", "\"}]", 1 },
		{ "os_version", ONLINE "\"os_version\":\"", "\"", -1 },
		{ "release", ONLINE "\"is_running__release\":[{\"id\":2,\"raw_version\":\"", "\"}]", -1 },
		{ "device type", ONLINE "\"is_of__device_type\":[{\"slug\":\"", "\"}]", -1 },
		{ "tag key", ONLINE "\"device_tag\":[{\"value\":\"1\",\"tag_key\":\"", "\"}]", 0 },
		{ "a member nobody asked for", ONLINE "\"note\":\"", "\"", 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char *told = long_text(cases[i].before, 1000000, cases[i].after);
		char *want = long_text(cases[i].before, BCI_LABEL_VALUE_MAX, cases[i].after);
		struct fake_device room[2][3];
		struct fake_world right = world_of(room[1], want);
		double cut;
		struct env e;

		env_init(&e, cases[i].name, options);
		e.world = world_of(room[0], told);
		e.net.chunk = 16384;
		CHECK_INT(e.name, run(&e), 0);
		check_found(&e, &right, 0);
		cut = fake_sink_sum(&e.sink, "balena_api_rejected_values_total{");
		CHECK_NUM(e.name, value(&e, "balena_api_rejected_values_total{account=\"default\","
		                            "reason=\"too_long\"}"), cut);
		CHECK(e.name, cases[i].cuts < 0 ? cut > 0 : cut == cases[i].cuts);
		env_fini(&e);
		free(told);
		free(want);
	}
}

/* More than a megabyte of one device: the answer is refused, and not asked for again. */
static void test_large_element(void **state)
{
	char *told = long_text(ONLINE "\"device_name\":\"", BCI_ELEMENT_BYTES_MAX, "\"");
	struct fake_device room[2][3];
	struct fake_world right = world_of(room[1], UP);
	struct env e;

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		env_init(&e, "large element", NULL);
		e.world = world_of(room[0], told);
		e.net.chunk = (size_t[]){ 1000, 16384, 0 }[k];
		assert_int_equal(run(&e), BCRAWL_E_LIMIT);
		assert_int_equal(e.sink.summary.devices, 1);
		check_found(&e, &right, SMALL_FLEETS);
		check_tale(&e, "8 ok, 1 garbage; 0 again, 0 s");
		check_log(&e, 1, "larger than this library allows");
		env_fini(&e);
	}
	free(told);
}

/* A megabyte is not too much, to the byte. */
static void test_largest_element(void **state)
{
	static const char before[] = ONLINE "\"note\":\"", row[] = "{\"id\":20,\"belongs_to__application\":"
		"{\"__id\":1},\"uuid\":\"u20\",}";
	size_t most = BCI_ELEMENT_BYTES_MAX - strlen(row) - strlen(before) - 1;

	(void)state;
	for (size_t above = 0; above < 3; above++) {
		char *told = long_text(before, most + above, "\"");

		check_row(above ? "above" : "just as large", told, above ? NULL : ONLINE "\"note\":\"\"", NULL, 0,
		          NULL);
		free(told);
	}
}

static void test_depth(void **state)
{
	static const struct {
		int depth; /* of arrays in a member of a row */
		bool good;
	} cases[] = { { 6, true }, { 31, true }, { 32, false }, { 33, false }, { 1000, false },
		      { 100000, false } };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		size_t n = (size_t)cases[i].depth;
		char *told = malloc(2 * n + 64), name[32];

		assert_non_null(told);
		snprintf(name, sizeof(name), "depth %zu", n);
		strcpy(told, ONLINE "\"x\":");
		told = realloc(told, strlen(told) + 2 * n + 1);
		assert_non_null(told);
		told[strlen(told) + 2 * n] = '\0';
		memset(told + strlen(ONLINE "\"x\":"), '[', n);
		memset(told + strlen(ONLINE "\"x\":") + n, ']', n);
		check_row(name, told, cases[i].good ? ONLINE "\"x\":1" : NULL, NULL, 0, NULL);
		free(told);
	}
}

/* What is no character is shown as one that says so; what no label may hold as a blank. */
static void test_texts(void **state)
{
#define FFFD "\xef\xbf\xbd"
	static const struct {
		const char *name, *told, *as; /* as NULL: the answer is refused */
		int rejected;
	} cases[] = {
		{ "lone byte", "a\xff" "b", "a" FFFD "b", 0 },
		{ "lone continuation", "a\x80" "b", "a" FFFD "b", 0 },
		{ "cut character", "a\xe2\x82", "a" FFFD FFFD, 0 },
		{ "cut before another", "\xe2\x82z", FFFD FFFD "z", 0 },
		{ "overlong slash", "\xc0\xaf", FFFD FFFD, 0 },
		{ "overlong NUL", "\xc0\x80", FFFD FFFD, 0 },
		{ "overlong, three bytes", "\xe0\x80\xaf", FFFD FFFD FFFD, 0 },
		{ "surrogate", "\xed\xa0\x80", FFFD FFFD FFFD, 0 },
		{ "surrogate pair", "\xed\xa0\xbd\xed\xb2\xa9", FFFD FFFD FFFD FFFD FFFD FFFD, 0 },
		{ "above Unicode", "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD, 0 },
		{ "five bytes", "\xf8\x88\x80\x80\x80", FFFD FFFD FFFD FFFD FFFD, 0 },
		{ "good ones", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80", 0 },
		{ "good escapes", "\\u00e4\\u20ac\\ud83d\\ude80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80", 0 },
		{ "lone high escape", "a\\ud83dz", "a" FFFD "z", 0 },
		{ "lone low escape", "a\\ude80z", "a" FFFD "z", 0 },
		{ "two high escapes", "\\ud83d\\ud83d", FFFD FFFD, 0 },
		{ "escaped newline", "a\\nb\\tc\\u007fd", "a b c d", 0 },
		{ "C1 control", "a\xc2\x85z", "a z", 0 },
		{ "BOM", "\xef\xbb\xbfz", "\xef\xbb\xbfz", 0 },
		{ "NUL escape", "a\\u0000z", "", 1 },
		{ "only a NUL escape", "\\u0000", "", 1 },
		{ "raw newline", "a\nb", "a b", 0 },
		{ "bad escape", "a\\qb", NULL, 0 },
		{ "half an escape", "a\\u12", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t k = 0; k < LEN(chunks); k++) {
			char told[256], want[256];
			struct fake_device room[2][3];
			struct fake_world right;
			struct env e;

			snprintf(told, sizeof(told), ONLINE "\"device_name\":\"%s\"", cases[i].told);
			snprintf(want, sizeof(want), ONLINE "\"device_name\":\"%s\"", cases[i].as ? cases[i].as : "");
			right = world_of(room[1], want);
			env_init(&e, cases[i].name, NULL);
			e.world = world_of(room[0], told);
			e.net.chunk = chunks[k];
			CHECK_INT(e.name, run(&e), cases[i].as ? 0 : BCRAWL_E_PROTOCOL);
			check_found(&e, &right, cases[i].as ? 0 : SMALL_FLEETS);
			CHECK_NUM(e.name, value(&e, "balena_api_rejected_values_total{account=\"default\","
			                            "reason=\"type\"}"), cases[i].rejected);
			env_fini(&e);
		}
	}
}

/* A uuid that is none: without it there is no device. One that is too long is cut, and counted. */
static void test_uuids(void **state)
{
	static const char *const bad[] = { "\"uuid\":\"u\\u000020\"", "\"uuid\":\"\\u0000\"", "\"uuid\":20",
		                           "\"uuid\":[\"u20\"]", "\"uuid\":\"\"" };
	char *told = long_text("\"uuid\":\"", 1000000, "\"");
	char *want = long_text("\"uuid\":\"", BCI_LABEL_VALUE_MAX, "\"");
	static struct lines got, right;
	struct fake_device room[2][3];
	struct fake_world world = world_of(room[1], want);
	struct env e;

	(void)state;
	for (size_t i = 0; i < LEN(bad); i++) {
		/* A number is rejected as a value, too. */
		bool type = strchr(bad[i], '2') || strchr(bad[i], '\\');

		check_row(bad[i], bad[i], NULL, NULL, type, NULL);
	}
	env_init(&e, "long", NULL);
	e.world = world_of(room[0], told);
	e.net.chunk = 16384;
	assert_int_equal(run(&e), 0);
	CHECK(e.name, fake_sink_sum(&e.sink, "balena_api_rejected_values_total{") > 0);
	found(&e.sink, &got);
	truth(&e, &world, &right);
	check_lines(e.name, &got, &right);
	free(got.text);
	free(right.text);
	env_fini(&e);
	free(told);
	free(want);
}

/* ---- a server that moves ---- */

/* "10a 20b 70-": devices of acme/a, acme/b, acme/empty (e) and of no fleet. "abe" are fleets. */
struct account {
	struct fake_fleet fleets[SMALL_FLEETS];
	struct fake_device devices[32];
};

static struct fake_world world_from(struct account *a, const char *fleets, const char *devices)
{
	struct fake_world w = { a->fleets, 0, a->devices, 0, "", false };
	char *end;

	for (; *fleets; fleets++)
		a->fleets[w.fleet_count++] = small_fleets[*fleets == 'e' ? 2 : *fleets - 'a'];
	for (; *devices; devices = end + 1 + (end[1] != '\0')) {
		struct fake_device *d = &a->devices[w.device_count++];

		*d = (struct fake_device){ strtol(devices, &end, 10), 0, UP };
		d->fleet = *end == '-' ? 0 : *end == 'e' ? 3 : *end - 'a' + 1;
		/* So that each is told from the others. */
		if (d->id % 3)
			d->members = d->id % 3 == 1 ? BEATS : DOWN;
	}
	return w;
}

/* At a request the world becomes another one, and that is what it is answered with. */
struct change {
	struct env *e;
	const struct fake_world *to;
};

static void change(void *user)
{
	struct change *c = user;

	c->e->world = *c->to;
}

/* Where the request of a range begins: behind the second of the first page. */
#define RANGE2 "%20and%20id%20gt%2020%20and"
#define RANGE3 "%20and%20id%20gt%2040&"

static const struct {
	const char *name;
	const char *page;     /* page-size */
	const char *at;       /* the request that first sees the change */
	const char *fleets, *devices; /* then */
	const char *read_fleets, *read; /* what is found, each at one moment */
} moves[] = {
	/* "abe" and "10a 20a 30b 40a 50b 60a 70-" before. */
	{ "added before the ids", "2", IDS, "abe", "5a 10a 20a 30b 40a 50b 60a 70-", "abe",
	  "5a 10a 20a 30b 40a 50b 60a 70-" },
	{ "added between ids and ranges", "2", "id%20le%2020&", "abe", "10a 15b 20a 30b 40a 50b 60a 70-", "abe",
	  "10a 15b 20a 30b 40a 50b 60a 70-" },
	{ "added in a range that was read", "2", RANGE2, "abe", "10a 15b 20a 30b 40a 50b 60a 70-", "abe",
	  "10a 20a 30b 40a 50b 60a 70-" },
	{ "added at the border, below", "2", RANGE2, "abe", "10a 19b 20a 30b 40a 50b 60a 70-", "abe",
	  "10a 20a 30b 40a 50b 60a 70-" },
	{ "added at the border, above", "2", RANGE2, "abe", "10a 20a 21b 30b 40a 50b 60a 70-", "abe",
	  "10a 20a 21b 30b 40a 50b 60a 70-" },
	{ "many added into one range", "2", RANGE2, "abe", "10a 20a 21a 22a 23b 24b 25a 30b 40a 50b 60a 70-",
	  "abe", "10a 20a 21a 22a 23b 24b 25a 30b 40a 50b 60a 70-" },
	{ "added at the end", "2", RANGE3, "abe", "10a 20a 30b 40a 50b 60a 61a 62b 70-", "abe",
	  "10a 20a 30b 40a 50b 60a 61a 62b 70-" },
	{ "removed before its range", "2", RANGE2, "abe", "10a 20a 40a 50b 60a 70-", "abe",
	  "10a 20a 40a 50b 60a 70-" },
	{ "removed behind its range", "2", RANGE2, "abe", "20a 30b 40a 50b 60a 70-", "abe",
	  "10a 20a 30b 40a 50b 60a 70-" },
	{ "a bound is removed", "2", RANGE2, "abe", "10a 30b 50b 60a 70-", "abe", "10a 20a 30b 50b 60a 70-" },
	{ "a range is emptied", "2", RANGE2, "abe", "10a 20a 50b 60a 70-", "abe", "10a 20a 50b 60a 70-" },
	{ "the open range is emptied", "2", RANGE3, "abe", "10a 20a 30b 40a 70-", "abe", "10a 20a 30b 40a 70-" },
	{ "all are removed", "2", RANGE2, "abe", "70-", "abe", "10a 20a 70-" },
	{ "moved on before its range", "2", RANGE2, "abe", "10a 20a 30a 40b 50b 60a 70-", "abe",
	  "10a 20a 30a 40b 50b 60a 70-" },
	{ "moved behind its range", "2", RANGE2, "abe", "10b 20e 30b 40a 50b 60a 70-", "abe",
	  "10a 20a 30b 40a 50b 60a 70-" },
	{ "moved to the empty fleet", "2", RANGE2, "abe", "10a 20a 30e 40e 50b 60a 70-", "abe",
	  "10a 20a 30e 40e 50b 60a 70-" },
	{ "moved out of its fleet, and seen twice", "2", ORPHANS, "abe", "10- 20a 30b 40a 50b 60a 70-", "abe",
	  "10a 10- 20a 30b 40a 50b 60a 70-" },
	{ "moved into a fleet, and missed", "2", ORPHANS, "abe", "10a 20a 30b 40a 50b 60a 70a", "abe",
	  "10a 20a 30b 40a 50b 60a" },
	{ "fleet deleted behind the list", "2", IDS, "ae", "10a 20a 40a 60a 70-", "abe", "10a 20a 40a 60a 70-" },
	{ "fleet deleted between pages", "2", RANGE2, "ae", "10a 20a 40a 60a 70-", "abe", "10a 20a 40a 60a 70-" },
	{ "fleet deleted, its devices of none", "2", IDS, "ae", "10a 20a 30- 40a 50- 60a 70-", "abe",
	  "10a 20a 30- 40a 50- 60a 70-" },
	{ "all fleets deleted behind the list", "2", IDS, "", "70-", "abe", "70-" },
	{ "deleted before the list", "2", LIST, "ae", "10a 20a 40a 60a 70-", "ae", "10a 20a 40a 60a 70-" },
	{ "device of no fleet appears", "2", ORPHANS, "abe", "10a 20a 30b 40a 50b 60a 70- 71- 72- 73-", "abe",
	  "10a 20a 30b 40a 50b 60a 70- 71- 72- 73-" },
	{ "devices of no fleet go", "2", ORPHANS, "abe", "10a 20a 30b 40a 50b 60a", "abe",
	  "10a 20a 30b 40a 50b 60a" },
	{ "more than a page of one request", "6", DEVICES, "abe", "10a 11a 20a 30b 40a 50b 55b 60a 70-", "abe",
	  "10a 11a 20a 30b 40a 50b 55b 60a 70-" },
	{ "less than was counted", "6", DEVICES, "abe", "10a 70-", "abe", "10a 70-" },
};

static void test_moves(void **state)
{
	static const char before_devices[] = "10a 20a 30b 40a 50b 60a 70-";

	(void)state;
	for (size_t i = 0; i < LEN(moves); i++) {
		const char *const options[] = { "concurrency", "1", NULL };
		struct account room[3];
		struct fake_world before = world_from(&room[0], "abe", before_devices);
		struct fake_world after = world_from(&room[1], moves[i].fleets, moves[i].devices);
		struct fake_world read = world_from(&room[2], moves[i].read_fleets, moves[i].read);
		struct change to = { NULL, &after };
		struct env e;

		begin(&e, moves[i].name, options);
		e.c->cfg->values[BCI_OPT_PAGE_SIZE].number = atof(moves[i].page);
		e.world = before;
		to.e = &e;
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &before, 0);
		fake_forget(&e.net);
		fake_rule(&e.net, (struct fake_rule){ .match = moves[i].at, .times = 1, .then = change, .user = &to });
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &read, 0);
		check_log(&e, 0, "");
		/* And the next sees all of it. */
		fake_forget(&e.net);
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &after, 0);
		check_log(&e, 0, "");
		env_fini(&e);
	}
}

/* An answer broke off behind 30: what changes below, at and above that. */
static void test_moves_in_resume(void **state)
{
	static const struct {
		const char *name, *devices, *read;
	} cases[] = {
		{ "nothing", "10a 20a 30b 40a 50b 60a", "10a 20a 30b 40a 50b 60a" },
		{ "added below", "10a 20a 25a 30b 40a 50b 60a", "10a 20a 30b 40a 50b 60a" },
		{ "added just above", "10a 20a 30b 31a 40a 50b 60a", "10a 20a 30b 31a 40a 50b 60a" },
		{ "added at the end", "10a 20a 30b 40a 50b 60a 99b", "10a 20a 30b 40a 50b 60a 99b" },
		{ "the last one read is removed", "10a 20a 40a 50b 60a", "10a 20a 30b 40a 50b 60a" },
		{ "the next one is removed", "10a 20a 30b 50b 60a", "10a 20a 30b 50b 60a" },
		{ "all above are removed", "10a 20a 30b", "10a 20a 30b" },
		{ "the last one read is moved", "10a 20a 30a 40a 50b 60a", "10a 20a 30b 40a 50b 60a" },
		{ "the next one is moved", "10a 20a 30b 40b 50b 60a", "10a 20a 30b 40b 50b 60a" },
		{ "all are other ones", "11a 21a 31b 41a 51b 61a", "10a 20a 30b 31b 41a 51b 61a" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *const options[] = { "concurrency", "1", NULL };
		struct account room[3];
		struct fake_world before = world_from(&room[0], "abe", "10a 20a 30b 40a 50b 60a");
		struct fake_world after = world_from(&room[1], "abe", cases[i].devices);
		struct fake_world read = world_from(&room[2], "abe", cases[i].read);
		struct change to = { NULL, &after };
		struct env e;
		char *body;

		begin(&e, cases[i].name, options);
		e.world = before;
		to.e = &e;
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		body = fake_world_answer(&e.world, fake_target(&e.net, DEVICES, 0));
		fake_forget(&e.net);
		fake_rule(&e.net, (struct fake_rule){ .match = "%20and%20id%20gt%2030&", .times = 1, .then = change,
		                                      .user = &to });
		fake_rule(&e.net, (struct fake_rule){ .match = DEVICES, .times = 1, .cut = true,
		                                      .cut_at = (size_t)(strstr(body, "{\"id\":40") - body) + 9,
		                                      .result = BCI_RESULT_NETWORK });
		free(body);
		CHECK_INT(e.name, crawl_after(&e, MINUTE), 0);
		check_found(&e, &read, 0);
		check_tale(&e, "15 ok, 1 network; 1 again, 0 s");
		check_log(&e, 0, "");
		env_fini(&e);
	}
}

/* A device that moves between two groups may be missed or seen twice in that one crawl: under two
 * fleets then, never twice under one. */
static void test_moves_between_groups(void **state)
{
	static const char *const options[] = { "concurrency", "1", BCRAWL_KEY_METRICS, "balena_device_* "
		"balena_fleet_devices balena_fleet_crawl_success balena_fleet_info balena_devices_online", NULL };

	(void)state;
	for (int back = 0; back < 2; back++) {
		static struct fake_device devices[MANY + 5], read[MANY + 5];
		struct fake_world after, seen;
		struct change to = { NULL, &after };
		struct env e;
		size_t n = 0;

		env_init(&e, back ? "missed" : "twice", options);
		many(&e);
		e.world.lacks = "";
		assert_int_equal(run(&e), 0);
		check_found(&e, &e.world, 0);
		after = seen = e.world;
		memcpy(devices, many_devices, sizeof(many_devices));
		/* Device 7 of fleet 7 to fleet 201, or 302 of that to fleet 9. */
		if (back)
			devices[MANY + 1].fleet = 9;
		else
			devices[6].fleet = MANY;
		after.devices = devices;
		for (size_t i = 0; i < LEN(many_devices); i++) {
			if (back && i == MANY + 1)
				continue;
			read[n++] = many_devices[i];
			if (!back && i == 6)
				read[n++] = devices[6];
		}
		seen.devices = read;
		seen.device_count = n;
		to.e = &e;
		fake_rule(&e.net, (struct fake_rule){ .match = "in%20(201)", .times = 1, .then = change, .user = &to });
		assert_int_equal(crawl_after(&e, MINUTE), 0);
		check_found(&e, &seen, 0);
		fake_forget(&e.net);
		assert_int_equal(crawl_after(&e, MINUTE), 0);
		check_found(&e, &after, 0);
		check_log(&e, 0, "");
		env_fini(&e);
	}
}

/* ---- clocks ---- */

struct jump {
	struct env *e;
	int64_t ms;
};

static void jump(void *user)
{
	struct jump *j = user;

	j->e->net.wall_ms += j->ms;
}

/* The wall clock is set by hours, in the middle of crawls and between them: nothing but the time of
 * the samples knows. */
static void test_wall_clock(void **state)
{
	static const int64_t hours[] = { -3, 3, -3, -24, 48, 0, -1, 1 };
	int64_t last = 0;
	struct env e;

	(void)state;
	begin(&e, "wall clock", NULL);
	e.net.step_ms = 1000;
	for (size_t i = 0; i < LEN(hours); i++) {
		for (size_t k = 0; k < LEN(all_parts) + 1; k++) {
			struct jump j = { &e, hours[i] * HOUR };
			int64_t wall, began = e.c->last_start_mono;

			fake_forget(&e.net);
			if (k < LEN(all_parts))
				fake_rule(&e.net, (struct fake_rule){ .match = all_parts[k], .times = 1,
				                                      .then = jump, .user = &j });
			else
				jump(&j);
			wall = e.net.wall_ms + began + MINUTE - e.net.mono_ms;
			assert_int_equal(crawl_after(&e, MINUTE), 0);
			check_found(&e, &e.world, 0);
			assert_true(e.sink.time_ms > last);
			assert_int_equal(e.sink.time_ms, wall > last ? wall : last + 1);
			last = e.sink.time_ms;
			CHECK_NUM(e.name, value(&e, CRAWL("duration_seconds")), 3);
			CHECK_NUM(e.name, e.sink.summary.duration_s, 3);
			CHECK_NUM(e.name, value(&e, CRAWL("interval_seconds")), 60);
			CHECK_INT(e.name, e.net.log_count, 3);
			check_log(&e, 0, "");
		}
	}
	env_fini(&e);
}

/* The waits that a server asked for, and those for a token, are not shortened or drawn out. */
static void test_wall_clock_and_waits(void **state)
{
	static const int64_t hours[] = { -24, 24 };

	(void)state;
	for (size_t i = 0; i < LEN(hours); i++) {
		struct env e;
		struct jump j = { &e, hours[i] * HOUR };

		begin(&e, "waits", NULL);
		fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 429, .body = "",
		                                      .retry_after_s = 90, .then = jump, .user = &j });
		assert_int_equal(crawl_after(&e, MINUTE), BCRAWL_E_THROTTLED);
		jump(&j);
		assert_int_equal(crawl_after(&e, MINUTE), 0);
		assert_int_equal(e.net.log[1].at - e.net.log[0].at, 90001);
		check_found(&e, &e.world, 0);
		env_fini(&e);
	}
}

/* A monotonic clock too coarse for a crawl, or a machine too fast for it. */
static void test_still_clock(void **state)
{
	int64_t last = 0;
	struct env e;

	(void)state;
	env_init(&e, "still", NULL);
	e.world.lacks = "";
	e.net.step_ms = 0;
	for (int i = 0; i < 5; i++) {
		if (i == 2)
			fake_rule(&e.net, (struct fake_rule){ .match = LIST, .times = 1, .status = 502, .body = "" });
		assert_int_equal(run(&e), 0);
		check_found(&e, &e.world, 0);
		assert_true(e.sink.time_ms > last);
		last = e.sink.time_ms;
		if (i < 2)
			CHECK_NUM(e.name, value(&e, CRAWL("duration_seconds")), 0);
		CHECK(e.name, value(&e, CRAWL("interval_seconds")) > 0);
	}
	env_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hold_is_shared),
		cmocka_unit_test(test_longest_hold),
		cmocka_unit_test(test_one_outage_one_line),
		cmocka_unit_test(test_outages_beside_a_lasting_one),
		cmocka_unit_test(test_one_bad_token_file_after_another),
		cmocka_unit_test(test_hold_over_crawls),
		cmocka_unit_test(test_hold_lengths),
		cmocka_unit_test(test_hold_not_said),
		cmocka_unit_test(test_hold_forgets),
		cmocka_unit_test(test_budget_spreads),
		cmocka_unit_test(test_budget_burst),
		cmocka_unit_test(test_budget_too_small),
		cmocka_unit_test(test_budgets_apart),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_no_time_to_wait),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_token_rotates),
		cmocka_unit_test(test_token_rotates_in_trouble),
		cmocka_unit_test(test_token_rotates_twice),
		cmocka_unit_test(test_slows_down),
		cmocka_unit_test(test_new_token_at_once),
		cmocka_unit_test(test_part_forbidden),
		cmocka_unit_test(test_refused_by_v6),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_cut_probes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_duplicate_keys),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_large_element),
		cmocka_unit_test(test_largest_element),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_uuids),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_moves_in_resume),
		cmocka_unit_test(test_moves_between_groups),
		cmocka_unit_test(test_wall_clock),
		cmocka_unit_test(test_wall_clock_and_waits),
		cmocka_unit_test(test_still_clock),
	};

	return cmocka_run_group_tests_name("faults", tests, make_token_file, remove_token_file);
}
