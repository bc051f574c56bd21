/* SPDX-License-Identifier: MIT
 *
 * The fleet list: reading it, choosing from it, emitting what it tells. */
#include "fleet.h"

#include "json.h"
#include "limits.h"
#include "options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void clear_row(struct bci_fleet *f)
{
	free(f->slug);
	free(f->name);
	free(f->organization);
	free(f->device_type);
	free(f->target);
	bci_tag_values_free(f->tags);
	bci_tally_clear(&f->tally);
	*f = (struct bci_fleet){ 0 };
}

void bci_fleets_clear(struct bci_fleets *fs)
{
	for (size_t i = 0; i < fs->n; i++)
		clear_row(&fs->rows[i]);
	fs->n = 0;
}

void bci_fleets_free(struct bci_fleets *fs)
{
	bci_fleets_clear(fs);
	free(fs->rows);
	*fs = (struct bci_fleets){ 0 };
}

static int grow(struct bci_fleets *fs)
{
	size_t cap = fs->cap ? 2 * fs->cap : 64;
	struct bci_fleet *rows;

	if (fs->n == BCI_FLEETS_MAX)
		return BCRAWL_E_LIMIT;
	if (fs->n < fs->cap)
		return BCRAWL_OK;
	rows = realloc(fs->rows, cap * sizeof(*rows));
	if (!rows)
		return BCRAWL_E_NOMEM;
	fs->rows = rows;
	fs->cap = cap;
	return BCRAWL_OK;
}

/* A copy of a text member in *out; false when out of memory. What is absent stays NULL. */
static bool copy_text(const struct json_object *o, const char *name, char **out,
                      struct bci_stats *stats)
{
	const char *text = NULL;

	if (!o || bci_stats_judge(stats, bci_json_text(o, name, &text)) != BCI_JSON_OK)
		return true;
	*out = strndup(text, BCI_TEXT_MAX);
	return *out;
}

/* [{"id":2,"commit":"1a3d...","raw_version":"1.1.0","created_at":"2026-..."}] or [] */
static bool read_target(struct bci_fleet *f, const struct json_object *o, struct bci_stats *stats)
{
	const struct json_object *row = bci_json_expanded(o, "should_be_running__release");
	const char *date = NULL;

	f->target_created = NAN;
	if (!row)
		return true;
	if (bci_stats_judge(stats, bci_json_id(row, "id", &f->target_id)) != BCI_JSON_OK)
		f->target_id = 0;
	if (bci_stats_judge(stats, bci_json_text(row, "created_at", &date)) == BCI_JSON_OK &&
	    !bci_date_parse(date, &f->target_created)) {
		f->target_created = NAN;
		stats->rejected[BCI_REJECT_TYPE]++;
	}
	if (!copy_text(row, "raw_version", &f->target, stats))
		return false;
	return f->target || copy_text(row, "commit", &f->target, stats);
}

/* [{"status":"success"}], the newest release alone, or [] */
static int read_latest(const struct json_object *o, struct bci_stats *stats)
{
	const struct json_object *row = bci_json_row(o, "owns__release", 0);
	const char *text;
	size_t code;

	if (!row || bci_stats_judge(stats, bci_json_text(row, "status", &text)) != BCI_JSON_OK)
		return -1;
	code = bci_word_code(bci_release_words, text);
	if (code == 0)
		bci_stats_unknown_word(stats, "status of a release", text);
	return (int)code;
}

static bool read_row(struct bci_fleet *f, const struct json_object *o, const struct bci_tags *tags,
                     struct bci_stats *stats)
{
	bool tracks;

