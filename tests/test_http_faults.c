/* SPDX-License-Identifier: MIT
 *
 * The real transport and the token file while what is below them fails: each call of each function
 * of libcurl that the core makes, and each of those that read the token file, once and from then on.
 * The linker puts the functions below under the core's calls (--wrap). That is an exception to the
 * rule that libcurl is replaced at the transport's seam only: here the transport itself is tested.
 *
 * Time runs faster here than outside, so that a crawl that hangs is at its deadline soon. */
#define CURL_DISABLE_TYPECHECK
#include "accounts.h"
#include "fake_sink.h"
#include "limits.h"
#include "loopback.h"
#include "token_file.h"
#include "truth.h"
#include "unit.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- calls that fail ---- */

enum call {
	EASY_INIT,
	EASY_SETOPT,
	EASY_GETINFO,
	MULTI_INIT,
	MULTI_ADD,
	MULTI_REMOVE,
	MULTI_SETOPT,
	MULTI_ACTION,
	MULTI_PERFORM,
	MULTI_POLL,
	SLIST_APPEND,
	OPEN,
	FSTAT,
	STAT,
	READ,
	ALLOCATE, /* of the transport's own */
	CALL_COUNT
};

static const char *const call_names[] = {
	"curl_easy_init",	"curl_easy_setopt",	"curl_easy_getinfo",  "curl_multi_init",
	"curl_multi_add_handle", "curl_multi_remove_handle", "curl_multi_setopt",
	"curl_multi_socket_action", "curl_multi_perform", "curl_multi_poll",
	"curl_slist_append",	"open",			"fstat",	      "stat",
	"read",			"malloc",
};

static struct {
	unsigned long n[CALL_COUNT]; /* calls so far */
	unsigned long fail_at;       /* 0: none fails */
	enum call which;
	bool lasting;                /* all from fail_at on fail, else that one */
	unsigned long failed;
	int error;                   /* errno of what is no libcurl */
	size_t piece;                /* read() gives no more at a time; 0: as it likes */
	bool deaf;                   /* libcurl tells of no socket, and does nothing when told of one */
} faults;

static bool fails(enum call call)
{
	unsigned long n = ++faults.n[call];
	bool fail = faults.fail_at && call == faults.which &&
		    (faults.lasting ? n >= faults.fail_at : n == faults.fail_at);

	faults.failed += fail;
	if (fail)
		errno = faults.error;
	return fail;
}

CURL *__real_curl_easy_init(void);
CURLcode __real_curl_easy_setopt(CURL *e, CURLoption option, ...);
CURLcode __real_curl_easy_getinfo(CURL *e, CURLINFO info, ...);
CURLM *__real_curl_multi_init(void);
CURLMcode __real_curl_multi_add_handle(CURLM *m, CURL *e);
CURLMcode __real_curl_multi_remove_handle(CURLM *m, CURL *e);
CURLMcode __real_curl_multi_setopt(CURLM *m, CURLMoption option, ...);
CURLMcode __real_curl_multi_socket_action(CURLM *m, curl_socket_t fd, int what, int *running);
CURLMcode __real_curl_multi_perform(CURLM *m, int *running);
CURLMcode __real_curl_multi_poll(CURLM *m, struct curl_waitfd *fds, unsigned n, int ms, int *ready);
struct curl_slist *__real_curl_slist_append(struct curl_slist *l, const char *s);
ssize_t __real_read(int fd, void *data, size_t n);
CURL *__wrap_curl_easy_init(void);
CURLcode __wrap_curl_easy_setopt(CURL *e, CURLoption option, ...);
CURLcode __wrap_curl_easy_getinfo(CURL *e, CURLINFO info, ...);
CURLM *__wrap_curl_multi_init(void);
CURLMcode __wrap_curl_multi_add_handle(CURLM *m, CURL *e);
CURLMcode __wrap_curl_multi_remove_handle(CURLM *m, CURL *e);
CURLMcode __wrap_curl_multi_setopt(CURLM *m, CURLMoption option, ...);
CURLMcode __wrap_curl_multi_socket_action(CURLM *m, curl_socket_t fd, int what, int *running);
CURLMcode __wrap_curl_multi_perform(CURLM *m, int *running);
CURLMcode __wrap_curl_multi_poll(CURLM *m, struct curl_waitfd *fds, unsigned n, int ms, int *ready);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *l, const char *s);
ssize_t __wrap_read(int fd, void *data, size_t n);

