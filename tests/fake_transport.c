/* SPDX-License-Identifier: MIT
 *
 * A scripted network, its clock, and a little balena API to stand behind it. */
#include "fake_transport.h"

#include "unit.h"

#include <inttypes.h>

/* ---- requests ---- */

static void keep_request(struct fake_transport *t, const char *target, const char *token)
{
	if (t->log_count == t->log_cap) {
		t->log_cap = t->log_cap ? 2 * t->log_cap : 64;
		t->log = realloc(t->log, t->log_cap * sizeof(*t->log));
		assert_non_null(t->log);
	}
	t->log[t->log_count++] = (struct fake_request){ strdup(target), token ? strdup(token) : NULL, t->mono_ms };
}

static struct fake_rule rule_for(struct fake_transport *t, const char *target, const char *token)
{
	for (size_t i = 0; i < t->rule_count; i++) {
		const struct fake_rule *r = &t->rules[i];

		if ((r->match && !strstr(target, r->match)) || (r->token && strcmp(r->token, token) != 0))
			continue;
		if (t->seen[i]++ < r->skip || (r->times && t->used[i] == r->times))
			continue;
		t->used[i]++;
		if (r->then)
			r->then(r->user);
		return *r;
	}
	return t->chaos ? t->chaos(t->chaos_user, target) : (struct fake_rule){ 0 };
}

/* A copy of a rule's body, which may have NULs in it. */
static char *copy_body(const struct fake_rule *r, size_t *len)
{
	char *body;

	*len = r->body_len ? r->body_len : strlen(r->body);
	body = malloc(*len + 1);
	assert_non_null(body);
	memcpy(body, r->body, *len);
	body[*len] = '\0';
	return body;
}

static void start(void *self, struct bci_exchange *x, const char *token)
{
	struct fake_transport *t = self;
	struct fake_pending *p;

	assert_true(t->pending_count < FAKE_PENDING_MAX);
	if (t->token)
		assert_string_equal(token, t->token);
	keep_request(t, x->target, token);
	p = &t->pending[t->pending_count++];
	if (t->pending_count > t->most_pending)
		t->most_pending = t->pending_count;
	*p = (struct fake_pending){ .x = x, .rule = rule_for(t, x->target, token) };
	if (p->rule.body) {
		p->body = copy_body(&p->rule, &p->len);
	} else {
		p->body = t->answer(t->answer_user, x->target);
		p->len = p->body ? strlen(p->body) : 0;
	}
	if (!p->body && p->rule.status == 0 && p->rule.result == BCI_RESULT_OK && !p->rule.hang)
		p->rule.status = 500;
	if (p->rule.cut && p->rule.cut_at < p->len)
		p->len = p->rule.cut_at;
	x->done = false;
	x->status = 0;
	x->body_error = 0;
	x->retry_after_s = p->rule.retry_after_s ? p->rule.retry_after_s : -1;
}

static void drop(struct fake_transport *t, size_t i)
{
	free(t->pending[i].body);
	for (; i + 1 < t->pending_count; i++)
		t->pending[i] = t->pending[i + 1];
	t->pending_count--;
}

static enum bci_result judge(long status)
{
	if (status >= 200 && status < 300)
		return BCI_RESULT_OK;
	if (status == 401 || status == 403)
		return BCI_RESULT_AUTH;
	if (status == 429)
		return BCI_RESULT_THROTTLED;
	return status >= 500 || status == 408 ? BCI_RESULT_SERVER_ERROR : BCI_RESULT_CLIENT_ERROR;
}

static void end_exchange(struct fake_transport *t, size_t i)
{
	struct fake_pending *p = &t->pending[i];
	struct bci_exchange *x = p->x;

	if (x->body_error)
		x->result = BCI_RESULT_GARBAGE;
	else
		x->result = p->rule.result ? p->rule.result : judge(x->status);
	if (x->result != BCI_RESULT_OK)
		snprintf(x->reason, sizeof(x->reason), "scripted failure");
	x->bytes += 100;
	x->done = true;
	drop(t, i);
}

/* Hands over the next piece; returns whether the exchange has ended. */
static bool deliver(struct fake_transport *t, size_t i)
{
	struct fake_pending *p = &t->pending[i];
	struct bci_exchange *x = p->x;
	size_t n = t->chunk && t->chunk < p->len - p->given ? t->chunk : p->len - p->given;

	x->status = p->rule.status;
	if (x->status == 0 && (p->rule.result == BCI_RESULT_OK || p->rule.cut))
		x->status = 200;
	if (judge(x->status) == BCI_RESULT_OK && n > 0) {
		/* A copy of just this size, so that a look past its end is found. */
		char *piece = malloc(n);

		assert_non_null(piece);
		memcpy(piece, p->body + p->given, n);
		p->given += n;
		x->bytes += n;
		x->body_error = x->body(x->user, piece, n);
		free(piece);
		if (!x->body_error && p->given < p->len)
			return false;
	}
	end_exchange(t, i);
	return true;
}

