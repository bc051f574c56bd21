/* SPDX-License-Identifier: MIT
 *
 * The transport over libcurl, one exchange at a time, against a server on loopback: what becomes of
 * each answer, and of none. */
#include "clock.h"
#include "limits.h"
#include "loopback.h"
#include "transport.h"
#include "unit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 65000

struct env {
	struct loopback server;
	const char *answer;
	struct bci_clock clock;
	int64_t ms, step_ms; /* the clock, and how far each look moves it */
	struct bci_transport t;
	char body[256];
	size_t len;
	int body_rc;
};

static int64_t mono(void *user)
{
	struct env *e = user;

	return e->ms += e->step_ms;
}

static char *answer(void *user, const char *target)
{
	const struct env *e = user;

	(void)target;
	return strdup(e->answer);
}

static int on_body(void *user, const char *data, size_t len)
{
	struct env *e = user;

	assert_true(e->len + len < sizeof(e->body));
	memcpy(e->body + e->len, data, len);
	e->len += len;
	e->body[e->len] = '\0';
	return e->body_rc;
}

static void env_begin(struct env *e, const char *url, const char *ca_file)
{
	struct bci_http_config cfg = { .ca_file = ca_file, .proxy = "none" };

	memset(e, 0, sizeof(*e));
	loopback_start(&e->server, answer, e, "sekret");
	cfg.base_url = url ? url : e->server.url;
	e->clock = (struct bci_clock){ .mono_ms = mono, .wall_ms = mono, .user = e };
	assert_true(bci_http_new(&e->t, &cfg, &e->clock));
}

static void env_end(struct env *e)
{
	e->t.free(e->t.self);
	loopback_stop(&e->server);
}

static struct bci_exchange begin(struct env *e)
{
	e->len = 0;
	e->body[0] = '\0';
	return (struct bci_exchange){
		.target = "/v7/device?$select=id", .body = on_body, .user = e, .patience_ms = PATIENCE_MS
	};
}

static void finish(struct env *e, struct bci_exchange *x)
{
	for (int i = 0; !x->done; i++) {
		assert_true(i < 100000);
		e->t.step(e->t.self, 20, -1);
	}
}

#define EMPTY "Content-Length: 0\r\n\r\n"

static void test_answers(void **state)
{
	static const struct {
		const char *name, *answer;
		enum bci_result result;
		long status, retry_after_s;
		const char *reason, *body;
	} cases[] = {
		{ "good", "{\"d\":[]}", BCI_RESULT_OK, 200, -1, "HTTP 200", "{\"d\":[]}" },
		{ "401", "HTTP/1.1 401 No\r\n" EMPTY, BCI_RESULT_AUTH, 401, -1, "HTTP 401", "" },
		{ "403", "HTTP/1.1 403 No\r\n" EMPTY, BCI_RESULT_AUTH, 403, -1, "HTTP 403", "" },
		{ "429", "HTTP/1.1 429 No\r\nRetry-After: 7\r\n" EMPTY, BCI_RESULT_THROTTLED, 429, 7, "HTTP 429",
		  "" },
		{ "a time that has passed",
		  "HTTP/1.1 429 No\r\nRetry-After: Mon, 01 Jan 2001 00:00:00 GMT\r\n" EMPTY, BCI_RESULT_THROTTLED,
		  429, -1, "HTTP 429", "" },
		{ "no time at all", "HTTP/1.1 503 No\r\nRetry-After: soon\r\n" EMPTY, BCI_RESULT_SERVER_ERROR, 503,
		  -1, "HTTP 503", "" },
		{ "408", "HTTP/1.1 408 No\r\n" EMPTY, BCI_RESULT_SERVER_ERROR, 408, -1, "HTTP 408", "" },
		{ "500", "HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nout\x01\n\xc3\xa9 of",
		  BCI_RESULT_SERVER_ERROR, 500, -1, "HTTP 500: out of", "" },
		{ "the query comes back",
		  "HTTP/1.1 400 No\r\nContent-Length: 27\r\n\r\n\"Malformed url: '/v7/devi'\"\n",
		  BCI_RESULT_CLIENT_ERROR, 400, -1, "HTTP 400", "" },
		{ "302", "HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\n" EMPTY, BCI_RESULT_CLIENT_ERROR, 302,
		  -1, "HTTP 302", "" },
		{ "too short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{\"d\":[]}\n",
		  BCI_RESULT_OK, 200, -1, "HTTP 200", "{\"d\":[]}\n" },
		{ "an encoding that nobody asked for",
		  "HTTP/1.1 200 OK\r\nContent-Encoding: odd\r\nContent-Length: 2\r\n\r\n{}", BCI_RESULT_GARBAGE,
		  200, -1, NULL, "" },
		{ "no HTTP", "HTTP/9.9 banana\r\n\r\n", BCI_RESULT_GARBAGE, 0, -1, NULL, "" },
	};
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_exchange x = begin(&e);

		e.answer = cases[i].answer;
		e.t.start(e.t.self, &x, "sekret");
		finish(&e, &x);
		CHECK_INT(cases[i].name, x.result, cases[i].result);
		CHECK_INT(cases[i].name, x.status, cases[i].status);
		CHECK_INT(cases[i].name, x.retry_after_s, cases[i].retry_after_s);
		CHECK_STR(cases[i].name, e.body, cases[i].body);
		if (cases[i].reason)
			CHECK_STR(cases[i].name, x.reason, cases[i].reason);
		CHECK(cases[i].name, x.reason[0] != '\0' && !strstr(x.reason, "select"));
	}
	env_end(&e);
}

