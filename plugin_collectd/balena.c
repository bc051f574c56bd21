/* SPDX-License-Identifier: MIT
 *
 * The collectd plugin: configuration blocks -> accounts, a thread for each, samples -> values.
 *
 * Three facts about collectd 5.12 give it its shape. A read callback can't learn that the daemon
 * is stopping (read threads are joined before the shutdown callbacks run) and the few read threads
 * are everybody's: so each account crawls in a thread of its own, and its read callback only
 * triggers. A read callback that fails is suspended for longer and longer: ours never does, trouble
 * is told by metrics and the log. A config callback that fails keeps the daemon from starting: ours
 * never does, a bad account is reported and left out.
 *
 * Refuses to know balena: metrics, option keys, ranges and messages come from balenacrawl.h. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <collectd/core/daemon/globals.h>
#include <collectd/core/daemon/plugin.h>
#include <collectd/core/daemon/utils_cache.h>

#include "balenacrawl.h"
#include "fill.h"
#include "map.h"

/* In a block, beside the options of the library. */
#define KEY_ENVIRONMENT "Environment"

#define THREAD_NAME  "balena-crawl"     /* longer than 15 bytes and collectd complains */
#define DERIVE_LIMIT 9007199254740992.0 /* 2^53: above it a double is no exact integer */
#define NS_PER_S     1000000000L
#define LOOK_S       0.25               /* between two looks whether collectd took all in */

_Static_assert(BALENA_NAME_SIZE == DATA_MAX_NAME_LEN, "map.c cuts where collectd would");

/* Samples of one crawl that could not be given to collectd. */
struct skipped {
	unsigned long count;
	const char *why; /* of the first */
	const struct bcrawl_metric *metric;
};

/* What collectd has of a device, or of another entity. */
enum novelty {
	KNOWN,
	NEW,
	HELD,  /* new, and left for a later crawl */
	UNSURE /* each of its series by itself */
};

struct account {
	struct account *next;
	char *name;
	struct bcrawl_config *cfg;
	struct bcrawl *crawler; /* the thread's alone while it runs */
	cdtime_t interval;
	struct timespec jitter; /* every crawl starts so long after its trigger */
	int wake[2];            /* a pipe; readable: the crawler should ask for stop */
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* guards the next three, stop for writing only */
	pthread_cond_t changed;
	bool triggered;
	struct timespec due; /* monotonic; when triggered */
	atomic_bool stop;

	/* The thread's own. */
	cdtime_t valid;   /* how long values stand: the values' interval */
	int64_t crawl_ms; /* time of the current crawl as its samples say it */
	int64_t time_ms;  /* and as collectd is told: it never goes back */
	struct skipped skipped;
	unsigned long cut; /* values of the current crawl whose names were cut */
	bool skipped_said;
	struct fill fill;
	char device[BALENA_NAME_SIZE]; /* whose records these are */
	enum novelty novelty;          /* and what it is to collectd */
	value_list_t newest;           /* the last series of a new device */
	struct timespec newest_at;     /* when collectd was given it; monotonic */
	struct timespec look_at;       /* when to look whether it has taken it in */
	bool held_said;
	bool complete;                 /* the last crawl */
};

/* collectd's init and shutdown callbacks take no user data: this is all that they can find. Written
 * by the main thread only. */
static struct {
	struct account *accounts;
} plugin;

/* ---- log ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void say(int severity, const char *account,
						      const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (account)
		plugin_log(severity, BALENA_PLUGIN " plugin: account \"%s\": %s", account, line);
	else
		plugin_log(severity, BALENA_PLUGIN " plugin: %s", line);
}

static void on_log(void *user, int level, const char *line)
{
	static const int severities[] = {
		[BCRAWL_LOG_ERROR] = LOG_ERR,
		[BCRAWL_LOG_WARNING] = LOG_WARNING,
		[BCRAWL_LOG_INFO] = LOG_NOTICE, /* the end of a trouble: seen where its start is */
		[BCRAWL_LOG_DEBUG] = LOG_DEBUG,
	};
	const struct account *a = user;

	if (level < BCRAWL_LOG_ERROR || level > BCRAWL_LOG_DEBUG)
		level = BCRAWL_LOG_DEBUG;
	say(severities[level], a->name, "%s", line);
}

