/* SPDX-License-Identifier: MIT
 *
 * The daemon symbols that the plugin needs, as collectd 5.12 has them. Stricter than the daemon
 * where the daemon only loses something silently: unknown types, long thread names and
 * characters that break a scrape fail the test. */
#include "fake_collectd.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <collectd/core/daemon/globals.h>
#include <collectd/core/daemon/plugin.h>
#include <collectd/core/daemon/utils_cache.h>

void module_register(void);

char *hostname_g = (char[]){"localhost"};

#define READS_MAX     8
#define DATA_SETS_MAX 200

struct read_callback {
	char *name;
	plugin_read_cb callback;
	cdtime_t interval;
	user_data_t ud;
};

struct capture {
	FILE *stream;
	char *text;
	size_t size;
};

/* The daemon is one for the process, and so is this one. */
static struct {
	int (*config)(oconfig_item_t *);
	plugin_init_cb init;
	plugin_shutdown_cb shutdown;
	struct read_callback reads[READS_MAX];
	size_t read_count;
	data_set_t data_sets[DATA_SETS_MAX];
	data_source_t sources[DATA_SETS_MAX];
	size_t data_set_count;
	int replaced;
	bool refuse_threads, refuse_reads;
	pthread_mutex_t lock; /* guards the captures: crawl threads write them */
	struct capture values, log;
	bool takes_none;
	size_t taken; /* bytes of values that are in the cache; all, unless it takes none */
} daemon_ = {.lock = PTHREAD_MUTEX_INITIALIZER};

__attribute__((noreturn)) static void die(const char *what, const char *detail)
{
	fprintf(stderr, "fake collectd: %s: %s\n", what, detail);
	abort();
}

/* ---- what the daemon exports -------------------------------------------------------------- */

int plugin_register_complex_config(const char *type, int (*callback)(oconfig_item_t *))
{
	(void)type;
	daemon_.config = callback;
	return 0;
}

int plugin_register_init(const char *name, plugin_init_cb callback)
{
	(void)name;
	daemon_.init = callback;
	return 0;
}

int plugin_register_shutdown(const char *name, plugin_shutdown_cb callback)
{
	(void)name;
	daemon_.shutdown = callback;
	return 0;
}

static struct read_callback *find_read(const char *name)
{
	for (size_t i = 0; i < daemon_.read_count; i++) {
		if (strcmp(daemon_.reads[i].name, name) == 0)
			return &daemon_.reads[i];
	}
	return NULL;
}

int plugin_register_complex_read(const char *group, const char *name, plugin_read_cb callback,
				 cdtime_t interval, user_data_t const *user_data)
{
	struct read_callback *r = &daemon_.reads[daemon_.read_count];

	(void)group;
	if (daemon_.refuse_reads || find_read(name))
		return EINVAL;
	if (daemon_.read_count == READS_MAX)
		die("too many read callbacks", name);
	*r = (struct read_callback){strdup(name), callback, interval, *user_data};
	daemon_.read_count++;
	return 0;
}

const data_set_t *plugin_get_ds(const char *name)
{
	for (size_t i = 0; i < daemon_.data_set_count; i++) {
		if (strcmp(daemon_.data_sets[i].type, name) == 0)
			return &daemon_.data_sets[i];
	}
	return NULL;
}

int plugin_register_data_set(const data_set_t *ds)
{
	size_t i = daemon_.data_set_count;

	if (plugin_get_ds(ds->type)) {
		daemon_.replaced++;
		return 0;
	}
	if (i == DATA_SETS_MAX || ds->ds_num != 1)
		die("can't hold this data set", ds->type);
	daemon_.sources[i] = ds->ds[0];
	daemon_.data_sets[i] = *ds;
	daemon_.data_sets[i].ds = &daemon_.sources[i];
	daemon_.data_set_count++;
	return 0;
}

int plugin_thread_create(pthread_t *thread, void *(*start_routine)(void *), void *arg,
			 char const *name)
{
	if (strlen(name) > 15)
		die("thread name too long", name);
	return daemon_.refuse_threads ? EAGAIN : pthread_create(thread, NULL, start_routine, arg);
}

void plugin_log(int level, const char *format, ...)
{
	static const char *const names[] = {
		[LOG_ERR] = "ERR",   [LOG_WARNING] = "WARNING", [LOG_NOTICE] = "NOTICE",
		[LOG_INFO] = "INFO", [LOG_DEBUG] = "DEBUG",
	};
	va_list ap;

	pthread_mutex_lock(&daemon_.lock);
	fprintf(daemon_.log.stream, "%s ", names[level]);
	va_start(ap, format);
	vfprintf(daemon_.log.stream, format, ap);
	va_end(ap);
	fputc('\n', daemon_.log.stream);
	pthread_mutex_unlock(&daemon_.lock);
}

