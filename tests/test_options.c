/* SPDX-License-Identifier: MIT
 *
 * Options: what each takes and refuses, how keys may be spelled, what errors say and never say. */
#include "limits.h"
#include "options.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define SECRET "s3kr1t"

/* Every key with values that it takes and values that it does not. */
static const struct row {
	const char *key;
	const char *dflt;
	const char *good[8];
	const char *bad[14];
} rows[] = {
	{ "account", "default", { "main", "A-Z_0.9", "x", X64 },
	  { "", " ", "a b", "a/b", "a:b", "\xc3\xbc", "a\n", X64 "x" } },
	{ "account-label", "crawl", { "crawl", "all", "ALL" }, { "", "none", "all ", "crawl,all", "0" } },
	{ "api-url", "https://api.balena-cloud.com",
	  { "https://api.example.org", "https://api.example.org:8443/", "https://h/p/q", "http://127.0.0.1:8080",
	    "HTTPS://API.EXAMPLE.ORG", "https://[::1]:8443" },
	  { "", "api.example.org", "ftp://h", "https://", "https:///x", "https://:80", "https://user@h",
	    "https://user:pw@h", "https://h?x=1", "https://h#x", "https://h h", "file:///etc/passwd", "https://h\\x",
	    "https://h/\n" } },
	{ "token", "", { "abc", "0123456789abcdef0123456789abcdef", "a.b-c_d~!" },
	  { "", " ", SECRET " x", SECRET "\t", SECRET "\n", SECRET "\xc3\xbc", SECRET "\x7f", "\x01" SECRET } },
	{ "token-file", "", { "/etc/balenacrawl/token", "x", "/a b" }, { "", "/a\nb", "/a\x01", "\t" } },
	{ "allow-http", "false", { "true", "FALSE", "yes", "no", "on", "off", "0", "1" },
	  { "", "2", "maybe", "true ", "y", "-1" } },
	{ "ca-file", "", { "/etc/ssl/ca.pem", "ca.pem" }, { "", "a\nb" } },
	{ "proxy", "",
	  { "none", "http://proxy", "http://proxy:3128", "https://proxy.example.org:443", "socks5://127.0.0.1:1080",
	    "socks5h://[::1]:1080", "HTTP://PROXY" },
	  { "", "None", "proxy:3128", "http://", "http://:80", "http://user@proxy", "http://user:" SECRET "@proxy:3128",
	    "socks5://" SECRET "@h", "http://proxy/", "http://proxy/path", "socks4://h", "ftp://h", "http://h:99999",
	    "http://h h" } },
	{ "detail", "devices", { "fleets", "devices", "services", "Fleets" },
	  { "", "device", "all", "fleets devices", "service" } },
	{ "stale-values", "drop", { "drop", "keep", "KEEP" }, { "", "true", "kept", "drop " } },
	{ "top-versions", "20", { "1", "20", "200" }, { "", "0", "201", "1.5", "-1", "ten", "@" } },
	{ "info-tags", "",
	  { "site", "site env", "site,env", "Site asset-id", "a b c d e f g h i j k l m n o p", " site ", "\xc3\xbc" },
	  { "a b c d e f g h i j k l m n o p q", "site site", "Site site", "a-b a.b", "a\nb", "a\tb",
	    X64 X64 X64 X64 X64 } },
	{ "max-series", "10000000", { "0", "1", "1000000000" }, { "", "-1", "1000000001", "1.5", "1e6", "no" } },
	{ "metrics", "@standard",
	  { "@lean", "@all", "balena_device_up", "balena_device_*", "@lean,balena_device_up", "@lean balena_*_celsius" },
	  { "", " ", "@", "@no", "balena_nothing", "@lean balena_nothing", "up", "@lean\n" } },
	{ "fleet", "*", { "acme/*", "acme/gw", "*", "acme/a acme/b" }, { "", "a\nb", "\x7f" } },
	{ "exclude-fleet", "", { "acme/test-*", "none" }, { "", "a\tb" } },
	{ "organization", "*", { "acme", "acme*", "*", "a b", "none" }, { "", " ", "a\nb" } },
	{ "exclude-organization", "", { "acme", "test-*", "none" }, { "", ",", "a\tb" } },
	{ "archived-fleets", "false", { "true", "no", "ON", "0" }, { "", "2", "all" } },
	{ "device-tag", "",
	  { "site", "site=berlin", "site=", "a b=c d", "site=a=b", "B\xc3\xbcro=\xf0\x9f\x9a\x80", "it's=\"x\"" },
	  { "", "=", "=berlin", "a\nb", "site=\x7f", "site=\xff", "site=\xc3", "site=\xed\xa0\x80",
	    X64 X64 X64 "123456789" } },
	{ "interval", "60", { "10", "60", "86400", "10.5", "0060" },
	  { "", "9", "9.999", "86401", "-60", "+60", "60s", " 60", "60 ", "1e3", "0x3c", "nan", "inf", "." } },
	{ "min-interval", "60", { "0", "60", "86400" }, { "", "-1", "86400.1", "a", "1,5" } },
	{ "new-series-per-second", "1000", { "0", "0.5", "1000000" }, { "", "-1", "1000001", "all" } },
	{ "deadline", "0", { "0", "1", "86400" }, { "", "-1", "86401", "none" } },
	{ "start-jitter", "5", { "0", "3600", "2.5" }, { "", "-1", "3601", "NaN" } },
	{ "page-size", "1000", { "1", "1000", "20000" }, { "", "0", "20001", "-5", "ten", "1 000" } },
	{ "concurrency", "4", { "1", "4", "16" }, { "", "0", "17", "four", "-1" } },
	{ "requests-per-minute", "300", { "0", "1", "0.5", "60000" }, { "", "60001", "many", "-1" } },
	{ "shard", "0/1", { "0/1", "2/3", "999/1000" }, { "", "3/3", "1", "1/", "-1/3", "1/1001", "a/b", "1/3 " } },
	{ "shard-members", "",
	  { "ordinal:3", "dns:balena.example.org", "file:/etc/balenacrawl/members",
	    "http:http://consul:8500/v1/health/service/balena?passing", "https://sd.example.org/targets" },
	  { "", "ordinal:0", "ordinal:1001", "dns:", "dns:a b", "file:", "http:consul", "etcd:/balena", "10.0.0.1",
	    "http://user:" SECRET "@consul/" } },
	{ "shard-self", "", { "10.0.0.1", "[fd00::1]:9103", "balena-1", X64 X64 X64 X64 },
	  { "", "a b", "a/b", "\xc3\xbc", X64 X64 X64 X64 "12345" } },
	{ "shard-budget", "true", { "true", "no" }, { "", "3" } },
};

