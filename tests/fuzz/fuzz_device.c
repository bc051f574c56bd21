/* SPDX-License-Identifier: MIT
 *
 * Devices of one fleet, from the API's objects to records and sums: whatever the rows hold, the
 * records keep their promises (fuzz_sink.c), partitions add up to the fleet, and what is withheld
 * because a device is not connected is just what would come if that were kept.
 *
 * Input: a byte of switches, a byte of fields that the server lacks, then a row or an array of
 * rows. */
#include "fuzz_sink.h"

#include "fleet.h"
#include "json.h"

#include <json-c/json.h>
#include <math.h>

#define ALL_FIELDS   ((BCI_BIT(BCI_F__COUNT - 1) - 1) | BCI_BIT(BCI_F__COUNT - 1))
#define DEVICES_MAX  12
#define TIME_MS      1795414724000

struct crawl {
	int version;
	uint64_t fields;
	bool keep_stale, account;
	bool wanted[BCI_M__COUNT];
	struct bci_tags tags;

	/* what came of it */
	struct fuzz_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	size_t devices;
	char uuids[DEVICES_MAX][BCI_LABEL_VALUE_MAX + 1];
};

static bool is_numeric(enum bci_field_type type)
{
	return type == BCI_TYPE_NUMBER || type == BCI_TYPE_NUMBER_TEXT;
}

static void check_field(const struct bci_device *d, enum bci_field f)
{
	const struct bci_field_row *row = &bci_fields[f];
	size_t words = 0;

	FUZZ_CHECK_OF(row->name, !(d->wrong & BCI_BIT(f)));
	if (is_numeric(row->type))
		FUZZ_CHECK_OF(row->name, d->number[f] >= row->min && d->number[f] <= row->max);
	if (row->type == BCI_TYPE_NUMBER || row->type == BCI_TYPE_REF)
		FUZZ_CHECK_OF(row->name, d->number[f] == floor(d->number[f]));
	if (row->type == BCI_TYPE_BOOL)
		FUZZ_CHECK_OF(row->name, d->number[f] == 0 || d->number[f] == 1);
	if (row->type == BCI_TYPE_TEXT || row->type == BCI_TYPE_NAME)
		FUZZ_CHECK_OF(row->name, d->text[f] && *d->text[f]);
	if (row->type == BCI_TYPE_WORD) {
		while (row->words[words])
			words++;
		FUZZ_CHECK_OF(row->name, d->number[f] >= 0 && d->number[f] <= (double)words);
	}
}

static void check_device(const struct crawl *c, const struct bci_device *d)
{
	FUZZ_CHECK(!((d->has | d->wrong) & ~(c->fields | BCI_BIT(BCI_F_PINNED_RELEASE))));
	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (bci_device_has(d, (enum bci_field)f))
			check_field(d, (enum bci_field)f);
	FUZZ_CHECK(d->connection < BCI_CONNECTION__COUNT);
	FUZZ_CHECK(d->speaks == (c->keep_stale || d->connection == BCI_CONNECTED));
	FUZZ_CHECK(d->id >= 0 && d->fleet_id >= 0);
}

/* A server gives each device a uuid of its own; one that does not gives the same series twice. */
static bool is_new(struct crawl *c, const struct bci_device *d)
{
	char *uuid = c->uuids[c->devices];

	(void)bci_label_clean(uuid, BCI_LABEL_VALUE_MAX, d->text[BCI_F_UUID]);
	for (size_t i = 0; i < c->devices; i++)
		if (strcmp(c->uuids[i], uuid) == 0)
			return false;
	return true;
}

static uint64_t rejected(const struct bci_stats *s)
{
	return s->rejected[BCI_REJECT_TYPE] + s->rejected[BCI_REJECT_RANGE];
}

/* Values so far that devices report themselves. */
static size_t reported(const struct crawl *c)
{
	size_t n = 0;

	for (size_t i = 0; i < BCI_M__COUNT; i++)
		if (bci_metric((enum bci_metric_id)i)->reported)
			n += c->sink.count[i];
	return n;
}