/* That no name was cut is for test_map.c: here it would be too late to see. */
static void check_name(const char *s)
{
	if (strchr(s, '/'))
		die("collectd would change", s);
}

int plugin_dispatch_values(value_list_t const *vl)
{
	const data_set_t *ds = plugin_get_ds(vl->type);
	FILE *f = daemon_.values.stream;

	if (!ds || vl->values_len != ds->ds_num)
		die("unknown type, or values that do not match it", vl->type);
	if (strpbrk(vl->plugin, "-.") || strpbrk(vl->type, "-.") || !*vl->plugin_instance)
		die("this value breaks a scrape", vl->type);
	check_name(vl->host);
	check_name(vl->plugin_instance);
	check_name(vl->type_instance);
	pthread_mutex_lock(&daemon_.lock);
	fprintf(f, "PUTVAL \"%s/%s-%s/%s", *vl->host ? vl->host : "localhost", vl->plugin,
		vl->plugin_instance, vl->type);
	fprintf(f, "%s%s\" interval=%.3f %.3f:", *vl->type_instance ? "-" : "", vl->type_instance,
		CDTIME_T_TO_DOUBLE(vl->interval), CDTIME_T_TO_DOUBLE(vl->time));
	if (ds->ds[0].type == DS_TYPE_DERIVE)
		fprintf(f, "%" PRIi64 "\n", vl->values[0].derive);
	else
		fprintf(f, "%.15g\n", vl->values[0].gauge);
	pthread_mutex_unlock(&daemon_.lock);
	return 0;
}

/* Of a series in the cache, a rate that nobody looks at. */
gauge_t *uc_get_rate(const data_set_t *ds, const value_list_t *vl)
{
	char line[6 * DATA_MAX_NAME_LEN];
	const char *found;
	gauge_t *rate = NULL;

	snprintf(line, sizeof(line), "PUTVAL \"%s/%s-%s/%s%s%s\"", vl->host, vl->plugin,
		 vl->plugin_instance, vl->type, *vl->type_instance ? "-" : "", vl->type_instance);
	pthread_mutex_lock(&daemon_.lock);
	fflush(daemon_.values.stream);
	found = strstr(daemon_.values.text, line);
	if (found && (!daemon_.takes_none || found < daemon_.values.text + daemon_.taken))
		rate = calloc(ds->ds_num, sizeof(*rate));
	pthread_mutex_unlock(&daemon_.lock);
	return rate;
}

/* ---- the config parser -------------------------------------------------------------------- */

/* Reads one value at *p: "quoted", true or false, a number. */
static void add_value(oconfig_item_t *item, const char **p)
{
	oconfig_value_t v = {0};
	size_t n;
	char word[256];

	if (**p == '"') {
		n = strcspn(++*p, "\"");
		v.type = OCONFIG_TYPE_STRING;
		v.value.string = strndup(*p, n);
		*p += n + 1;
	} else {
		n = strcspn(*p, " >\n");
		snprintf(word, sizeof(word), "%.*s", (int)n, *p);
		v.type = OCONFIG_TYPE_NUMBER;
		if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
			v.type = OCONFIG_TYPE_BOOLEAN;
			v.value.boolean = word[0] == 't';
		} else {
			v.value.number = strtod(word, NULL);
		}
		*p += n;
	}
	item->values = realloc(item->values, (size_t)(item->values_num + 1) * sizeof(v));
	item->values[item->values_num++] = v;
}

/* Reads "key value ...", up to the end of the line or of the block's opening. */
static void add_child(oconfig_item_t *parent, const char **p)
{
	oconfig_item_t *item;
	size_t n = strcspn(*p, " >\n");

	parent->children =
		realloc(parent->children, (size_t)(parent->children_num + 1) * sizeof(*item));
	item = &parent->children[parent->children_num++];
	*item = (oconfig_item_t){.key = strndup(*p, n), .parent = parent};
	for (*p += n; **p == ' '; *p += strspn(*p, " "), add_value(item, p))
		*p += strspn(*p, " ");
}