static struct bcrawl_config *config(void)
{
	struct bcrawl_config *cfg = bcrawl_config_new();

	assert_non_null(cfg);
	return cfg;
}

static const struct bcrawl_option *option(const char *key)
{
	const struct bcrawl_option *o = bcrawl_option_find(key);

	CHECK(key, o != NULL);
	return o;
}

static const char *in_force(const struct bcrawl_config *cfg, const char *key)
{
	/* A secret is not given away by bcrawl_config_get(). */
	return strcmp(key, "token") == 0 ? bci_config_text(cfg, BCI_OPT_TOKEN) : bcrawl_config_get(cfg, key);
}

static bool is_multi(const char *key)
{
	static const char *const multi[] = { "fleet", "exclude-fleet", "organization", "exclude-organization",
		                             "info-tags" };

	for (size_t i = 0; i < LEN(multi); i++)
		if (strcmp(multi[i], key) == 0)
			return true;
	return false;
}

static bool is_url_like(const struct bcrawl_option *o)
{
	return strcmp(o->type, "url") == 0 || strcmp(o->type, "source") == 0;
}

static void test_table(void **state)
{
	size_t n = 0;
	const struct bcrawl_option *o;

	(void)state;
	for (; (o = bcrawl_option_at(n)); n++) {
		size_t help = strlen(o->help);
		bool known = false;

		for (size_t i = 0; i < LEN(rows); i++)
			known |= strcmp(rows[i].key, o->key) == 0;
		CHECK(o->key, known);
		CHECK(o->key, strspn(o->key, "abcdefghijklmnopqrstuvwxyz-") == strlen(o->key));
		CHECK(o->key, help > 2 && o->help[help - 1] == '.' && o->help[help - 2] != '.');
		CHECK(o->key, o->range[0] && o->type[0] && o->dflt);
		CHECK_INT(o->key, o->flags & BCRAWL_OPT_SECRET, strcmp(o->key, "token") ? 0 : BCRAWL_OPT_SECRET);
		CHECK_INT(o->key, (o->flags & BCRAWL_OPT_MULTI) != 0, is_multi(o->key));
		for (size_t k = 0; k < n; k++)
			CHECK(o->key, bcrawl_option_find(bcrawl_option_at(k)->key) == bcrawl_option_at(k));
	}
	assert_int_equal(n, LEN(rows));
	assert_null(bcrawl_option_at(SIZE_MAX));
}