static void add_row(struct crawl *c, struct bci_fleet *fleet, const struct json_object *o)
{
	const struct bci_reading how = { .version = c->version, .fields = c->fields,
		                         .keep_stale = c->keep_stale, .stats = &c->stats };
	/* Zeroed by nobody else either: what is not has is not to be looked at. */
	struct bci_device *d = malloc(sizeof(*d));
	static struct bci_record record;
	uint64_t before = rejected(&c->stats), wrong;
	size_t reports = reported(c), services = c->sink.count[BCI_M_SERVICE_STATUS];
	int rc;

	FUZZ_CHECK(d);
	rc = bci_device_read(d, o, &how);
	/* Each field that is wrong was counted once; version 6 has one for two. */
	wrong = c->version == 6 ? d->wrong & ~BCI_BIT(BCI_F_PINNED_RELEASE) : d->wrong;
	FUZZ_CHECK(rejected(&c->stats) - before == (uint64_t)__builtin_popcountll(wrong));
	FUZZ_CHECK(rc == 0 || rc == BCRAWL_E_PROTOCOL);
	if (!rc && c->devices < DEVICES_MAX && is_new(c, d)) {
		c->devices++;
		check_device(c, d);
		if (c->version == 6)
			bci_device_add_target(d, fleet->target_id);
		FUZZ_CHECK(bci_tally_add(&fleet->tally, d) == 0);
		FUZZ_CHECK(bci_device_emit(d, fleet->slug, &c->tags, &c->out, &record) == 0);
		if (c->fields & BCI_BIT(BCI_F_INSTALLS))
			FUZZ_CHECK(bci_services_read(&fleet->tally.services, d, fleet->slug,
			                             &c->stats, &c->out, &record) == 0);
		/* What was true when it was last seen is not shown as true now. */
		if (!d->speaks)
			FUZZ_CHECK(reported(c) == reports &&
			           c->sink.count[BCI_M_SERVICE_STATUS] == services);
	}
	free(d);
}

/* A partition's parts add up to the fleet. */
static void check_partitions(const struct crawl *c)
{
	static const enum bci_metric_id partitions[] = {
		BCI_M_FLEET_BY_CONNECTION, BCI_M_FLEET_BY_STATUS,     BCI_M_FLEET_BY_HEARTBEAT,
		BCI_M_FLEET_BY_UPDATE,     BCI_M_FLEET_BY_ROLLOUT,    BCI_M_FLEET_BY_RELEASE,
		BCI_M_FLEET_BY_OS,         BCI_M_FLEET_BY_SUPERVISOR, BCI_M_FLEET_BY_TYPE,
	};

	for (size_t i = 0; i < ARRAY_LEN(partitions); i++) {
		enum bci_metric_id id = partitions[i];

		if (id == BCI_M_FLEET_BY_UPDATE && !(c->fields & BCI_BIT(BCI_F_UPDATE_STATUS)))
			continue;
		FUZZ_CHECK((c->sink.count[id] > 0) == c->wanted[id]);
		if (c->wanted[id])
			FUZZ_CHECK_OF(bci_metric(id)->pub.name,
			              c->sink.sum[id] == (double)c->devices);
	}
}

static void run(struct crawl *c, const struct json_object *rows)
{
	struct bci_names last = { 0 }, now = { 0 };
	struct bci_naming naming = { .top = 2, .last = &last, .now = &now };
	struct bci_fleet fleet = { .id = 7, .target_id = 3 };
	static char slug[] = "org/f", target[] = "1.2.3";
	static struct bci_record record;

	fleet.slug = slug;
	fleet.target = target;
	fuzz_sink_init(&c->sink, c->account, TIME_MS);
	c->out = (struct bci_out){ .sink = &c->sink.sink, .user = &c->sink, .time_ms = TIME_MS,
		                   .account = "a", .account_everywhere = c->account,
		                   .wanted = c->wanted, .stats = &c->stats, .clock = &c->sink.clock };
	if (json_object_is_type(rows, json_type_array)) {
		size_t n = json_object_array_length(rows);

		for (size_t i = 0; i < n && i < 4 * DEVICES_MAX; i++) {
			struct json_object *o = json_object_array_get_idx(rows, i);

			if (json_object_is_type(o, json_type_object))
				add_row(c, &fleet, o);
		}
	} else {
		add_row(c, &fleet, rows);
	}
	FUZZ_CHECK(bci_tally_emit(&fleet, c->fields, &naming, &c->out, &record) == 0);
	FUZZ_CHECK(fleet.tally.devices == c->devices);
	check_partitions(c);
	bci_tally_clear(&fleet.tally);
	bci_names_free(&last);
	bci_names_free(&now);
}

