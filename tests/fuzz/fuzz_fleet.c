/* SPDX-License-Identifier: MIT
 *
 * The fleet list: rows, counts and selection, then all that is emitted of fleets without devices.
 *
 * Input: a byte of switches, then lines: a row of the list, or behind one of the digits 0 to 4 a
 * row of that list of counts, or behind one of f F o O a glob: fleets and organizations, the small
 * letter includes, the capital excludes. */
#include "fuzz_sink.h"

#include "fleet.h"
#include "json.h"
#include "options.h"

#include <json-c/json.h>
#include <math.h>

#define FLEETS_MAX 16
#define TIME_MS    1795414724000

struct world {
	struct bci_fleets fleets;
	struct bci_tags tags;
	struct bci_stats stats;
	struct bci_selection selection;
	char *globs[4]; /* of the selection */
};

static void check_fleet(const struct bci_fleet *f)
{
	FUZZ_CHECK(f->id > 0 && f->slug && *f->slug);
	FUZZ_CHECK(f->target_id >= 0);
	FUZZ_CHECK(isnan(f->target_created) || f->target_created >= 0);
	FUZZ_CHECK(f->tracks_latest >= -1 && f->tracks_latest <= 1);
	FUZZ_CHECK(f->counted[BCI_COUNT_ALL] >= 0);
	FUZZ_CHECK(strlen(f->slug) <= BCI_TEXT_MAX);
}

static void add_fleet(struct world *w, const struct json_object *o)
{
	size_t before = w->fleets.n;
	int rc;

	if (before == FLEETS_MAX)
		return;
	rc = bci_fleets_add(&w->fleets, o, &w->tags, &w->stats);
	FUZZ_CHECK(rc == 0 || rc == BCRAWL_E_PROTOCOL);
	FUZZ_CHECK(w->fleets.n == before + (rc == 0));
	if (rc)
		return;
	check_fleet(&w->fleets.rows[before]);
	FUZZ_CHECK(before == 0 || w->fleets.rows[before].id > w->fleets.rows[before - 1].id);
	FUZZ_CHECK(bci_fleets_find(&w->fleets, w->fleets.rows[before].id) ==
	           &w->fleets.rows[before]);
}

static void add_count(struct world *w, const struct json_object *o, enum bci_count count)
{
	int rc = bci_fleets_count(&w->fleets, o, count);

	FUZZ_CHECK(rc == 0 || rc == BCRAWL_E_PROTOCOL);
}

static void add_glob(struct world *w, size_t which, const char *text)
{
	/* As options.c lets it through. */
	struct bcrawl_config *cfg = bcrawl_config_new();
	int rc;

	FUZZ_CHECK(cfg);
	rc = bcrawl_config_set(cfg, bcrawl_option_at(BCI_OPT_FLEET)->key, text, NULL);
	bcrawl_config_free(cfg);
	if (rc)
		return;
	free(w->globs[which]);
	w->globs[which] = strdup(text);
	FUZZ_CHECK(w->globs[which]);
}

static void add_line(struct world *w, const char *line)
{
	static const char letters[] = "fFoO";
	const char *letter = *line ? strchr(letters, *line) : NULL;
	bool counts = *line >= '0' && *line <= '4';
	struct json_object *o;

	if (letter) {
		add_glob(w, (size_t)(letter - letters), line + 1);
		return;
	}
	o = json_tokener_parse(line + counts);
	if (json_object_is_type(o, json_type_object)) {
		if (counts)
			add_count(w, o, (enum bci_count)(*line - '0'));
		else
			add_fleet(w, o);
	}
	json_object_put(o);
}

/* The first fleet of its name: a server that has two gives the same series twice. */
static bool is_first(const struct world *w, size_t i)
{
	char a[BCI_LABEL_VALUE_MAX + 1], b[BCI_LABEL_VALUE_MAX + 1];

	(void)bci_label_clean(a, BCI_LABEL_VALUE_MAX, w->fleets.rows[i].slug);
	for (size_t k = 0; k < i; k++) {
		(void)bci_label_clean(b, BCI_LABEL_VALUE_MAX, w->fleets.rows[k].slug);
		if (strcmp(a, b) == 0)
			return false;
	}
	return true;
}

