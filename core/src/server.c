/* SPDX-License-Identifier: MIT
 *
 * What kind of server this is: found out by asking, never by configuration. */
#include "crawl.h"
#include "limits.h"
#include "query.h"

#include <string.h>

static int no_rows(void *user, const struct json_object *o)
{
	(void)user;
	(void)o;
	return BCRAWL_OK;
}

/* One try of a probe. */
static int probe(struct bcrawl *c, int version, const char *field, struct bci_exchange *x,
                 struct bcrawl_error *err)
{
	struct bci_fetch f = { .element = no_rows, .probe = field };
	struct bci_buf target;
	int rc;

	bci_buf_init(&target, BCI_URL_MAX);
	bci_query_probe(&target, version, field);
	f.target = target.data;
	rc = target.failed ? bci_error_nomem(err) : bci_try(c, &f, x, err);
	x->target = "";
	bci_buf_fini(&target);
	return rc;
}

/* The probe without a field, retried: the good control, and the check of the token. */
static int control(struct bcrawl *c, int version, struct bcrawl_error *err)
{
	struct bci_fetch f = { .element = no_rows };
	struct bci_buf target;
	int rc;

	bci_buf_init(&target, BCI_URL_MAX);
	bci_query_probe(&target, version, NULL);
	f.target = target.data;
	rc = target.failed ? bci_error_nomem(err) : bci_fetch(c, &f, err);
	bci_buf_fini(&target);
	return rc;
}

/* A healthy server answers 404 to the bare /v7, so a device query decides; and only a 404 there
 * together with a good answer from v6 says that there is no v7. */
static int find_version(struct bcrawl *c, struct bcrawl_error *err)
{
	struct bcrawl_error v7 = { .size = sizeof(v7) }, v6 = { .size = sizeof(v6) };
	int known = c->server.version, rc = control(c, 7, &v7);

	if (rc == BCRAWL_OK) {
		c->server.version = 7;
		return BCRAWL_OK;
	}
	if (v7.http_status != 404)
		return bci_error_set(err, rc, v7.http_status, "%s", v7.message);
	/* So that a refusal is looked into by requests that the server knows. */
	c->server.version = 6;
	rc = control(c, 6, &v6);
	if (rc == BCRAWL_OK)
		return BCRAWL_OK;
	c->server.version = known;
	if (v6.http_status != 404)
		return bci_error_set(err, rc, v6.http_status, "%s", v6.message);
	return bci_error_set(err, BCRAWL_E_REQUEST, 404,
	                     "%.120s is no balena API: neither /v7/device nor /v6/device is there",
	                     bci_config_text(c->cfg, BCI_OPT_API_URL));
}

/* Each field by itself, with good controls before and after: only then does a 500 or 400 speak of
 * the field and not of the server. */
static int find_fields(struct bcrawl *c, uint64_t candidates, struct bcrawl_error *err)
{
	struct bci_exchange x = { 0 };
	uint64_t found = 0;
	bool sure = true;
	int rc;

	for (size_t f = 0; f < BCI_F__COUNT; f++) {
		if (!(candidates & BCI_BIT(f)))
			continue;
		rc = probe(c, c->server.version, bci_fields[f].name, &x, err);
		if (rc)
			return rc;
		if (x.result == BCI_RESULT_OK)
			found |= BCI_BIT(f);
		else if (x.status != 500 && x.status != 400) {
			/* Nothing was learnt: what was known stays, and is asked again soon. */
			found |= c->server.fields & BCI_BIT(f);
			sure = false;
		}
	}
	rc = candidates ? control(c, c->server.version, err) : BCRAWL_OK;
	if (rc)
		return rc;
	c->server.fields = found;
	c->server.probed = sure;
	return BCRAWL_OK;
}

static uint64_t probed_fields(void)
{
	uint64_t fields = 0;

	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (bci_fields[f].probe)
			fields |= BCI_BIT(f);
	return fields;
}

/* The fields that a version of the API cannot have. */
static uint64_t missing_fields(int version)
{
	uint64_t fields = 0;

	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (bci_fields[f].since7 && version == 6)
			fields |= BCI_BIT(f);
	return fields;
}

int bci_server_probe(struct bcrawl *c, struct bcrawl_error *err)
{
	int64_t now = bci_clock_mono(&c->clock);
	uint64_t activation = c->counts ? BCI_BIT(BCI_F_ACTIVE) : 0;
	uint64_t candidates = (c->fields | activation) & probed_fields();
	int rc;

	if (c->server.probed && now - c->server.probed_at < BCI_PROBE_TTL_MS)
		return BCRAWL_OK;
	rc = find_version(c, err);
	if (rc)
		return rc;
	rc = find_fields(c, candidates & ~missing_fields(c->server.version), err);
	if (rc == BCRAWL_OK)
		c->server.probed_at = now;
	return rc;
}

uint64_t bci_server_fields(const struct bcrawl *c)
{
	uint64_t fields = c->fields & (~probed_fields() | c->server.fields);

	/* Version 6 tells some things by others: extract.c. */
	if (c->server.version == 6 && fields & BCI_BIT(BCI_F_PINNED_RELEASE))
		fields |= BCI_BIT(BCI_F_TARGET_RELEASE);
	if (c->server.version == 6 && fields & BCI_BIT(BCI_F_STATUS))
		fields |= BCI_BIT(BCI_F_VPN) | BCI_BIT(BCI_F_HEARTBEAT);
	return fields & ~missing_fields(c->server.version);
}

bool bci_server_has_activation(const struct bcrawl *c)
{
	return c->server.fields & BCI_BIT(BCI_F_ACTIVE);
}

bool bci_server_new_token(struct bcrawl *c)
{
	char *token = NULL;

	if (bci_config_token(c->cfg, &token, NULL))
		return false;
	if (strcmp(token, c->token) == 0) {
		bci_token_free(token);
		return false;
	}
	bci_token_free(c->token);
	c->token = token;
	c->token_serial++;
	return true;
}

int bci_server_refused(struct bcrawl_error *err)
{
	return bci_error_set(
		err, BCRAWL_E_AUTH, 401,
		"the API refuses the token (HTTP 401): it is wrong, revoked or expired; "
		"make a new API key");
}

int bci_server_explain_401(struct bcrawl *c, struct bcrawl_error *err)
{
	struct bci_fetch f = { .element = no_rows };
	struct bci_exchange x = { 0 };
	struct bci_buf target;
	int rc;

	bci_buf_init(&target, BCI_URL_MAX);
	bci_query_anonymous(&target, c->server.version ? c->server.version : 7);
	f.target = target.data;
	rc = target.failed ? bci_error_nomem(err) : bci_try(c, &f, &x, err);
	bci_buf_fini(&target);
	if (rc)
		return rc;
	if (x.result != BCI_RESULT_OK) {
		c->token_state = BCI_TOKEN_UNKNOWN;
		return bci_error_set(
			err, BCRAWL_E_SERVER, 401,
			"the API answers 401, but is in trouble itself (%.80s): nothing is known "
			"of the token",
			x.reason);
	}
	c->token_state = BCI_TOKEN_REFUSED;
	return bci_server_refused(err);
}
