/* SPDX-License-Identifier: MIT
 *
 * The functions of balenacrawl.h that an agent calls, without an API behind them. Tests wait here
 * on conditions with a deadline, so that a lost wake-up fails and does not hang. */
#include "stub_core.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define OPTIONS_MAX  9

static const struct bcrawl_option options[] = {
	{BCRAWL_KEY_ACCOUNT, "string", "default", "letters", "Name.", 0},
	{"token", "string", "", "ASCII", "Token.", BCRAWL_OPT_SECRET},
	{BCRAWL_KEY_TOKEN_FILE, "path", "", "a readable file", "Token.", 0},
	{BCRAWL_KEY_INTERVAL, "number", "60", "10 to 86400 seconds", "Interval.", 0},
	{BCRAWL_KEY_METRICS, "globs", "@standard", "globs", "Metrics.", 0},
	{BCRAWL_KEY_NEW_SERIES, "number", "1000", "0 to 1000000 series", "New.", 0},
	{BCRAWL_KEY_START_JITTER, "number", "0", "0 to 3600 seconds", "Jitter.", 0},
	{"fleet", "globs", "*", "globs", "Fleets.", BCRAWL_OPT_MULTI},
	{"allow-http", "boolean", "false", "true or false", "Http.", 0},
};
_Static_assert(ARRAY_LEN(options) <= OPTIONS_MAX, "config.values holds them all");

#define GAUGE_ROW(name, scope)                                                                     \
	{                                                                                          \
		name, scope, BCRAWL_GAUGE, BCRAWL_UNIT_ONE, BCRAWL_SET_LEAN, 0, "", "", "Help.",   \
			"", NULL                                                                   \
	}
#define COUNTER_ROW(name, scope)                                                                   \
	{                                                                                          \
		name, scope, BCRAWL_COUNTER, BCRAWL_UNIT_ONE, BCRAWL_SET_LEAN, 1, "", "", "Help.", \
			"", NULL                                                                   \
	}

static const struct bcrawl_metric metrics[] = {
	GAUGE_ROW("balena_device_heat", BCRAWL_SCOPE_DEVICE),
	GAUGE_ROW("balena_device_info", BCRAWL_SCOPE_DEVICE),
	GAUGE_ROW("balena_device_service_state", BCRAWL_SCOPE_SERVICE),
	GAUGE_ROW("balena_fleet_devices_by_status", BCRAWL_SCOPE_FLEET),
	GAUGE_ROW("balena_crawl_success", BCRAWL_SCOPE_CRAWL),
	COUNTER_ROW("balena_api_requests_total", BCRAWL_SCOPE_CRAWL),
};

struct bcrawl_config {
	char *values[OPTIONS_MAX]; /* the first is the account's name */
};

struct bcrawl {
	char *account;
	unsigned crawls;
	bcrawl_stop_fn *stop;
	void *stop_user;
	bcrawl_log_fn *log;
	void *log_user;
	int wake_fd;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	stub_crawl_fn *crawl;
	unsigned begun, ended, waiting, released;
	int alive;
	char settings[4096];
} stub = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void count(unsigned *n)
{
	pthread_mutex_lock(&stub.lock);
	++*n;
	pthread_cond_broadcast(&stub.changed);
	pthread_mutex_unlock(&stub.lock);
}

static void count_alive(int by)
{
	pthread_mutex_lock(&stub.lock);
	stub.alive += by;
	pthread_mutex_unlock(&stub.lock);
}

/* ---- the core's side ---------------------------------------------------------------------- */

const char *bcrawl_set_name(enum bcrawl_set set)
{
	static const char *const names[] = {"lean", "standard", "optional"};

	return names[set];
}

const struct bcrawl_metric *bcrawl_metric_at(size_t i)
{
	return i < ARRAY_LEN(metrics) ? &metrics[i] : NULL;
}

