/* SPDX-License-Identifier: MIT
 *
 * One device. null is not zero: a field that is null, missing, of a wrong type or out of range has
 * no value, and no record holds what has no value. */
#include "extract.h"

#include "json.h"

#include <math.h>
#include <string.h>

static void reject(struct bci_stats *stats, enum bci_reject why)
{
	stats->rejected[why]++;
}

static enum bci_json read_number(const struct json_object *o, const struct bci_field_row *row,
                                 double *out)
{
	const char *text;
	enum bci_json rc;
	char *end;

	if (row->type == BCI_TYPE_NUMBER) {
		rc = bci_json_number(o, row->name, out);
		return rc == BCI_JSON_OK && *out != floor(*out) ? BCI_JSON_TYPE : rc;
	}
	rc = bci_json_text(o, row->name, &text);
	if (rc != BCI_JSON_OK)
		return rc;
	*out = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*out) ? BCI_JSON_OK : BCI_JSON_TYPE;
}

static bool has(const struct bci_device *d, enum bci_field f)
{
	return bci_device_has(d, f);
}

static bool is_word(const struct bci_device *d, enum bci_field f, const char *word)
{
	size_t code = has(d, f) ? (size_t)d->number[f] : 0;

	return code && strcmp(bci_fields[f].words[code - 1], word) == 0;
}

static bool has_vpn(const struct bci_device *d)
{
	return has(d, BCI_F_VPN) && d->number[BCI_F_VPN] != 0;
}

/* Version 6 knows two words less than version 7 (balena-api-live.md 7): "idle" is both operational
 * and reduced-functionality. NULL: it cannot be told which. Equal to version 7 but for devices
 * whose VPN is switched off, which no field tells. */
static const char *status_of_v6(const char *text, const struct bci_device *d)
{
	if (strcmp(text, "offline") == 0)
		return "disconnected";
	if (strcmp(text, "idle") != 0)
		return text;
	if (!has(d, BCI_F_VPN) || !has(d, BCI_F_HEARTBEAT))
		return NULL;
	if (is_word(d, BCI_F_HEARTBEAT, "timeout") ||
	    has_vpn(d) != is_word(d, BCI_F_HEARTBEAT, "online"))
		return "reduced-functionality";
	return "operational";
}

static enum bci_json read_word(struct bci_device *d, const struct json_object *o, enum bci_field f,
                               const struct bci_reading *how)
{
	const struct bci_field_row *row = &bci_fields[f];
	const char *text;
	enum bci_json rc = bci_json_text(o, row->name, &text);

	if (rc != BCI_JSON_OK)
		return rc;
	if (f == BCI_F_STATUS && how->version == 6)
		text = status_of_v6(text, d);
	if (!text)
		return BCI_JSON_ABSENT;
	d->number[f] = (double)bci_word_code(row->words, text);
	if (d->number[f] == 0)
		bci_stats_unknown_word(how->stats, row->name, text);
	return BCI_JSON_OK;
}

/* [{"id":2,"commit":"1a3d...","raw_version":"1.1.0"}]; the number is a revision, where one was
 * asked for: [{"semver":"5.3.27","revision":1}] */
static enum bci_json read_name(struct bci_device *d, const struct json_object *o, enum bci_field f)
{
	const struct bci_field_row *row = &bci_fields[f];
	const struct json_object *to = bci_json_expanded(o, row->name);
	enum bci_json rc = BCI_JSON_ABSENT;
	int64_t id;

	d->number[f] = NAN;
	/* Not expanded it has no name; but what is no reference at all is wrong. */
	if (!to && bci_json_ref(o, row->name, &id) == BCI_JSON_TYPE)
		return BCI_JSON_TYPE;
	if (to && bci_json_number(to, "revision", &d->number[f]) != BCI_JSON_OK)
		d->number[f] = NAN;
	for (size_t i = 0; to && row->members[i] && rc == BCI_JSON_ABSENT; i++)
		rc = bci_json_text(to, row->members[i], &d->text[f]);
	return rc;
}

static enum bci_json read_date(const struct json_object *o, const char *name, double *out)
{
	const char *text;
	enum bci_json rc = bci_json_text(o, name, &text);

	if (rc == BCI_JSON_OK && !bci_date_parse(text, out))
		return BCI_JSON_TYPE;
	return rc;
}