	f->tracks_latest = -1;
	if (bci_stats_judge(stats, bci_json_bool(o, "should_track_latest_release", &tracks)) ==
	    BCI_JSON_OK)
		f->tracks_latest = tracks;
	f->latest_status = read_latest(o, stats);
	for (size_t i = 0; i < ARRAY_LEN(f->counted); i++)
		f->counted[i] = -1;
	bci_json_id(o, "owns__device", &f->counted[BCI_COUNT_ALL]);
	return copy_text(o, "slug", &f->slug, stats) && copy_text(o, "app_name", &f->name, stats) &&
	       copy_text(bci_json_expanded(o, "organization"), "handle", &f->organization, stats) &&
	       copy_text(bci_json_expanded(o, "is_for__device_type"), "slug", &f->device_type,
			 stats) &&
	       read_target(f, o, stats) && !bci_tags_copy(tags, o, "application_tag", &f->tags);
}

int bci_fleets_add(struct bci_fleets *fs, const struct json_object *o, const struct bci_tags *tags,
                   struct bci_stats *stats)
{
	struct bci_fleet row = { 0 };
	int rc = grow(fs);

	if (rc)
		return rc;
	if (bci_json_id(o, "id", &row.id) != BCI_JSON_OK || row.id == 0 ||
	    (fs->n > 0 && row.id <= fs->rows[fs->n - 1].id))
		return BCRAWL_E_PROTOCOL;
	rc = read_row(&row, o, tags, stats) ? BCRAWL_OK : BCRAWL_E_NOMEM;
	if (!rc && (!row.slug || row.counted[BCI_COUNT_ALL] < 0))
		rc = BCRAWL_E_PROTOCOL;
	if (rc) {
		clear_row(&row);
		return rc;
	}
	fs->rows[fs->n++] = row;
	return BCRAWL_OK;
}

static int compare_id(const void *key, const void *row)
{
	int64_t id = *(const int64_t *)key, other = ((const struct bci_fleet *)row)->id;

	return id < other ? -1 : id > other;
}

struct bci_fleet *bci_fleets_find(const struct bci_fleets *fs, int64_t id)
{
	return fs->n ? bsearch(&id, fs->rows, fs->n, sizeof(*fs->rows), compare_id) : NULL;
}

int bci_fleets_count(struct bci_fleets *fs, const struct json_object *o, enum bci_count count)
{
	struct bci_fleet *f;
	int64_t id, n;

	if (bci_json_id(o, "id", &id) != BCI_JSON_OK ||
	    bci_json_id(o, "owns__device", &n) != BCI_JSON_OK)
		return BCRAWL_E_PROTOCOL;
	f = bci_fleets_find(fs, id);
	if (f)
		f->counted[count] = n;
	return BCRAWL_OK;
}

const char *bci_fleet_organization(const struct bci_fleet *f, char room[BCI_TEXT_MAX])
{
	if (f->organization)
		return f->organization;
	snprintf(room, BCI_TEXT_MAX, "%.*s", (int)strcspn(f->slug, "/"), f->slug);
	return room;
}

bool bci_selection_holds(const struct bci_selection *s, const struct bci_fleet *f)
{
	char room[BCI_TEXT_MAX];
	const char *organization = bci_fleet_organization(f, room);

	return bci_globs_match(s->fleets, f->slug) &&
	       !bci_globs_match(s->exclude_fleets, f->slug) &&
	       bci_globs_match(s->organizations, organization) &&
	       !bci_globs_match(s->exclude_organizations, organization);
}

void bci_fleets_keep(struct bci_fleets *fs, bool (*keep)(void *user, const struct bci_fleet *f),
                     void *user)
{
	size_t kept = 0;

	for (size_t i = 0; i < fs->n; i++) {
		if (keep(user, &fs->rows[i]))
			fs->rows[kept++] = fs->rows[i];
		else
			clear_row(&fs->rows[i]);
	}
	fs->n = kept;
}

void bci_fleet_record(const struct bci_fleet *f, struct bci_out *out, struct bci_record *r)
{
	bci_record_begin(r, out, BCRAWL_SCOPE_FLEET);
	bci_record_label(r, "fleet", BCRAWL_ROLE_FLEET, f->slug);
}