/* The reader's own error ends an exchange, and is no reason to read on. */
static void test_reader_fails(void **state)
{
	struct bci_exchange x;
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	e.answer = "{\"d\":[]}";
	e.body_rc = BCRAWL_E_PROTOCOL;
	x = begin(&e);
	e.t.start(e.t.self, &x, "sekret");
	finish(&e, &x);
	assert_int_equal(x.result, BCI_RESULT_GARBAGE);
	assert_int_equal(x.body_error, BCRAWL_E_PROTOCOL);
	env_end(&e);
}

/* Another token is another header; the old one is gone, and without one there is none. */
static void test_tokens(void **state)
{
	static const char *const tokens[] = { "old", "sekret", "sekret", NULL, NULL, "new" };
	static const long want[] = { 401, 200, 200, 401, 401, 401 };
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	e.answer = "{\"d\":[]}";
	for (size_t i = 0; i < LEN(tokens); i++) {
		struct bci_exchange x = begin(&e);

		e.t.start(e.t.self, &x, tokens[i]);
		finish(&e, &x);
		CHECK_INT(tokens[i] ? tokens[i] : "none", x.status, want[i]);
	}
	env_end(&e);
}

/* A server that says the token back is not repeated, however the text and the token look. */
static void test_hides_the_token(void **state)
{
	static const struct {
		const char *token, *says, *reason;
	} cases[] = {
		{ "sekret", "You sent sekret, not sekret2", "HTTP 403: You sent ******, not ******2" },
		{ "sekret", "Bearer sekr", "HTTP 403: Bearer ****" },
		{ "sekret", "Bearer sek", "HTTP 403: Bearer sek" },
		{ "abab", "ababab", "HTTP 403: ****ab" },
		{ "****", "You sent ****", "HTTP 403: You sent ****" },
		{ "*", "***", "HTTP 403: ***" },
	};
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_exchange x = begin(&e);
		char text[128];

		snprintf(text, sizeof(text), "HTTP/1.1 403 No\r\nContent-Length: %zu\r\n\r\n%s",
		         strlen(cases[i].says), cases[i].says);
		e.answer = text;
		e.server.token = cases[i].token;
		e.t.start(e.t.self, &x, cases[i].token);
		finish(&e, &x);
		CHECK_STR(cases[i].says, x.reason, cases[i].reason);
	}
	env_end(&e);
}

/* An answer that stands still ends, by our clock. */
static void test_stall(void **state)
{
	struct bci_exchange x;
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	e.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"d\":[";
	e.step_ms = 100;
	x = begin(&e);
	e.t.start(e.t.self, &x, "sekret");
	while (!x.done)
		e.t.step(e.t.self, 1, -1);
	assert_int_equal(x.result, BCI_RESULT_TIMEOUT);
	assert_string_equal(x.reason, "no data for 65 seconds");
	assert_true(e.ms >= PATIENCE_MS && e.ms < 2 * PATIENCE_MS);
	env_end(&e);
}

/* After one fell silent no connection is used again that was there then: beside one that is still
 * under way by asking for a new one, and later by leaving all behind. */
