/* SPDX-License-Identifier: MIT
 *
 * The walk over all devices: ranges are read side by side, each in a slot that keeps a parser.
 *
 * A slot's range is read in one request, if all goes well. If it breaks after device k, the slot
 * goes on behind k: ids in an answer must rise strictly, so no device is emitted or tallied twice.
 * A range has ended when its answer was complete and well-formed, never because it was short. */
#include "crawl.h"
#include "json.h"
#include "limits.h"
#include "query.h"
#include "retry.h"

#include <string.h>

struct slot {
	struct walk *walk;
	enum { IDLE, WAITING, BUSY } state;
	struct bci_work work;
	int64_t last_id;     /* of this range, over all tries */
	int64_t try_from;    /* last_id when the try began */
	int64_t not_before;  /* monotonic; of the next try */
	int attempt;         /* tries since the last step forward */
	bool disorder;       /* the answer held rows that were not asked for */
	bool token_tried;    /* a refusal was answered with another token */
	unsigned token_serial; /* of the token that the try was made with */
	struct bci_page *page;
	struct bci_buf target;
	struct bci_exchange x;
};

struct walk {
	struct bcrawl *c;
	struct bci_plan *plan;
	struct bcrawl_error *first;
	struct bcrawl_error *err;
	struct bci_reading reading;
	struct bci_naming naming;
	struct slot slots[BCI_CONCURRENCY_MAX];
	size_t slot_count;
	struct bci_device device;
};

/* ---- rows ---- */

static int take_id(struct slot *s, int64_t id)
{
	if (id <= s->last_id || (s->work.upto && id > s->work.upto))
		return BCRAWL_E_PROTOCOL;
	s->last_id = id;
	return BCRAWL_OK;
}

/* An answer with such a row may also lack rows before it: going on behind it would lose them. */
static int refuse_row(struct slot *s)
{
	s->disorder = true;
	return BCRAWL_E_PROTOCOL;
}

static int on_id(void *user, const struct json_object *o)
{
	struct slot *s = user;
	int64_t id;

	if (bci_json_id(o, bci_fields[BCI_F_ID].name, &id) != BCI_JSON_OK || take_id(s, id))
		return refuse_row(s);
	return bci_plan_learn_id(s->walk->plan, s->work.group, id);
}

/* The fleet of a row, which must be one that was asked for. */
static struct bci_fleet *fleet_of(struct slot *s, const struct bci_device *d)
{
	struct bcrawl *c = s->walk->c;
	const struct bci_group *g = s->work.group;
	struct bci_fleet *f;

	if (d->fleet_id == 0)
		return g->n == 0 ? &c->orphans : NULL;
	f = g->n > 0 ? bci_fleets_find(&c->fleets, d->fleet_id) : NULL;
	if (!f || f < c->fleets.rows + g->first || f >= c->fleets.rows + g->first + g->n)
		return NULL;
	return f;
}

static int on_device(void *user, const struct json_object *o)
{
	struct slot *s = user;
	struct walk *w = s->walk;
	struct bcrawl *c = w->c;
	struct bci_device *d = &w->device;
	struct bci_fleet *f;
	int rc;

	if (bci_device_read(d, o, &w->reading) || take_id(s, d->id))
		return refuse_row(s);
	f = fleet_of(s, d);
	if (!f)
		return refuse_row(s);
	if (w->reading.version == 6)
		bci_device_add_target(d, f->target_id);
	/* A fleet of very many releases still knows its target. */
	if (f->tally.devices == 0 &&
	    bci_ranking_reserve(&f->tally.by[BCI_BY_RELEASE], f->target))
		return BCRAWL_E_NOMEM;
	if (bci_tally_add(&f->tally, d))
		return BCRAWL_E_NOMEM;
	c->devices++;
	rc = bci_device_emit(d, f->slug, &c->tags, &c->out, &c->scratch);
	if (!rc && w->reading.fields & BCI_BIT(BCI_F_INSTALLS))
		rc = bci_services_read(&f->tally.services, d, f->slug, &c->stats, &c->out,
		                       &c->scratch);
	return rc;
}

static int feed(void *user, const char *data, size_t len)
{
	struct slot *s = user;
	int rc = bci_look(s->walk->c, len, s->walk->err);

	return rc ? rc : bci_page_feed(s->page, data, len);
}

/* ---- requests ---- */

