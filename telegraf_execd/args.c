/* SPDX-License-Identifier: MIT
 *
 * The command line and the environment. The command line wins; what is empty in the environment is
 * not set.
 *
 * It refuses secrets on the command line, which every user of the machine can read, and never
 * repeats an argument that might be one. */
#include "args.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What the stock systemd unit of Telegraf imports by "telegraf.*". In two pieces for the test that
 * no metric's name stands outside the catalogue. */
#define CREDENTIAL_NAME "telegraf.balena" "_token"
/* Longer than any option, shorter than any token. */
#define WORD_MAX 16
#define HINT "; telegraf-balena --help explains"

/* getopt_long()'s return value of the library's first option; ours come first, then letters. */
#define LIBRARY_VAL 0x1000
#define FLAG_VAL    0x100

enum { FLAG_ONCE, FLAG_FORMAT, FLAG_CHECK, FLAG_LIST_METRICS, FLAG_LIST_OPTIONS, FLAG_DEBUG,
       FLAG_HELP, FLAG_VERSION, FLAG_COUNT };

static const struct flag flags[FLAG_COUNT] = {
	[FLAG_ONCE] = { "once", 0, NULL, "Crawl once, print, exit." },
	[FLAG_FORMAT] = { "format", 0, "FORMAT",
	                  "How --once prints: influx (the default), prometheus or table." },
	[FLAG_CHECK] = { "check", 0, NULL,
	                 "Try configuration, server and token, say what was found, exit." },
	[FLAG_LIST_METRICS] = { "list-metrics", 0, NULL, "Print the metrics as a Markdown table." },
	[FLAG_LIST_OPTIONS] = { "list-options", 0, NULL, "Print the options as a Markdown table." },
	[FLAG_DEBUG] = { "debug", 0, NULL, "Say more on stderr." },
	[FLAG_HELP] = { "help", 'h', NULL, "Print this text." },
	[FLAG_VERSION] = { "version", 'V', NULL, "Print the version." },
};

static const struct {
	int flag;
	enum command command;
} commands[] = {
	{ FLAG_ONCE, COMMAND_ONCE },
	{ FLAG_CHECK, COMMAND_CHECK },
	{ FLAG_LIST_METRICS, COMMAND_LIST_METRICS },
	{ FLAG_LIST_OPTIONS, COMMAND_LIST_OPTIONS },
	{ FLAG_HELP, COMMAND_HELP },
	{ FLAG_VERSION, COMMAND_VERSION },
};

static const char *const formats[] = {
	[FORMAT_INFLUX] = "influx", [FORMAT_PROMETHEUS] = "prometheus", [FORMAT_TABLE] = "table"
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* An argument that names a library option. */
struct given {
	size_t option;
	const char *value;
};

/* What is needed while reading; all of it borrowed from argv but the two arrays. */
struct reading {
	struct args *args;
	struct log *log;
	size_t option_count;
	struct option *longs;
	struct given *given;
	size_t given_count;
	bool format_given;
};

const struct flag *args_flag_at(size_t i)
{
	return i < FLAG_COUNT ? &flags[i] : NULL;
}

/* ---- the command line ---- */

static bool make_longs(struct reading *r)
{
	struct option *o;

	while (bcrawl_option_at(r->option_count))
		r->option_count++;
	r->longs = calloc(FLAG_COUNT + r->option_count + 1, sizeof(*r->longs));
	if (!r->longs)
		return false;
	o = r->longs;
	for (int i = 0; i < FLAG_COUNT; i++)
		*o++ = (struct option){ .name = flags[i].name, .val = FLAG_VAL + i,
			                .has_arg = flags[i].value ? required_argument :
			                                            no_argument };
	for (size_t i = 0; i < r->option_count; i++)
		*o++ = (struct option){ bcrawl_option_at(i)->key, required_argument, NULL,
			                LIBRARY_VAL + (int)i };
	return true;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Insertions, deletions and replacements that turn a into b; a large number for long words. */
static size_t distance(const char *a, size_t n, const char *b)
{
	size_t row[BCRAWL_VARIABLE_MAX];
	size_t m = strlen(b);

	if (m >= BCRAWL_VARIABLE_MAX)
		return m;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t above = row[j];

			row[j] = smallest(above + 1, row[j - 1] + 1,
			                  corner + (a[i - 1] != b[j - 1]));
			corner = above;
		}
	}
	return row[m];
}