static void step(void *self, int timeout_ms, int wake_fd)
{
	struct fake_transport *t = self;
	bool busy = false;

	(void)wake_fd;
	assert_true(timeout_ms >= 0 && timeout_ms <= 200);
	assert_true(++t->steps < 1000000);
	for (size_t i = 0; i < t->pending_count;) {
		bool ended = false;

		if (t->pending[i].rule.hang) {
			i++;
			continue;
		}
		busy = true;
		if (t->together)
			ended = deliver(t, i);
		while (!t->together && !ended)
			ended = deliver(t, i);
		if (!t->together)
			break;
		i += !ended;
	}
	t->mono_ms += busy ? t->step_ms : timeout_ms;
	t->wall_ms += busy ? t->step_ms : timeout_ms;
}

static void cancel(void *self, struct bci_exchange *x)
{
	struct fake_transport *t = self;

	for (size_t i = 0; i < t->pending_count; i++) {
		if (t->pending[i].x == x) {
			drop(t, i);
			return;
		}
	}
	fail_msg("a request was cancelled that is not under way");
}

static void nothing_to_free(void *self)
{
	(void)self;
}

static int64_t mono(void *user)
{
	return ((struct fake_transport *)user)->mono_ms;
}

static int64_t wall(void *user)
{
	return ((struct fake_transport *)user)->wall_ms;
}

void fake_init(struct fake_transport *t)
{
	*t = (struct fake_transport){
		.step_ms = 1, .mono_ms = 5000, .wall_ms = INT64_C(1795414000000)
	};
}

void fake_install(struct fake_transport *t, struct bcrawl *c)
{
	c->transport = (struct bci_transport){
		.start = start, .step = step, .cancel = cancel, .free = nothing_to_free, .self = t
	};
	c->clock = (struct bci_clock){ .mono_ms = mono, .wall_ms = wall, .user = t };
}

void fake_rule(struct fake_transport *t, struct fake_rule rule)
{
	assert_true(t->rule_count < FAKE_RULES_MAX);
	t->rules[t->rule_count] = rule;
	t->seen[t->rule_count] = t->used[t->rule_count] = 0;
	t->rule_count++;
}

void fake_forget(struct fake_transport *t)
{
	for (size_t i = 0; i < t->rule_count; i++)
		if (t->rules[i].times)
			CHECK_INT(t->rules[i].match ? t->rules[i].match : "", t->used[i], t->rules[i].times);
	assert_int_equal(t->pending_count, 0);
	for (size_t i = 0; i < t->log_count; i++) {
		free(t->log[i].target);
		free(t->log[i].token);
	}
	t->rule_count = t->log_count = t->steps = t->most_pending = 0;
}

void fake_fini(struct fake_transport *t)
{
	fake_forget(t);
	free(t->log);
}

size_t fake_count(const struct fake_transport *t, const char *part)
{
	size_t n = 0;

	for (size_t i = 0; i < t->log_count; i++)
		n += strstr(t->log[i].target, part) != NULL;
	return n;
}

const char *fake_target(const struct fake_transport *t, const char *part, size_t i)
{
	for (size_t k = 0; k < t->log_count; k++)
		if (strstr(t->log[k].target, part) && i-- == 0)
			return t->log[k].target;
	return NULL;
}

/* ---- a little balena API ---- */

static bool lacks(const struct fake_world *w, const char *target)
{
	const char *list = w->lacks ? w->lacks : "";

	for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
		char field[64], *at;
		size_t n = strcspn(list, " ");

		snprintf(field, sizeof(field), ",%.*s", (int)n, list);
		at = strstr(target, field);
		if (at && strchr(",&", at[strlen(field)]))
			return true;
		list += n;
	}
	return false;
}

/* The number behind a text in the target, or other. */
static int64_t number_behind(const char *target, const char *text, int64_t other)
{
	const char *at = strstr(target, text);

	return at ? strtoll(at + strlen(text), NULL, 10) : other;
}

/* What is quoted behind a text in the target, as a member of a row says it: "name":"quoted". */
static bool is_quoted_in(const char *target, const char *text, const char *name, const char *members)
{
	const char *at = strstr(target, text);
	char member[128];

	if (!at)
		return true;
	at += strlen(text);
	snprintf(member, sizeof(member), "\"%s\":\"%.*s\"", name, (int)strcspn(at, "'"), at);
	return members && strstr(members, member);
}

/* Whether a device carries the tag that the target asks for, if it asks for one; devices here have
 * no more than one tag. */
static bool has_tag(const struct fake_device *d, const char *target)
{
	const char *tag = strstr(target, "device_tag/any(t:");

	return !tag || (is_quoted_in(tag, "t/tag_key%20eq%20'", "tag_key", d->members) &&
	                is_quoted_in(tag, "t/value%20eq%20'", "value", d->members));
}

static bool in_filter(const char *target, int64_t fleet)
{
	const char *at = strstr(target, "belongs_to__application%20in%20(");
	char *end;

	if (strstr(target, "belongs_to__application%20eq%20null"))
		return fleet == 0;
	if (!at)
		return false;
	for (at = strchr(at, '('); *at != ')'; at = end)
		if (strtoll(at + 1, &end, 10) == fleet)
			return true;
	return false;
}