/* TokenFile is token-file: as the core does it. */
static bool same_key(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, "-_");
		b += strspn(b, "-_");
		if (strncasecmp(a, b, 1) != 0)
			return false;
		if (!*a)
			return true;
	}
}

const struct bcrawl_option *bcrawl_option_find(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (same_key(options[i].key, key))
			return &options[i];
	}
	return NULL;
}

const struct bcrawl_option *bcrawl_option_at(size_t i)
{
	return i < ARRAY_LEN(options) ? &options[i] : NULL;
}

struct bcrawl_config *bcrawl_config_new(void)
{
	count_alive(1);
	return calloc(1, sizeof(struct bcrawl_config));
}

void bcrawl_config_free(struct bcrawl_config *cfg)
{
	if (!cfg)
		return;
	count_alive(-1);
	for (size_t i = 0; i < OPTIONS_MAX; i++)
		free(cfg->values[i]);
	free(cfg);
}

int bcrawl_config_set(struct bcrawl_config *cfg, const char *key, const char *value,
		      struct bcrawl_error *err)
{
	const struct bcrawl_option *o = bcrawl_option_find(key);
	size_t n = strlen(stub.settings);

	err->code = BCRAWL_E_CONFIG;
	if (!o) {
		snprintf(err->message, sizeof(err->message), "%s: there is no such option", key);
		return err->code;
	}
	if (strcmp(o->type, "number") == 0 && !(strtod(value, NULL) >= strtod(o->range, NULL))) {
		snprintf(err->message, sizeof(err->message), "%s: \"%s\" is not allowed: %s",
			 o->key, value, o->range);
		return err->code;
	}
	free(cfg->values[o - options]);
	cfg->values[o - options] = strdup(value);
	snprintf(stub.settings + n, sizeof(stub.settings) - n, "%s/%s=%s\n",
		 bcrawl_config_get(cfg, BCRAWL_KEY_ACCOUNT), o->key, value);
	return BCRAWL_OK;
}

/* Variables of these options alone; the names are the real ones. */
int bcrawl_config_set_from_environment(struct bcrawl_config *cfg, const struct bcrawl_option *o,
				       struct bcrawl_error *err)
{
	static const char *const variables[][2] = {
		{BCRAWL_KEY_ACCOUNT, "BALENA_ACCOUNT"}, {BCRAWL_KEY_TOKEN_FILE, "BALENA_TOKEN_FILE"},
		{BCRAWL_KEY_INTERVAL, "CRAWL_INTERVAL"}, {BCRAWL_KEY_METRICS, "BALENA_METRICS"},
		{"fleet", "BALENA_FLEET"},
	};

	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i][1]);

		if (strcmp(variables[i][0], o->key) == 0 && value)
			return bcrawl_config_set(cfg, o->key, value, err) ? BCRAWL_E_CONFIG : 1;
	}
	return 0;
}

int bcrawl_config_check(const struct bcrawl_config *cfg, struct bcrawl_error *err)
{
	const struct bcrawl_option *o = bcrawl_option_find(BCRAWL_KEY_TOKEN_FILE);

	if (cfg->values[o - options] || *bcrawl_config_get(cfg, "token"))
		return BCRAWL_OK;
	err->code = BCRAWL_E_CONFIG;
	snprintf(err->message, sizeof(err->message), "no API token: set %s", o->key);
	return err->code;
}

const char *bcrawl_config_get(const struct bcrawl_config *cfg, const char *key)
{
	const struct bcrawl_option *o = bcrawl_option_find(key);
	const char *value = cfg->values[o - options];

	return value ? value : o->dflt;
}

double bcrawl_config_number(const struct bcrawl_config *cfg, const char *key)
{
	return strtod(bcrawl_config_get(cfg, key), NULL);
}

int bcrawl_global_init(void)
{
	return BCRAWL_OK;
}