CURL *__wrap_curl_easy_init(void)
{
	return fails(EASY_INIT) ? NULL : __real_curl_easy_init();
}

/* What a request may be made without: each has a default that is safe, or costs no more than time.
 * Without any other it must not be made, one that this test has not heard of yet included. */
static const CURLoption wishes[] = {
	CURLOPT_NETRC,        CURLOPT_USERAGENT,       CURLOPT_ACCEPT_ENCODING, CURLOPT_PIPEWAIT,
	CURLOPT_HTTP_VERSION, CURLOPT_DNS_CACHE_TIMEOUT, CURLOPT_SOCKOPTFUNCTION, CURLOPT_TCP_KEEPALIVE,
	CURLOPT_TCP_KEEPIDLE, CURLOPT_TCP_KEEPINTVL,
#if LIBCURL_VERSION_NUM >= 0x075700
	CURLOPT_QUICK_EXIT,   CURLOPT_CA_CACHE_TIMEOUT,
#endif
};

static bool is_wish(CURLoption option)
{
	for (size_t i = 0; i < LEN(wishes); i++)
		if (wishes[i] == option)
			return true;
	return false;
}

/* The option that a handle lacks is kept in the handle itself; 0: none. */
static CURLoption lacking(CURL *e)
{
	char *option = NULL;

	__real_curl_easy_getinfo(e, CURLINFO_PRIVATE, &option);
	return (CURLoption)(uintptr_t)option;
}

static void set_lacking(CURL *e, CURLoption option)
{
	__real_curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)(uintptr_t)option);
}

/* The one argument behind is a long or a pointer, and is handed on as a pointer: the platforms we
 * build for pass both alike. */
CURLcode __wrap_curl_easy_setopt(CURL *e, CURLoption option, ...)
{
	va_list ap;
	void *value;

	va_start(ap, option);
	value = va_arg(ap, void *);
	va_end(ap);
	if (!fails(EASY_SETOPT)) {
		if (lacking(e) == option)
			set_lacking(e, 0);
		return __real_curl_easy_setopt(e, option, value);
	}
	if (!is_wish(option) && !lacking(e))
		set_lacking(e, option);
	return CURLE_OUT_OF_MEMORY;
}

CURLcode __wrap_curl_easy_getinfo(CURL *e, CURLINFO info, ...)
{
	va_list ap;
	void *value;

	va_start(ap, info);
	value = va_arg(ap, void *);
	va_end(ap);
	return fails(EASY_GETINFO) ? CURLE_UNKNOWN_OPTION : __real_curl_easy_getinfo(e, info, value);
}

CURLM *__wrap_curl_multi_init(void)
{
	return fails(MULTI_INIT) ? NULL : __real_curl_multi_init();
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *m, CURL *e)
{
	if (lacking(e))
		fail_msg("a request without option %d of libcurl", (int)lacking(e));
	return fails(MULTI_ADD) ? CURLM_OUT_OF_MEMORY : __real_curl_multi_add_handle(m, e);
}

CURLMcode __wrap_curl_multi_remove_handle(CURLM *m, CURL *e)
{
	return fails(MULTI_REMOVE) ? CURLM_INTERNAL_ERROR : __real_curl_multi_remove_handle(m, e);
}

CURLMcode __wrap_curl_multi_setopt(CURLM *m, CURLMoption option, ...)
{
	va_list ap;
	void *value;

	va_start(ap, option);
	value = va_arg(ap, void *);
	va_end(ap);
	return fails(MULTI_SETOPT) ? CURLM_UNKNOWN_OPTION : __real_curl_multi_setopt(m, option, value);
}

CURLMcode __wrap_curl_multi_socket_action(CURLM *m, curl_socket_t fd, int what, int *running)
{
	if (fails(MULTI_ACTION))
		return CURLM_INTERNAL_ERROR;
	return faults.deaf ? CURLM_OK : __real_curl_multi_socket_action(m, fd, what, running);
}

CURLMcode __wrap_curl_multi_perform(CURLM *m, int *running)
{
	return fails(MULTI_PERFORM) ? CURLM_OUT_OF_MEMORY : __real_curl_multi_perform(m, running);
}

