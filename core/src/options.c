/* SPDX-License-Identifier: MIT
 *
 * The option table and everything that follows from it: finding, checking, setting, getting.
 * Nothing here switches on a key but the checks that concern several options. */
#include "options.h"

#include "file.h"
#include "limits.h"
#include "members.h"
#include "metrics.h"
#include "source.h"
#include "tags.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define NO_PROXY "none"

enum type {
	NAME,
	PATH,
	SECRET,
	URL,
	PROXY,
	NUMBER,
	BOOLEAN,
	CHOICE,
	METRIC_GLOBS,
	GLOBS,
	TAG_KEYS,
	TAG,
	SHARD,
	SOURCE,
	MEMBER
};

struct option {
	struct bcrawl_option pub;
	enum type type;
	double min, max;        /* NUMBER */
	bool whole;             /* NUMBER: without a fraction */
	const char *choices[4]; /* CHOICE: the index is the number */
};

static const struct option options[] = {
	[BCI_OPT_ACCOUNT] = {
		.pub = { BCRAWL_KEY_ACCOUNT, "string", "default", "1 to 64 of A-Z a-z 0-9 _ . -",
		         "Name of the account; the label that tells its crawl metrics from "
		         "others'.", 0 },
		.type = NAME,
	},
	[BCI_OPT_ACCOUNT_LABEL] = {
		.pub = { "account-label", "choice", "crawl", "crawl or all",
		         "Which metrics carry the account label: those about the crawl, or "
		         "all.", 0 },
		.type = CHOICE, .choices = { "crawl", "all" },
	},
	[BCI_OPT_API_URL] = {
		.pub = { "api-url", "url", "https://api.balena-cloud.com",
		         "https://HOST[:PORT][/PATH], or http:// with a loopback host",
		         "Where the balena API is.", 0 },
		.type = URL,
	},
	[BCI_OPT_TOKEN] = {
		.pub = { "token", "string", "", "printable ASCII without blanks",
		         "API key or session token; better kept in a token "
		         "file.", BCRAWL_OPT_SECRET },
		.type = SECRET,
	},
	[BCI_OPT_TOKEN_FILE] = {
		.pub = { BCRAWL_KEY_TOKEN_FILE, "path", "", "a readable file",
		         "File that holds the API key or session token; read anew for each "
		         "crawl.", 0 },
		.type = PATH,
	},
	[BCI_OPT_ALLOW_HTTP] = {
		.pub = { "allow-http", "boolean", "false", "true or false",
		         "Allow plain http, which shows the token to the network, to any "
		         "host.", 0 },
		.type = BOOLEAN,
	},
	[BCI_OPT_CA_FILE] = {
		.pub = { "ca-file", "path", "", "a readable PEM file",
		         "Certificates to trust instead of the system's, as for an openBalena with "
		         "its own CA.", 0 },
		.type = PATH,
	},
	[BCI_OPT_PROXY] = {
		.pub = { "proxy", "url", "",
		         "none, or http://, https://, socks5:// or socks5h:// HOST[:PORT]",
		         "Proxy to reach the API by; unset, https_proxy and no_proxy of the "
		         "environment count, which none ignores.", 0 },
		.type = PROXY,
	},
	[BCI_OPT_DETAIL] = {
		.pub = { "detail", "choice", "devices", "fleets, devices or services",
		         "How deep to crawl: counts of each fleet only, every device, or every "
		         "device with its services.", 0 },
		.type = CHOICE, .choices = { "fleets", "devices", "services" },
	},
	[BCI_OPT_METRICS] = {
		.pub = { BCRAWL_KEY_METRICS, "globs", "@standard",
		         "@lean, @standard, @all or metric names with * and ?, separated by blanks "
		         "or commas",
		         "Which metrics to produce; what no metric needs is not asked of the "
		         "API.", 0 },
		.type = METRIC_GLOBS,
	},
	[BCI_OPT_STALE_VALUES] = {
		.pub = { "stale-values", "choice", "drop", "drop or keep",
		         "What becomes of values that a device reported before it was lost, which "
		         "the API keeps for ever.", 0 },
		.type = CHOICE, .choices = { "drop", "keep" },
	},
	[BCI_OPT_TOP_VERSIONS] = {
		.pub = { "top-versions", "number", "20", "1 to 200",
		         "How many releases, OS and supervisor versions and device types of a "
		         "fleet are counted by name; the rest is other.", 0 },
		.type = NUMBER, .min = 1, .max = 200, .whole = true,
	},
	[BCI_OPT_INFO_TAGS] = {
		.pub = { "info-tags", "tags", "",
		         "up to 16 keys of tags, separated by blanks or commas",
		         "Tags of devices and fleets that become labels tag_KEY of the info "
		         "metrics.", BCRAWL_OPT_MULTI },
		.type = TAG_KEYS,
	},
	[BCI_OPT_MAX_SERIES] = {
		.pub = { "max-series", "number", "10000000", "0 to 1000000000; 0 is no limit",
		         "When more series than this are to be expected, a crawl falls back to "
		         "detail fleets.", 0 },
		.type = NUMBER, .min = 0, .max = 1e9, .whole = true,
	},
	[BCI_OPT_FLEET] = {
		.pub = { "fleet", "globs", "*", "slugs with * and ?, such as acme/*",
		         "Fleets to crawl, by slug; none is the devices of no "
		         "fleet.", BCRAWL_OPT_MULTI },
		.type = GLOBS,
	},
	[BCI_OPT_EXCLUDE_FLEET] = {
		.pub = { "exclude-fleet", "globs", "", "slugs with * and ?, such as acme/test-*",
		         "Fleets to leave out, by slug; wins over the fleets to "
		         "crawl.", BCRAWL_OPT_MULTI },
		.type = GLOBS,
	},
	[BCI_OPT_ORGANIZATION] = {
		.pub = { "organization", "globs", "*", "handles with * and ?, such as acme*",
		         "Organizations whose fleets are crawled; none is that of the devices of "
		         "no fleet.", BCRAWL_OPT_MULTI },
		.type = GLOBS,
	},
	[BCI_OPT_EXCLUDE_ORGANIZATION] = {
		.pub = { "exclude-organization", "globs", "", "handles with * and ?",
		         "Organizations whose fleets are left out.", BCRAWL_OPT_MULTI },
		.type = GLOBS,
	},
	[BCI_OPT_ARCHIVED_FLEETS] = {
		.pub = { "archived-fleets", "boolean", "false", "true or false",
		         "Crawl archived fleets too.", 0 },
		.type = BOOLEAN,
	},
	[BCI_OPT_DEVICE_TAG] = {
		.pub = { "device-tag", "tag", "", "KEY or KEY=VALUE, up to 200 bytes",
		         "Crawl only devices that carry this tag; all counts and sums are then of "
		         "these.", 0 },
		.type = TAG,
	},
	[BCI_OPT_INTERVAL] = {
		.pub = { BCRAWL_KEY_INTERVAL, "number", "60", "10 to 86400 seconds",
		         "Seconds between the starts of two crawls.", 0 },
		.type = NUMBER, .min = 10, .max = 86400,
	},
	[BCI_OPT_MIN_INTERVAL] = {
		.pub = { BCRAWL_KEY_MIN_INTERVAL, "number", "60", "0 to 86400 seconds",
		         "Triggers that come sooner after the last one are ignored "
		         "(telegraf-balena).", 0 },
		.type = NUMBER, .min = 0, .max = 86400,
	},
	[BCI_OPT_NEW_SERIES] = {
		.pub = { BCRAWL_KEY_NEW_SERIES, "number", "1000",
		         "0 to 1000000 series; 0 is no limit, and no pacing",
		         "New series that collectd is given at most; those of further devices wait "
		         "for the next crawls (collectd).", 0 },
		.type = NUMBER, .min = 0, .max = 1e6,
	},
	[BCI_OPT_DEADLINE] = {
		.pub = { "deadline", "number", "0", "0 to 86400 seconds; 0 is the interval",
		         "A crawl that takes longer is given up.", 0 },
		.type = NUMBER, .min = 0, .max = 86400,
	},
	[BCI_OPT_START_JITTER] = {
		.pub = { BCRAWL_KEY_START_JITTER, "number", "5", "0 to 3600 seconds",
		         "The first crawl begins after a random part of this, so that many "
		         "instances spread.", 0 },
		.type = NUMBER, .min = 0, .max = 3600,
	},
	[BCI_OPT_PAGE_SIZE] = {
		.pub = { "page-size", "number", "1000", "1 to 20000 devices",
		         "Devices asked for in one request.", 0 },
		.type = NUMBER, .min = 1, .max = 20000, .whole = true,
	},
	[BCI_OPT_CONCURRENCY] = {
		.pub = { "concurrency", "number", "4", "1 to 16 requests",
		         "Requests under way at one time.", 0 },
		.type = NUMBER, .min = 1, .max = BCI_CONCURRENCY_MAX, .whole = true,
	},
	[BCI_OPT_REQUESTS_PER_MINUTE] = {
		.pub = { "requests-per-minute", "number", "300",
		         "0 to 60000 requests; 0 is no budget",
		         "Budget of requests to the API; what an interval allows may be spent at "
		         "once.", 0 },
		.type = NUMBER, .min = 0, .max = 60000,
	},
	[BCI_OPT_SHARD] = {
		.pub = { "shard", "shard", "0/1", "I/N, I from 0 to N-1, N up to 1000",
		         "Crawl the I-th of N shares of the fleets; other instances crawl the "
		         "rest.", 0 },
		.type = SHARD,
	},
	[BCI_OPT_SHARD_MEMBERS] = {
		.pub = { "shard-members", "source", "",
		         "ordinal:N (1 to 1000), dns:NAME, file:PATH or http:URL",
		         "Where the instances that share the fleets are to be learnt from, anew "
		         "for each crawl: the number at the end of the host's name, the addresses "
		         "of a name, a list one a line or as file_sd, or the answer of http_sd or "
		         "Consul.", 0 },
		.type = SOURCE,
	},
	[BCI_OPT_SHARD_SELF] = {
		.pub = { "shard-self", "string", "", "1 to 260 of A-Z a-z 0-9 . _ - : [ ] %",
		         "This instance as its members' list has it; unset, it is found by the "
		         "machine's name and addresses.", 0 },
		.type = MEMBER,
	},
	[BCI_OPT_SHARD_BUDGET] = {
		.pub = { "shard-budget", "boolean", "true", "true or false",
		         "requests-per-minute is for all shards together, and each takes its part "
		         "of it; else it is for each.", 0 },
		.type = BOOLEAN,
	},
};
_Static_assert(ARRAY_LEN(options) == BCI_OPT__COUNT, "one row per option");

