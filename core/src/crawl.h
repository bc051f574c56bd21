/* SPDX-License-Identifier: MIT
 *
 * What a crawler is made of; for the files that together are one: crawl.c, fetch.c, server.c,
 * shard.c, scope.c, walk.c, report.c. */
#ifndef BCI_CRAWL_H
#define BCI_CRAWL_H

#include "fleet.h"
#include "gate.h"
#include "limits.h"
#include "options.h"
#include "page.h"
#include "plan.h"
#include "shard.h"

/* What is known of the server; found out, not configured. */
struct bci_server {
	int      version;     /* of the API; 0: not known */
	uint64_t fields;      /* probed fields that it has, as BCI_BIT()s */
	int64_t  probed_at;   /* monotonic ms */
	bool     probed;
};

enum bci_token_state { BCI_TOKEN_UNKNOWN, BCI_TOKEN_VALID, BCI_TOKEN_REFUSED };

/* Patterns and tags of the configuration that match nothing: how many, and as much of them as fits
 * a line. */
struct bci_unmatched {
	unsigned long n;
	char text[BCI_UNMATCHED_TEXT];
};

/* What the log knows: so that each thing is said when it begins or changes, and no more. */
struct bci_said {
	unsigned trouble;       /* kinds of it, as bits, since all was well: see tell() */
	unsigned partial;       /* crawls in a row in which only a part was in trouble */
	char   config[sizeof(((struct bcrawl_error *)0)->message)]; /* what is to be mended */
	char   unmatched[BCI_UNMATCHED_TEXT];
	size_t unknown;         /* words of stats.unknown */
	bool   reduced;         /* that max-series cuts the detail */
	bool   exposed;         /* that others can read the token's file */
};

struct bcrawl {
	struct bcrawl_config *cfg;
	struct bci_clock      clock;
	struct bci_transport  transport;
	struct bci_page      *page;    /* of requests that are made one at a time */
	struct bci_server     server;
	struct bci_gate       gate;
	struct bci_shard      shard;
	struct bci_stats      stats;
	struct bci_record     scratch;
	struct bci_fleets     fleets;
	struct bci_fleet      orphans; /* the devices of no fleet, as a fleet */
	struct bci_tags       tags;    /* that the infos show */
	struct bci_selection  selection;
	char    *device_tag;           /* the filter of option device-tag, "" for none */
	bool     wanted[BCI_M__COUNT];
	uint64_t fields;               /* that the wanted metrics need */
	bool     counts;               /* devices have been counted: see learn_activation() */
	char    *token;
	unsigned token_serial;         /* counts the tokens of this crawl */
	enum bci_token_state token_state;

	bcrawl_stop_fn *stop;
	void           *stop_user;
	int             wake_fd;
	bcrawl_log_fn  *log;
	void           *log_user;

	/* from crawl to crawl */
	int64_t last_start_wall, last_start_mono, distance_ms;
	double  last_success_s; /* 0: none yet */
	char   *refused;        /* the token that was, NULL: none */
	long    refused_status; /* 401 or 403 */
	unsigned refusals;      /* of it, in a row */
	int64_t refused_until;  /* monotonic; it is not tried before */
	int64_t orphans_seen;
	double  services_seen;  /* a device, in the last crawl that read any; 0: none did */
	bool    had_fleets;
	struct bci_said said;
	struct bci_names names_last;

	/* of the crawl that runs */
	struct bci_out out;
	struct bci_names names;
	enum bci_detail detail;     /* as configured, or less: max-series */
	int64_t  started, deadline; /* on the network's clock */
	int64_t  progress_at;
	size_t   unlooked;          /* bytes of bodies since bci_look() looked */
	unsigned long devices, devices_expected, fleets_done, fleets_failed;
	struct bci_unmatched unmatched;
	uint64_t requests_before, retries_before, bytes_before;
	bool     listed;            /* the fleet list was read */
	bool     orphans_due;       /* devices of no fleet are to be read */
	bool     complete;          /* all that was to be read was read */
};

void bci_say(const struct bcrawl *c, int level, const char *fmt, ...) BCI_PRINTF(3, 4);

/* 0 to go on, else why not: BCRAWL_E_STOPPED, BCRAWL_E_TIMEOUT or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_may_go_on(struct bcrawl *c, struct bcrawl_error *err);
/* Tells the sink how far the crawl is, if that is due. */
void bci_progress(struct bcrawl *c);
/* Waits for so long, and nothing is asked meanwhile. 0 or bci_may_go_on(). */
BCI_MUST_CHECK int bci_pause(struct bcrawl *c, int64_t ms, struct bcrawl_error *err);
/* For who reads a body, before a piece of it: now and then does both of these. bci_may_go_on(). */
BCI_MUST_CHECK int bci_look(struct bcrawl *c, size_t len, struct bcrawl_error *err);