/* Says that there is no such option. Of "--word=value" the value is not repeated, nor is a word
 * that does not look like an option's name. */
static void say_unknown(const struct reading *r, const char *arg)
{
	const char *word = arg + strspn(arg, "-"), *best = NULL;
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	size_t best_distance = 3;
	char name[WORD_MAX + 1];

	if (arg[0] != '-' || arg[1] != '-' || n == 0 || n > WORD_MAX ||
	    (word[n] && word[n] != '=')) {
		log_line(r->log, BCRAWL_LOG_ERROR, "unknown option" HINT);
		return;
	}
	for (const struct option *o = r->longs; o->name; o++) {
		size_t d = distance(word, n, o->name);

		if (d < best_distance && d < n) {
			best = o->name;
			best_distance = d;
		}
	}
	memcpy(name, word, n);
	name[n] = '\0';
	/* As collectd.conf spells it. */
	if (!best && bcrawl_option_find(name))
		best = bcrawl_option_find(name)->key;
	log_line(r->log, BCRAWL_LOG_ERROR, "unknown option --%s%s%s%s" HINT, name,
	         best ? ", is it --" : "", best ? best : "", best ? "?" : "");
}

static int set_command(struct reading *r, int flag)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (commands[i].flag != flag)
			continue;
		if (r->args->command == COMMAND_STREAM || commands[i].command == COMMAND_HELP)
			r->args->command = commands[i].command;
		else if (r->args->command != commands[i].command &&
		         r->args->command != COMMAND_HELP) {
			log_line(r->log, BCRAWL_LOG_ERROR,
			         "--%s does not go with another command" HINT, flags[flag].name);
			return -1;
		}
	}
	return 0;
}

static int set_format(struct reading *r, const char *word)
{
	for (size_t i = 0; i < COUNT_OF(formats); i++) {
		if (strcmp(word, formats[i]) == 0) {
			r->args->format = (enum format)i;
			return 0;
		}
	}
	log_line(r->log, BCRAWL_LOG_ERROR,
	         "--format: \"%.40s\" is not allowed: influx, prometheus or table", word);
	return -1;
}

static int take_option(struct reading *r, size_t i, const char *value)
{
	const struct bcrawl_option *o = bcrawl_option_at(i);
	char name[BCRAWL_VARIABLE_MAX];

	if (o->flags & BCRAWL_OPT_SECRET) {
		log_line(r->log, BCRAWL_LOG_ERROR,
		         "--%s is refused, since every user of this machine can read a command "
		         "line: set %s in the environment, or better use --" BCRAWL_KEY_TOKEN_FILE,
		         o->key, bcrawl_option_variable(o, 0, name));
		return -1;
	}
	r->given[r->given_count++] = (struct given){ i, value };
	return 0;
}

static int take_flag(struct reading *r, int flag, const char *value)
{
	if (flag == FLAG_FORMAT)
		return set_format(r, value);
	if (flag == FLAG_DEBUG)
		r->args->debug = true;
	return set_command(r, flag);
}

/* One result of getopt_long(). */
static int take(struct reading *r, int val, char **argv)
{
	if (val == 'h' || val == 'V')
		return take_flag(r, val == 'h' ? FLAG_HELP : FLAG_VERSION, NULL);
	if (val >= LIBRARY_VAL)
		return take_option(r, (size_t)(val - LIBRARY_VAL), optarg);
	if (val >= FLAG_VAL)
		return take_flag(r, val - FLAG_VAL, optarg);
	if (val == ':') {
		log_line(r->log, BCRAWL_LOG_ERROR, "%.40s: a value is missing" HINT,
		         argv[optind - 1]);
		return -1;
	}
	if (optopt >= FLAG_VAL && optopt < FLAG_VAL + FLAG_COUNT)
		log_line(r->log, BCRAWL_LOG_ERROR, "--%s takes no value" HINT,
		         flags[optopt - FLAG_VAL].name);
	else
		/* Within a bundle of letters optind still points at it. */
		say_unknown(r, optopt ? "-" : argv[optind - 1]);
	return -1;
}