const struct bcrawl_option *bcrawl_option_at(size_t i)
{
	return i < ARRAY_LEN(options) ? &options[i].pub : NULL;
}

static bool is_separator(char c)
{
	return c == '-' || c == '_';
}

static bool same_key(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (is_separator(*a))
			a++;
		while (is_separator(*b))
			b++;
		if (strncasecmp(a, b, 1) != 0)
			return false;
		if (!*a)
			return true;
	}
}

static const struct option *find(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (same_key(options[i].pub.key, key))
			return &options[i];
	return NULL;
}

const struct bcrawl_option *bcrawl_option_find(const char *key)
{
	const struct option *o = key ? find(key) : NULL;

	return o ? &o->pub : NULL;
}

struct bcrawl_config *bcrawl_config_new(void)
{
	struct bcrawl_config *cfg = calloc(1, sizeof(*cfg));

	if (!cfg)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option *o = &options[i];

		if (o->type == NUMBER)
			cfg->values[i].number = strtod(o->pub.dflt, NULL);
		for (size_t k = 0; o->type == CHOICE && o->choices[k]; k++)
			if (strcmp(o->choices[k], o->pub.dflt) == 0)
				cfg->values[i].number = (double)k;
	}
	return cfg;
}

void bci_token_free(char *token)
{
	if (token)
		explicit_bzero(token, strlen(token));
	free(token);
}