static void test_defaults(void **state)
{
	struct bcrawl_config *cfg = config();

	(void)state;
	for (size_t i = 0; i < LEN(rows); i++) {
		CHECK_STR(rows[i].key, option(rows[i].key)->dflt, rows[i].dflt);
		CHECK_STR(rows[i].key, in_force(cfg, rows[i].key), rows[i].dflt);
		/* A default is a value that could be set. */
		if (rows[i].dflt[0])
			CHECK_INT(rows[i].key, bcrawl_config_set(cfg, rows[i].key, rows[i].dflt, NULL), 0);
	}
	assert_true(bcrawl_config_number(cfg, "interval") == 60);
	assert_true(bcrawl_config_number(cfg, "detail") == BCI_DETAIL_DEVICES);
	assert_true(bcrawl_config_number(cfg, "account-label") == BCI_ACCOUNT_LABEL_CRAWL);
	assert_true(bcrawl_config_number(cfg, "allow-http") == 0);
	assert_true(bcrawl_config_number(cfg, "stale-values") == BCI_STALE_DROP);
	assert_true(bcrawl_config_number(cfg, "top-versions") == 20);
	assert_true(bcrawl_config_number(cfg, "max-series") == 1e7);
	assert_true(bcrawl_config_number(cfg, "archived-fleets") == 0);
	bcrawl_config_free(cfg);
	bcrawl_config_free(NULL);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(rows); i++) {
		for (size_t k = 0; k < LEN(rows[i].good) && rows[i].good[k]; k++) {
			struct bcrawl_config *cfg = config();
			struct bcrawl_error e = { .size = sizeof(e) };

			CHECK_INT(rows[i].good[k], bcrawl_config_set(cfg, rows[i].key, rows[i].good[k], &e), 0);
			CHECK_STR(rows[i].key, in_force(cfg, rows[i].key), rows[i].good[k]);
			CHECK_INT("the error is not touched", e.code, 0);
			CHECK_STR("the error is not touched", e.message, "");
			bcrawl_config_free(cfg);
		}
	}
}

/* The message names key, value and range; of a secret no value. */
static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(rows); i++) {
		struct bcrawl_config *cfg = config();
		const char *before = rows[i].good[0];
		const struct bcrawl_option *o = option(rows[i].key);

		assert_int_equal(bcrawl_config_set(cfg, rows[i].key, before, NULL), 0);
		for (size_t k = 0; k < LEN(rows[i].bad) && rows[i].bad[k]; k++) {
			const char *bad = rows[i].bad[k];
			struct bcrawl_error e = { .size = sizeof(e) };
			char name[200], range[256];

			snprintf(name, sizeof(name), "%s = \"%s\"", rows[i].key, bad);
			CHECK_INT(name, bcrawl_config_set(cfg, rows[i].key, bad, &e), BCRAWL_E_CONFIG);
			CHECK_INT(name, e.code, BCRAWL_E_CONFIG);
			CHECK(name, strncmp(e.message, o->key, strlen(o->key)) == 0);
			snprintf(range, sizeof(range), "%s", o->range);
			CHECK(name, strstr(e.message, range) != NULL);
			/* What stands before an '@' in a URL may be a password. */
			if (o->flags & BCRAWL_OPT_SECRET ||
			    (is_url_like(o) && strchr(bad, '@')))
				CHECK(e.message, !strstr(e.message, SECRET) && !strchr(e.message, '@'));
			else if (!strpbrk(bad, "\n\t\x01\x7f\xff\xc3\xed") && strlen(bad) < 60)
				CHECK(name, strstr(e.message, bad) != NULL);
			CHECK(name, !strpbrk(e.message, "\n\t\x01\x7f"));
			CHECK_STR("as before", in_force(cfg, rows[i].key), before);
			CHECK_INT(name, bcrawl_config_set(cfg, rows[i].key, bad, NULL), BCRAWL_E_CONFIG);
		}
		CHECK_INT(rows[i].key, bcrawl_config_set(cfg, rows[i].key, NULL, NULL), BCRAWL_E_CONFIG);
		CHECK_STR("as before", in_force(cfg, rows[i].key), before);
		bcrawl_config_free(cfg);
	}
}