static int begin(struct slot *s)
{
	struct walk *w = s->walk;
	struct bcrawl *c = w->c;
	struct bci_device_query q = {
		.version = c->server.version,
		.fields = s->work.ids ? 0 : w->reading.fields,
		.tags = &c->tags,
		.filter = s->work.group->filter,
		.after = s->last_id,
		.upto = s->work.upto,
	};

	bci_buf_reset(&s->target);
	bci_query_devices(&s->target, &q);
	if (s->target.failed == BCRAWL_E_NOMEM)
		return bci_error_nomem(w->err);
	if (s->target.failed)
		return bci_error_set(w->err, s->target.failed, 0,
				     "a request grew longer than %d bytes", BCI_URL_MAX);
	bci_page_reset(s->page, s->work.ids ? on_id : on_device, s);
	s->try_from = s->last_id;
	s->token_serial = c->token_serial;
	s->state = BUSY;
	s->x = (struct bci_exchange){
		.target = s->target.data, .body = feed, .user = s, .patience_ms = bci_patience(c)
	};
	c->transport.start(c->transport.self, &s->x, c->token);
	return BCRAWL_OK;
}

/* Gives its group up; why has been said. */
static void leave_group(struct slot *s)
{
	s->work.group->state = BCI_GROUP_FAILED;
	s->state = IDLE;
}

static void fail_group(struct slot *s)
{
	struct walk *w = s->walk;

	if (w->first->code == BCRAWL_OK)
		bci_exchange_error(w->c, &s->x, w->first);
	leave_group(s);
}

/* Whether there is another token than that of the try. */
static bool has_another_token(const struct slot *s)
{
	struct bcrawl *c = s->walk->c;

	return s->token_serial != c->token_serial || bci_server_new_token(c);
}

/* After a failed try: another one later, or the group is given up. */
static int try_again(struct slot *s)
{
	struct bcrawl *c = s->walk->c;
	int64_t wait;

	if (s->x.result == BCI_RESULT_AUTH && !s->token_tried && has_another_token(s)) {
		s->token_tried = true;
		wait = 0;
	} else if (s->x.status == 401) {
		return bci_server_explain_401(c, s->walk->err);
	} else {
		s->attempt = s->last_id > s->try_from ? 1 : s->attempt + 1;
		wait = bci_exchange_retry(c, &s->x, s->attempt);
	}
	if (wait < 0 || s->disorder) {
		fail_group(s);
		return BCRAWL_OK;
	}
	c->stats.retries++;
	bci_say(c, BCRAWL_LOG_DEBUG, "a request is tried again behind device %lld: %s",
	        (long long)s->last_id, s->x.reason);
	s->state = WAITING;
	s->not_before = bci_clock_mono(&c->clock) + wait;
	return BCRAWL_OK;
}

/* The group was read to its end: its fleets' sums are true. */
static int close_group(struct slot *s)
{
	struct bcrawl *c = s->walk->c;
	const struct walk *w = s->walk;
	const struct bci_group *g = s->work.group;
	struct bci_fleet *f = g->n ? &c->fleets.rows[g->first] : &c->orphans;
	size_t n = g->n ? g->n : 1;
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < n && !rc; i++, f++) {
		/* The group of no fleet is not there until it has a device. */
		if (f->id == 0 && f->tally.devices == 0) {
			f->read = true;
			continue;
		}
		/* Fails for want of memory before it emits anything: then it was not read. */
		rc = bci_tally_emit(f, w->reading.fields, &w->naming, &c->out, &c->scratch);
		if (rc)
			break;
		f->read = true;
		c->fleets_done += f->id != 0;
		rc = bci_fleet_emit(f, &c->tags, &c->out, &c->scratch);
		/* What was ranked is the bulk of a fleet, and said. */
		bci_tally_release(&f->tally);
	}
	return rc;
}

static int complete(struct slot *s)
{
	struct bcrawl *c = s->walk->c;
	int rc = bci_exchange_close(c, &s->x, s->page, s->walk->err);

	if (rc)
		return rc;
	if (s->work.group->state == BCI_GROUP_FAILED) {
		s->state = IDLE;
		return BCRAWL_OK;
	}
	if (s->x.result != BCI_RESULT_OK)
		return try_again(s);
	c->token_state = BCI_TOKEN_VALID;
	s->state = IDLE;
	if (!bci_plan_finish(s->walk->plan, &s->work))
		return BCRAWL_OK;
	rc = close_group(s);
	return rc == BCRAWL_E_NOMEM ? bci_error_nomem(s->walk->err) : rc;
}

/* ---- the walk ---- */

static void take_work(struct slot *s)
{
	if (!bci_plan_next(s->walk->plan, &s->work))
		return;
	s->state = WAITING;
	s->last_id = s->work.after;
	s->not_before = 0;
	s->attempt = 0;
	s->disorder = false;
	s->token_tried = false;
}

