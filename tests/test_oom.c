/* SPDX-License-Identifier: MIT
 *
 * Whole lives of a crawler in which the n-th allocation fails, for every n, once and from then on.
 * The linker puts the functions below under the core's calls (--wrap); libc's own, libcurl's and
 * json-c's allocations are not hit: what json-c 0.16 does without memory is not in our hands. */
#include "accounts.h"
#include "fake_sink.h"
#include "fake_transport.h"
#include "token_file.h"
#include "truth.h"
#include "unit.h"

#include <time.h>

/* ---- allocations that fail ---- */

static struct {
	bool armed;          /* allocations are counted, and may fail */
	int paused;          /* not in the core: the test's allocations are neither */
	bool lasting;        /* all from fail_at on fail, else that one */
	unsigned long fail_at; /* 0: none */
	unsigned long n, failed;
	long live;           /* blocks that were not freed, of core and test alike */
} oom;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
void __wrap_free(void *p);

static bool fails(void)
{
	bool fail;

	if (!oom.armed || oom.paused)
		return false;
	oom.n++;
	fail = oom.fail_at && (oom.lasting ? oom.n >= oom.fail_at : oom.n == oom.fail_at);
	oom.failed += fail;
	return fail;
}

void *__wrap_malloc(size_t n)
{
	void *p = fails() ? NULL : __real_malloc(n);

	oom.live += p != NULL;
	return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __real_calloc(n, size);

	oom.live += p != NULL;
	return p;
}

void *__wrap_realloc(void *old, size_t n)
{
	bool was = old != NULL;
	void *p = fails() ? NULL : __real_realloc(old, n);

	oom.live += p && !was;
	return p;
}

char *__wrap_strdup(const char *s)
{
	char *p = fails() ? NULL : __real_strdup(s);

	oom.live += p != NULL;
	return p;
}

char *__wrap_strndup(const char *s, size_t n)
{
	char *p = fails() ? NULL : __real_strndup(s, n);

	oom.live += p != NULL;
	return p;
}

void __wrap_free(void *p)
{
	oom.live -= p != NULL;
	__real_free(p);
}

static void arm(unsigned long fail_at, bool lasting)
{
	oom.armed = true;
	oom.lasting = lasting;
	oom.fail_at = fail_at;
	oom.n = oom.failed = 0;
}

/* ---- accounts ---- */

/* More than a group's 200. */
#define MANY 201
static struct fake_fleet many_fleets[MANY];
static char many_slugs[MANY][16];
static const struct fake_device many_devices[] = {
	{ 1, 1, DOWN }, { 2, 2, DOWN }, { 3, MANY, DOWN },
};

static int make_many(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(many_slugs[i], sizeof(many_slugs[i]), "acme/f%zu", i);
		many_fleets[i] = (struct fake_fleet){ (int64_t)i + 1, many_slugs[i], NULL };
	}
	return 0;
}

/* A session token: {"exp":1795500000} */
#define JWT "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU1MDAwMDB9.c2ln"

struct scene {
	const char *name;
	const char *const *options; /* key, value, key, value ..., NULL */
	const struct fake_fleet *fleets;
	size_t fleet_count;
	const struct fake_device *first, *second; /* of two crawls */
	size_t first_count, second_count;
	bool v6;
	bool token_file;
	bool source;                   /* members are asked for by HTTP, over the same network */
	bool large;                    /* one crawl is long enough */
	const struct fake_rule *rules; /* of either crawl; up to one without match */
	int fails_with;                /* a crawl does, if it has the memory; 0: it does not */
};

static const struct fake_rule faults[] = {
	{ .match = "$expand=organization", .times = 1, .status = 503, .body = "" },
	{ .match = "belongs_to__application%20in", .skip = 1, .times = 1, .cut = true, .cut_at = 1300,
	  .result = BCI_RESULT_NETWORK },
	{ 0 },
};
static const struct fake_rule no_v7[] = { { .match = "/v7/", .status = 404, .body = "" }, { 0 } };