/* Blanks alone are no pattern: a crawl of nothing is not what anybody meant. */
/* A message is UTF-8 to its last byte, whatever was in the value and wherever it is cut. */
static void test_message_is_text(void **state)
{
	static const struct {
		const char *value, *in;
	} cases[] = {
		{ "\xff\xc3", "\"??\" is" },
		{ "caf\xc3\xa9!", "\"caf\xc3\xa9!\" is" },
		/* 60 bytes of it are shown: the last one is half a character. */
		{ "123456789012345678901234567890123456789012345678901234567890"
		  "\xc3\xa9", "7890\" is" },
		{ "12345678901234567890123456789012345678901234567890123456789"
		  "\xc3\xa9", "789?\" is" },
		{ "a\xc2\x85" "b\xed\xa0\x80\xf0\x9f\x9a\x80", "a  b???\xf0\x9f\x9a\x80\" is" },
	};
	struct bcrawl_config *cfg = bcrawl_config_new();

	(void)state;
	assert_non_null(cfg);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_error e = { .size = sizeof(e) };

		CHECK_INT(cases[i].in, bcrawl_config_set(cfg, "page-size", cases[i].value, &e),
		          BCRAWL_E_CONFIG);
		CHECK(e.message, strstr(e.message, cases[i].in) != NULL);
	}
	bcrawl_config_free(cfg);
}

static void test_blank_patterns(void **state)
{
	static const char *const cases[] = { " ", "  ", ",", " , " };
	struct bcrawl_config *cfg = config();

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		CHECK_INT(cases[i], bcrawl_config_set(cfg, "fleet", cases[i], NULL), BCRAWL_E_CONFIG);
		CHECK_INT(cases[i], bcrawl_config_set(cfg, "exclude-fleet", cases[i], NULL), BCRAWL_E_CONFIG);
		CHECK_INT(cases[i], bcrawl_config_set(cfg, "organization", cases[i], NULL), BCRAWL_E_CONFIG);
		CHECK_INT(cases[i], bcrawl_config_set(cfg, "exclude-organization", cases[i], NULL), BCRAWL_E_CONFIG);
	}
	bcrawl_config_free(cfg);
}

/* What is counted has no fraction. */
static void test_fraction_of_count(void **state)
{
	struct bcrawl_config *cfg = config();

	(void)state;
	CHECK_INT("page-size", bcrawl_config_set(cfg, "page-size", "1.5", NULL), BCRAWL_E_CONFIG);
	CHECK_INT("concurrency", bcrawl_config_set(cfg, "concurrency", "2.5", NULL), BCRAWL_E_CONFIG);
	CHECK_INT("top-versions", bcrawl_config_set(cfg, "top-versions", "2.5", NULL), BCRAWL_E_CONFIG);
	CHECK_INT("max-series", bcrawl_config_set(cfg, "max-series", "0.5", NULL), BCRAWL_E_CONFIG);
	bcrawl_config_free(cfg);
}