static void free_text(const struct option *o, char *text)
{
	if (o->type == SECRET)
		bci_token_free(text);
	else
		free(text);
}

void bcrawl_config_free(struct bcrawl_config *cfg)
{
	if (!cfg)
		return;
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		free_text(&options[i], cfg->values[i].text);
	free(cfg);
}

struct bcrawl_config *bci_config_copy(const struct bcrawl_config *cfg)
{
	struct bcrawl_config *copy = bcrawl_config_new();

	for (size_t i = 0; copy && i < ARRAY_LEN(options); i++) {
		copy->values[i] = cfg->values[i];
		if (!cfg->values[i].text)
			continue;
		copy->values[i].text = strdup(cfg->values[i].text);
		if (!copy->values[i].text) {
			bcrawl_config_free(copy);
			return NULL;
		}
	}
	return copy;
}

/* ---- what a value must look like ---- */

static bool only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static bool is_token(const char *text)
{
	size_t n = 0;

	for (; text[n]; n++)
		if ((unsigned char)text[n] <= 0x20 || (unsigned char)text[n] >= 0x7f)
			return false;
	return n > 0 && n <= BCI_TOKEN_MAX;
}

static bool parse_number(const struct option *o, const char *text, double *out)
{
	char *end;
	double d;

	if (!*text || !only(text, "0123456789."))
		return false;
	errno = 0;
	d = strtod(text, &end);
	if (*end || errno || !isfinite(d) || d < o->min || d > o->max ||
	    (o->whole && d != floor(d)))
		return false;
	*out = d;
	return true;
}