/* ---- time --------------------------------------------------------------------------------- */

static struct timespec seconds(double s)
{
	time_t whole = (time_t)s;

	return (struct timespec){whole, (long)((s - (double)whole) * (double)NS_PER_S)};
}

static struct timespec later(struct timespec t, struct timespec by)
{
	t.tv_sec += by.tv_sec;
	t.tv_nsec += by.tv_nsec;
	if (t.tv_nsec >= NS_PER_S) {
		t.tv_sec++;
		t.tv_nsec -= NS_PER_S;
	}
	return t;
}

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* ---- samples -> values -------------------------------------------------------------------- */

static void skip(struct account *a, const struct bcrawl_metric *metric, const char *why)
{
	if (a->skipped.count++ == 0) {
		a->skipped.why = why;
		a->skipped.metric = metric;
	}
}

static void report_skipped(struct account *a)
{
	if (a->skipped.count > 0 && !a->skipped_said) {
		say(LOG_WARNING, a->name,
		    "%lu values of this crawl could not be given to collectd; the first, %s: %s "
		    "(this is said once)",
		    a->skipped.count, a->skipped.metric->name, a->skipped.why);
		a->skipped_said = true;
	}
	a->skipped = (struct skipped){0};
	a->cut = 0;
}

static void report_held(struct account *a)
{
	bool held = a->fill.held > 0;

	/* Of a crawl that failed nobody knows what would have come. */
	if (!held && !a->complete)
		return;
	if (held && !a->held_said)
		say(LOG_NOTICE, a->name,
		    "%lu values of new devices wait for the next crawls, so that collectd can take "
		    "them in: see NewSeriesPerSecond",
		    a->fill.held);
	if (!held && a->held_said)
		say(LOG_NOTICE, a->name, "no devices wait any more");
	a->held_said = held;
}

/* collectd refuses a value that is not younger than the one before, and a clock may be set back. */
static void keep_time_rising(struct account *a, int64_t time_ms)
{
	if (time_ms == a->crawl_ms)
		return;
	a->crawl_ms = time_ms;
	a->time_ms = time_ms > a->time_ms ? time_ms : a->time_ms + 1;
}

static int ds_type(const struct bcrawl_metric *m)
{
	switch (m->kind) {
	case BCRAWL_GAUGE:
		return DS_TYPE_GAUGE;
	case BCRAWL_COUNTER:
		return DS_TYPE_DERIVE;
	}
	return DS_TYPE_GAUGE;
}

/* A value of no value yet, under its name; the host as collectd's cache has it. */
static value_list_t name_value(const struct balena_id *id, const char *type)
{
	value_list_t vl = VALUE_LIST_INIT;

	snprintf(vl.host, sizeof(vl.host), "%s", *id->host ? id->host : hostname_g);
	snprintf(vl.plugin, sizeof(vl.plugin), "%s", BALENA_PLUGIN);
	snprintf(vl.plugin_instance, sizeof(vl.plugin_instance), "%s", id->plugin_instance);
	snprintf(vl.type, sizeof(vl.type), "%s", type);
	snprintf(vl.type_instance, sizeof(vl.type_instance), "%s", id->type_instance);
	return vl;
}

/* Whether collectd has the series in its cache: then it has been written, and is not new. */
static bool is_known(const value_list_t *vl)
{
	static const data_set_t one = {.ds_num = 1};
	gauge_t *rate = uc_get_rate(&one, vl);

	free(rate);
	return rate;
}

/* The one place where a value becomes collectd's: the value lists of 5.x. For collectd 6, whose
 * metric families have labels and help texts, this is the function to write again. */