static size_t scoped(const struct crawl *c, enum bcrawl_scope scope)
{
	size_t n = 0;

	for (size_t i = 0; i < BCI_M__COUNT; i++)
		if (bci_metric((enum bci_metric_id)i)->pub.scope == scope)
			n += c->sink.count[i];
	return n;
}

/* What the one crawl withholds is what the other shows. */
static void compare(const struct crawl *drop, const struct crawl *keep)
{
	size_t dropped = scoped(drop, BCRAWL_SCOPE_DEVICE) + scoped(drop, BCRAWL_SCOPE_SERVICE);
	size_t kept = scoped(keep, BCRAWL_SCOPE_DEVICE) + scoped(keep, BCRAWL_SCOPE_SERVICE);

	FUZZ_CHECK(keep->out.withheld[BCI_WITHHELD_STALE] == 0);
	FUZZ_CHECK(dropped + drop->out.withheld[BCI_WITHHELD_STALE] == kept);
	for (size_t i = 0; i < BCI_WITHHELD__COUNT; i++)
		if (i != BCI_WITHHELD_STALE)
			FUZZ_CHECK(drop->out.withheld[i] == keep->out.withheld[i]);
	for (size_t i = 0; i < BCI_REJECT__COUNT; i++)
		if (i != BCI_REJECT_TOO_LONG)
			FUZZ_CHECK(drop->stats.rejected[i] == keep->stats.rejected[i]);
	FUZZ_CHECK(drop->devices == keep->devices);
}

static void fini(struct crawl *c)
{
	fuzz_sink_fini(&c->sink);
	bci_tags_free(&c->tags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const sets[] = { "@all", "@all", "@standard", "@lean" };
	static struct crawl drop, keep;
	struct fuzz_input in = { data, size };
	uint8_t switches = fuzz_byte(&in), lacks = fuzz_byte(&in);
	char *text = fuzz_text(&in, 0);
	struct json_object *rows = json_tokener_parse(text);

	if (json_object_is_type(rows, json_type_object) ||
	    json_object_is_type(rows, json_type_array)) {
		drop = (struct crawl){ .version = switches & 1 ? 6 : 7, .account = switches & 2 };
		/* Any field but those that make a device: bits of a byte, spread. */
		drop.fields = ALL_FIELDS & ~((uint64_t)lacks * UINT64_C(0x0101010101010101));
		if (lacks == 0 || switches & 4)
			drop.fields = ALL_FIELDS;
		drop.fields |= BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID) | BCI_STATE_FIELDS;
		if (drop.version == 6)
			for (size_t f = 0; f < BCI_F__COUNT; f++)
				if (bci_fields[f].since7)
					drop.fields &= ~BCI_BIT(f);
		FUZZ_CHECK(bci_metrics_select(sets[switches >> 3 & 3], drop.wanted));
		keep = drop;
		keep.keep_stale = true;
		FUZZ_CHECK(bci_tags_parse(&drop.tags, "site,owner_x", NULL) == 0);
		FUZZ_CHECK(bci_tags_parse(&keep.tags, "site,owner_x", NULL) == 0);
		run(&drop, rows);
		run(&keep, rows);
		compare(&drop, &keep);
		fini(&drop);
		fini(&keep);
	}
	json_object_put(rows);
	free(text);
	return 0;
}