/* Begins, waits for the gate, or, if that does not open in time, gives up. */
static int begin_if_allowed(struct slot *s)
{
	struct walk *w = s->walk;
	struct bcrawl *c = w->c;
	int64_t wait = bci_request_due(c, w->first->code ? NULL : w->first);

	if (wait < 0) {
		leave_group(s);
		return BCRAWL_OK;
	}
	s->not_before = bci_clock_mono(&c->clock) + wait;
	if (wait > 0)
		return BCRAWL_OK;
	bci_gate_pass(&c->gate, s->not_before);
	return begin(s);
}

/* Gives idle slots work and begins what is due. */
static int begin_due(struct walk *w)
{
	int64_t now = bci_clock_mono(&w->c->clock);
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < w->slot_count && !rc; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == IDLE)
			take_work(s);
		if (s->state == WAITING && s->work.group->state == BCI_GROUP_FAILED)
			s->state = IDLE;
		if (s->state == WAITING && now >= s->not_before)
			rc = begin_if_allowed(s);
	}
	return rc;
}

static bool is_idle(const struct walk *w)
{
	for (size_t i = 0; i < w->slot_count; i++)
		if (w->slots[i].state != IDLE)
			return false;
	return true;
}

/* How long nothing needs to be done but what the network brings. */
static int wait_ms(const struct walk *w)
{
	int64_t wait = BCI_STOP_POLL_MS, now = bci_clock_mono(&w->c->clock);

	for (size_t i = 0; i < w->slot_count; i++) {
		const struct slot *s = &w->slots[i];

		if (s->state == WAITING && s->not_before - now < wait)
			wait = s->not_before - now;
		if (s->state == BUSY && s->x.done)
			wait = 0;
	}
	return wait > 0 ? (int)wait : 0;
}

/* All of them, so that each is counted; the first error is the walk's. */
static int complete_done(struct walk *w)
{
	int first = BCRAWL_OK;

	for (size_t i = 0; i < w->slot_count; i++) {
		struct slot *s = &w->slots[i];
		int rc = BCRAWL_OK;

		if (s->state != BUSY || !s->x.done)
			continue;
		if (first)
			rc = bci_exchange_close(w->c, &s->x, s->page, NULL);
		else
			rc = complete(s);
		first = first ? first : rc;
	}
	return first;
}

static int run(struct walk *w)
{
	struct bcrawl *c = w->c;
	int rc;

	for (;;) {
		rc = begin_due(w);
		if (rc || is_idle(w))
			return rc;
		c->transport.step(c->transport.self, wait_ms(w), c->wake_fd);
		rc = complete_done(w);
		if (!rc)
			rc = bci_may_go_on(c, w->err);
		if (rc)
			return rc;
	}
}

static bool open_slots(struct walk *w)
{
	w->slot_count = (size_t)bci_config_number(w->c->cfg, BCI_OPT_CONCURRENCY);
	for (size_t i = 0; i < w->slot_count; i++) {
		struct slot *s = &w->slots[i];

		s->walk = w;
		bci_buf_init(&s->target, BCI_URL_MAX);
		s->page = bci_page_new(on_device, s);
		if (!s->page)
			return false;
	}
	return true;
}

static void close_slots(struct walk *w, int rc)
{
	for (size_t i = 0; i < w->slot_count; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == BUSY && !s->x.done) {
			w->c->transport.cancel(w->c->transport.self, &s->x);
			bci_exchange_cut(w->c, rc);
		}
		bci_page_free(s->page);
		bci_buf_fini(&s->target);
	}
}

int bci_walk(struct bcrawl *c, struct bci_plan *plan, struct bcrawl_error *first,
             struct bcrawl_error *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return bci_error_nomem(err);
	w->c = c;
	w->plan = plan;
	w->first = first;
	w->err = err;
	w->reading = (struct bci_reading){
		.version = c->server.version,
		.fields = bci_server_fields(c) | BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID) |
			  BCI_BIT(BCI_F_FLEET),
		.keep_stale = bci_config_number(c->cfg, BCI_OPT_STALE_VALUES) == BCI_STALE_KEEP,
		.stats = &c->stats,
	};
	w->naming = (struct bci_naming){
		.top = (size_t)bci_config_number(c->cfg, BCI_OPT_TOP_VERSIONS),
		.last = &c->names_last,
		.now = &c->names,
	};
	rc = open_slots(w) ? run(w) : bci_error_nomem(err);
	close_slots(w, rc);
	free(w);
	return rc;
}