/* An account of this name can be configured, but not made. */
int bcrawl_new(struct bcrawl **out, const struct bcrawl_config *cfg, struct bcrawl_error *err)
{
	struct bcrawl *c;

	if (strcmp(bcrawl_config_get(cfg, BCRAWL_KEY_ACCOUNT), "unmakeable") == 0) {
		err->code = BCRAWL_E_NOMEM;
		snprintf(err->message, sizeof(err->message), "out of memory");
		return err->code;
	}
	c = calloc(1, sizeof(*c));
	count_alive(1);
	c->account = strdup(bcrawl_config_get(cfg, BCRAWL_KEY_ACCOUNT));
	c->wake_fd = -1;
	*out = c;
	return BCRAWL_OK;
}

void bcrawl_free(struct bcrawl *c)
{
	if (!c)
		return;
	count_alive(-1);
	free(c->account);
	free(c);
}

void bcrawl_set_stop(struct bcrawl *c, bcrawl_stop_fn *fn, void *user)
{
	c->stop = fn;
	c->stop_user = user;
}

void bcrawl_set_wake_fd(struct bcrawl *c, int fd)
{
	c->wake_fd = fd;
}

void bcrawl_set_log(struct bcrawl *c, bcrawl_log_fn *fn, void *user)
{
	c->log = fn;
	c->log_user = user;
}

int bcrawl_run(struct bcrawl *c, const struct bcrawl_sink *sink, void *user,
	       struct bcrawl_error *err)
{
	int rc;

	(void)err;
	c->crawls++;
	count(&stub.begun);
	rc = stub.crawl(c, sink, user);
	count(&stub.ended);
	return rc;
}

/* ---- the crawl's side --------------------------------------------------------------------- */

const char *stub_account(const struct bcrawl *c)
{
	return c->account;
}

bool stub_stopped(struct bcrawl *c)
{
	return c->stop(c->stop_user) != 0;
}

int stub_wake_fd(const struct bcrawl *c)
{
	return c->wake_fd;
}

void stub_log(struct bcrawl *c, int level, const char *line)
{
	c->log(c->log_user, level, line);
}

unsigned stub_crawl_number(const struct bcrawl *c)
{
	return c->crawls;
}

/* Waits until *n >= least, with the lock held; false when ms milliseconds have passed. */
static bool wait_for(const unsigned *n, unsigned least, int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (*n < least) {
		if (pthread_cond_timedwait(&stub.changed, &stub.lock, &until) == ETIMEDOUT)
			return *n >= least;
	}
	return true;
}

void stub_wait_release(void)
{
	pthread_mutex_lock(&stub.lock);
	stub.waiting++;
	wait_for(&stub.released, stub.waiting, 20000);
	pthread_mutex_unlock(&stub.lock);
}

/* ---- the test's side ---------------------------------------------------------------------- */

void stub_reset(stub_crawl_fn *crawl)
{
	pthread_mutex_lock(&stub.lock);
	stub.crawl = crawl;
	stub.begun = stub.ended = stub.waiting = stub.released = 0;
	stub.settings[0] = '\0';
	pthread_mutex_unlock(&stub.lock);
}

static bool wait_locked(const unsigned *n, unsigned least, int ms)
{
	bool reached;

	pthread_mutex_lock(&stub.lock);
	reached = wait_for(n, least, ms);
	pthread_mutex_unlock(&stub.lock);
	return reached;
}

bool stub_wait_begun(unsigned n, int ms)
{
	return wait_locked(&stub.begun, n, ms);
}

bool stub_wait_ended(unsigned n, int ms)
{
	return wait_locked(&stub.ended, n, ms);
}

void stub_release(void)
{
	count(&stub.released);
}

int stub_alive(void)
{
	int n;

	pthread_mutex_lock(&stub.lock);
	n = stub.alive;
	pthread_mutex_unlock(&stub.lock);
	return n;
}

const char *stub_settings(void)
{
	return stub.settings;
}

const struct bcrawl_metric *stub_metric(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
	}
	return NULL;
}