static void add_device(struct bci_buf *b, const struct fake_device *d, bool ids)
{
	bci_buf_addf(b, "%s{\"id\":%" PRId64, b->data[b->len - 1] == '[' ? "" : ",", d->id);
	if (!ids && d->fleet)
		bci_buf_addf(b, ",\"belongs_to__application\":{\"__id\":%" PRId64 "}", d->fleet);
	else if (!ids)
		bci_buf_adds(b, ",\"belongs_to__application\":null");
	if (!ids)
		bci_buf_addf(b, ",\"uuid\":\"u%" PRId64 "\"%s%s", d->id, d->members ? "," : "",
		             d->members ? d->members : "");
	bci_buf_adds(b, "}");
}

static void answer_devices(const struct fake_world *w, const char *target, struct bci_buf *b)
{
	int64_t after = number_behind(target, "%20and%20id%20gt%20", 0);
	int64_t upto = number_behind(target, "%20and%20id%20le%20", INT64_MAX);
	bool ids = strstr(target, "$select=id&") != NULL;

	for (size_t i = 0; i < w->device_count; i++) {
		const struct fake_device *d = &w->devices[i];

		if (d->id > after && d->id <= upto && in_filter(target, d->fleet) &&
		    has_tag(d, target))
			add_device(b, d, ids);
	}
}

/* Whether a device is in the count that the target asks for. */
static bool is_counted(const struct fake_device *d, const char *target)
{
	bool vpn = d->members && strstr(d->members, "\"is_connected_to_vpn\":true");
	bool beat = d->members && (strstr(d->members, "\"api_heartbeat_state\":\"online\"") ||
	                           strstr(d->members, "\"api_heartbeat_state\":\"timeout\""));
	bool never = d->members && strstr(d->members, "\"api_heartbeat_state\":\"unknown\"") && !vpn &&
	             strstr(d->members, "\"last_connectivity_event\":null");

	if (!has_tag(d, target))
		return false;
	if (!strstr(target, "/$count($filter=") || strstr(target, "($filter=device_tag/"))
		return true;
	if (strstr(target, "($filter=is_active%20eq%20false"))
		return d->members && strstr(d->members, "\"is_active\":false");
	if (strstr(target, "is_active%20eq%20true") &&
	    (!d->members || strstr(d->members, "\"is_active\":false")))
		return false;
	if (strstr(target, "($filter=(is_connected_to_vpn%20eq%20true%20or%20"))
		return vpn || beat;
	if (strstr(target, "($filter=is_connected_to_vpn%20eq%20true"))
		return vpn;
	assert_non_null(strstr(target, "($filter=is_connected_to_vpn%20eq%20false%20and%20"));
	return never;
}

static void answer_fleets(const struct fake_world *w, const char *target, struct bci_buf *b)
{
	bool list = strstr(target, "?$select=id,app_name,slug,") != NULL;

	for (size_t i = 0; i < w->fleet_count; i++) {
		const struct fake_fleet *f = &w->fleets[i];
		int count = 0;

		if (strstr(target, "is_archived%20eq%20false") && f->members &&
		    strstr(f->members, "\"is_archived\":true"))
			continue;
		for (size_t k = 0; k < w->device_count; k++)
			count += w->devices[k].fleet == f->id && is_counted(&w->devices[k], target);
		bci_buf_addf(b, "%s{\"owns__device\":%d,\"id\":%" PRId64, b->data[b->len - 1] == '[' ? "" : ",",
		             count, f->id);
		if (list)
			bci_buf_addf(b, ",\"app_name\":\"%s\",\"slug\":\"%s\"%s%s", strrchr(f->slug, '/') + 1,
			             f->slug, f->members ? "," : "", f->members ? f->members : "");
		bci_buf_adds(b, "}");
	}
}

char *fake_world_answer(void *user, const char *target)
{
	/* What version 6 of the API has not; to ask for it there is an error of ours. */
	static const char *const since7[] = { "is_pinned_on__release", "changed_api_heartbeat_state_on__date",
		                              "should_be_managed_by__release" };
	const struct fake_world *w = user;
	const char *resource = target + strlen("/v7/");
	struct bci_buf b;

	if (strncmp(target, w->v6 ? "/v6/" : "/v7/", 4) != 0)
		fail_msg("that is another version: %s", target);
	for (size_t i = 0; w->v6 && i < LEN(since7); i++)
		if (strstr(target, since7[i]))
			fail_msg("version 6 has no %s: %s", since7[i], target);
	if (lacks(w, target))
		return NULL;
	bci_buf_init(&b, 16 << 20);
	bci_buf_adds(&b, "{\"d\":[");
	if (strncmp(resource, "application?", 12) == 0)
		answer_fleets(w, target, &b);
	else if (strstr(target, "&$top=0"))
		assert_int_equal(strncmp(resource, "device?$select=id", 17), 0);
	else if (strncmp(resource, "device?", 7) == 0)
		answer_devices(w, target, &b);
	else
		fail_msg("nobody may ask for %s", target);
	bci_buf_adds(&b, "]}");
	assert_int_equal(b.failed, 0);
	return b.data;
}