static int read_command_line(struct reading *r, int argc, char **argv)
{
	int val;

	opterr = 0;
	while ((val = getopt_long(argc, argv, ":hV", r->longs, NULL)) != -1)
		if (take(r, val, argv) < 0)
			return -1;
	if (optind < argc) {
		/* It is not repeated: it may be a token that lost its option. */
		log_line(r->log, BCRAWL_LOG_ERROR,
		         "argument %d is no option: every option begins with --" HINT, optind);
		return -1;
	}
	if (r->args->format != FORMAT_INFLUX && r->args->command == COMMAND_STREAM) {
		log_line(r->log, BCRAWL_LOG_ERROR,
		         "--format %s is for --once: a stream is always line protocol",
		         formats[r->args->format]);
		return -1;
	}
	return 0;
}

/* ---- the configuration ---- */

/* from is the variable that holds the value, NULL: it is on the command line. */
static int set_option(struct reading *r, const struct bcrawl_option *o, const char *from,
                      const char *value)
{
	struct bcrawl_error err = { .size = sizeof(err) };

	if (bcrawl_config_set(r->args->cfg, o->key, value, &err) == BCRAWL_OK)
		return 0;
	/* The message begins with the key. */
	log_line(r->log, BCRAWL_LOG_ERROR, "%s%s%s", from ? from : "--", from ? ": " : "",
	         err.message);
	return -1;
}

/* 1 if the environment has set it. */
static int read_environment(struct reading *r, const struct bcrawl_option *o)
{
	struct bcrawl_error err = { .size = sizeof(err) };
	int rc = bcrawl_config_set_from_environment(r->args->cfg, o, &err);

	if (rc < 0)
		log_line(r->log, BCRAWL_LOG_ERROR, "%s", err.message);
	return rc;
}

/* A token that systemd hands to the unit, when no other is configured. */
static int use_credential(struct reading *r)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];
	int n;

	if (!dir || !*dir)
		return 0;
	n = snprintf(path, sizeof(path), "%s/" CREDENTIAL_NAME, dir);
	if (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) != 0)
		return 0;
	return set_option(r, bcrawl_option_find(BCRAWL_KEY_TOKEN_FILE), "CREDENTIALS_DIRECTORY",
	                  path);
}

static bool is_given(const struct reading *r, size_t option)
{
	for (size_t k = 0; k < r->given_count; k++)
		if (r->given[k].option == option)
			return true;
	return false;
}

static int configure(struct reading *r)
{
	struct bcrawl_error err = { .size = sizeof(err) };
	bool has_token = false;

	for (size_t k = 0; k < r->given_count; k++) {
		const struct given *g = &r->given[k];

		if (set_option(r, bcrawl_option_at(g->option), NULL, g->value) < 0)
			return -1;
	}
	for (size_t i = 0; i < r->option_count; i++) {
		const struct bcrawl_option *o = bcrawl_option_at(i);
		int set = is_given(r, i) ? 1 : read_environment(r, o);

		if (set < 0)
			return -1;
		has_token |= set && (o == bcrawl_option_find(BCRAWL_KEY_TOKEN_FILE) ||
		                     (o->flags & BCRAWL_OPT_SECRET));
	}
	if (!has_token && use_credential(r) < 0)
		return -1;
	if (bcrawl_config_check(r->args->cfg, &err) == BCRAWL_OK)
		return 0;
	log_line(r->log, BCRAWL_LOG_ERROR, "%s" HINT, err.message);
	return -1;
}

static bool needs_configuration(enum command c)
{
	return c == COMMAND_STREAM || c == COMMAND_ONCE || c == COMMAND_CHECK;
}

int args_read(struct args *args, int argc, char **argv, struct log *log)
{
	struct reading r = { .args = args, .log = log };
	int rc = -1;

	*args = (struct args){ .command = COMMAND_STREAM };
	r.given = calloc((size_t)argc + 1, sizeof(*r.given));
	if (!make_longs(&r) || !r.given) {
		log_line(log, BCRAWL_LOG_ERROR, "out of memory");
	} else {
		rc = read_command_line(&r, argc, argv);
	}
	if (rc == 0 && needs_configuration(args->command)) {
		args->cfg = bcrawl_config_new();
		if (args->cfg) {
			rc = configure(&r);
		} else {
			log_line(log, BCRAWL_LOG_ERROR, "out of memory");
			rc = -1;
		}
	}
	free(r.longs);
	free(r.given);
	return rc;
}

void args_free(struct args *args)
{
	bcrawl_config_free(args->cfg);
}