static bool parse_boolean(const char *text, double *out)
{
	static const char *const words[][4] = { { "false", "no", "off", "0" },
						{ "true", "yes", "on", "1" } };

	for (size_t v = 0; v < 2; v++) {
		for (size_t i = 0; i < ARRAY_LEN(words[v]); i++) {
			if (strcasecmp(text, words[v][i]) == 0) {
				*out = (double)v;
				return true;
			}
		}
	}
	return false;
}

static bool parse_choice(const struct option *o, const char *text, double *out)
{
	for (size_t k = 0; o->choices[k]; k++) {
		if (strcasecmp(text, o->choices[k]) == 0) {
			*out = (double)k;
			return true;
		}
	}
	return false;
}

/* host[:port][/path]: nothing that curl would read as a user, a query or a fragment. */
static bool is_host(const char *host)
{
	const char *port;
	char *end;

	port = strrchr(host, ']') ? strchr(strrchr(host, ']'), ':') : strchr(host, ':');
	if (port && port < host + strcspn(host, "/") &&
	    (!isdigit((unsigned char)port[1]) || strtol(port + 1, &end, 10) > 65535 ||
	     !strchr("/", *end)))
		return false;
	return *host && *host != '/' && *host != ':' && !strpbrk(host, "@?#\\ \"<>^`{|}") &&
	       strlen(host) <= 1000;
}

static bool is_url(const char *text)
{
	if (strncasecmp(text, "https://", 8) != 0 && strncasecmp(text, "http://", 7) != 0)
		return false;
	return is_host(strstr(text, "://") + 3);
}

/* No user: that would be a password in argv. */
static bool is_proxy(const char *text)
{
	static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if (strncasecmp(text, schemes[i], n) == 0)
			return is_host(text + n) && !strchr(text + n, '/');
	}
	return strcmp(text, NO_PROXY) == 0;
}