/* ---- the token's file ---- */

static const char old_token[] = "old";
static char exchanged_token[] = JWT "2";
static const struct fake_rule rotates[] = {
	{ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" },
	{ .match = "$top=0", .token = old_token, .status = 401, .body = "", .then = new_token,
	  .user = exchanged_token },
	{ 0 },
};
static const struct fake_rule refuses[] = {
	{ .match = "device_type?", .body = "{\"d\":[{\"id\":1}]}" },
	{ .match = "/v7/", .status = 401, .body = "" },
	{ 0 },
};

/* ---- one life ---- */

struct life {
	const struct scene *scene;
	struct fake_transport net;
	struct bci_transport inner; /* the fake's own functions */
	struct fake_world world;
	struct fake_sink sink;
	struct shim {
		int (*body)(void *user, const char *data, size_t len);
		void *user;
	} shims[64]; /* far more than are under way at a time */
	size_t shim;
	struct bcrawl *c;
	struct bcrawl_error err;
	char name[128];
};

static int shim_body(void *user, const char *data, size_t len)
{
	struct shim *s = user;
	int paused = oom.paused, rc;

	oom.paused = 0;
	rc = s->body(s->user, data, len);
	oom.paused = paused;
	return rc;
}

static void shim_start(void *self, struct bci_exchange *x, const char *token)
{
	struct life *l = self;
	struct shim *s = &l->shims[l->shim++ % LEN(l->shims)];

	*s = (struct shim){ x->body, x->user };
	x->body = shim_body;
	x->user = s;
	oom.paused++;
	l->inner.start(l->inner.self, x, token);
	oom.paused--;
}

static void shim_step(void *self, int timeout_ms, int wake_fd)
{
	struct life *l = self;

	oom.paused++;
	l->inner.step(l->inner.self, timeout_ms, wake_fd);
	oom.paused--;
}

static void shim_cancel(void *self, struct bci_exchange *x)
{
	struct life *l = self;

	oom.paused++;
	l->inner.cancel(l->inner.self, x);
	oom.paused--;
}

static void shim_free(void *self)
{
	(void)self;
}

static int shim_sample(void *user, const struct bcrawl_sample *s)
{
	struct life *l = user;
	int rc;

	oom.paused++;
	rc = l->sink.sink.sample(&l->sink, s);
	oom.paused--;
	return rc;
}

static void shim_end(void *user, const struct bcrawl_summary *sum)
{
	struct life *l = user;

	l->sink.sink.end(&l->sink, sum);
}

static const struct bcrawl_sink shim_sink = {
	.size = sizeof(shim_sink), .sample = shim_sample, .end = shim_end
};

static void on_log(void *user, int level, const char *line)
{
	(void)level;
	CHECK(((struct life *)user)->name, *line && !strstr(line, "sekret") && !strstr(line, "longer than"));
}

/* A call that failed says why; only memory may be the reason, or what the scene is about. */
static void check_failure(const struct life *l, int rc, int other)
{
	CHECK_INT(l->name, l->err.code, rc);
	CHECK(l->name, rc == BCRAWL_OK || l->err.message[0] != '\0');
	if (rc != other && rc != BCRAWL_OK)
		CHECK_INT(l->name, rc, BCRAWL_E_NOMEM);
	if (rc == BCRAWL_E_NOMEM)
		CHECK(l->name, oom.failed > 0 && strstr(l->err.message, "out of memory"));
}

static void clear_error(struct life *l)
{
	l->err = (struct bcrawl_error){ .size = sizeof(l->err) };
}

/* A configuration of the scene; NULL if there is no memory for it. */
static struct bcrawl_config *configure(struct life *l)
{
	struct bcrawl_config *cfg;
	const char *const *o = l->scene->options;
	const char *const token[] = { l->scene->token_file ? BCRAWL_KEY_TOKEN_FILE : "token",
		                      l->scene->token_file ? token_path : "sekret", NULL };
	int rc = 0;

	oom.paused--;
	cfg = bcrawl_config_new();
	if (!cfg && oom.lasting)
		goto out;
	if (!cfg)
		cfg = bcrawl_config_new();
	assert_non_null(cfg);
	for (int own = 1; own >= 0; own--) {
		for (o = own ? l->scene->options : token; o && *o && !rc; o += 2) {
			clear_error(l);
			rc = bcrawl_config_set(cfg, o[0], o[1], &l->err);
			check_failure(l, rc, BCRAWL_OK);
			/* As it was before: it can be set again. */
			if (rc && !oom.lasting)
				rc = bcrawl_config_set(cfg, o[0], o[1], &l->err);
		}
	}
	if (rc) {
		bcrawl_config_free(cfg);
		cfg = NULL;
	}
out:
	oom.paused++;
	return cfg;
}

static void give_birth(struct life *l)
{
	struct bcrawl_config *cfg = configure(l);
	int rc;

	if (!cfg)
		return;
	clear_error(l);
	oom.paused--;
	rc = bcrawl_new(&l->c, cfg, &l->err);
	check_failure(l, rc, BCRAWL_OK);
	CHECK(l->name, (rc == 0) == (l->c != NULL));
	if (rc && !oom.lasting) {
		rc = bcrawl_new(&l->c, cfg, &l->err);
		CHECK_INT(l->name, rc, 0);
	}
	oom.paused++;
	bcrawl_config_free(cfg);
	if (rc)
		return;
	fake_install(&l->net, l->c);
	l->inner = l->c->transport;
	l->c->transport = (struct bci_transport){ shim_start, shim_step, shim_cancel, shim_free, l };
	bcrawl_set_log(l->c, on_log, l);
	if (!l->scene->source)
		return;
	l->c->shard.source = l->c->transport;
	l->c->shard.target = strdup("/members");
}

static void set_rules(struct life *l)
{
	const struct fake_rule *r = l->scene->rules;

	l->net.rule_count = 0;
	if (l->scene->token_file)
		write_token(old_token);
	for (; r && r->match; r++)
		fake_rule(&l->net, *r);
}

static int crawl(struct life *l)
{
	int rc;

	fake_sink_clear(&l->sink);
	clear_error(l);
	l->net.mono_ms += 60000;
	l->net.wall_ms += 60000;
	oom.paused--;
	rc = bcrawl_run(l->c, &shim_sink, l, &l->err);
	oom.paused++;
	CHECK_INT(l->name, l->net.pending_count, 0);
	return rc;
}

static void show_world(struct life *l, bool second)
{
	l->world.devices = second ? l->scene->second : l->scene->first;
	l->world.device_count = second ? l->scene->second_count : l->scene->first_count;
}

static void life_begin(struct life *l, const struct scene *scene, const char *what, unsigned long n)
{
	oom.armed = false;
	oom.paused = 1;
	memset(l, 0, sizeof(*l));
	l->scene = scene;
	snprintf(l->name, sizeof(l->name), "%s: %s %lu", scene->name, what, n);
	fake_init(&l->net);
	l->net.together = true;
	l->net.chunk = scene->large ? 4096 : 200;
	l->world = (struct fake_world){ .fleets = scene->fleets, .fleet_count = scene->fleet_count,
		                        .lacks = "is_frozen latitude", .v6 = scene->v6 };
	l->net.answer = fake_world_answer;
	l->net.answer_user = &l->world;
	fake_sink_init(&l->sink);
	show_world(l, false);
	set_rules(l);
}

static void life_end(struct life *l)
{
	bcrawl_free(l->c);
	fake_sink_fini(&l->sink);
	/* A rule that was not applied is no failure here: the memory was gone before. */
	l->net.rule_count = 0;
	fake_fini(&l->net);
}

/* The truth of a scene's second crawl may be either: a release that lost its name for want of
 * memory is counted as other. */
struct truths {
	struct truth first, second, fresh;
};

static void learn(const struct scene *scene, struct truths *t)
{
	struct life l;

	life_begin(&l, scene, "the truth", 0);
	give_birth(&l);
	if (!scene->v6 && !scene->source)
		l.net.rule_count = 0;
	assert_int_equal(crawl(&l), 0);
	assert_int_equal(l.sink.summary.complete, 1);
	truth_take(&t->first, &l.sink);
	show_world(&l, true);
	assert_int_equal(crawl(&l), 0);
	truth_take(&t->second, &l.sink);
	life_end(&l);

	life_begin(&l, scene, "the truth", 0);
	give_birth(&l);
	if (!scene->v6 && !scene->source)
		l.net.rule_count = 0;
	show_world(&l, true);
	assert_int_equal(crawl(&l), 0);
	truth_take(&t->fresh, &l.sink);
	life_end(&l);
}

static void check_second(const struct life *l, const struct truths *t, int rc, bool whole)
{
	const char *(*check)(const struct truth *, const struct fake_sink *, int) =
		whole ? truth_lacking : truth_broken;
	const char *broken = check(&t->second, &l->sink, rc);

	if (broken && !check(&t->fresh, &l->sink, rc))
		broken = NULL;
	if (broken)
		print_error("%s: %s (%s)\n", l->name, broken, l->err.message);
	CHECK(l->name, !broken);
}

/* A life without memory from somewhere on, then one crawl with memory. Returns how many allocations
 * the part had that may fail. */
static unsigned long live(const struct scene *scene, const struct truths *t, unsigned long n,
                          bool lasting)
{
	long live_before = oom.live;
	struct life l;
	const char *broken;
	unsigned long count;
	int rc;

	life_begin(&l, scene, lasting ? "from allocation" : "allocation", n);
	arm(n, lasting);
	give_birth(&l);
	if (l.c) {
		rc = crawl(&l);
		check_failure(&l, rc, scene->fails_with);
		broken = truth_broken(&t->first, &l.sink, rc);
		if (broken)
			print_error("%s: %s\n", l.name, broken);
		CHECK(l.name, !broken);
	}
	if (l.c && !scene->large) {
		clear_error(&l);
		oom.paused--;
		rc = bcrawl_check(l.c, on_log, &l, &l.err);
		oom.paused++;
		check_failure(&l, rc, scene->fails_with);
		set_rules(&l);
		show_world(&l, true);
		rc = crawl(&l);
		check_failure(&l, rc, scene->fails_with);
		check_second(&l, t, rc, false);
	}
	count = oom.n;
	oom.armed = false;
	if (n)
		CHECK(l.name, oom.failed > 0);
	if (l.c) {
		if (!scene->v6 && !scene->source)
			l.net.rule_count = 0;
		/* Past the time for which a refused token is not tried. */
		l.net.mono_ms += 3600000;
		rc = crawl(&l);
		check_second(&l, t, rc, true);
	}
	life_end(&l);
	CHECK_INT(l.name, oom.live, live_before);
	return count;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void play(const struct scene *scene)
{
	struct truths t;
	double begun = seconds();
	unsigned long count;

	learn(scene, &t);
	count = live(scene, &t, 0, false);
	assert_true(count > 20);
	for (unsigned long n = 1; n <= count; n += unit_stride()) {
		live(scene, &t, n, false);
		live(scene, &t, n, true);
	}
	print_message("%s: %lu allocations, %.2f s\n", scene->name, count, seconds() - begun);
	truth_free(&t.first);
	truth_free(&t.second);
	truth_free(&t.fresh);
}

#define THREE three_fleets, LEN(three_fleets)
#define SEVENS first7, second7, LEN(first7), LEN(second7)

static void test_services(void **state)
{
	static const char *const options[] = {
		"detail", "services", "info-tags", "site", "info-tags", "Env", "page-size", "2",
		"concurrency", "2", "top-versions", "1", BCRAWL_KEY_METRICS, "@all", "account-label", "all",
		BCRAWL_KEY_ACCOUNT, "prod", NULL
	};
	const struct scene scene = { "services", options, THREE, SEVENS, .rules = faults };

	(void)state;
	play(&scene);
}

static void test_v6(void **state)
{
	static const char *const options[] = { "detail", "services", "page-size", "2", NULL };
	const struct scene scene = { "v6", options, THREE, first6, second6, LEN(first6), LEN(second6),
		                     .v6 = true, .rules = no_v7 };

	(void)state;
	play(&scene);
}

static void test_fleets(void **state)
{
	static const char *const options[] = { "detail", "fleets", "exclude-fleet", "acme/x*", "proxy",
		                               "none", NULL };
	const struct scene scene = { "fleets", options, THREE, SEVENS, .rules = faults };

	(void)state;
	play(&scene);
}

static void test_reduced(void **state)
{
	static const char *const options[] = { "max-series", "1", BCRAWL_KEY_METRICS,
		                               "balena_fleet_* balena_devices_online", NULL };
	const struct scene scene = { "reduced", options, THREE, SEVENS, .rules = NULL };

	(void)state;
	play(&scene);
}

static void test_device_tag(void **state)
{
	static const char *const options[] = { "device-tag", "site=berlin", "organization", "acme",
		                               "fleet", "acme/*", "fleet", "none", NULL };
	const struct scene scene = { "device tag", options, THREE, SEVENS, .rules = NULL };

	(void)state;
	play(&scene);
}

static void test_groups(void **state)
{
	static const char *const options[] = {
		BCRAWL_KEY_METRICS, "balena_fleet_devices balena_fleet_crawl_success balena_device_info",
		"page-size", "1", NULL
	};
	const struct scene scene = { "groups", options, many_fleets, MANY, many_devices, many_devices,
		                     LEN(many_devices), LEN(many_devices), .large = true, .rules = faults };

	(void)state;
	play(&scene);
}

static void test_token_file(void **state)
{
	const struct scene scene = { "token file", NULL, THREE, SEVENS, .token_file = true,
		                     .rules = rotates, .fails_with = BCRAWL_E_AUTH };

	(void)state;
	play(&scene);
}

static void test_refused(void **state)
{
	const struct scene scene = { "refused", NULL, THREE, SEVENS, .rules = refuses,
		                     .fails_with = BCRAWL_E_AUTH };

	(void)state;
	play(&scene);
}

static void test_members(void **state)
{
	static const char *const options[] = { "shard-members", "http://sd/members", "shard-self", "a:1", NULL };
	static const struct fake_rule rules[] = {
		{ .match = "/members", .body = "[{\"targets\":[\"b:1\",\"a:1\"]}]" }, { 0 }
	};
	const struct scene scene = { "members", options, THREE, SEVENS, .source = true, .rules = rules };

	(void)state;
	play(&scene);
}

static void test_shards(void **state)
{
	static const char list[] = "[{\"targets\":[\"b:1\",\"a:1\",\"c:1\"]}]\n";
	char source[80];
	const char *const options[] = { "shard-members", source, "shard-self", "a:1", NULL };
	const struct scene scene = { "shards", options, THREE, SEVENS, .rules = faults };

	(void)state;
	snprintf(source, sizeof(source), "file:%s", token_path);
	write_token(list);
	play(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_fleets),
		cmocka_unit_test(test_reduced),
		cmocka_unit_test(test_device_tag),
		cmocka_unit_test_setup(test_groups, make_many),
		cmocka_unit_test_setup_teardown(test_token_file, make_token_file, remove_token_file),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_members),
		cmocka_unit_test_setup_teardown(test_shards, make_token_file, remove_token_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