static void read_field(struct bci_device *d, const struct json_object *o, enum bci_field f,
                       const struct bci_reading *how)
{
	const struct bci_field_row *row = &bci_fields[f];
	enum bci_json rc = BCI_JSON_ABSENT;
	int64_t id = 0;
	bool flag = false;

	switch (row->type) {
	case BCI_TYPE_NUMBER:
	case BCI_TYPE_NUMBER_TEXT:
		rc = read_number(o, row, &d->number[f]);
		if (rc == BCI_JSON_OK && (d->number[f] < row->min || d->number[f] > row->max)) {
			d->wrong |= BCI_BIT(f);
			reject(how->stats, BCI_REJECT_RANGE);
			return;
		}
		break;
	case BCI_TYPE_BOOL:
		rc = bci_json_bool(o, row->name, &flag);
		d->number[f] = flag;
		break;
	case BCI_TYPE_DATE:
		rc = read_date(o, row->name, &d->number[f]);
		break;
	case BCI_TYPE_WORD:
		rc = read_word(d, o, f, how);
		break;
	case BCI_TYPE_TEXT:
		rc = bci_json_text(o, row->name, &d->text[f]);
		break;
	case BCI_TYPE_REF:
		rc = bci_json_ref(o, row->name, &id);
		d->number[f] = (double)id;
		break;
	case BCI_TYPE_NAME:
		rc = read_name(d, o, f);
		break;
	case BCI_TYPE_ROWS:
		break;
	}
	if (rc == BCI_JSON_OK)
		d->has |= BCI_BIT(f);
	if (rc == BCI_JSON_TYPE) {
		d->wrong |= BCI_BIT(f);
		reject(how->stats, BCI_REJECT_TYPE);
	}
}

/* metrics.md section 1: inactive > connected > never > disconnected. */
static enum bci_connection decide_connection(const struct bci_device *d)
{
	if (is_word(d, BCI_F_STATUS, "inactive"))
		return BCI_INACTIVE;
	if (has_vpn(d) || is_word(d, BCI_F_HEARTBEAT, "online") ||
	    is_word(d, BCI_F_HEARTBEAT, "timeout"))
		return BCI_CONNECTED;
	/* An event that we cannot read is an event. */
	if (is_word(d, BCI_F_HEARTBEAT, "unknown") &&
	    !((d->has | d->wrong) & BCI_BIT(BCI_F_LAST_CONNECTIVITY)))
		return BCI_NEVER;
	return BCI_DISCONNECTED;
}

/* Version 6 has one field for two: should_be_running__release is the pin there. */
static void read_pin_of_v6(struct bci_device *d)
{
	uint64_t target = BCI_BIT(BCI_F_TARGET_RELEASE), pin = BCI_BIT(BCI_F_PINNED_RELEASE);

	d->number[BCI_F_PINNED_RELEASE] = d->number[BCI_F_TARGET_RELEASE];
	d->has |= d->has & target ? pin : 0;
	d->wrong |= d->wrong & target ? pin : 0;
}

int bci_device_read(struct bci_device *d, const struct json_object *o,
                    const struct bci_reading *how)
{
	d->has = d->wrong = 0;
	d->fleet_id = 0;
	d->rows = o;
	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (how->fields & BCI_BIT(f))
			read_field(d, o, (enum bci_field)f, how);
	if (bci_json_id(o, bci_fields[BCI_F_ID].name, &d->id) != BCI_JSON_OK || !has(d, BCI_F_UUID))
		return BCRAWL_E_PROTOCOL;
	if (has(d, BCI_F_FLEET))
		d->fleet_id = (int64_t)d->number[BCI_F_FLEET];
	if (how->version == 6)
		read_pin_of_v6(d);
	d->connection = decide_connection(d);
	d->speaks = d->connection == BCI_CONNECTED || how->keep_stale;
	return BCRAWL_OK;
}

void bci_device_add_target(struct bci_device *d, int64_t fleet_target)
{
	if (has(d, BCI_F_TARGET_RELEASE) || d->wrong & BCI_BIT(BCI_F_TARGET_RELEASE) ||
	    fleet_target == 0)
		return;
	d->number[BCI_F_TARGET_RELEASE] = (double)fleet_target;
	d->has |= BCI_BIT(BCI_F_TARGET_RELEASE);
}

double bci_device_ratio(const struct bci_device *d, enum bci_field usage, enum bci_field total)
{
	if (!has(d, usage) || !has(d, total) || d->number[total] <= 0)
		return NAN;
	return d->number[usage] / d->number[total];
}

int bci_device_on_target(const struct bci_device *d)
{
	if (!has(d, BCI_F_RUNNING_RELEASE) || !has(d, BCI_F_TARGET_RELEASE))
		return -1;
	return d->number[BCI_F_RUNNING_RELEASE] == d->number[BCI_F_TARGET_RELEASE];
}

/* Whether "disconnected" is what the server says, and not only what is left when it says little. */
static bool surely_disconnected(const struct bci_device *d)
{
	return d->connection == BCI_DISCONNECTED && has(d, BCI_F_VPN) && has(d, BCI_F_HEARTBEAT) &&
	       d->number[BCI_F_HEARTBEAT] != 0;
}

static double offline_since(const struct bci_device *d)
{
	double vpn = has(d, BCI_F_VPN_CHANGED) ? d->number[BCI_F_VPN_CHANGED] : NAN;
	double heartbeat =
		has(d, BCI_F_HEARTBEAT_CHANGED) ? d->number[BCI_F_HEARTBEAT_CHANGED] : NAN;

	/* fmax gives the other one if one is NAN. */
	return surely_disconnected(d) ? fmax(vpn, heartbeat) : NAN;
}

static double up(const struct bci_device *d)
{
	if (d->connection == BCI_CONNECTED)
		return 1;
	return surely_disconnected(d) ? 0 : NAN;
}

