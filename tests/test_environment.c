/* SPDX-License-Identifier: MIT
 *
 * Options in the environment: what the variables are called, which one counts, what errors say. */
#include "balenacrawl.h"
#include "unit.h"

#include <ctype.h>

#define LONG_NAME "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct bcrawl_option *option(const char *key)
{
	return bcrawl_option_find(key);
}

static struct bcrawl_config *new_config(void)
{
	struct bcrawl_config *cfg = bcrawl_config_new();

	assert_non_null(cfg);
	return cfg;
}

/* BALENA_, the key in capitals and _ for -: all that fit, none twice. */
static void test_names(void **state)
{
	const struct bcrawl_option *o;
	char name[BCRAWL_VARIABLE_MAX];

	(void)state;
	for (size_t i = 0; (o = bcrawl_option_at(i)); i++) {
		assert_ptr_equal(bcrawl_option_variable(o, 0, name), name);
		assert_int_equal(strncmp(name, "BALENA_", 7), 0);
		assert_int_equal(strlen(name), 7 + strlen(o->key));
		assert_ptr_equal(bcrawl_option_find(name + 7), o);
		for (const char *c = name; *c; c++)
			assert_true(*c == '_' || isupper((unsigned char)*c) || isdigit((unsigned char)*c));
		assert_null(bcrawl_option_variable(o, 2, name));
	}
	assert_string_equal(bcrawl_option_variable(option("token-file"), 0, name), "BALENA_TOKEN_FILE");
	assert_null(bcrawl_option_variable(option("token-file"), 1, name));
	assert_string_equal(bcrawl_option_variable(option("interval"), 1, name), "CRAWL_INTERVAL");
}

static void test_which_counts(void **state)
{
	struct bcrawl_config *cfg = new_config();
	struct bcrawl_error err = { .size = sizeof(err) };
	const struct bcrawl_option *o = option("interval");

	(void)state;
	unsetenv("BALENA_INTERVAL");
	unsetenv("CRAWL_INTERVAL");
	assert_int_equal(bcrawl_config_set_from_environment(cfg, o, &err), 0);
	setenv("BALENA_INTERVAL", "", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, o, &err), 0);
	assert_string_equal(bcrawl_config_get(cfg, "interval"), o->dflt);
	setenv("CRAWL_INTERVAL", "30", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, o, &err), 1);
	assert_string_equal(bcrawl_config_get(cfg, "interval"), "30");
	/* The newer name wins. */
	setenv("BALENA_INTERVAL", "40", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, o, &err), 1);
	assert_string_equal(bcrawl_config_get(cfg, "interval"), "40");
	unsetenv("BALENA_INTERVAL");
	unsetenv("CRAWL_INTERVAL");
	bcrawl_config_free(cfg);
}

/* What was set by hand stands against what would go before it, or quarrel with it; two variables quarrel. */
static void test_rivals(void **state)
{
	static const struct {
		const char *set, *value, *variable, *found, *key; /* set by hand; in the environment, of key */
		int want;
	} cases[] = {
		{ "shard", "0/3", "BALENA_SHARD_MEMBERS", "ordinal:3", "shard-members", 0 },
		{ "shard-members", "ordinal:3", "BALENA_SHARD", "0/3", "shard", 0 },
		{ "token", "abc", "BALENA_TOKEN_FILE", "/nowhere", "token-file", 0 },
		{ "token-file", "/nowhere", "BALENA_TOKEN", "abc", "token", 0 },
		{ "shard-self", "a", "BALENA_SHARD_MEMBERS", "ordinal:3", "shard-members", 1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_config *cfg = new_config();

		setenv(cases[i].variable, cases[i].found, 1);
		CHECK_INT(cases[i].key, bcrawl_config_set(cfg, cases[i].set, cases[i].value, NULL), 0);
		CHECK_INT(cases[i].key, bcrawl_config_set_from_environment(cfg, option(cases[i].key), NULL),
		          cases[i].want);
		unsetenv(cases[i].variable);
		bcrawl_config_free(cfg);
	}
}

static void test_rivals_in_the_environment(void **state)
{
	struct bcrawl_config *cfg = new_config();
	struct bcrawl_error err = { .size = sizeof(err) };

	(void)state;
	setenv("BALENA_SHARD", "0/3", 1);
	setenv("BALENA_SHARD_MEMBERS", "ordinal:3", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("shard"), &err), 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("shard-members"), &err), 1);
	assert_int_equal(bcrawl_config_check(cfg, &err), BCRAWL_E_CONFIG);
	assert_non_null(strstr(err.message, "set one of the two"));
	unsetenv("BALENA_SHARD");
	unsetenv("BALENA_SHARD_MEMBERS");
	bcrawl_config_free(cfg);
}

static void test_errors(void **state)
{
	struct bcrawl_config *cfg = new_config();
	struct bcrawl_error err = { .size = sizeof(err) };

	(void)state;
	setenv("CRAWL_INTERVAL", "5", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("interval"), &err), BCRAWL_E_CONFIG);
	assert_string_equal(err.message, "CRAWL_INTERVAL: interval: \"5\" is not allowed: 10 to 86400 seconds");
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("interval"), NULL), BCRAWL_E_CONFIG);
	unsetenv("CRAWL_INTERVAL");
	setenv("BALENA_TOKEN", "s3kr1t\n", 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("token"), &err), BCRAWL_E_CONFIG);
	assert_int_equal(strncmp(err.message, "BALENA_TOKEN: token: ", 21), 0);
	assert_null(strstr(err.message, "s3kr1t"));
	unsetenv("BALENA_TOKEN");
	/* What is too long for a message is cut at its end. */
	setenv("BALENA_API_URL", "http://?" LONG_NAME LONG_NAME LONG_NAME LONG_NAME, 1);
	assert_int_equal(bcrawl_config_set_from_environment(cfg, option("api-url"), &err), BCRAWL_E_CONFIG);
	assert_int_equal(strncmp(err.message, "BALENA_API_URL: api-url: ", 25), 0);
	assert_true(strlen(err.message) < sizeof(err.message));
	unsetenv("BALENA_API_URL");
	bcrawl_config_free(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_which_counts),
		cmocka_unit_test(test_rivals),
		cmocka_unit_test(test_rivals_in_the_environment),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