static void test_spellings(void **state)
{
	static const struct {
		const char *spelled, *key; /* NULL: none */
	} cases[] = {
		{ "page-size", "page-size" },     { "page_size", "page-size" },   { "PageSize", "page-size" },
		{ "PAGE_SIZE", "page-size" },     { "pagesize", "page-size" },    { "TokenFile", "token-file" },
		{ "TOKEN_FILE", "token-file" },   { "token-file", "token-file" }, { "Token", "token" },
		{ "APIURL", "api-url" },          { "ApiUrl", "api-url" },        { "CAFile", "ca-file" },
		{ "AllowHTTP", "allow-http" },    { "MinInterval", "min-interval" },
		{ "page size", NULL },            { "pagesizes", NULL },          { "page", NULL },
		{ "", NULL },                     { "-", NULL },                  { "token.file", NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const struct bcrawl_option *o = bcrawl_option_find(cases[i].spelled);

		CHECK_STR(cases[i].spelled, o ? o->key : NULL, cases[i].key);
	}
	assert_null(bcrawl_option_find(NULL));
}

static void test_set_by_spelling(void **state)
{
	struct bcrawl_config *cfg = config();
	struct bcrawl_error e = { .size = sizeof(e) };

	(void)state;
	assert_int_equal(bcrawl_config_set(cfg, "PageSize", "11", &e), 0);
	assert_string_equal(bcrawl_config_get(cfg, "page_size"), "11");
	assert_int_equal(bcrawl_config_set(cfg, "PAGE_SIZE", "12", &e), 0);
	assert_true(bcrawl_config_number(cfg, "page-size") == 12);
	/* The message has the key as the table spells it. */
	assert_int_equal(bcrawl_config_set(cfg, "PageSize", "x", &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, "page-size: \"x\" is not allowed: 1 to 20000"));
	assert_int_equal(bcrawl_config_set(cfg, "page-siz", "12", &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, "page-siz"));
	assert_int_equal(bcrawl_config_set(cfg, NULL, "12", &e), BCRAWL_E_CONFIG);
	assert_null(bcrawl_config_get(cfg, "page-siz"));
	assert_null(bcrawl_config_get(cfg, NULL));
	assert_true(bcrawl_config_number(cfg, "page-siz") == 0);
	assert_true(bcrawl_config_number(cfg, NULL) == 0);
	bcrawl_config_free(cfg);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *key, *value;
		double want;
	} cases[] = {
		{ "interval", "10.5", 10.5 },       { "page-size", "20000", 20000 }, { "deadline", "0", 0 },
		{ "allow-http", "yes", 1 },         { "allow-http", "On", 1 },       { "allow-http", "1", 1 },
		{ "allow-http", "off", 0 },         { "detail", "fleets", BCI_DETAIL_FLEETS },
		{ "detail", "services", BCI_DETAIL_SERVICES }, { "stale-values", "keep", BCI_STALE_KEEP },
		{ "stale-values", "Drop", BCI_STALE_DROP }, { "top-versions", "7", 7 }, { "max-series", "0", 0 },
		{ "archived-fleets", "yes", 1 },
		{ "detail", "DEVICES", BCI_DETAIL_DEVICES }, { "account-label", "all", BCI_ACCOUNT_LABEL_ALL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_config *cfg = config();

		assert_int_equal(bcrawl_config_set(cfg, cases[i].key, cases[i].value, NULL), 0);
		CHECK_NUM(cases[i].value, bcrawl_config_number(cfg, cases[i].key), cases[i].want);
		bcrawl_config_free(cfg);
	}
}

static void test_multi(void **state)
{
	struct bcrawl_config *cfg = config();

	(void)state;
	assert_int_equal(bcrawl_config_set(cfg, "fleet", "acme/a", NULL), 0);
	assert_int_equal(bcrawl_config_set(cfg, "Fleet", "acme/b other/*", NULL), 0);
	assert_string_equal(bcrawl_config_get(cfg, "fleet"), "acme/a acme/b other/*");
	assert_int_equal(bcrawl_config_set(cfg, "fleet", "", NULL), BCRAWL_E_CONFIG);
	assert_string_equal(bcrawl_config_get(cfg, "fleet"), "acme/a acme/b other/*");
	assert_int_equal(bcrawl_config_set(cfg, "exclude-fleet", "x/y", NULL), 0);
	assert_string_equal(bcrawl_config_get(cfg, "exclude-fleet"), "x/y");
	/* All others: the last one counts. */
	assert_int_equal(bcrawl_config_set(cfg, "interval", "70", NULL), 0);
	assert_int_equal(bcrawl_config_set(cfg, "interval", "80", NULL), 0);
	assert_string_equal(bcrawl_config_get(cfg, "interval"), "80");
	bcrawl_config_free(cfg);
}

static void test_copy(void **state)
{
	struct bcrawl_config *cfg = config(), *copy;

	(void)state;
	assert_int_equal(bcrawl_config_set(cfg, "token", SECRET, NULL), 0);
	assert_int_equal(bcrawl_config_set(cfg, "interval", "70", NULL), 0);
	copy = bci_config_copy(cfg);
	assert_non_null(copy);
	assert_int_equal(bcrawl_config_set(cfg, "interval", "80", NULL), 0);
	bcrawl_config_free(cfg);
	assert_string_equal(bcrawl_config_get(copy, "interval"), "70");
	assert_true(bcrawl_config_number(copy, "interval") == 70);
	assert_true(copy->values[BCI_OPT_INTERVAL].set);
	assert_false(copy->values[BCI_OPT_PAGE_SIZE].set);
	assert_null(bcrawl_config_get(copy, "token"));
	assert_string_equal(bci_config_text(copy, BCI_OPT_TOKEN), SECRET);
	bcrawl_config_free(copy);
}

/* Each setting by itself is good; together they may be too many, too long, or alike. */
static void test_info_tags(void **state)
{
	static char longest[151];
	const struct {
		const char *name, *settings[3];
		const char *says[3]; /* NULL in the first: good */
	} cases[] = {
		{ "two", { "site", "env" }, { NULL } },
		{ "sixteen", { "a b c d e f g h", "i j k l m n o p" }, { NULL } },
		{ "seventeen", { "a b c d e f g h", "i j k l m n o p", "q" }, { "info-tags", "16" } },
		{ "the same again", { "site", "env", "site" }, { "info-tags", "\"site\"", "tag_site" } },
		{ "alike", { "site-1", "Site.1" }, { "info-tags", "\"Site.1\"", "tag_site_1" } },
		{ "too long", { longest, "x", longest }, { "info-tags", "300 bytes" } },
	};

	(void)state;
	memset(longest, 'y', sizeof(longest) - 1);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_config *cfg = config();
		struct bcrawl_error e = { .size = sizeof(e) };

		assert_int_equal(bcrawl_config_set(cfg, "token", SECRET, NULL), 0);
		for (size_t k = 0; k < 3 && cases[i].settings[k]; k++)
			CHECK_INT(cases[i].name, bcrawl_config_set(cfg, "info-tags", cases[i].settings[k], &e), 0);
		CHECK_INT(cases[i].name, bcrawl_config_check(cfg, &e), cases[i].says[0] ? BCRAWL_E_CONFIG : 0);
		CHECK_INT(cases[i].name, e.code, cases[i].says[0] ? BCRAWL_E_CONFIG : 0);
		for (size_t k = 0; k < 3 && cases[i].says[k]; k++)
			CHECK(e.message, strstr(e.message, cases[i].says[k]) != NULL);
		CHECK_INT(cases[i].name, bcrawl_config_check(cfg, NULL), cases[i].says[0] ? BCRAWL_E_CONFIG : 0);
		bcrawl_config_free(cfg);
	}
}

