/* SPDX-License-Identifier: MIT
 *
 * libbalenacrawl: crawls the balena API and hands device and fleet samples to a sink.
 *
 * How to use it
 *   cfg = bcrawl_config_new();  bcrawl_config_set(cfg, key, value, &err) ...
 *   bcrawl_new(&c, cfg, &err);  bcrawl_run(c, &sink, user, &err) at each interval;  bcrawl_free(c).
 *
 * Threads: the library has no globals, starts no threads and touches no signals. A handle belongs
 * to one thread at a time; any number of handles may run in parallel. Call bcrawl_global_init()
 * once, before the program starts threads.
 *
 * Strings are UTF-8 and NUL-terminated. Strings given in are copied. Nothing is printed.
 *
 * Structs that the caller allocates begin with their size: set it with sizeof, as in
 * "struct bcrawl_error err = { sizeof err };", so that a newer library knows what an older
 * program can hold. This first version has one size of each. */
#ifndef BALENACRAWL_H
#define BALENACRAWL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors: a code for programs, a line for people --------------------------------------- */

/* Every function that can fail returns one of these: 0 or negative. */
enum bcrawl_status {
	BCRAWL_OK          = 0,

	/* transient: the same call may succeed at the next interval */
	BCRAWL_E_NET       = -1,  /* no answer, or an answer that broke off */
	BCRAWL_E_TIMEOUT   = -2,  /* the deadline passed, or an answer stood still */
	BCRAWL_E_THROTTLED = -3,  /* HTTP 429 */
	BCRAWL_E_SERVER    = -4,  /* HTTP 5xx or 408 */
	BCRAWL_E_NOMEM     = -5,

	/* permanent: a person must change something */
	BCRAWL_E_CONFIG    = -20, /* a bad option or token file; the message names it */
	BCRAWL_E_AUTH      = -21, /* the API refuses the token */
	BCRAWL_E_REQUEST   = -22, /* any other HTTP status that is no success */
	BCRAWL_E_PROTOCOL  = -23, /* an answer that is not the balena API's JSON */
	BCRAWL_E_LIMIT     = -24, /* a cap of this library was reached */

	/* the caller's own doing */
	BCRAWL_E_STOPPED   = -40, /* the stop callback said so */
	BCRAWL_E_SINK      = -41  /* the sink returned non-zero */
};

/* Owned by the caller; written only by a call that fails. May be NULL wherever it is asked for. */
struct bcrawl_error {
	size_t size;         /* sizeof(struct bcrawl_error), set by the caller */
	int    code;         /* an enum bcrawl_status */
	long   http_status;  /* 0: no response was received */
	int    sink_rc;      /* what the sink returned, for BCRAWL_E_SINK */
	char   message[256]; /* one line without control characters; never a token or a query */
};

/* A short text for a code; static storage, never NULL. */
const char *bcrawl_strerror(int code);

/* 1 for the codes that may go away by themselves, else 0. */
int bcrawl_is_transient(int code);

/* The library's version, as "0.1.0"; static storage. */
const char *bcrawl_version(void);

/* ---- options: one table behind both agents ------------------------------------------------ */

/* Keys that a host of the library has a reason to name itself. */
#define BCRAWL_KEY_ACCOUNT      "account"
#define BCRAWL_KEY_INTERVAL     "interval"
#define BCRAWL_KEY_METRICS      "metrics"
#define BCRAWL_KEY_MIN_INTERVAL "min-interval"
#define BCRAWL_KEY_NEW_SERIES   "new-series-per-second"
#define BCRAWL_KEY_START_JITTER "start-jitter"
#define BCRAWL_KEY_TOKEN_FILE   "token-file"

#define BCRAWL_OPT_SECRET 1u /* never logged; must not be accepted from argv */
#define BCRAWL_OPT_MULTI  2u /* may be given several times; each adds a value */