static void test_silent_connection(void **state)
{
	struct bci_exchange silent, slow, next;
	struct env e;
	unsigned before;

	(void)state;
	env_begin(&e, NULL, "");
	/* Before the first answer libcurl waits whether one connection is enough for all. */
	e.answer = "{\"d\":[]}";
	next = begin(&e);
	e.t.start(e.t.self, &next, "sekret");
	finish(&e, &next);
	e.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"d\":[";
	silent = begin(&e);
	slow = begin(&e);
	slow.patience_ms *= 1000;
	e.t.start(e.t.self, &silent, "sekret");
	e.t.start(e.t.self, &slow, "sekret");
	while (e.len < 2 * strlen("{\"d\":["))
		e.t.step(e.t.self, 20, -1);
	/* A third one, whose connection could be used again. */
	e.answer = "{\"d\":[]}";
	next = begin(&e);
	e.t.start(e.t.self, &next, "sekret");
	finish(&e, &next);
	before = e.server.accepted;
	assert_int_equal(before, 3);
	e.step_ms = 100;
	while (!silent.done)
		e.t.step(e.t.self, 1, -1);
	assert_int_equal(silent.result, BCI_RESULT_TIMEOUT);
	e.step_ms = 0;
	for (unsigned i = 1; i <= 2; i++) {
		next = begin(&e);
		e.t.start(e.t.self, &next, "sekret");
		finish(&e, &next);
		assert_int_equal(next.result, BCI_RESULT_OK);
		assert_int_equal(e.server.accepted, before + i);
		/* Given up too, after the first of them. */
		if (i == 1)
			e.t.cancel(e.t.self, &slow);
	}
	/* And is then trusted as ever. */
	next = begin(&e);
	e.t.start(e.t.self, &next, "sekret");
	finish(&e, &next);
	assert_int_equal(e.server.accepted, before + 2);
	env_end(&e);
}

/* Of answers that are there together, the first to be read to its end ends its exchange before the
 * next is read: another request can then take its place. */
static void check_one_after_the_other(int64_t pause_ms)
{
	static const char most[] = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"d\":[", rest[] = "]}";
	struct bci_exchange first, second;
	struct env e;

	env_begin(&e, NULL, "");
	/* Before the first answer libcurl waits whether one connection is enough for all. */
	e.answer = "{\"d\":[]}";
	first = begin(&e);
	e.t.start(e.t.self, &first, "sekret");
	finish(&e, &first);
	e.answer = most;
	first = begin(&e);
	second = begin(&e);
	e.t.start(e.t.self, &first, "sekret");
	e.t.start(e.t.self, &second, "sekret");
	while (e.len < 2 * strlen("{\"d\":["))
		e.t.step(e.t.self, 20, -1);
	/* The server's thread waits for requests. */
	assert_int_equal(e.server.n, 2);
	for (size_t i = 0; i < 2; i++) {
		int fd = e.server.connections[i].fd, at_once = 1;

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
		assert_int_equal(send(fd, rest, strlen(rest), 0), strlen(rest));
	}
	e.ms += pause_ms;
	while (!first.done && !second.done)
		e.t.step(e.t.self, 20, -1);
	assert_true(pause_ms || first.done != second.done);
	finish(&e, &first);
	finish(&e, &second);
	assert_int_equal(first.result, BCI_RESULT_OK);
	assert_int_equal(second.result, BCI_RESULT_OK);
	env_end(&e);
}

static void test_one_after_the_other(void **state)
{
	(void)state;
	check_one_after_the_other(0);
}

/* A machine that stood still for longer than our patience has not read what is there. */
static void test_after_a_pause_of_all(void **state)
{
	(void)state;
	check_one_after_the_other(2 * PATIENCE_MS);
}

/* What libcurl refuses to do is no want of memory, and no request is made. */
static void test_refused_by_libcurl(void **state)
{
	const size_t n = 9 << 20; /* beyond what libcurl takes for a text */
	char *target = malloc(n);
	struct bci_exchange x;
	struct env e;

	(void)state;
	assert_non_null(target);
	memset(target, 'a', n);
	target[n - 1] = '\0';
	env_begin(&e, NULL, "");
	x = begin(&e);
	x.target = target;
	e.t.start(e.t.self, &x, "sekret");
	assert_true(x.done);
	CHECK_INT("whose fault", x.body_error, BCRAWL_E_CONFIG);
	assert_non_null(strstr(x.reason, "this libcurl cannot make the request: "));
	free(target);
	env_end(&e);
}