CURLMcode __wrap_curl_multi_poll(CURLM *m, struct curl_waitfd *fds, unsigned n, int ms, int *ready)
{
	return fails(MULTI_POLL) ? CURLM_UNRECOVERABLE_POLL : __real_curl_multi_poll(m, fds, n, ms, ready);
}

struct curl_slist *__wrap_curl_slist_append(struct curl_slist *l, const char *s)
{
	return fails(SLIST_APPEND) ? NULL : __real_curl_slist_append(l, s);
}

/* With and without large files, the C library has two names for each of these. */
#define WRAP(name, call, parameters, arguments)                                                    \
	int __real_##name parameters;                                                               \
	int __wrap_##name parameters;                                                               \
	int __wrap_##name parameters                                                                \
	{                                                                                           \
		return fails(call) ? -1 : __real_##name arguments;                                  \
	}
WRAP(open, OPEN, (const char *path, int flags), (path, flags))
WRAP(open64, OPEN, (const char *path, int flags), (path, flags))
WRAP(fstat, FSTAT, (int fd, struct stat *st), (fd, st))
WRAP(fstat64, FSTAT, (int fd, struct stat *st), (fd, st))
WRAP(stat, STAT, (const char *path, struct stat *st), (path, st))
WRAP(stat64, STAT, (const char *path, struct stat *st), (path, st))

ssize_t __wrap_read(int fd, void *data, size_t n)
{
	if (fails(READ))
		return -1;
	return __real_read(fd, data, faults.piece && faults.piece < n ? faults.piece : n);
}

/* In the transport, on the test's own thread. */
static _Thread_local bool in_transport;

#define WRAP_ALLOCATION(type, name, parameters, arguments)                                         \
	type __real_##name parameters;                                                              \
	type __wrap_##name parameters;                                                              \
	type __wrap_##name parameters                                                               \
	{                                                                                           \
		return in_transport && fails(ALLOCATE) ? NULL : __real_##name arguments;            \
	}
WRAP_ALLOCATION(void *, malloc, (size_t n), (n))
WRAP_ALLOCATION(void *, calloc, (size_t n, size_t size), (n, size))
WRAP_ALLOCATION(char *, strdup, (const char *s), (s))
WRAP_ALLOCATION(char *, strndup, (const char *s, size_t n), (s, n))

/* ---- time ---- */

#define SPEED 20

static int64_t real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t fast_ms(void *user)
{
	(void)user;
	/* Not under a tool that makes us slower than that. */
	return real_ms() * (unit_stride() > 1 ? 1 : SPEED);
}

/* ---- a crawler over the real transport ---- */

#define DEADLINE_S 60

struct env {
	struct fake_world world;
	struct loopback server;
	struct truth truth;
	struct fake_sink sink;
	struct bcrawl *c;
	struct bci_transport inner;
	struct bcrawl_error err;
	char name[128];
};

/* The waits of a crawl are for its own clock: a step waits a moment. */
static void short_step(void *self, int timeout_ms, int wake_fd)
{
	struct env *e = self;

	e->inner.step(e->inner.self, timeout_ms < 2 ? timeout_ms : 2, wake_fd);
}

static void start(void *self, struct bci_exchange *x, const char *token)
{
	struct env *e = self;

	in_transport = true;
	e->inner.start(e->inner.self, x, token);
	in_transport = false;
}

static void cancel(void *self, struct bci_exchange *x)
{
	struct env *e = self;

	e->inner.cancel(e->inner.self, x);
}

static void free_inner(void *self)
{
	struct env *e = self;

	e->inner.free(e->inner.self);
}

static void set_faults(enum call which, unsigned long n, bool lasting)
{
	memset(&faults, 0, sizeof(faults));
	faults.which = which;
	faults.fail_at = n;
	faults.lasting = lasting;
	faults.error = EIO;
	/* These then have all to do. */
	faults.deaf = which == MULTI_PERFORM || which == MULTI_POLL;
}

