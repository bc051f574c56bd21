/* SPDX-License-Identifier: MIT
 *
 * What to do after a request that failed, and the words and codes of results. */
#include "limits.h"
#include "retry.h"
#include "unit.h"

#define FAR 60000
#define BY_LUCK(r, attempt, luck) { BCI_RESULT_##r, -1, attempt, luck }

static void test_wait(void **state)
{
	static const struct {
		const char *name;
		struct bci_failure f;
		int64_t left, want;
	} cases[] = {
		{ "no failure", BY_LUCK(OK, 1, 0.5), FAR, -1 },
		{ "auth is for a person", BY_LUCK(AUTH, 1, 0.5), FAR, -1 },
		{ "a bad query stays bad", BY_LUCK(CLIENT_ERROR, 1, 0.5), FAR, -1 },
		{ "network", BY_LUCK(NETWORK, 1, 0.5), FAR, 250 },
		{ "network, no luck", BY_LUCK(NETWORK, 1, 0), FAR, 0 },
		{ "network, all the luck", BY_LUCK(NETWORK, 1, 0.999), FAR, 499 },
		{ "network, twice", BY_LUCK(NETWORK, 2, 0.5), FAR, 500 },
		{ "network, three times", BY_LUCK(NETWORK, 3, 0.5), FAR, -1 },
		{ "server", BY_LUCK(SERVER_ERROR, 1, 0.5), FAR, 250 },
		{ "server, three times", BY_LUCK(SERVER_ERROR, 3, 0.5), FAR, -1 },
		{ "server, that says when: the gate waits", { BCI_RESULT_SERVER_ERROR, 20, 1, 0.5 }, FAR, 250 },
		{ "timeout", BY_LUCK(TIMEOUT, 1, 0.5), FAR, 250 },
		{ "timeout, three times", BY_LUCK(TIMEOUT, 3, 0.5), FAR, -1 },
		{ "garbage", BY_LUCK(GARBAGE, 1, 0.5), FAR, 250 },
		{ "garbage, three times", BY_LUCK(GARBAGE, 3, 0.5), FAR, -1 },
		{ "throttled: the gate waits", { BCI_RESULT_THROTTLED, 30, 1, 0.5 }, FAR, 0 },
		{ "throttled, three times", { BCI_RESULT_THROTTLED, 1, 3, 0.5 }, FAR, -1 },
		{ "no time left", BY_LUCK(NETWORK, 1, 0.5), 0, -1 },
		{ "past the deadline", BY_LUCK(NETWORK, 1, 0.5), -5, -1 },
		{ "just too little time left", BY_LUCK(NETWORK, 1, 0.5), 250, -1 },
		{ "just time enough", BY_LUCK(NETWORK, 1, 0.5), 251, 250 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_INT(cases[i].name, bci_retry_wait(&cases[i].f, cases[i].left), cases[i].want);
}

static void test_hold(void **state)
{
	static const struct {
		const char *name;
		struct bci_failure f;
		int64_t want;
	} cases[] = {
		{ "good", BY_LUCK(OK, 1, 0.5), 0 },
		{ "good, and yet", { BCI_RESULT_OK, 7, 1, 0.5 }, 0 },
		{ "server", BY_LUCK(SERVER_ERROR, 1, 0.5), 0 },
		{ "server, that says no time", { BCI_RESULT_SERVER_ERROR, 0, 1, 0.5 }, 0 },
		{ "server, that says when", { BCI_RESULT_SERVER_ERROR, 20, 1, 0.5 }, 20000 },
		{ "network says nothing", { BCI_RESULT_NETWORK, 20, 1, 0.5 }, 0 },
		{ "throttled for 1 s", { BCI_RESULT_THROTTLED, 1, 1, 0.5 }, 1000 },
		{ "throttled for 30 s", { BCI_RESULT_THROTTLED, 30, 1, 0.5 }, 30000 },
		{ "throttled for an hour", { BCI_RESULT_THROTTLED, 3600, 1, 0.5 }, 3600000 },
		{ "throttled for longer", { BCI_RESULT_THROTTLED, 3601, 1, 0.5 }, 3600000 },
		{ "throttled for ever", { BCI_RESULT_THROTTLED, 2147483647, 1, 0.5 }, 3600000 },
		{ "throttled for no time", { BCI_RESULT_THROTTLED, 0, 1, 0.5 }, 2000 },
		{ "throttled, not said for how long", BY_LUCK(THROTTLED, 1, 0.5), 2000 },
		{ "not said, no luck", BY_LUCK(THROTTLED, 1, 0), 1000 },
		{ "not said, twice", BY_LUCK(THROTTLED, 2, 0.5), 3000 },
		{ "not said, three times", BY_LUCK(THROTTLED, 3, 0.5), 5000 },
		{ "not said, very often", BY_LUCK(THROTTLED, 1000000, 0.5), 16000 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_INT(cases[i].name, bci_retry_hold(&cases[i].f), cases[i].want);
}

static void test_refused(void **state)
{
	static const struct {
		unsigned n;
		int64_t interval, want;
	} cases[] = {
		{ 0, 60000, 0 },        { 1, 60000, 0 },        { 2, 60000, 90000 },
		{ 3, 60000, 210000 },   { 4, 60000, 450000 },   { 5, 60000, 870000 },
		{ 6, 60000, 870000 },   { 100, 60000, 870000 }, { 2, 10000, 15000 },
		/* An interval above the most: every crawl. */
		{ 2, 3600000, 450000 }, { 9, 3600000, 450000 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		assert_int_equal(bci_refused_wait(cases[i].n, cases[i].interval), cases[i].want);
}

static void test_results(void **state)
{
	static const struct {
		enum bci_result result;
		const char *word;
		int status;
	} cases[] = {
		{ BCI_RESULT_OK, "ok", BCRAWL_OK },
		{ BCI_RESULT_AUTH, "auth", BCRAWL_E_AUTH },
		{ BCI_RESULT_THROTTLED, "throttled", BCRAWL_E_THROTTLED },
		{ BCI_RESULT_CLIENT_ERROR, "client_error", BCRAWL_E_REQUEST },
		{ BCI_RESULT_SERVER_ERROR, "server_error", BCRAWL_E_SERVER },
		{ BCI_RESULT_TIMEOUT, "timeout", BCRAWL_E_TIMEOUT },
		{ BCI_RESULT_NETWORK, "network", BCRAWL_E_NET },
		{ BCI_RESULT_GARBAGE, "garbage", BCRAWL_E_PROTOCOL },
	};

	(void)state;
	assert_int_equal(LEN(cases), BCI_RESULT__COUNT);
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_STR(cases[i].word, bci_result_word(cases[i].result), cases[i].word);
		CHECK_INT(cases[i].word, bci_result_status(cases[i].result), cases[i].status);
	}
}

/* Codes of balenacrawl.h: each has a text of its own, and only the first kind is transient. */
static void test_codes(void **state)
{
	static const struct {
		int code;
		int transient;
	} cases[] = {
		{ BCRAWL_OK, 0 },           { BCRAWL_E_NET, 1 },      { BCRAWL_E_TIMEOUT, 1 },
		{ BCRAWL_E_THROTTLED, 1 },  { BCRAWL_E_SERVER, 1 },   { BCRAWL_E_NOMEM, 1 },
		{ BCRAWL_E_CONFIG, 0 },     { BCRAWL_E_AUTH, 0 },     { BCRAWL_E_REQUEST, 0 },
		{ BCRAWL_E_PROTOCOL, 0 },   { BCRAWL_E_LIMIT, 0 },    { BCRAWL_E_STOPPED, 0 },
		{ BCRAWL_E_SINK, 0 },       { -6, 0 },                { 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *text = bcrawl_strerror(cases[i].code);

		CHECK_INT(text, bcrawl_is_transient(cases[i].code), cases[i].transient);
		for (size_t k = 0; k < i && i < 13; k++)
			CHECK(text, strcmp(text, bcrawl_strerror(cases[k].code)) != 0);
	}
	assert_string_equal(bcrawl_strerror(12345), bcrawl_strerror(-12345));
}

static void test_error_set(void **state)
{
	struct bcrawl_error e = { .size = sizeof(e) };
	char longer[1000];

	(void)state;
	assert_int_equal(bci_error_set(&e, BCRAWL_E_NET, 503, "a\nb\tc\x7f%s\x1b", "d"), BCRAWL_E_NET);
	assert_string_equal(e.message, "a b c d ");
	assert_int_equal(e.code, BCRAWL_E_NET);
	assert_int_equal(e.http_status, 503);
	assert_int_equal(bci_error_set(NULL, BCRAWL_E_AUTH, 401, "x"), BCRAWL_E_AUTH);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	bci_error_set(&e, BCRAWL_E_NET, 0, "%s", longer);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	assert_int_equal(bci_error_nomem(&e), BCRAWL_E_NOMEM);
	assert_int_equal(e.code, BCRAWL_E_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_error_set),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