static int option_of(int fd, int level, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* A peer that is gone without a word ends by the system's clock, whether we send or wait. */
static void test_peer_that_is_gone(void **state)
{
	struct bci_exchange x;
	struct env e;
	int found = 0;

	(void)state;
	env_begin(&e, NULL, "");
	e.answer = "{\"d\":[]}";
	x = begin(&e);
	e.t.start(e.t.self, &x, "sekret");
	finish(&e, &x);
	/* The connection stays open: it is the one whose peer is the server. */
	for (int fd = 0; fd < 256; fd++) {
		struct sockaddr_in peer = { 0 }, server = { 0 };
		socklen_t size = sizeof(peer), server_size = sizeof(server);

		assert_int_equal(getsockname(e.server.fd, (void *)&server, &server_size), 0);
		if (getpeername(fd, (void *)&peer, &size) || peer.sin_family != AF_INET ||
		    peer.sin_port != server.sin_port)
			continue;
		found++;
		CHECK_INT("user timeout", option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), BCI_PEER_TIMEOUT_MS);
		CHECK_INT("keepalive", option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		CHECK_INT("idle", option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), BCI_PEER_TIMEOUT_MS / 1000 - BCI_PEER_PROBE_S);
		CHECK_INT("between probes", option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), BCI_PEER_PROBE_S);
	}
	assert_int_equal(found, 1);
	env_end(&e);
}

/* A step ends when the wake descriptor becomes readable; what is given up is not touched again. */
static void test_wake_and_cancel(void **state)
{
	struct bci_exchange x, other;
	int fds[2];
	struct env e;

	(void)state;
	env_begin(&e, NULL, "");
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "", 1), 1);
	e.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"d\":[";
	x = other = begin(&e);
	e.t.start(e.t.self, &x, "sekret");
	e.t.start(e.t.self, &other, "sekret");
	/* Ten hours, if it did not work. */
	for (int i = 0; i < 20; i++)
		e.t.step(e.t.self, 36000000, fds[0]);
	assert_false(x.done);
	e.t.cancel(e.t.self, &x);
	memset(&x, 0xff, sizeof(x));
	e.t.step(e.t.self, 1, -1);
	/* The other one is still under way when all ends. */
	close(fds[0]);
	close(fds[1]);
	env_end(&e);
}

/* ---- addresses of a name ---- */

struct told {
	size_t n, v4;
};

static void on_address(void *user, const struct sockaddr *address)
{
	struct told *t = user;

	t->n++;
	t->v4 += address->sa_family == AF_INET &&
		 ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

/* All of them are told, and none is connected to; a name without any is an error that says so. */
static void test_addresses(void **state)
{
	static const struct {
		const char *host;
		enum bci_result result;
		size_t v4;
	} cases[] = {
		{ "localhost", BCI_RESULT_OK, 1 },
		{ "127.0.0.1", BCI_RESULT_OK, 1 },
		{ "nobody.invalid", BCI_RESULT_NETWORK, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct told told = { 0 };
		struct loopback server;
		char url[64];
		struct bci_exchange x;
		struct env e;

		/* The server that counts who comes is behind each of them. */
		loopback_start(&server, answer, &e, NULL);
		snprintf(url, sizeof(url), "http://%s%s", cases[i].host, strrchr(server.url, ':'));
		env_begin(&e, url, "");
		x = begin(&e);
		x.target = "/";
		x.address = on_address;
		x.user = &told;
		e.t.start(e.t.self, &x, NULL);
		finish(&e, &x);
		CHECK_INT(cases[i].host, x.result, cases[i].result);
		CHECK_INT(cases[i].host, x.body_error, 0);
		CHECK_INT(cases[i].host, told.v4, cases[i].v4);
		CHECK_INT(cases[i].host, x.reason[0] == '\0', cases[i].result == BCI_RESULT_OK);
		CHECK_INT(cases[i].host, atomic_load(&server.accepted), 0);
		env_end(&e);
		loopback_stop(&server);
	}
}

static void test_nobody_there(void **state)
{
	static const struct {
		const char *name, *url, *ca_file;
	} cases[] = {
		{ "refused", "http://127.0.0.1:1///", "" },
		{ "no certificates", "https://127.0.0.1:1", "/nowhere/ca.pem" },
		{ "no such scheme", "ftp://127.0.0.1:1", "" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_exchange x;
		struct env e;

		env_begin(&e, cases[i].url, cases[i].ca_file);
		x = begin(&e);
		e.t.start(e.t.self, &x, "sekret");
		finish(&e, &x);
		CHECK(cases[i].name, x.result == BCI_RESULT_NETWORK || x.result == BCI_RESULT_GARBAGE);
		CHECK_INT(cases[i].name, x.status, 0);
		CHECK(cases[i].name, x.reason[0] != '\0');
		env_end(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_reader_fails),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_hides_the_token),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_silent_connection),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_after_a_pause_of_all),
		cmocka_unit_test(test_refused_by_libcurl),
		cmocka_unit_test(test_peer_that_is_gone),
		cmocka_unit_test(test_wake_and_cancel),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