/* ---- fetch.c: one request at a time ---- */

struct bci_fetch {
	const char *target;
	bci_page_element_fn *element;      /* gets each row */
	void (*restart)(void *user);       /* before each try: forget the rows; may be NULL */
	void *user;
	bool probe; /* 500 and 400 are answers about our query, not trouble */
};
/* One try. Fills x; the result GARBAGE covers a body that is not complete. 0, or what ended it that
 * is no fault of the answer: BCRAWL_E_NOMEM, BCRAWL_E_THROTTLED or bci_may_go_on(). */
BCI_MUST_CHECK int bci_try(struct bcrawl *c, const struct bci_fetch *f, struct bci_exchange *x,
                           struct bcrawl_error *err);
/* With the retries that are due. Any enum bcrawl_status. */
BCI_MUST_CHECK int bci_fetch(struct bcrawl *c, const struct bci_fetch *f, struct bcrawl_error *err);
/* How long an exchange may go without a byte. */
int64_t bci_patience(const struct bcrawl *c);
/* After an exchange is done: judges its body by the parser that read it, counts it, and heeds what
 * it says about further requests. 0, or what ended it that is no fault of the answer. */
BCI_MUST_CHECK int bci_exchange_close(struct bcrawl *c, struct bci_exchange *x,
                                      const struct bci_page *page, struct bcrawl_error *err);
/* After one was given up because of rc: that the deadline came is counted. */
void bci_exchange_cut(struct bcrawl *c, int rc);
/* Milliseconds until a request may go, -1: not before the deadline, and err says why. */
int64_t bci_request_due(struct bcrawl *c, struct bcrawl_error *err);
/* Milliseconds before a failed exchange is to be tried again, -1: it is not. */
int64_t bci_exchange_retry(struct bcrawl *c, const struct bci_exchange *x, int attempt);
/* The error that a failed exchange means, in words a person can act on. */
int bci_exchange_error(struct bcrawl *c, const struct bci_exchange *x, struct bcrawl_error *err);

/* ---- server.c ---- */

/* Finds out version and fields, unless that was done within the hour. */
BCI_MUST_CHECK int bci_server_probe(struct bcrawl *c, struct bcrawl_error *err);
/* After a 401 or 403: reads the token anew. Returns whether it is another one now. */
bool bci_server_new_token(struct bcrawl *c);
/* After a 401 that stays: is the token bad, or the server in trouble? Sets err, returns its code.
 */
int bci_server_explain_401(struct bcrawl *c, struct bcrawl_error *err);
/* The error of a token that is refused; returns its code. */
int bci_server_refused(struct bcrawl_error *err);
/* The fields to ask for: those needed that the server has. */
uint64_t bci_server_fields(const struct bcrawl *c);
/* Whether it tells inactive devices. */
bool bci_server_has_activation(const struct bcrawl *c);

/* ---- scope.c ---- */

/* Leaves the fleets to be crawled, and finds the patterns that match none. */
void bci_scope_select(struct bcrawl *c);
/* When all was read that is to be read: says what matches nothing. */
void bci_scope_tell_unmatched(struct bcrawl *c);
/* More series than the receiver bears would cost it all of them: then only fleets are crawled. */
BCI_MUST_CHECK int bci_scope_decide(struct bcrawl *c, struct bcrawl_error *err);

/* ---- walk.c ---- */

/* Reads all devices as planned, emits them, and each group's fleets when it was read to its end.
 * A group that fails leaves its fleets unread; why is in *first, if that was not set before.
 * 0, or what ended the walk as a whole. */
BCI_MUST_CHECK int bci_walk(struct bcrawl *c, struct bci_plan *plan, struct bcrawl_error *first,
                            struct bcrawl_error *err);

/* ---- report.c ---- */

/* Emits the crawl's own records. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_report_emit(struct bcrawl *c, bool success);
/* The configured interval, else the distance of the last two crawls, else the default. */
double bci_interval_s(const struct bcrawl *c);

/* ---- json_token.c ---- */

/* The expiry of a session token, seconds since the epoch; NAN for keys and what is no such token.
 */
double bci_jwt_expiry(const char *token);

#endif