int bci_fleet_emit(const struct bci_fleet *f, const struct bci_tags *tags, struct bci_out *out,
                   struct bci_record *r)
{
	char id[24];
	int rc;

	bci_fleet_record(f, out, r);
	bci_record_value(r, BCI_M_FLEET_SUCCESS, f->read);
	if (f->target)
		bci_record_value(r, BCI_M_FLEET_TARGET_CREATED, f->target_created);
	if (f->id && f->tracks_latest >= 0)
		bci_record_value(r, BCI_M_FLEET_TRACKS_LATEST, f->tracks_latest);
	if (f->id && f->latest_status >= 0)
		bci_record_value(r, BCI_M_FLEET_LATEST_STATUS, f->latest_status);
	rc = bci_record_end(r);
	if (rc || !f->id)
		return rc;

	snprintf(id, sizeof(id), "%lld", (long long)f->id);
	bci_fleet_record(f, out, r);
	bci_record_label(r, "fleet_name", BCRAWL_ROLE_DISPLAY_NAME, f->name ? f->name : f->slug);
	bci_record_label(r, "organization", BCRAWL_ROLE_OTHER, f->organization);
	bci_record_label(r, "device_type", BCRAWL_ROLE_OTHER, f->device_type);
	bci_record_label(r, "fleet_id", BCRAWL_ROLE_OTHER, id);
	bci_tag_values_label(tags, f->tags, r);
	bci_record_value(r, BCI_M_FLEET_INFO, 1);
	rc = bci_record_end(r);
	if (rc || !f->target)
		return rc;

	bci_fleet_record(f, out, r);
	bci_record_label(r, "release", BCRAWL_ROLE_OTHER, f->target);
	bci_record_value(r, BCI_M_FLEET_TARGET_INFO, 1);
	return bci_record_end(r);
}

int bci_fleet_emit_counts(const struct bci_fleet *f, bool activation, struct bci_out *out,
                          struct bci_record *r)
{
	int64_t inactive = activation ? f->counted[BCI_COUNT_INACTIVE] : 0;
	const struct {
		const char *word;
		int64_t n;
	} parts[] = {
		{ "connected", f->counted[BCI_COUNT_CONNECTED] },
		{ "disconnected", f->counted[BCI_COUNT_ALL] - f->counted[BCI_COUNT_CONNECTED] -
		                          f->counted[BCI_COUNT_NEVER] - inactive },
		{ "never", f->counted[BCI_COUNT_NEVER] },
		{ "inactive", inactive },
	};
	int rc;

	bci_fleet_record(f, out, r);
	bci_record_value(r, BCI_M_FLEET_DEVICES, (double)f->counted[BCI_COUNT_ALL]);
	rc = bci_record_end(r);
	if (rc)
		return rc;
	bci_fleet_record(f, out, r);
	bci_record_label(r, "fleet_name", BCRAWL_ROLE_DISPLAY_NAME, f->name ? f->name : f->slug);
	if (f->counted[BCI_COUNT_ONLINE] >= 0)
		bci_record_value(r, BCI_M_DEVICES_ONLINE, (double)f->counted[BCI_COUNT_ONLINE]);
	rc = bci_record_end(r);

	/* The counts are of different moments: parts that do not add up are not told. */
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i].n < 0) {
			if (out->wanted[BCI_M_FLEET_BY_CONNECTION])
				out->withheld[BCI_WITHHELD_INCONSISTENT] += ARRAY_LEN(parts);
			return rc;
		}
	for (size_t i = 0; i < ARRAY_LEN(parts) && !rc; i++) {
		bci_fleet_record(f, out, r);
		bci_record_label(r, bci_metric(BCI_M_FLEET_BY_CONNECTION)->pub.labels,
		                 BCRAWL_ROLE_OTHER, parts[i].word);
		bci_record_value(r, BCI_M_FLEET_BY_CONNECTION, (double)parts[i].n);
		rc = bci_record_end(r);
	}
	return rc;
}