const char *bci_list_next(const char *text, size_t *n)
{
	text += strspn(text, " ,");
	*n = strcspn(text, " ,");
	return *n ? text : NULL;
}

/* At least one, and none longer than bci_globs_match() takes. */
static bool are_globs(const char *text)
{
	size_t count = 0, n;

	for (; (text = bci_list_next(text, &n)); text += n, count++)
		if (n > BCI_GLOB_MAX)
			return false;
	return count > 0;
}

/* What the server would answer 500 to must not get there: it would look like trouble of its own. */
static bool is_utf8(const char *text)
{
	char clean[BCI_DEVICE_TAG_MAX + 1];

	return bci_label_clean(clean, BCI_DEVICE_TAG_MAX, text) && strcmp(clean, text) == 0;
}

static int check_tag_keys(const char *text, struct bcrawl_error *err)
{
	struct bcrawl_error e = { .size = sizeof(e) };
	struct bci_tags tags;
	int rc = bci_tags_parse(&tags, text, &e);

	bci_tags_free(&tags);
	if (rc == BCRAWL_E_NOMEM)
		return bci_error_nomem(err);
	return rc ? bci_error_set(err, rc, 0, "%s: \"%.60s\" is not allowed: %.100s; %s",
	                          options[BCI_OPT_INFO_TAGS].pub.key, text, e.message,
	                          options[BCI_OPT_INFO_TAGS].pub.range)
		  : BCRAWL_OK;
}

static bool is_valid(const struct option *o, const char *text, double *number)
{
	struct bci_source source;
	size_t n, all;

	if (has_control(text) || strlen(text) > BCI_TOKEN_MAX)
		return false;
	switch (o->type) {
	case NAME:
		return *text && strlen(text) <= 64 &&
		       only(text, BCI_LETTERS_AND_DIGITS "_.-");
	case PATH:
		return *text;
	case SECRET:
		return is_token(text);
	case URL:
		return is_url(text);
	case NUMBER:
		return parse_number(o, text, number);
	case BOOLEAN:
		return parse_boolean(text, number);
	case CHOICE:
		return parse_choice(o, text, number);
	case PROXY:
		return is_proxy(text);
	case METRIC_GLOBS:
		return bci_metrics_select(text, NULL);
	case GLOBS:
		return are_globs(text);
	case TAG_KEYS:
		return bci_list_next(text, &n);
	case TAG:
		return *text && *text != '=' && is_utf8(text);
	case SHARD:
		return bci_shard_parse(text, &n, &all);
	case SOURCE:
		return bci_source_parse(text, &source);
	case MEMBER:
		return bci_member_is_name(text, strlen(text));
	}
	return false;
}

static int refuse(const struct option *o, const char *value, struct bcrawl_error *err)
{
	int shown = 60;

	if (o->pub.flags & BCRAWL_OPT_SECRET)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "%s: the value is not allowed: %s",
				     o->pub.key, o->pub.range);
	/* What is before it may be a password. */
	if ((o->type == URL || o->type == PROXY || o->type == SOURCE) && strchr(value, '@'))
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: a user name and a password have no place in it: %s",
		                     o->pub.key, o->pub.range);
	/* So may a query be. */
	if (o->type == SOURCE && strcspn(value, "?") < (size_t)shown)
		shown = (int)strcspn(value, "?");
	return bci_error_set(err, BCRAWL_E_CONFIG, 0, "%s: \"%.*s\" is not allowed: %s",
			     o->pub.key, shown, value, o->pub.range);
}

int bcrawl_config_set(struct bcrawl_config *cfg, const char *key, const char *value,
                      struct bcrawl_error *err)
{
	const struct option *o = key ? find(key) : NULL;
	struct bci_config_value *v;
	double number = 0;
	char *text;
	size_t n;
	int rc;