/* One row of the option table; static storage. */
struct bcrawl_option {
	const char *key;     /* lower case, words joined by '-', as in "token-file" */
	const char *type;    /* "string", "path", "url", "number", "boolean", "choice", "globs" */
	const char *dflt;    /* the default as text, "" for none */
	const char *range;   /* the allowed values, for people */
	const char *help;    /* one sentence, ends with a full stop */
	unsigned    flags;   /* BCRAWL_OPT_* */
};

/* The i-th option, NULL past the end. */
const struct bcrawl_option *bcrawl_option_at(size_t i);

/* The option that a key means: case, '-' and '_' do not count, so TokenFile, token_file and
 * token-file are one. NULL if there is none. */
const struct bcrawl_option *bcrawl_option_find(const char *key);

struct bcrawl_config;

/* A new configuration holding the defaults, NULL when out of memory. */
struct bcrawl_config *bcrawl_config_new(void);
void bcrawl_config_free(struct bcrawl_config *cfg); /* NULL is fine */

/* Sets one option. The key is found as by bcrawl_option_find().
 * BCRAWL_E_CONFIG: the message names key, value (not of a secret) and allowed range.
 * cfg is unchanged by a call that fails. */
int bcrawl_config_set(struct bcrawl_config *cfg, const char *key, const char *value,
                      struct bcrawl_error *err);

/* Checks what single options cannot: a token is there and its file can be read, plain http only
 * where allowed. bcrawl_new() does the same; call it to refuse early. */
int bcrawl_config_check(const struct bcrawl_config *cfg, struct bcrawl_error *err);

/* The value in force as text: borrowed, valid until the next set or free. NULL for an unknown key
 * and for a secret. A multi option gives its values joined by a blank. */
const char *bcrawl_config_get(const struct bcrawl_config *cfg, const char *key);

/* The value of a number option (or 0/1 of a boolean); 0 for an unknown key. */
double bcrawl_config_number(const struct bcrawl_config *cfg, const char *key);

/* Long enough for the name of every variable. */
#define BCRAWL_VARIABLE_MAX 64

/* The i-th variable of the environment that an option has: BALENA_TOKEN_FILE, then names from
 * before this library. Returns out, NULL past the last. */
const char *bcrawl_option_variable(const struct bcrawl_option *o, size_t i,
                                   char out[BCRAWL_VARIABLE_MAX]);

/* Sets an option to what the first of its variables holds that is there and not empty. The library
 * looks into the environment for options in this call alone; like getenv() it must not run while
 * another thread changes the environment. Set your own options first: beside a token or a shard
 * that was set, a token file or members of shards are not looked for, and the other way round.
 * Returns 1 if it has set it, 0 if no variable says anything; fails as bcrawl_config_set(), with
 * the variable's name before the message. */
int bcrawl_config_set_from_environment(struct bcrawl_config *cfg, const struct bcrawl_option *o,
                                       struct bcrawl_error *err);

/* ---- the catalogue ------------------------------------------------------------------------ */

enum bcrawl_scope {
	BCRAWL_SCOPE_CRAWL,
	BCRAWL_SCOPE_FLEET,
	BCRAWL_SCOPE_DEVICE,
	BCRAWL_SCOPE_SERVICE
};
enum bcrawl_kind { BCRAWL_GAUGE, BCRAWL_COUNTER };
enum bcrawl_unit {
	BCRAWL_UNIT_ONE,       /* a count, a code or an info's 1 */
	BCRAWL_UNIT_BOOL,      /* 0 or 1 */
	BCRAWL_UNIT_SECONDS,
	BCRAWL_UNIT_BYTES,
	BCRAWL_UNIT_RATIO,     /* 0 to 1; storage and memory may exceed 1 */
	BCRAWL_UNIT_CELSIUS,
	BCRAWL_UNIT_DEGREES,
	BCRAWL_UNIT_TIMESTAMP  /* seconds since the Unix epoch */
};
/* Which default sets hold a metric: "metrics = @lean" or "@standard". */
enum bcrawl_set { BCRAWL_SET_LEAN, BCRAWL_SET_STANDARD, BCRAWL_SET_OPTIONAL };