/* The longest tag there may be, and one byte more. */
static void test_device_tag_length(void **state)
{
	struct bcrawl_config *cfg = config();
	char tag[BCI_DEVICE_TAG_MAX + 2];

	(void)state;
	memset(tag, 'x', sizeof(tag));
	tag[BCI_DEVICE_TAG_MAX + 1] = '\0';
	assert_int_equal(bcrawl_config_set(cfg, "device-tag", tag, NULL), BCRAWL_E_CONFIG);
	tag[BCI_DEVICE_TAG_MAX] = '\0';
	assert_int_equal(bcrawl_config_set(cfg, "device-tag", tag, NULL), 0);
	bcrawl_config_free(cfg);
}

static void test_list_next(void **state)
{
	static const struct {
		const char *list, *want; /* joined by '|' */
	} cases[] = {
		{ "", "" }, { " , ", "" }, { "a", "a" }, { "a b", "a|b" }, { " a,b ,  c,", "a|b|c" }, { ",,a", "a" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *at = cases[i].list;
		char got[64] = "";
		size_t n;

		for (; (at = bci_list_next(at, &n)); at += n) {
			CHECK(cases[i].list, n > 0);
			strcat(got, *got ? "|" : "");
			strncat(got, at, n);
		}
		CHECK_STR(cases[i].list, got, cases[i].want);
	}
}

/* ---- plain http ---- */

static void test_http(void **state)
{
	static const struct {
		const char *url;
		bool good;       /* without allow-http */
		bool settable;
	} cases[] = {
		{ "https://api.example.org", true, true },
		{ "https://127.0.0.1.evil.com", true, true },
		{ "http://127.0.0.1", true, true },
		{ "http://127.0.0.1/", true, true },
		{ "http://127.0.0.1:8080", true, true },
		{ "http://127.0.0.1:8080/x", true, true },
		{ "http://localhost", true, true },
		{ "http://LocalHost:80", true, true },
		{ "HTTP://localhost", true, true },
		{ "http://[::1]", true, true },
		{ "http://[::1]:8080", true, true },
		{ "http://[::1]/x", true, true },
		{ "http://api.example.org", false, true },
		{ "HTTP://api.example.org", false, true },
		{ "http://127.0.0.1.evil.com", false, true },
		{ "http://127.0.0.1.evil.com:80/127.0.0.1", false, true },
		{ "http://localhost.evil.com", false, true },
		{ "http://localhost.", false, true },
		{ "http://localhos", false, true },
		{ "http://evil.com/localhost", false, true },
		{ "http://127.0.0.10", false, true },
		{ "http://10.0.0.1", false, true },
		{ "http://0.0.0.0", false, true },
		{ "http://[::2]", false, true },
		{ "http://[::1", false, false },
		{ "http://localhost:99999", false, false },
		{ "http://localhost:x", false, false },
		{ "http://localhost@evil", false, false },
		{ "http://localhost:80@evil", false, false },
		{ "http://localhost#@evil", false, false },
		{ "http://localhost\\@evil", false, false },
		{ "http://localhost?@evil", false, false },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_config *cfg = config();
		struct bcrawl_error e = { .size = sizeof(e) };

		assert_int_equal(bcrawl_config_set(cfg, "token", SECRET, NULL), 0);
		CHECK_INT(cases[i].url, bcrawl_config_set(cfg, "api-url", cases[i].url, NULL),
		          cases[i].settable ? 0 : BCRAWL_E_CONFIG);
		if (cases[i].settable) {
			CHECK_INT(cases[i].url, bcrawl_config_check(cfg, &e), cases[i].good ? 0 : BCRAWL_E_CONFIG);
			if (!cases[i].good)
				CHECK(e.message, strstr(e.message, "api-url") && strstr(e.message, cases[i].url) &&
				                         strstr(e.message, "allow-http") && !strstr(e.message, SECRET));
			assert_int_equal(bcrawl_config_set(cfg, "allow-http", "true", NULL), 0);
			CHECK_INT(cases[i].url, bcrawl_config_check(cfg, &e), 0);
		}
		bcrawl_config_free(cfg);
	}
}

/* What stands behind the bracket is no loopback host any more. */
static void test_http_behind_bracket(void **state)
{
	static const char *const urls[] = { "http://[::1].evil.com", "http://[::1]evil.com", "http://[::1]x:80" };

	(void)state;
	for (size_t i = 0; i < LEN(urls); i++) {
		struct bcrawl_config *cfg = config();

		assert_int_equal(bcrawl_config_set(cfg, "token", SECRET, NULL), 0);
		if (bcrawl_config_set(cfg, "api-url", urls[i], NULL) == 0)
			CHECK_INT(urls[i], bcrawl_config_check(cfg, NULL), BCRAWL_E_CONFIG);
		bcrawl_config_free(cfg);
	}
}

/* ---- the token ---- */

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/bci-test-options-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static void test_token_file(void **state)
{
	static char longest[BCI_TOKEN_MAX + 3];
	const struct {
		const char *name, *text;
		size_t len;       /* 0: strlen */
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "plain", "abc", 0, "abc" },
		{ "a newline at the end", "abc\n", 0, "abc" },
		{ "newlines at the end", "abc\n\n\n", 0, "abc" },
		{ "written on Windows", "abc\r\n", 0, "abc" },
		{ "a session token", "eyJ.eyJ.sig-_\n", 0, "eyJ.eyJ.sig-_" },
		{ "empty", "", 0, NULL },
		{ "newlines only", "\n\n", 0, NULL },
		{ "a blank at the end", SECRET " ", 0, NULL },
		{ "a blank in front", " " SECRET, 0, NULL },
		{ "a newline in front", "\n" SECRET, 0, NULL },
		{ "a blank inside", SECRET " x", 0, NULL },
		{ "two lines", SECRET "\nother\n", 0, NULL },
		{ "a tab", SECRET "\tx", 0, NULL },
		{ "an escape", SECRET "\x1b[0m", 0, NULL },
		{ "a header", SECRET "\r\nX-Evil: 1\r\n", 0, NULL },
		{ "a zero byte", SECRET "\0x", sizeof(SECRET) + 1, NULL },
		{ "a zero byte at the end", SECRET "\0", sizeof(SECRET), NULL },
		{ "a byte order mark", "\xef\xbb\xbf" SECRET, 0, NULL },
		{ "UTF-8", SECRET "\xc3\xbc", 0, NULL },
		{ "as long as may be", longest, BCI_TOKEN_MAX, NULL },
		{ "as long as may be, and a newline", longest, BCI_TOKEN_MAX + 1, NULL },
		{ "too long", longest, BCI_TOKEN_MAX + 2, NULL },
	};
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/token", dir);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bcrawl_config *cfg = config();
		struct bcrawl_error e = { .size = sizeof(e) };
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
		const char *want = cases[i].want;
		char *token = NULL;
		FILE *f = fopen(path, "wb");

		if (cases[i].text == longest) {
			memset(longest, 'x', sizeof(longest));
			longest[BCI_TOKEN_MAX] = len == BCI_TOKEN_MAX + 1 ? '\n' : 'x';
		}
		assert_non_null(f);
		assert_int_equal(fwrite(cases[i].text, 1, len, f), len);
		fclose(f);
		if (cases[i].text == longest && len <= BCI_TOKEN_MAX + 1) {
			longest[BCI_TOKEN_MAX] = '\0';
			want = longest;
		}
		assert_int_equal(bcrawl_config_set(cfg, "token-file", path, NULL), 0);
		/* The file goes before the option. */
		assert_int_equal(bcrawl_config_set(cfg, "token", "other", NULL), 0);
		CHECK_INT(cases[i].name, bcrawl_config_check(cfg, &e), want ? 0 : BCRAWL_E_CONFIG);
		if (!want)
			CHECK(e.message, strstr(e.message, "token-file") && strstr(e.message, path) &&
			                         !strstr(e.message, SECRET) && !strstr(e.message, "xxx"));
		CHECK_INT(cases[i].name, bci_config_token(cfg, &token, &e), want ? 0 : BCRAWL_E_CONFIG);
		CHECK_STR(cases[i].name, token, want);
		free(token);
		bcrawl_config_free(cfg);
	}
	unlink(path);
}