static int emit(struct account *a, const struct balena_id *id, const char *type, value_t value)
{
	value_list_t vl = name_value(id, type);
	bool is_new;
	int rc;

	vl.values = &value;
	vl.values_len = 1;
	vl.time = MS_TO_CDTIME_T(a->time_ms);
	vl.interval = a->valid;
	is_new = a->novelty == NEW || (a->novelty == UNSURE && !is_known(&vl));
	rc = plugin_dispatch_values(&vl);
	if (rc == 0 && is_new)
		fill_feed(&a->fill, 1);
	if (rc == 0 && a->novelty == NEW) {
		a->newest = vl;
		a->newest.values = NULL;
		clock_gettime(CLOCK_MONOTONIC, &a->newest_at);
		fill_await(&a->fill);
	}
	return rc;
}

static void emit_value(struct account *a, const struct balena_id *id, const struct bcrawl_value *v)
{
	char type[BALENA_NAME_SIZE];
	const char *why = balena_map_type(v->metric, type);
	value_t value;

	if (!why && !isfinite(v->value))
		why = "not a finite number"; /* "-nan" ends every scrape of this daemon */
	if (!why && ds_type(v->metric) == DS_TYPE_DERIVE && fabs(v->value) > DERIVE_LIMIT)
		why = "too large for a counter";
	if (why) {
		skip(a, v->metric, why);
		return;
	}
	if (ds_type(v->metric) == DS_TYPE_DERIVE)
		value.derive = (derive_t)v->value;
	else
		value.gauge = v->value;
	if (emit(a, id, type, value))
		skip(a, v->metric, "collectd refuses it, and says why");
}

/* Has collectd taken in what was new, and in what time? Looks now and then, in a crawl and after:
 * what was taken in while the crawl went on must not be counted to its end. */
static void look_after_fill(struct account *a)
{
	struct timespec now;

	if (!a->fill.waiting)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (is_before(now, a->look_at))
		return;
	a->look_at = later(now, seconds(LOOK_S));
	if (is_known(&a->newest))
		fill_taken(&a->fill, (double)(now.tv_sec - a->newest_at.tv_sec) +
					     (double)(now.tv_nsec - a->newest_at.tv_nsec) /
						     NS_PER_S);
}

/* Whether collectd has any of a record's series. */
static bool is_record_known(const struct bcrawl_sample *s, const struct balena_id *id)
{
	char type[BALENA_NAME_SIZE];

	for (size_t i = 0; i < s->value_count; i++) {
		if (!balena_map_type(s->values[i].metric, type)) {
			value_list_t vl = name_value(id, type);

			if (is_known(&vl))
				return true;
		}
	}
	return false;
}

/* Devices come whole or not at all, and what is about all of them always. The records of one follow
 * each other; one look for a known device is enough, as there are many. */
static void judge(struct account *a, const struct bcrawl_sample *s, const struct balena_id *id)
{
	if (a->fill.most == 0) {
		a->novelty = KNOWN; /* whatever it is */
	} else if (!*id->host) {
		a->novelty = UNSURE;
		a->device[0] = '\0';
	} else if (strcmp(a->device, id->host) != 0) {
		snprintf(a->device, sizeof(a->device), "%s", id->host);
		if (is_record_known(s, id))
			a->novelty = KNOWN;
		else
			a->novelty = fill_allows(&a->fill) ? NEW : HELD;
	}
}

/* Never ends a crawl: what can't be shown is skipped and counted. */
static int on_sample(void *user, const struct bcrawl_sample *s)
{
	struct account *a = user;
	struct balena_id id;
	const char *why = balena_map_record(s, &id);

	look_after_fill(a);
	keep_time_rising(a, s->time_ms);
	if (!why) {
		judge(a, s, &id);
		if (a->novelty == HELD) {
			fill_hold(&a->fill, s->value_count);
			return 0;
		}
	}
	if (!why && id.cut)
		a->cut += s->value_count;
	for (size_t i = 0; i < s->value_count; i++) {
		if (why)
			skip(a, s->values[i].metric, why);
		else
			emit_value(a, &id, &s->values[i]);
	}
	return 0;
}