static bool is_held(void *selection, const struct bci_fleet *f)
{
	return bci_selection_holds(selection, f);
}

static void select_fleets(struct world *w)
{
	size_t chosen = 0, i = 0;
	int64_t kept[FLEETS_MAX];

	w->selection = (struct bci_selection){
		.fleets = w->globs[0] ? w->globs[0] : "*",
		.exclude_fleets = w->globs[1] ? w->globs[1] : "",
		.organizations = w->globs[2] ? w->globs[2] : "*",
		.exclude_organizations = w->globs[3] ? w->globs[3] : "",
	};
	for (size_t k = 0; k < w->fleets.n; k++)
		if (bci_selection_holds(&w->selection, &w->fleets.rows[k]))
			kept[chosen++] = w->fleets.rows[k].id;
	bci_fleets_keep(&w->fleets, is_held, &w->selection);
	FUZZ_CHECK(w->fleets.n == chosen);
	for (; i < chosen; i++)
		FUZZ_CHECK(w->fleets.rows[i].id == kept[i]);
}

/* Counts of the server or the sums of devices, never both: they are the same series. */
static void emit(struct world *w, struct bci_out *out, bool counts, bool activation,
                 const struct bci_naming *naming)
{
	static struct bci_record record;

	for (size_t i = 0; i < w->fleets.n; i++) {
		struct bci_fleet *f = &w->fleets.rows[i];

		if (!is_first(w, i))
			continue;
		f->read = true;
		FUZZ_CHECK(bci_fleet_emit(f, &w->tags, out, &record) == 0);
		if (counts)
			FUZZ_CHECK(bci_fleet_emit_counts(f, activation, out, &record) == 0);
		else
			FUZZ_CHECK(bci_tally_emit(f, UINT64_MAX, naming, out, &record) == 0);
	}
}

/* A partition that comes adds up; one that does not was counted as withheld. */
static void check_counts(const struct world *w, const struct bci_out *out,
                         const struct fuzz_sink *sink)
{
	size_t fleets = sink->count[BCI_M_FLEET_SUCCESS];
	size_t whole = sink->count[BCI_M_FLEET_BY_CONNECTION];

	FUZZ_CHECK(whole + out->withheld[BCI_WITHHELD_INCONSISTENT] == 4 * fleets);
	if (whole == 4 * w->fleets.n)
		FUZZ_CHECK(sink->sum[BCI_M_FLEET_BY_CONNECTION] == sink->sum[BCI_M_FLEET_DEVICES] ||
		           sink->sum[BCI_M_FLEET_DEVICES] > 9007199254740992.0);
}

static void emit_all(struct world *w, uint8_t switches)
{
	struct bci_names last = { 0 }, now = { 0 };
	struct bci_naming naming = { .top = 3, .last = &last, .now = &now };
	bool wanted[BCI_M__COUNT], counts = switches & 1;
	struct fuzz_sink sink;
	struct bci_out out = { .sink = &sink.sink, .user = &sink, .time_ms = TIME_MS,
		               .account = "a", .account_everywhere = switches & 2, .wanted = wanted,
		               .stats = &w->stats, .clock = &sink.clock };

	FUZZ_CHECK(bci_metrics_select("@all", wanted));
	fuzz_sink_init(&sink, switches & 2, TIME_MS);
	emit(w, &out, counts, switches & 4, &naming);
	if (counts)
		check_counts(w, &out, &sink);
	fuzz_sink_fini(&sink);
	bci_names_free(&last);
	bci_names_free(&now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct fuzz_input in = { data, size };
	uint8_t switches = fuzz_byte(&in);

	w = (struct world){ 0 };
	FUZZ_CHECK(bci_tags_parse(&w.tags, "site,owner_x", NULL) == 0);
	while (in.left > 0) {
		char *line = fuzz_text(&in, '\n');

		add_line(&w, line);
		free(line);
	}
	select_fleets(&w);
	emit_all(&w, switches);
	bci_fleets_free(&w.fleets);
	bci_tags_free(&w.tags);
	for (size_t i = 0; i < ARRAY_LEN(w.globs); i++)
		free(w.globs[i]);
	return 0;
}