static void new_crawler(struct env *e, const char *const *options)
{
	struct bcrawl_config *cfg = bcrawl_config_new();

	assert_non_null(cfg);
	for (; *options; options += 2)
		assert_int_equal(bcrawl_config_set(cfg, options[0], options[1], &e->err), 0);
	assert_int_equal(bcrawl_config_set(cfg, "api-url", e->server.url, &e->err), 0);
	assert_int_equal(bcrawl_config_set(cfg, BCRAWL_KEY_TOKEN_FILE, token_path, &e->err), 0);
	assert_int_equal(bcrawl_new(&e->c, cfg, &e->err), 0);
	bcrawl_config_free(cfg);
	e->c->clock.mono_ms = fast_ms;
}

/* The crawler makes its transport at the first crawl; here the test does, in its place. Returns
 * whether that went well. */
static bool get_transport(struct env *e)
{
	struct bci_http_config cfg = { .base_url = e->server.url,
		                       /* All options are set; to plain HTTP on loopback it is nothing. */
		                       .ca_file = "/dev/null",
		                       .proxy = "none" };
	bool made;

	if (e->c->transport.self)
		return true;
	in_transport = true;
	made = bci_http_new(&e->inner, &cfg, &e->c->clock);
	in_transport = false;
	if (!made)
		return false;
	e->c->transport = (struct bci_transport){ start, short_step, cancel, free_inner, e };
	return true;
}

static int crawl(struct env *e)
{
	int64_t begun = fast_ms(NULL);
	int rc;

	fake_sink_clear(&e->sink);
	e->err = (struct bcrawl_error){ .size = sizeof(e->err) };
	rc = bcrawl_run(e->c, &e->sink.sink, &e->sink, &e->err);
	CHECK(e->name, rc == 0 || e->err.message[0]);
	CHECK(e->name, !strstr(e->err.message, "sekret"));
	CHECK(e->name, fast_ms(NULL) - begun < (DEADLINE_S + 10) * 1000);
	return rc;
}

static void check(const struct env *e, const char *broken)
{
	if (broken)
		print_error("%s: %s (%s)\n", e->name, broken, e->err.message);
	CHECK(e->name, !broken);
}

static void env_begin(struct env *e, const char *const *options)
{
	static const struct fake_world world = { .fleets = three_fleets,
		                                 .fleet_count = LEN(three_fleets),
		                                 .devices = first7,
		                                 .device_count = LEN(first7),
		                                 .lacks = "is_frozen latitude" };
	memset(e, 0, sizeof(*e));
	e->world = world;
	e->err.size = sizeof(e->err);
	fake_sink_init(&e->sink);
	loopback_start(&e->server, fake_world_answer, &e->world, "sekret");
	set_faults(0, 0, false);
	new_crawler(e, options);
	assert_true(get_transport(e));
	assert_int_equal(crawl(e), 0);
	check(e, e->sink.summary.complete ? NULL : "not complete");
	truth_take(&e->truth, &e->sink);
	bcrawl_free(e->c);
}

static void env_end(struct env *e)
{
	truth_free(&e->truth);
	fake_sink_fini(&e->sink);
	loopback_stop(&e->server);
}

/* One life in which a call fails; the second crawl has no faults. Returns whether it came to the
 * call. */
static bool live(struct env *e, const char *const *options, enum call which, unsigned long n,
                 bool lasting)
{
	bool failed;
	int rc;

	snprintf(e->name, sizeof(e->name), "%s: %s call %lu", call_names[which],
	         lasting ? "from" : "at", n);
	new_crawler(e, options);
	set_faults(which, n, lasting);
	if (get_transport(e)) {
		rc = crawl(e);
		/* Where nothing can go on that is said at once. */
		if (which == MULTI_ACTION || which == MULTI_PERFORM)
			CHECK(e->name, rc != BCRAWL_E_TIMEOUT);
		/* What is not known of the server is not asked of it, and is missing then. */
		if (e->c->server.probed || !e->sink.summary.complete)
			check(e, truth_broken(&e->truth, &e->sink, rc));
	}
	failed = faults.failed > 0;
	set_faults(0, 0, false);
	assert_true(get_transport(e));
	rc = crawl(e);
	check(e, truth_lacking(&e->truth, &e->sink, rc));
	bcrawl_free(e->c);
	return failed;
}

/* A call that does nothing but wait and move on comes as often as time will have it. */
#define LOOPS_MAX 40

static bool is_of_the_loop(enum call which)
{
	return which == MULTI_ACTION || which == MULTI_PERFORM || which == MULTI_POLL;
}