/* collectd forgets a series after twice its interval: a crawl that takes longer than the account's
 * interval must not make it forget what the next crawl will say again. */
static void on_end(void *user, const struct bcrawl_summary *sum)
{
	struct account *a = user;
	cdtime_t took = DOUBLE_TO_CDTIME_T(sum->duration_s);

	a->valid = took > a->interval ? took : a->interval;
	a->complete = sum->complete;
}

static void on_host(void *user, struct bcrawl_host *h)
{
	const struct account *a = user;

	h->withheld_values = a->skipped.count;
	h->paced_values = a->fill.held;
	h->shortened_values = a->cut;
}

/* ---- the crawl thread --------------------------------------------------------------------- */

/* The read callback. Triggers that find one waiting, or the thread crawling, are one. The delay is
 * the same for each, or daemons started together would meet at the API one interval later. */
static int trigger(user_data_t *ud)
{
	struct account *a = ud->data;
	struct timespec now;

	pthread_mutex_lock(&a->lock);
	if (!a->triggered) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		a->due = later(now, a->jitter);
		a->triggered = true;
		pthread_cond_signal(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return 0;
}

/* Waits until a crawl is due; false: stop. */
static bool wait_due(struct account *a)
{
	bool due = false;

	pthread_mutex_lock(&a->lock);
	while (!a->stop && !due) {
		struct timespec now, until;

		look_after_fill(a);
		clock_gettime(CLOCK_MONOTONIC, &now);
		until = later(now, seconds(LOOK_S));
		due = a->triggered && !is_before(now, a->due);
		if (due)
			break;
		if (a->triggered && (!a->fill.waiting || is_before(a->due, until)))
			until = a->due;
		if (a->triggered || a->fill.waiting)
			pthread_cond_timedwait(&a->changed, &a->lock, &until);
		else
			pthread_cond_wait(&a->changed, &a->lock);
	}
	if (due)
		a->triggered = false;
	due = due && !a->stop;
	pthread_mutex_unlock(&a->lock);
	return due;
}

static int asked_to_stop(void *user)
{
	struct account *a = user;

	return a->stop;
}

static void *crawl_thread(void *arg)
{
	static const struct bcrawl_sink sink = {
		.size = sizeof(sink), .sample = on_sample, .end = on_end, .host = on_host};
	struct account *a = arg;

	while (wait_due(a)) {
		a->look_at = (struct timespec){0}; /* at once: much depends on it */
		look_after_fill(a);
		fill_begin(&a->fill);
		a->device[0] = '\0';
		/* What goes wrong is in the crawl's own metrics and, by on_log(), in the log. */
		bcrawl_run(a->crawler, &sink, a, NULL);
		report_skipped(a);
		report_held(a);
	}
	return NULL;
}

static void ask_stop(struct account *a)
{
	ssize_t written;

	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->lock);
	/* One byte in an empty pipe: it fits, or the stop callback is asked a little later. */
	written = a->running ? write(a->wake[1], "", 1) : 0;
	(void)written;
}

/* ---- accounts ----------------------------------------------------------------------------- */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The thread must have ended. NULL is fine. */
static void account_free(struct account *a)
{
	if (!a)
		return;
	bcrawl_free(a->crawler);
	bcrawl_config_free(a->cfg);
	close_fd(a->wake[0]);
	close_fd(a->wake[1]);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a->name);
	free(a);
}

static void account_freep(struct account **a)
{
	account_free(*a);
}

/* A new account with the options' defaults, NULL when out of memory. */
static struct account *account_new(void)
{
	struct account *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (!a)
		return NULL;
	a->wake[0] = a->wake[1] = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->changed, &attr);
	pthread_condattr_destroy(&attr);
	a->cfg = bcrawl_config_new();
	if (a->cfg)
		return a;
	account_free(a);
	return NULL;
}

static bool account_known(const char *name)
{
	for (const struct account *a = plugin.accounts; a; a = a->next) {
		if (strcmp(a->name, name) == 0)
			return true;
	}
	return false;
}