/* One row of the metric table; static storage: compare pointers, keep them for ever. */
struct bcrawl_metric {
	const char       *name;     /* the full Prometheus name, unit included */
	enum bcrawl_scope scope;
	enum bcrawl_kind  kind;
	enum bcrawl_unit  unit;
	enum bcrawl_set   set;
	int               integral; /* 1: whole numbers, print without a fraction; never changes */
	const char       *labels;   /* label names beside the scope's own, joined by ",", or "" */
	const char       *source;   /* where the value comes from, in the API's words */
	const char       *help;     /* one sentence, ends with a full stop */
	const char       *trap;     /* what misleads about it, "" if nothing does */
	const char       *heading;  /* of a column in tables for people; NULL: not shown there; "":
	                             * the value of the record's BCRAWL_ROLE_OTHER label */
};

/* The i-th metric, NULL past the end. */
const struct bcrawl_metric *bcrawl_metric_at(size_t i);

/* "crawl", "fleet", "device", "service"; static storage. */
const char *bcrawl_scope_name(enum bcrawl_scope scope);
/* "seconds", "bytes", "ratio" ..., "" for ONE and BOOL; static storage. */
const char *bcrawl_unit_name(enum bcrawl_unit unit);
/* "lean", "standard", "optional"; static storage. */
const char *bcrawl_set_name(enum bcrawl_set set);

/* ---- samples and the sink ----------------------------------------------------------------- */

/* What a label means to an agent that has places of its own for things (collectd's host, plugin
 * instance, type instance). */
enum bcrawl_role {
	BCRAWL_ROLE_ACCOUNT,      /* the configured account; on crawl samples always */
	BCRAWL_ROLE_FLEET,        /* the fleet's slug "organization/name", or "none" */
	BCRAWL_ROLE_DEVICE,       /* the device's uuid */
	BCRAWL_ROLE_DISPLAY_NAME, /* a name for people: not unique, may change */
	BCRAWL_ROLE_OTHER
};
struct bcrawl_label {
	const char      *name;  /* [a-z_][a-z0-9_]* */
	const char      *value; /* valid UTF-8 without control characters, never empty */
	enum bcrawl_role role;
};
struct bcrawl_value {
	const struct bcrawl_metric *metric;
	double                      value; /* finite; whole if metric->integral, below 2^53; else a
	                                    * time, or rounded to a millionth, so that 15 digits
	                                    * print it exactly */
};

/* Label values of one record add up to at most this many bytes; what is cut is counted. */
#define BCRAWL_LABEL_BYTES_MAX 1800
#define BCRAWL_LABELS_MAX      32
#define BCRAWL_VALUES_MAX      64

/* A record: one entity at one time. All values share the labels and the scope. A device gives one
 * record for each label set (its values, its info), a partition such as devices by status one
 * record for each status. No label is there twice. Everything dies when the callback returns,
 * but for the metric pointers. */
struct bcrawl_sample {
	enum bcrawl_scope          scope;
	const struct bcrawl_label *labels;
	size_t                     label_count;
	const struct bcrawl_value *values;
	size_t                     value_count; /* at least 1 */
	int64_t                    time_ms;     /* Unix epoch, start of the crawl; rises from crawl
	                                         * to crawl even if the clock is set back */
};

/* How far a crawl is; for a line that people watch. Numbers only grow within a crawl. */
struct bcrawl_progress {
	size_t        size;
	unsigned long fleets;           /* fleets listed, 0 until the list is read */
	unsigned long fleets_done;      /* fleets whose devices have all been read */
	unsigned long devices;          /* devices read */
	unsigned long devices_expected; /* by the fleet list's own counts */
	unsigned long requests;
};

