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

static enum bci_json read_word(const struct json_object *o, const struct bci_field_row *row,
                               double *code, struct bci_stats *stats)
{
	const char *text;
	enum bci_json rc = bci_json_text(o, row->name, &text);

	if (rc != BCI_JSON_OK)
		return rc;
	*code = 0;
	for (size_t i = 0; row->words[i]; i++)
		if (strcmp(text, row->words[i]) == 0)
			*code = (double)(i + 1);
	if (*code == 0)
		reject(stats, BCI_REJECT_UNKNOWN_WORD);
	return BCI_JSON_OK;
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
                       struct bci_stats *stats)
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
			reject(stats, BCI_REJECT_RANGE);
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
		rc = read_word(o, row, &d->number[f], stats);
		break;
	case BCI_TYPE_TEXT:
		rc = bci_json_text(o, row->name, &d->text[f]);
		break;
	case BCI_TYPE_REF:
		rc = bci_json_ref(o, row->name, &id);
		d->number[f] = (double)id;
		break;
	}
	if (rc == BCI_JSON_OK)
		d->has |= BCI_BIT(f);
	if (rc == BCI_JSON_TYPE) {
		d->wrong |= BCI_BIT(f);
		reject(stats, BCI_REJECT_TYPE);
	}
}

static bool has(const struct bci_device *d, enum bci_field f)
{
	return d->has & BCI_BIT(f);
}

static bool is_word(const struct bci_device *d, enum bci_field f, const char *word)
{
	size_t code = has(d, f) ? (size_t)d->number[f] : 0;

	return code && strcmp(bci_fields[f].words[code - 1], word) == 0;
}

/* metrics.md section 1: inactive > connected > never > disconnected. */
static enum bci_connection decide_connection(const struct bci_device *d)
{
	bool vpn = has(d, BCI_F_VPN) && d->number[BCI_F_VPN] != 0;

	if (is_word(d, BCI_F_STATUS, "inactive"))
		return BCI_INACTIVE;
	if (vpn || is_word(d, BCI_F_HEARTBEAT, "online") || is_word(d, BCI_F_HEARTBEAT, "timeout"))
		return BCI_CONNECTED;
	if (is_word(d, BCI_F_HEARTBEAT, "unknown") && !has(d, BCI_F_LAST_CONNECTIVITY))
		return BCI_NEVER;
	return BCI_DISCONNECTED;
}

/* {"is_running__release":[{"id":2,"commit":"1a3d...","raw_version":"1.1.0"}]} */
static const char *release_name(const struct json_object *o)
{
	const struct json_object *row =
		bci_json_expanded(o, bci_fields[BCI_F_RUNNING_RELEASE].name);
	const char *name = NULL;

	if (row && bci_json_text(row, "raw_version", &name) != BCI_JSON_OK)
		bci_json_text(row, "commit", &name);
	return name;
}

static const char *device_type(const struct json_object *o)
{
	const struct json_object *row = bci_json_expanded(o, bci_fields[BCI_F_DEVICE_TYPE].name);
	const char *slug = NULL;

	if (row)
		bci_json_text(row, "slug", &slug);
	return slug;
}

int bci_device_read(struct bci_device *d, const struct json_object *o, uint64_t fields,
                    struct bci_stats *stats)
{
	/* An expanded device type has a slug and no id. */
	uint64_t plain = fields & ~BCI_BIT(BCI_F_DEVICE_TYPE);

	d->has = d->wrong = 0;
	d->fleet_id = 0;
	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (plain & BCI_BIT(f))
			read_field(d, o, (enum bci_field)f, stats);
	if (bci_json_id(o, bci_fields[BCI_F_ID].name, &d->id) != BCI_JSON_OK || !has(d, BCI_F_UUID))
		return BCRAWL_E_PROTOCOL;
	if (has(d, BCI_F_FLEET))
		d->fleet_id = (int64_t)d->number[BCI_F_FLEET];
	d->device_type = device_type(o);
	d->release = release_name(o);
	d->connection = decide_connection(d);
	return BCRAWL_OK;
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

static double value_of(const struct bci_device *d, const struct bci_metric *m)
{
	if (m->reported && d->connection != BCI_CONNECTED)
		return NAN;
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
	case BCI_FROM_COUNTING:
	case BCI_FROM_INFO:
		break;
	}
	return NAN;
}

static void begin(const struct bci_device *d, const char *slug, struct bci_out *out,
                  struct bci_record *r)
{
	bci_record_begin(r, out, BCRAWL_SCOPE_DEVICE);
	bci_record_label(r, "fleet", BCRAWL_ROLE_FLEET, slug);
	bci_record_label(r, "device_uuid", BCRAWL_ROLE_DEVICE, d->text[BCI_F_UUID]);
}

static const char *text(const struct bci_device *d, enum bci_field f)
{
	return has(d, f) ? d->text[f] : NULL;
}

int bci_device_emit(const struct bci_device *d, const char *slug, struct bci_out *out,
                    struct bci_record *r)
{
	int rc;

	begin(d, slug, out, r);
	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++)
		if (out->wanted[i] && bci_metric(i)->pub.scope == BCRAWL_SCOPE_DEVICE)
			bci_record_value(r, i, value_of(d, bci_metric(i)));
	rc = bci_record_end(r);
	if (rc || !out->wanted[BCI_M_DEVICE_INFO])
		return rc;

	begin(d, slug, out, r);
	/* Where a name is all that an agent shows of an info, another label must not take its
	 * place. */
	bci_record_label(r, "device_name", BCRAWL_ROLE_DISPLAY_NAME,
	                 text(d, has(d, BCI_F_DEVICE_NAME) ? BCI_F_DEVICE_NAME : BCI_F_UUID));
	bci_record_label(r, "device_type", BCRAWL_ROLE_OTHER, d->device_type);
	bci_record_label(r, "os_version", BCRAWL_ROLE_OTHER, text(d, BCI_F_OS_VERSION));
	bci_record_label(r, "os_variant", BCRAWL_ROLE_OTHER, text(d, BCI_F_OS_VARIANT));
	bci_record_label(r, "supervisor_version", BCRAWL_ROLE_OTHER,
			 text(d, BCI_F_SUPERVISOR_VERSION));
	bci_record_label(r, "release", BCRAWL_ROLE_OTHER, d->release);
	bci_record_value(r, BCI_M_DEVICE_INFO, 1);
	return bci_record_end(r);
}