static unsigned count_accounts(void)
{
	unsigned n = 0;

	for (const struct account *a = plugin.accounts; a; a = a->next)
		n++;
	return n;
}

static void account_append(struct account *a)
{
	struct account **end = &plugin.accounts;

	while (*end)
		end = &(*end)->next;
	*end = a;
}

/* ---- configuration ------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static int refuse(struct bcrawl_error *err,
							const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	err->code = BCRAWL_E_CONFIG;
	return err->code;
}

/* collectd's parser gives unquoted numbers and booleans a type of their own, and users leave the
 * quotes out where they can. The text lives as long as v and buf. */
static const char *value_text(const oconfig_value_t *v, char buf[32])
{
	if (v->type == OCONFIG_TYPE_STRING)
		return v->value.string;
	if (v->type == OCONFIG_TYPE_BOOLEAN)
		return v->value.boolean ? "true" : "false";
	snprintf(buf, 32, "%.15g", v->value.number);
	return buf;
}

static bool is_key(const char *key, const char *known)
{
	const struct bcrawl_option *opt = bcrawl_option_find(key);

	return opt && opt == bcrawl_option_find(known);
}

static int set_option(struct bcrawl_config *cfg, const oconfig_item_t *ci, struct bcrawl_error *err)
{
	const struct bcrawl_option *opt = bcrawl_option_find(ci->key);
	char buf[32];
	int rc = BCRAWL_OK;

	if (ci->children_num > 0)
		return refuse(err, "%s can't be a block", ci->key);
	if (is_key(ci->key, BCRAWL_KEY_ACCOUNT))
		return refuse(err, "%s is the name of the block, not an option in it", ci->key);
	if (ci->values_num < 1)
		return refuse(err, "%s has no value", ci->key);
	if (ci->values_num > 1 && opt && !(opt->flags & BCRAWL_OPT_MULTI))
		return refuse(err, "%s takes one value, not %d", ci->key, ci->values_num);
	for (int i = 0; i < ci->values_num && rc == BCRAWL_OK; i++)
		rc = bcrawl_config_set(cfg, ci->key, value_text(&ci->values[i], buf), err);
	return rc;
}

static int set_environment(bool *environment, const oconfig_item_t *ci, struct bcrawl_error *err)
{
	char buf[32];
	const char *text = ci->values_num == 1 ? value_text(&ci->values[0], buf) : "";

	*environment = strcasecmp(text, "true") == 0;
	if (!*environment && strcasecmp(text, "false") != 0)
		return refuse(err, "%s is true or false", ci->key);
	return BCRAWL_OK;
}

static bool block_sets(const oconfig_item_t *block, const struct bcrawl_option *opt)
{
	for (int i = 0; i < block->children_num; i++) {
		if (bcrawl_option_find(block->children[i].key) == opt)
			return true;
	}
	return opt == bcrawl_option_find(BCRAWL_KEY_ACCOUNT) && block->values_num > 0;
}

/* What the block sets is not looked for there. */
static int take_environment(struct bcrawl_config *cfg, const oconfig_item_t *block,
			    bool *has_metrics, struct bcrawl_error *err)
{
	const struct bcrawl_option *opt, *metrics = bcrawl_option_find(BCRAWL_KEY_METRICS);

	for (size_t i = 0; (opt = bcrawl_option_at(i)); i++) {
		int rc = block_sets(block, opt)
				 ? 0
				 : bcrawl_config_set_from_environment(cfg, opt, err);

		if (rc < 0)
			return rc;
		if (rc > 0 && opt == metrics)
			*has_metrics = true;
	}
	return BCRAWL_OK;
}

/* A series costs more here than in other agents: write_prometheus sorts a whole family anew for
 * every new one. So the small set is this agent's default, but only a default: beside metrics that
 * are named it would be an addition. */
static int set_default_metrics(struct bcrawl_config *cfg, struct bcrawl_error *err)
{
	char value[32];

	snprintf(value, sizeof(value), "@%s", bcrawl_set_name(BCRAWL_SET_LEAN));
	return bcrawl_config_set(cfg, BCRAWL_KEY_METRICS, value, err);
}