/* What a finished crawl was. */
struct bcrawl_summary {
	size_t        size;
	int           status;         /* what bcrawl_run() will return */
	int           complete;       /* 1: every fleet was read to its end */
	unsigned long fleets, fleets_failed, devices, requests, retries;
	uint64_t      bytes_received; /* on the wire, compressed */
	double        duration_s;     /* monotonic clock */
};

/* What a host did with samples and triggers, for the crawl's own records. */
struct bcrawl_host {
	size_t        size;
	unsigned long withheld_values;  /* of this crawl, that the agent could not take */
	unsigned long paced_values;     /* of this crawl, left for a later one to spare the agent */
	unsigned long shortened_values; /* of this crawl, whose labels it had to cut */
	unsigned long ignored_triggers; /* since the last crawl, that came too soon */
};

/* Callbacks return 0 to go on; anything else ends the crawl with BCRAWL_E_SINK. They must not call
 * back into the handle. Time spent in them does not count against the network's deadlines. */
struct bcrawl_sink {
	size_t size;
	/* Required. */
	int (*sample)(void *user, const struct bcrawl_sample *s);
	/* Optional; at most 5 times a second. */
	int (*progress)(void *user, const struct bcrawl_progress *p);
	/* Optional; exactly once a run. */
	void (*end)(void *user, const struct bcrawl_summary *sum);
	/* Optional; before the crawl's own records. *h comes zeroed, its size set. */
	void (*host)(void *user, struct bcrawl_host *h);
};

/* ---- the crawler -------------------------------------------------------------------------- */

enum bcrawl_log_level { BCRAWL_LOG_ERROR, BCRAWL_LOG_WARNING, BCRAWL_LOG_INFO, BCRAWL_LOG_DEBUG };

struct bcrawl;
/* Non-zero: give up. Asked at least every 200 ms while bcrawl_run() waits or reads. */
typedef int  bcrawl_stop_fn(void *user);
/* One line without newline, control characters or secrets; dies when the callback returns. */
typedef void bcrawl_log_fn(void *user, int level, const char *line);

/* Prepares libcurl; once, before the program starts threads. Never undone while a host such as
 * collectd may have other users of libcurl in the process. */
int  bcrawl_global_init(void);
void bcrawl_global_cleanup(void);

/* A new crawler in *out, untouched on failure. Copies cfg. Makes no request and no thread. */
int  bcrawl_new(struct bcrawl **out, const struct bcrawl_config *cfg, struct bcrawl_error *err);
void bcrawl_free(struct bcrawl *c); /* NULL is fine */

void bcrawl_set_stop(struct bcrawl *c, bcrawl_stop_fn *fn, void *user);
/* A descriptor that becomes readable when the stop callback should be asked at once; -1: none.
 * It is polled, never read, and stays the caller's. */
void bcrawl_set_wake_fd(struct bcrawl *c, int fd);
/* The crawler says one line when a trouble begins or changes and one when it ends: a host that
 * sets this need not print what bcrawl_run() returns. */
void bcrawl_set_log(struct bcrawl *c, bcrawl_log_fn *fn, void *user);

/* One crawl: blocks until it is done, stopped, or past its deadline. Calls the sink on this thread.
 * Device records are emitted as they are read and stay true if a later page fails; a fleet's sums
 * only when all of the fleet's devices were read. Crawl records close every crawl, the failed ones
 * too, but for a stopped one. Returns BCRAWL_OK also when some, not all, fleets failed. */
int  bcrawl_run(struct bcrawl *c, const struct bcrawl_sink *sink, void *user,
                struct bcrawl_error *err);

/* Tries what a crawl needs (server, API version, token, fleet list) without reading devices, and
 * says what it finds to fn, line by line, in words a person can act on. */
int  bcrawl_check(struct bcrawl *c, bcrawl_log_fn *fn, void *user, struct bcrawl_error *err);

#ifdef __cplusplus
}
#endif
#endif