	if (!o)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "%.60s: there is no such option",
				     key ? key : "");
	if (!value || !is_valid(o, value, &number))
		return refuse(o, value ? value : "", err);
	rc = o->type == TAG_KEYS ? check_tag_keys(value, err) : BCRAWL_OK;
	if (rc)
		return rc;
	v = &cfg->values[o - options];
	n = strlen(value) + 1;
	if ((o->pub.flags & BCRAWL_OPT_MULTI) && v->text)
		n += strlen(v->text) + 1;
	text = malloc(n);
	if (!text)
		return bci_error_nomem(err);
	if ((o->pub.flags & BCRAWL_OPT_MULTI) && v->text)
		snprintf(text, n, "%s %s", v->text, value);
	else
		snprintf(text, n, "%s", value);
	free_text(o, v->text);
	*v = (struct bci_config_value){ .text = text, .number = number, .set = true };
	return BCRAWL_OK;
}

const char *bci_config_text(const struct bcrawl_config *cfg, enum bci_opt opt)
{
	return cfg->values[opt].text ? cfg->values[opt].text : options[opt].pub.dflt;
}

double bci_config_number(const struct bcrawl_config *cfg, enum bci_opt opt)
{
	return cfg->values[opt].number;
}

const char *bcrawl_config_get(const struct bcrawl_config *cfg, const char *key)
{
	const struct option *o = key ? find(key) : NULL;

	if (!o || (o->pub.flags & BCRAWL_OPT_SECRET))
		return NULL;
	return bci_config_text(cfg, (enum bci_opt)(o - options));
}

double bcrawl_config_number(const struct bcrawl_config *cfg, const char *key)
{
	const struct option *o = key ? find(key) : NULL;

	return o ? bci_config_number(cfg, (enum bci_opt)(o - options)) : 0;
}

/* ---- checks over several options ---- */

/* What holds no slash may be the token itself, put there by mistake: it is not repeated. */
static int refuse_token_file(const char *path, int e, struct bcrawl_error *err)
{
	const char *key = options[BCI_OPT_TOKEN_FILE].pub.key;

	if (!strchr(path, '/'))
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: cannot read the file: %s; it takes a path like "
		                     "/etc/balenacrawl/token, not the token "
		                     "itself", key, strerror(e));
	return bci_error_set(err, BCRAWL_E_CONFIG, 0, "%s: cannot read \"%s\": %s", key, path,
	                     bci_file_reason(e));
}

static int read_token_file(const char *path, char **token, struct bcrawl_error *err)
{
	BCI_AUTOFREE char *text = malloc(BCI_TOKEN_MAX + 2);
	size_t n = 0;
	int e;

	if (!text)
		return bci_error_nomem(err);
	e = bci_file_read(path, text, BCI_TOKEN_MAX + 1, &n);
	if (e)
		return refuse_token_file(path, e, err);
	/* An editor ends the file with a newline; nothing else may stand beside the token. */
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	if (strlen(text) != n || !is_token(text)) {
		/* What stands beside it may be a token all the same. */
		explicit_bzero(text, BCI_TOKEN_MAX + 2);
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: \"%s\" does not hold one token: %s, 1 to %d characters",
		                     options[BCI_OPT_TOKEN_FILE].pub.key, path,
		                     options[BCI_OPT_TOKEN].pub.range, BCI_TOKEN_MAX);
	}
	*token = bci_steal(&text);
	return BCRAWL_OK;
}

int bci_config_token(const struct bcrawl_config *cfg, char **token, struct bcrawl_error *err)
{
	const char *path = bci_config_text(cfg, BCI_OPT_TOKEN_FILE);
	const char *text = bci_config_text(cfg, BCI_OPT_TOKEN);

	if (*path)
		return read_token_file(path, token, err);
	if (!*text)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
				     "no API token: set %s to a file that holds one",
				     options[BCI_OPT_TOKEN_FILE].pub.key);
	*token = strdup(text);
	return *token ? BCRAWL_OK : bci_error_nomem(err);
}