/* Reads lines up to the end of the text or to the end of the parent's block. */
static void parse(oconfig_item_t *parent, const char **p)
{
	for (*p += strspn(*p, " \n"); **p; *p += strspn(*p, " \n")) {
		bool block = **p == '<';

		if (strncmp(*p, "</", 2) == 0) {
			*p += strcspn(*p, "\n");
			return;
		}
		*p += block;
		add_child(parent, p);
		*p += strspn(*p, ">");
		if (block)
			parse(&parent->children[parent->children_num - 1], p);
	}
}

static void free_item(oconfig_item_t *item)
{
	for (int i = 0; i < item->children_num; i++)
		free_item(&item->children[i]);
	for (int i = 0; i < item->values_num; i++) {
		if (item->values[i].type == OCONFIG_TYPE_STRING)
			free(item->values[i].value.string);
	}
	free(item->children);
	free(item->values);
	free(item->key);
}

/* ---- the test's side ---------------------------------------------------------------------- */

static void capture_open(struct capture *c)
{
	c->stream = open_memstream(&c->text, &c->size);
}

static void capture_close(struct capture *c)
{
	fclose(c->stream);
	free(c->text);
	*c = (struct capture){0};
}

void fake_load(void)
{
	capture_open(&daemon_.values);
	capture_open(&daemon_.log);
	module_register();
}

void fake_unload(void)
{
	capture_close(&daemon_.values);
	capture_close(&daemon_.log);
	for (size_t i = 0; i < daemon_.read_count; i++)
		free(daemon_.reads[i].name);
	daemon_.config = NULL;
	daemon_.init = NULL;
	daemon_.shutdown = NULL;
	daemon_.read_count = 0;
	daemon_.data_set_count = 0;
	daemon_.replaced = 0;
	daemon_.refuse_threads = false;
	daemon_.refuse_reads = false;
	daemon_.takes_none = false;
}

int fake_config(const char *text)
{
	oconfig_item_t root = {.key = strdup("Plugin")};
	int rc;

	parse(&root, &text);
	rc = daemon_.config(&root);
	free_item(&root);
	return rc;
}

int fake_init(void)
{
	return daemon_.init();
}

int fake_read(const char *name)
{
	struct read_callback *r = find_read(name);

	return r ? r->callback(&r->ud) : -1000;
}

/* The daemon's order: read callbacks end, with their user data, before the shutdown callbacks. */
int fake_shutdown(void)
{
	for (size_t i = 0; i < daemon_.read_count; i++) {
		if (daemon_.reads[i].ud.free_func)
			daemon_.reads[i].ud.free_func(daemon_.reads[i].ud.data);
	}
	return daemon_.shutdown();
}

double fake_read_interval(const char *name)
{
	struct read_callback *r = find_read(name);

	return r ? CDTIME_T_TO_DOUBLE(r->interval) : 0;
}

const char *fake_data_set(const char *type)
{
	const data_set_t *ds = plugin_get_ds(type);

	if (!ds)
		return NULL;
	if (strcmp(ds->ds[0].name, "value") != 0)
		die("the source is not called value", type);
	return ds->ds[0].type == DS_TYPE_DERIVE ? "DERIVE" : "GAUGE";
}

void fake_define_gauge(const char *type)
{
	data_source_t source = {.name = "value", .type = DS_TYPE_GAUGE, .min = NAN, .max = NAN};
	data_set_t set = {.ds_num = 1, .ds = &source};

	snprintf(set.type, sizeof(set.type), "%s", type);
	plugin_register_data_set(&set);
}

int fake_replaced_data_sets(void)
{
	return daemon_.replaced;
}

void fake_refuse_threads(bool refuse)
{
	daemon_.refuse_threads = refuse;
}

void fake_refuse_reads(bool refuse)
{
	daemon_.refuse_reads = refuse;
}

static const char *captured(struct capture *c)
{
	pthread_mutex_lock(&daemon_.lock);
	fflush(c->stream);
	pthread_mutex_unlock(&daemon_.lock);
	return c->text;
}

const char *fake_values(void)
{
	return captured(&daemon_.values);
}

const char *fake_log(void)
{
	return captured(&daemon_.log);
}

void fake_take_in(bool take)
{
	size_t taken = strlen(fake_values());

	pthread_mutex_lock(&daemon_.lock);
	daemon_.taken = taken;
	daemon_.takes_none = !take;
	pthread_mutex_unlock(&daemon_.lock);
}

void fake_clear(void)
{
	pthread_mutex_lock(&daemon_.lock);
	capture_close(&daemon_.values);
	capture_close(&daemon_.log);
	capture_open(&daemon_.values);
	capture_open(&daemon_.log);
	pthread_mutex_unlock(&daemon_.lock);
}