static void fail_in_turn(enum call first, enum call last, const char *const *options)
{
	struct env e;

	env_begin(&e, options);
	for (enum call which = first; which <= last; which++) {
		bool comes = true;
		int64_t begun = real_ms();
		unsigned long n;

		for (n = 1; comes && (n <= LOOPS_MAX || !is_of_the_loop(which)); n += unit_stride()) {
			comes = live(&e, options, which, n, false);
			if (comes)
				live(&e, options, which, n, true);
		}
		/* At least one call did. */
		CHECK(call_names[which], n > 2 || comes);
		print_message("%s: %lu calls, %lld ms\n", call_names[which], n - 1 - !comes,
		              (long long)(real_ms() - begun));
	}
	env_end(&e);
}

#define DEADLINE "deadline", "60"
#define METRICS                                                                                    \
	BCRAWL_KEY_METRICS, "balena_fleet_devices balena_devices_online balena_device_info "       \
			    "balena_fleet_devices_by_connection balena_device_service_* "           \
			    "balena_fleet_crawl_success"

static const char *const options_walk[] = { "detail", "services", "page-size", "2", "concurrency",
	                                    "2", DEADLINE, METRICS, NULL };
static const char *const options_probes[] = { DEADLINE, NULL };

static void test_curl(void **state)
{
	(void)state;
	fail_in_turn(EASY_INIT, SLIST_APPEND, options_walk);
}

static void test_curl_probes(void **state)
{
	(void)state;
	fail_in_turn(EASY_GETINFO, EASY_GETINFO, options_probes);
	fail_in_turn(MULTI_ADD, MULTI_ADD, options_probes);
}

/* Trouble with the token's file ends a crawl, and the next one is right. */
static void test_token_file(void **state)
{
	(void)state;
	fail_in_turn(OPEN, READ, options_walk);
}

static void test_memory(void **state)
{
	(void)state;
	fail_in_turn(ALLOCATE, ALLOCATE, options_walk);
}

/* What is no trouble: a read that gives little, or is interrupted. */
static void test_token_read(void **state)
{
	static const struct {
		const char *name;
		size_t piece;
		unsigned long n;
		int want;
	} cases[] = {
		{ "a byte at a time", 1, 0, BCRAWL_OK },
		{ "three bytes at a time", 3, 0, BCRAWL_OK },
		{ "interrupted at once", 0, 1, BCRAWL_OK },
		{ "interrupted in the middle", 2, 3, BCRAWL_OK },
		{ "interrupted at the end", 0, 2, BCRAWL_OK },
	};
	struct env e;

	(void)state;
	env_begin(&e, options_walk);
	for (size_t i = 0; i < LEN(cases); i++) {
		int rc;

		snprintf(e.name, sizeof(e.name), "%s", cases[i].name);
		new_crawler(&e, options_walk);
		assert_true(get_transport(&e));
		set_faults(READ, cases[i].n, false);
		faults.error = EINTR;
		faults.piece = cases[i].piece;
		rc = crawl(&e);
		CHECK_INT(e.name, faults.failed, cases[i].n > 0);
		check(&e, truth_lacking(&e.truth, &e.sink, rc));
		set_faults(0, 0, false);
		bcrawl_free(e.c);
	}
	/* For ever: said, and not waited for. */
	snprintf(e.name, sizeof(e.name), "interrupted for ever");
	new_crawler(&e, options_walk);
	set_faults(READ, 1, true);
	faults.error = EINTR;
	CHECK_INT(e.name, crawl(&e), BCRAWL_E_CONFIG);
	CHECK_INT(e.name, faults.failed, BCI_INTERRUPTS_MAX);
	set_faults(0, 0, false);
	assert_true(get_transport(&e));
	check(&e, truth_lacking(&e.truth, &e.sink, crawl(&e)));
	bcrawl_free(e.c);
	env_end(&e);
}

static int make_file(void **state)
{
	int rc = make_token_file(state);

	if (!rc)
		write_token("sekret");
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_curl),
		cmocka_unit_test(test_curl_probes),
		cmocka_unit_test(test_token_file),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_token_read),
	};

	return cmocka_run_group_tests(tests, make_file, remove_token_file);
}