static void test_no_token(void **state)
{
	struct bcrawl_config *cfg = config();
	struct bcrawl_error e = { .size = sizeof(e) };
	char missing[128];

	(void)state;
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, "token-file"));
	snprintf(missing, sizeof(missing), "%s/missing", dir);
	assert_int_equal(bcrawl_config_set(cfg, "token-file", missing, NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, missing));
	/* A directory opens, but does not read. */
	assert_int_equal(bcrawl_config_set(cfg, "token-file", dir, NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, dir));
	/* The token itself, where its file should be named, is not repeated. */
	assert_int_equal(bcrawl_config_set(cfg, "token-file", SECRET, NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_null(strstr(e.message, SECRET));
	assert_non_null(strstr(e.message, "token-file"));
	bcrawl_config_free(cfg);
}

static void test_ca_file(void **state)
{
	struct bcrawl_config *cfg = config();
	struct bcrawl_error e = { .size = sizeof(e) };
	char path[64];

	(void)state;
	assert_int_equal(bcrawl_config_set(cfg, "token", SECRET, NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), 0);
	assert_int_equal(bcrawl_config_set(cfg, "ca-file", "/nonexistent/ca.pem", NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, "ca-file: cannot read \"/nonexistent/ca.pem\""));
	/* What is no file is refused, and never waited for: a pipe nobody writes to. */
	assert_int_equal(bcrawl_config_set(cfg, "ca-file", "/", NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	assert_non_null(strstr(e.message, "ca-file: cannot read \"/\": not a plain file"));
	snprintf(path, sizeof(path), "/tmp/balenacrawl-test-%ld", (long)getpid());
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(bcrawl_config_set(cfg, "ca-file", path, NULL), 0);
	assert_int_equal(bcrawl_config_check(cfg, &e), BCRAWL_E_CONFIG);
	unlink(path);
	assert_non_null(strstr(e.message, "not a plain file"));
	bcrawl_config_free(cfg);
}

/* ---- globs ---- */

static void test_globs(void **state)
{
	static const struct {
		const char *globs, *text;
		bool want;
	} cases[] = {
		{ "", "acme/a", false },         { " ", "acme/a", false },        { "*", "acme/a", true },
		{ "acme/a", "acme/a", true },    { "acme/a", "acme/ab", false },  { "acme/a", "xacme/a", false },
		{ "acme/?", "acme/a", true },    { "acme/?", "acme/", false },    { "acme/*", "acme/a", true },
		{ "acme*", "acme/a", true },     { "ACME/a", "acme/a", false },   { "x/y acme/a", "acme/a", true },
		{ "x/y,acme/a", "acme/a", true },{ " x/y , acme/a ", "acme/a", true },
		{ "x/y z/*", "acme/a", false },  { "acme/[ab]", "acme/b", true }, { "*", "", true },
	};
	char longer[600];

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		CHECK_INT(cases[i].globs, bci_globs_match(cases[i].globs, cases[i].text), cases[i].want);
	/* What is too long for a slug matches none, and what follows is still looked at. */
	memset(longer, '*', sizeof(longer));
	snprintf(longer + 550, sizeof(longer) - 550, " acme/a");
	assert_true(bci_globs_match(longer, "acme/a"));
	assert_false(bci_globs_match(longer, "acme/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_message_is_text),
		cmocka_unit_test(test_blank_patterns),
		cmocka_unit_test(test_fraction_of_count),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_set_by_spelling),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_multi),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_info_tags),
		cmocka_unit_test(test_device_tag_length),
		cmocka_unit_test(test_list_next),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_http_behind_bracket),
		cmocka_unit_test(test_token_file),
		cmocka_unit_test(test_no_token),
		cmocka_unit_test(test_ca_file),
		cmocka_unit_test(test_globs),
	};

	return cmocka_run_group_tests_name("options", tests, make_dir, remove_dir);
}