const char *bci_config_token_exposed(const struct bcrawl_config *cfg)
{
	struct stat st;

	if (stat(bci_config_text(cfg, BCI_OPT_TOKEN_FILE), &st))
		return NULL;
	if (st.st_mode & S_IROTH)
		return "read";
	return st.st_mode & S_IWOTH ? "overwrite" : NULL;
}

static bool is_loopback_http(const char *url)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
	const char *host = url + strlen("http://");
	size_t n = strcspn(host, "/");

	if (*host != '[')
		n = strcspn(host, ":/");
	else if (strchr(host, ']'))
		n = (size_t)(strchr(host, ']') - host) + 1;
	/* Behind the bracket of "[::1].evil.com" the host goes on. */
	if (!strchr(":/", host[n]))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strlen(hosts[i]) == n && strncasecmp(host, hosts[i], n) == 0)
			return true;
	return false;
}

bool bci_config_is_direct(const struct bcrawl_config *cfg)
{
	return strncasecmp(bci_config_text(cfg, BCI_OPT_API_URL), "http://", 7) == 0 &&
	       bci_config_number(cfg, BCI_OPT_ALLOW_HTTP) == 0;
}

int bcrawl_config_check(const struct bcrawl_config *cfg, struct bcrawl_error *err)
{
	const char *url = bci_config_text(cfg, BCI_OPT_API_URL);
	const char *ca = bci_config_text(cfg, BCI_OPT_CA_FILE);
	const char *proxy = bci_config_text(cfg, BCI_OPT_PROXY);
	char *token = NULL, byte;
	int rc, number;
	size_t n;

	if (bci_config_is_direct(cfg) && !is_loopback_http(url))
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: \"%.60s\" is not allowed: plain http would show the "
		                     "token to the "
		                     "network; use https://, a loopback host, or %s",
		                     options[BCI_OPT_API_URL].pub.key, url,
		                     options[BCI_OPT_ALLOW_HTTP].pub.key);
	if (bci_config_is_direct(cfg) && *proxy && strcmp(proxy, NO_PROXY) != 0)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: \"%.60s\" is not allowed with plain http, which "
		                     "would show the token to the proxy; use https://, %s, or %s",
		                     options[BCI_OPT_PROXY].pub.key, proxy, NO_PROXY,
		                     options[BCI_OPT_ALLOW_HTTP].pub.key);
	number = *ca ? bci_file_read(ca, &byte, 1, &n) : 0;
	if (number)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0, "%s: cannot read \"%s\": %s",
		                     options[BCI_OPT_CA_FILE].pub.key, ca,
		                     bci_file_reason(number));
	if (*bci_config_text(cfg, BCI_OPT_SHARD_MEMBERS) && cfg->values[BCI_OPT_SHARD].set)
		return bci_error_set(err, BCRAWL_E_CONFIG, 0,
		                     "%s: with %s the shard and the number of all are found "
		                     "out: set one of the two",
		                     options[BCI_OPT_SHARD].pub.key,
		                     options[BCI_OPT_SHARD_MEMBERS].pub.key);
	/* Each value by itself was good; together they may be too many, or alike. */
	rc = check_tag_keys(bci_config_text(cfg, BCI_OPT_INFO_TAGS), err);
	if (rc)
		return rc;
	rc = bci_config_token(cfg, &token, err);
	bci_token_free(token);
	return rc;
}

bool bci_globs_match(const char *globs, const char *text)
{
	char glob[BCI_GLOB_MAX + 1];
	size_t n;

	for (; (globs = bci_list_next(globs, &n)); globs += n) {
		if (n >= sizeof(glob))
			continue;
		memcpy(glob, globs, n);
		glob[n] = '\0';
		if (fnmatch(glob, text, 0) == 0)
			return true;
	}
	return false;
}
