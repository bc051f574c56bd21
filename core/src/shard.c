/* SPDX-License-Identifier: MIT */
#include "shard.h"

#include "crawl.h"
#include "file.h"
#include "limits.h"
#include "roster.h"
#include "source.h"
#include "whoami.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* A list that is being learnt. */
struct learning {
	struct bcrawl *c;
	struct bci_members members;
	struct bci_buf text; /* of a file or an answer */
	bool v4;             /* of the addresses told so far, some are of IPv4 */
	int  failed;         /* BCRAWL_E_NOMEM */
	bool absent;         /* there are members, and none is this instance */
	char why[300];       /* it came to nothing */
};

void bci_shard_free(struct bci_shard *s)
{
	bci_members_free(&s->now);
	bci_members_free(&s->before);
	if (s->source.self)
		s->source.free(s->source.self);
	free(s->target);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- where a list comes from: each leaves it in members, or says why not ---- */

static int fail(struct learning *l, const char *what, const char *why)
{
	snprintf(l->why, sizeof(l->why), "%.90s%.160s", what, why);
	return BCRAWL_OK;
}

static int read_text(struct learning *l, const char *what)
{
	const char *why = "";
	int rc = bci_roster_read(&l->members, l->text.data, l->text.len, &why);

	if (rc != BCRAWL_E_PROTOCOL)
		return rc;
	return fail(l, what, why);
}

static int ask_file(struct learning *l, const char *path)
{
	BCI_AUTOFREE char *text = malloc(BCI_MEMBERS_BYTES_MAX + 1);
	size_t n = 0;
	int e;

	if (!text)
		return BCRAWL_E_NOMEM;
	e = bci_file_read(path, text, BCI_MEMBERS_BYTES_MAX + 1, &n);
	if (e)
		return fail(l, "cannot read the file: ", bci_file_reason(e));
	bci_buf_adds(&l->text, "");
	bci_buf_add(&l->text, text, n);
	if (l->text.failed == BCRAWL_E_LIMIT)
		return fail(l, "the file ", "is too large");
	return l->text.failed ? l->text.failed : read_text(l, "the file ");
}

/* A machine with addresses of both kinds must not count twice: those of IPv4 count, if there are
 * any. */
static void on_address(void *user, const struct sockaddr *address)
{
	struct learning *l = user;
	char text[INET6_ADDRSTRLEN] = "";
	bool v4 = address->sa_family == AF_INET;
	const void *of = address;
	const void *raw = v4 ? (const void *)&((const struct sockaddr_in *)of)->sin_addr
			     : &((const struct sockaddr_in6 *)of)->sin6_addr;
	int rc;

	if (l->v4 && !v4)
		return;
	if (v4 && !l->v4)
		bci_members_free(&l->members);
	l->v4 |= v4;
	rc = inet_ntop(address->sa_family, raw, text, sizeof(text))
		     ? bci_members_add(&l->members, text, strlen(text))
		     : BCRAWL_E_PROTOCOL;
	if (rc)
		l->failed = rc;
}

static int on_body(void *user, const char *data, size_t len)
{
	struct learning *l = user;

	bci_buf_add(&l->text, data, len);
	return l->text.failed;
}

/* The connection is kept from crawl to crawl. No proxy: whoever knows the members is near. */
static int open_source(struct bcrawl *c, const struct bci_source *source)
{
	struct bci_http_config http = { .ca_file = "", .proxy = "", .direct = true };
	size_t n = source->kind == BCI_SOURCE_HTTP ? bci_source_base(source->text) : 0;
	struct bci_buf base;
	bool ok;

	if (c->shard.source.self)
		return BCRAWL_OK;
	bci_buf_init(&base, BCI_URL_MAX);
	if (n > 0)
		bci_buf_add(&base, source->text, n);
	else
		bci_buf_addf(&base, "http://%s", source->text);
	free(c->shard.target);
	c->shard.target = strdup(n == 0 || !source->text[n] ? "/" : source->text + n);
	http.base_url = base.data;
	ok = !base.failed && c->shard.target && bci_http_new(&c->shard.source, &http, &c->clock);
	bci_buf_fini(&base);
	return ok ? BCRAWL_OK : BCRAWL_E_NOMEM;
}

static int judge(struct learning *l, const struct bci_exchange *x)
{
	if (l->failed == BCRAWL_E_NOMEM || x->body_error == BCRAWL_E_NOMEM)
		return BCRAWL_E_NOMEM;
	if (l->failed || x->body_error == BCRAWL_E_LIMIT)
		return fail(l, "its answer ", "is larger than this library allows");
	if (x->result != BCI_RESULT_OK)
		return fail(l, "", x->reason);
	return x->address ? BCRAWL_OK : read_text(l, "its answer ");
}

static int ask_network(struct learning *l, const struct bci_source *source,
                       struct bcrawl_error *err)
{
	struct bcrawl *c = l->c;
	struct bci_transport *t = &c->shard.source;
	int64_t until = bci_clock_net(&c->clock) +
			least(BCI_MEMBERS_WAIT_MS, (c->deadline - c->started) / 4);
	struct bci_exchange x = { .body = on_body, .user = l, .patience_ms = INT64_MAX };
	int rc = open_source(c, source);

	if (rc)
		return rc;
	x.target = c->shard.target;
	if (source->kind == BCI_SOURCE_DNS)
		x.address = on_address;
	bci_buf_adds(&l->text, "");
	if (l->text.failed)
		return l->text.failed;
	t->start(t->self, &x, NULL);
	while (!x.done) {
		t->step(t->self, BCI_STOP_POLL_MS, c->wake_fd);
		rc = x.done ? BCRAWL_OK : bci_may_go_on(c, err);
		if (!rc && (x.done || bci_clock_net(&c->clock) < until))
			continue;
		t->cancel(t->self, &x);
		return rc ? rc : fail(l, "", "it does not answer");
	}
	return judge(l, &x);
}

static int count(struct learning *l, size_t n)
{
	char name[BCI_HOST_BYTES_MAX + 1];
	const char *self = bci_config_text(l->c->cfg, BCI_OPT_SHARD_SELF);

	bci_whoami_host(name);
	if (!*self)
		self = name;
	if (!bci_ordinal_parse(self, &l->members.self))
		return fail(l, self, ": the host's name does not end in a number");
	if (l->members.self >= n)
		return fail(l, self, ": the host's number is not below that of the members");
	return bci_members_number(&l->members, n);
}

/* ---- what is made of it ---- */

static int find_self(struct learning *l)
{
	struct bci_members *m = &l->members;
	size_t found;

	bci_members_sort(m);
	if (m->n == 0)
		return fail(l, "", "it names no member");
	found = bci_whoami(m, bci_config_text(l->c->cfg, BCI_OPT_SHARD_SELF), &m->self);
	if (found == 1)
		return BCRAWL_OK;
	l->absent = found == 0;
	snprintf(l->why, sizeof(l->why),
		 "%zu of its %zu members may be this instance: set %s to its name or "
		 "address there",
		 found, m->n, bcrawl_option_at(BCI_OPT_SHARD_SELF)->key);
	return BCRAWL_OK;
}

static int ask(struct learning *l, struct bcrawl_error *err)
{
	const struct bcrawl_config *cfg = l->c->cfg;
	struct bci_source source;
	size_t n = 1;
	int rc;

	if (!bci_source_parse(bci_config_text(cfg, BCI_OPT_SHARD_MEMBERS), &source)) {
		bci_shard_parse(bci_config_text(cfg, BCI_OPT_SHARD), &l->members.self, &n);
		return bci_members_number(&l->members, n);
	}
	if (source.kind == BCI_SOURCE_ORDINAL)
		return count(l, source.n);
	rc = source.kind == BCI_SOURCE_FILE ? ask_file(l, source.text)
					    : ask_network(l, &source, err);
	return rc || *l->why ? rc : find_self(l);
}

/* A query may hold a secret, as Consul's token. */
static void tell_lost(struct bcrawl *c, const char *why)
{
	struct bci_shard *s = &c->shard;
	const char *key = bcrawl_option_at(BCI_OPT_SHARD_MEMBERS)->key;
	const char *source = bci_config_text(c->cfg, BCI_OPT_SHARD_MEMBERS);
	int n = (int)least(100, (int64_t)strcspn(source, "?"));

	if (!s->lost && s->now.n > 0)
		bci_say(c, BCRAWL_LOG_WARNING,
			"%s %.*s: %s; this goes on as shard %zu of %zu", key, n, source, why,
			s->now.self, s->now.n);
	else if (!s->lost)
		bci_say(c, BCRAWL_LOG_WARNING,
			"%s %.*s: %s; all fleets are crawled until the members are known", key, n,
			source, why);
	s->lost = true;
}

/* Who was in force before a hand-over that is not at its end stays the one to hand over from. */
static void adopt(struct bcrawl *c, struct bci_members *fresh)
{
	struct bci_shard *s = &c->shard;

	if (s->lost)
		bci_say(c, BCRAWL_LOG_INFO, "%s: the members are known again",
			bcrawl_option_at(BCI_OPT_SHARD_MEMBERS)->key);
	s->lost = false;
	if (bci_members_equal(fresh, &s->now)) {
		bci_members_free(fresh);
		return;
	}
	if (s->before.n == 0)
		s->before = s->now;
	else
		bci_members_free(&s->now);
	s->now = *fresh;
	*fresh = (struct bci_members){ 0 };
}

/* One that has just started may not be among them yet, and each start must not be a crawl of all.
 */
static int ask_until_there(struct learning *l, struct bcrawl_error *err)
{
	struct bcrawl *c = l->c;
	int64_t until = c->started + least(BCI_MEMBERS_JOIN_MS, (c->deadline - c->started) / 2);
	bool first = c->shard.now.n == 0 && !c->shard.lost;
	int rc = ask(l, err);

	while (!rc && first && l->absent && bci_clock_net(&c->clock) < until) {
		bci_members_free(&l->members);
		bci_buf_reset(&l->text);
		l->v4 = l->absent = false;
		l->why[0] = '\0';
		rc = bci_pause(c, BCI_MEMBERS_AGAIN_MS, err);
		if (!rc)
			rc = ask(l, err);
	}
	return rc;
}

int bci_shard_learn(struct bcrawl *c, struct bcrawl_error *err)
{
	struct learning l = { .c = c };
	int rc;

	bci_buf_init(&l.text, BCI_MEMBERS_BYTES_MAX);
	rc = ask_until_there(&l, err);
	if (!rc && *l.why) {
		c->shard.errors++;
		tell_lost(c, l.why);
	} else if (!rc) {
		adopt(c, &l.members);
	}
	bci_members_free(&l.members);
	bci_buf_fini(&l.text);
	return rc == BCRAWL_E_NOMEM ? bci_error_nomem(err) : rc;
}

bool bci_shard_is_shared(const struct bcrawl *c)
{
	return c->shard.now.n > 1;
}

static bool owns(const struct bci_members *m, int64_t fleet_id)
{
	return bci_members_owner(m, fleet_id) == m->self;
}

/* Whether it was crawled here before the members changed. */
static bool owned(const struct bci_shard *s, int64_t fleet_id)
{
	return s->all || (s->before.n > 0 && owns(&s->before, fleet_id));
}

bool bci_shard_owns(const struct bcrawl *c, int64_t fleet_id)
{
	const struct bci_shard *s = &c->shard;

	return owns(&s->now, fleet_id) || owned(s, fleet_id);
}

void bci_shard_settle(struct bcrawl *c)
{
	struct bci_shard *s = &c->shard;
	unsigned long came = 0, went = 0;

	if (s->now.n == 0) {
		s->all = true;
		return;
	}
	if (s->before.n == 0 && !s->all)
		return;
	for (size_t i = 0; i < c->fleets.n; i++) {
		bool was = owned(s, c->fleets.rows[i].id);
		bool is = owns(&s->now, c->fleets.rows[i].id);

		came += is && !was;
		went += was && !is;
	}
	s->moves += came + went;
	bci_say(c, BCRAWL_LOG_INFO,
		"shard %zu of %zu now, %zu of %zu before: %lu fleets came, %lu go to others",
		s->now.self, s->now.n, s->before.self, s->all ? 1 : s->before.n, came, went);
	bci_members_free(&s->before);
	s->all = false;
}