static int set_options(struct bcrawl_config *cfg, const oconfig_item_t *block,
		       struct bcrawl_error *err)
{
	bool has_metrics = block_sets(block, bcrawl_option_find(BCRAWL_KEY_METRICS));
	bool environment = false;
	int rc = BCRAWL_OK;

	for (int i = 0; i < block->children_num && rc == BCRAWL_OK; i++) {
		const oconfig_item_t *child = &block->children[i];

		if (strcasecmp(child->key, KEY_ENVIRONMENT) == 0)
			rc = set_environment(&environment, child, err);
		else
			rc = set_option(cfg, child, err);
	}
	if (rc == BCRAWL_OK && environment)
		rc = take_environment(cfg, block, &has_metrics, err);
	if (rc == BCRAWL_OK && !has_metrics)
		rc = set_default_metrics(cfg, err);
	return rc;
}

static int read_block(struct account *a, const oconfig_item_t *block, const char *name,
		      struct bcrawl_error *err)
{
	double interval;
	int rc = name ? bcrawl_config_set(a->cfg, BCRAWL_KEY_ACCOUNT, name, err) : BCRAWL_OK;

	if (rc == BCRAWL_OK)
		rc = set_options(a->cfg, block, err);
	if (rc == BCRAWL_OK)
		rc = bcrawl_config_check(a->cfg, err);
	if (rc != BCRAWL_OK)
		return rc;
	interval = bcrawl_config_number(a->cfg, BCRAWL_KEY_INTERVAL);
	a->interval = DOUBLE_TO_CDTIME_T(interval);
	a->valid = a->interval;
	return BCRAWL_OK;
}

/* A block without a name is called what its options say, or their default. */
static void add_account(const oconfig_item_t *block)
{
	__attribute__((cleanup(account_freep))) struct account *a = account_new();
	struct bcrawl_error err = {.size = sizeof(err)};
	char buf[32];
	const char *name = block->values_num > 0 ? value_text(&block->values[0], buf) : NULL;
	int rc;

	if (block->values_num > 1) {
		say(LOG_ERR, NULL, "an <%s> block takes one name; it is left out", block->key);
		return;
	}
	if (!a) {
		say(LOG_ERR, name, "left out: out of memory");
		return;
	}
	rc = read_block(a, block, name, &err);
	if (!name)
		name = bcrawl_config_get(a->cfg, BCRAWL_KEY_ACCOUNT);
	if (rc != BCRAWL_OK) {
		say(LOG_ERR, name, "left out: %s", err.message);
		return;
	}
	if (account_known(name)) {
		say(LOG_ERR, name, "is there twice; the second is left out");
		return;
	}
	a->name = strdup(name);
	if (!a->name) {
		say(LOG_ERR, name, "left out: out of memory");
		return;
	}
	account_append(a);
	a = NULL;
}

/* Called once for each <Plugin> block. Anything but 0 would stop the daemon. */
static int configure(oconfig_item_t *ci)
{
	for (int i = 0; i < ci->children_num; i++) {
		const oconfig_item_t *child = &ci->children[i];

		if (strcasecmp(child->key, BCRAWL_KEY_ACCOUNT) == 0)
			add_account(child);
		else
			say(LOG_WARNING, NULL, "%s is ignored: options belong into an <%s> block",
			    child->key, BCRAWL_KEY_ACCOUNT);
	}
	return 0;
}

/* ---- init --------------------------------------------------------------------------------- */

/* Types of our own make the name of the metric the name of the family. Registered here, they need
 * no TypesDB line; one that an administrator's types file has is left alone. */
static void register_types(void)
{
	const struct bcrawl_metric *m;

	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++) {
		data_source_t source = {
			.name = "value", .type = ds_type(m), .min = NAN, .max = NAN};
		data_set_t set = {.ds_num = 1, .ds = &source};

		if (balena_map_type(m, set.type) == NULL && !plugin_get_ds(set.type))
			plugin_register_data_set(&set);
	}
}