/* What a version text says behind "+rev" or ".rev", 0 if nothing. */
static double revision_of(const char *version)
{
	const char *rev = strchr(version, '+');

	rev = rev ? strstr(rev, "rev") : NULL;
	return rev ? (double)strtol(rev + 3, NULL, 10) : 0;
}

/* "balenaOS 5.3.27+rev1" against semver 5.3.27 and revision 1. The target's raw_version would not
 * do: it has variant and draft stamp in it, which the device's text has not. A draft has no
 * revision; versions that are no semver are 0.0.0 with a stamp. */
static double is_pending(const struct bci_device *d, enum bci_field is, enum bci_field wanted)
{
	const char *version, *target;
	size_t n;

	if (!has(d, is) || !has(d, wanted))
		return NAN;
	target = d->text[wanted];
	if (strncmp(target, "0.0.0", 5) == 0)
		return NAN;
	version = strrchr(d->text[is], ' ');
	version = version ? version + 1 : d->text[is];
	n = strcspn(version, "+");
	if (n != strcspn(target, "+") || strncmp(version, target, n) != 0)
		return 1;
	return is == BCI_F_OS_VERSION && !isnan(d->number[wanted]) &&
	       revision_of(version) != d->number[wanted];
}

static double value_of(const struct bci_device *d, const struct bci_metric *m)
{
	switch (m->from) {
	case BCI_FROM_FIELD:
		return has(d, m->field) ? d->number[m->field] * m->scale : NAN;
	case BCI_FROM_RATIO:
		return bci_device_ratio(d, m->field, m->other);
	case BCI_FROM_CHOICE:
		if (has(d, m->field))
			return d->number[m->field] * m->scale;
		return has(d, m->other) ? d->number[m->other] * m->scale : NAN;
	case BCI_FROM_PRESENCE:
		return d->wrong & BCI_BIT(m->field) ? NAN : has(d, m->field);
	case BCI_FROM_UP:
		return up(d);
	case BCI_FROM_ON_TARGET:
		return bci_device_on_target(d) < 0 ? (double)NAN : (double)bci_device_on_target(d);
	case BCI_FROM_OFFLINE_SINCE:
		return offline_since(d);
	case BCI_FROM_PENDING:
		return is_pending(d, m->field, m->other);
	case BCI_FROM_COUNTING:
	case BCI_FROM_INFO:
		break;
	}
	return NAN;
}

void bci_device_record(const struct bci_device *d, const char *slug, enum bcrawl_scope scope,
                       struct bci_out *out, struct bci_record *r)
{
	bci_record_begin(r, out, scope);
	bci_record_label(r, "fleet", BCRAWL_ROLE_FLEET, slug);
	bci_record_label(r, "device_uuid", BCRAWL_ROLE_DEVICE, d->text[BCI_F_UUID]);
}

static void add_values(const struct bci_device *d, struct bci_out *out, struct bci_record *r)
{
	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++) {
		const struct bci_metric *m = bci_metric(i);
		double value;

		if (!out->wanted[i] || m->pub.scope != BCRAWL_SCOPE_DEVICE)
			continue;
		value = value_of(d, m);
		if (m->reported && !d->speaks)
			out->withheld[BCI_WITHHELD_STALE] += isfinite(value) != 0;
		else
			bci_record_value(r, i, value);
	}
}

static const char *text(const struct bci_device *d, enum bci_field f)
{
	return has(d, f) ? d->text[f] : NULL;
}

int bci_device_emit(const struct bci_device *d, const char *slug, const struct bci_tags *tags,
                    struct bci_out *out, struct bci_record *r)
{
	int rc;

	bci_device_record(d, slug, BCRAWL_SCOPE_DEVICE, out, r);
	add_values(d, out, r);
	rc = bci_record_end(r);
	if (rc || !out->wanted[BCI_M_DEVICE_INFO])
		return rc;

	bci_device_record(d, slug, BCRAWL_SCOPE_DEVICE, out, r);
	/* Where a name is all that an agent shows of an info, another label must not take its
	 * place. */
	bci_record_label(r, "device_name", BCRAWL_ROLE_DISPLAY_NAME,
	                 text(d, has(d, BCI_F_DEVICE_NAME) ? BCI_F_DEVICE_NAME : BCI_F_UUID));
	bci_record_label(r, "device_type", BCRAWL_ROLE_OTHER, text(d, BCI_F_DEVICE_TYPE));
	bci_record_label(r, "os_version", BCRAWL_ROLE_OTHER, text(d, BCI_F_OS_VERSION));
	bci_record_label(r, "os_variant", BCRAWL_ROLE_OTHER, text(d, BCI_F_OS_VARIANT));
	bci_record_label(r, "supervisor_version", BCRAWL_ROLE_OTHER,
			 text(d, BCI_F_SUPERVISOR_VERSION));
	bci_record_label(r, "release", BCRAWL_ROLE_OTHER, text(d, BCI_F_RELEASE_NAME));
	bci_tags_label(tags, d->rows, bci_fields[BCI_F_TAGS].name, r);
	bci_record_value(r, BCI_M_DEVICE_INFO, 1);
	return bci_record_end(r);
}
