/* SPDX-License-Identifier: MIT
 *
 * A scripted network and a clock that only it moves. Rules say what becomes of a request, in their
 * order; what no rule takes is answered 200 with what answer() makes of the target. */
#ifndef FAKE_TRANSPORT_H
#define FAKE_TRANSPORT_H

#include "crawl.h"

struct fake_rule {
	const char *match; /* a part of the target; NULL: any */
	const char *token; /* only requests with this token; NULL: any */
	int  skip;         /* lets that many pass first */
	int  times;        /* applies that often, and must; 0: as often as it comes, or never */
	bool hang;         /* never answered */
	bool cut;          /* breaks off after cut_at bytes of the body */
	size_t cut_at;
	enum bci_result result; /* OK: judged by status */
	long status;            /* 0: no answer at all, unless result is OK, then 200 */
	const char *body;       /* NULL: what answer() gives */
	size_t body_len;        /* 0: up to its NUL */
	long retry_after_s;     /* 0: not said */
	void (*then)(void *user); /* called when it was applied; may be NULL */
	void *user;
};

#define FAKE_RULES_MAX 16
#define FAKE_PENDING_MAX 16

struct fake_transport {
	struct fake_rule rules[FAKE_RULES_MAX];
	int seen[FAKE_RULES_MAX], used[FAKE_RULES_MAX];
	size_t rule_count;
	char *(*answer)(void *user, const char *target); /* new memory; NULL: 404 */
	void *answer_user;
	const char *token;  /* that every request must have; NULL: any */
	size_t chunk;       /* bytes of a body handed over at a time; 0: all */
	bool together;      /* exchanges take turns, one chunk each */
	/* What becomes of requests that no rule takes; may be NULL. */
	struct fake_rule (*chaos)(void *user, const char *target);
	void *chaos_user;
	int64_t step_ms;    /* the time that a step with something to do takes */

	struct fake_request {
		char *target, *token; /* token NULL: none was sent */
		int64_t at; /* when it was begun, monotonic */
	} *log; /* of all requests */
	size_t log_count, log_cap;
	size_t steps, most_pending;

	struct fake_pending {
		struct bci_exchange *x;
		char *body;
		size_t len, given;
		struct fake_rule rule;
	} pending[FAKE_PENDING_MAX];
	size_t pending_count;
	int64_t mono_ms, wall_ms;
};

void fake_init(struct fake_transport *t);
/* Fails the test if a request is left over or a rule was not applied as often as it must. */
void fake_fini(struct fake_transport *t);
/* Puts it under a crawler, clock included. */
void fake_install(struct fake_transport *t, struct bcrawl *c);
void fake_rule(struct fake_transport *t, struct fake_rule rule);
/* Forgets rules and log. */
void fake_forget(struct fake_transport *t);
/* How many requests had a part in their target. */
size_t fake_count(const struct fake_transport *t, const char *part);
/* The i-th request with a part in its target, NULL if there were fewer. */
const char *fake_target(const struct fake_transport *t, const char *part, size_t i);

/* ---- a little balena API behind answer() ---- */

struct fake_fleet {
	int64_t id;
	const char *slug;
	const char *members; /* further members of the row, or NULL for some */
};
struct fake_device {
	int64_t id, fleet;   /* fleet 0: none */
	const char *members; /* further members of the row */
};
struct fake_world {
	const struct fake_fleet *fleets;
	size_t fleet_count;
	const struct fake_device *devices; /* by rising id */
	size_t device_count;
	const char *lacks;   /* blank-separated fields that it does not have */
	bool v6;             /* speaks version 6 of the API alone; /v7/ is for a rule to refuse */
};

/* What the world answers: user is a struct fake_world. NULL for a field that it lacks. */
char *fake_world_answer(void *user, const char *target);

#endif