/* Somewhere in 0 .. max seconds; not a secret, only different from process to process. */
static struct timespec random_delay(double max)
{
	struct timespec now;
	unsigned seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = (unsigned)now.tv_nsec ^ (unsigned)now.tv_sec ^ ((unsigned)getpid() << 16);
	(void)rand_r(&seed); /* the first number says too much about the seed */
	return seconds(max * rand_r(&seed) / RAND_MAX);
}

static int open_wake_pipe(int fd[2])
{
	if (pipe(fd)) {
		fd[0] = fd[1] = -1;
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		if (fcntl(fd[i], F_SETFD, FD_CLOEXEC) || fcntl(fd[i], F_SETFL, O_NONBLOCK))
			return -1;
	}
	return 0;
}

/* The thread first: a trigger without one would be lost, a thread without a trigger waits. */
static int start_account(struct account *a, struct bcrawl_error *err)
{
	char read_name[BALENA_NAME_SIZE];
	user_data_t ud = {.data = a}; /* ours to free: the thread outlives the read callbacks */
	int rc = bcrawl_new(&a->crawler, a->cfg, err);

	if (rc != BCRAWL_OK)
		return rc;
	if (open_wake_pipe(a->wake))
		return refuse(err, "no pipe: %s", strerror(errno));
	bcrawl_set_stop(a->crawler, asked_to_stop, a);
	bcrawl_set_wake_fd(a->crawler, a->wake[0]);
	bcrawl_set_log(a->crawler, on_log, a);
	fill_init(&a->fill, bcrawl_config_number(a->cfg, BCRAWL_KEY_NEW_SERIES),
		  bcrawl_config_number(a->cfg, BCRAWL_KEY_INTERVAL), count_accounts());
	a->jitter = random_delay(bcrawl_config_number(a->cfg, BCRAWL_KEY_START_JITTER));
	rc = plugin_thread_create(&a->thread, crawl_thread, a, THREAD_NAME);
	if (rc)
		return refuse(err, "no thread: %s", strerror(rc));
	a->running = true;
	snprintf(read_name, sizeof(read_name), "%s/%s", BALENA_PLUGIN, a->name);
	rc = plugin_register_complex_read(BALENA_PLUGIN, read_name, trigger, a->interval, &ud);
	if (rc)
		return refuse(err, "collectd would not register the read callback");
	return BCRAWL_OK;
}

/* After the daemon's fork and before its other threads. Anything but 0 would make the daemon call
 * the whole plugin failed. */
static int init(void)
{
	if (!plugin.accounts) {
		say(LOG_WARNING, NULL, "no usable account is configured: nothing will be crawled");
		return 0;
	}
	if (bcrawl_global_init() != BCRAWL_OK) {
		say(LOG_ERR, NULL, "libcurl can't be prepared: nothing will be crawled");
		return 0;
	}
	register_types();
	for (struct account *a = plugin.accounts; a; a = a->next) {
		struct bcrawl_error err = {.size = sizeof(err)};

		if (start_account(a, &err) != BCRAWL_OK)
			say(LOG_ERR, a->name, "does not run: %s", err.message);
	}
	return 0;
}

/* ---- shutdown ----------------------------------------------------------------------------- */

/* All are asked before the first is waited for: their last moments run side by side. */
static int shut_down(void)
{
	for (struct account *a = plugin.accounts; a; a = a->next)
		ask_stop(a);
	while (plugin.accounts) {
		struct account *a = plugin.accounts;

		plugin.accounts = a->next;
		if (a->running)
			pthread_join(a->thread, NULL);
		account_free(a);
	}
	return 0;
}

__attribute__((visibility("default"))) void module_register(void);

void module_register(void)
{
	plugin_register_complex_config(BALENA_PLUGIN, configure);
	plugin_register_init(BALENA_PLUGIN, init);
	plugin_register_shutdown(BALENA_PLUGIN, shut_down);
}
