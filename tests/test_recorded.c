/* SPDX-License-Identifier: MIT
 *
 * Every recorded body of devices and of applications, through the page parser and the mapping,
 * against golden/recorded_v6.txt and golden/recorded_v7.txt: a section for each file, with all that
 * comes out of it, or why it is refused. The golden text was checked against the recordings; it is
 * written anew with GOLDEN_UPDATE=1 in the environment, as a diff to review.
 *
 * Recordings were not made by this crawler. What they did not ask for must not count as null, so a
 * metric is wanted if all was asked for that it needs. Where they lack what our requests always ask
 * for, such as the uuid, they are refused; then a second reading has that put in from the recording
 * that has all devices, or all applications. */
#include "buf.h"
#include "fake_sink.h"
#include "fleet.h"
#include "page.h"
#include "unit.h"

#include <ctype.h>
#include <dirent.h>
#include <json-c/json.h>

#define GOLDEN_BYTES_MAX 2000000
#define TAG_KEYS "site asset-id env"
/* A section that is shorter says itself what came, though another one says the same. */
#define SAME_BYTES_MIN 400

/* Without these it is no device. */
#define ROW_FIELDS (BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID))

static const char *program;

/* What is known beside the body: all of it recorded too. */
struct world {
	int version;
	struct json_object *device_list; /* {"d":[...]} */
	struct bci_fleets fleets;
	struct bci_fleet none;     /* for devices of no fleet */
	struct bci_fleet unasked;  /* for devices whose fleet was not asked for */
	struct bci_tags tags;
};

/* One reading of one body. */
struct env {
	struct world *world;
	struct fake_sink sink;
	struct bci_stats stats;
	struct bci_out out;
	struct bci_record record;
	bool wanted[BCI_M__COUNT];
	struct bci_names last, now;
	uint64_t fields, put_in;
	struct bci_device device;
	struct bci_fleets fleets;
};

static void env_init(struct env *e, struct world *w)
{
	memset(e, 0, sizeof(*e));
	e->world = w;
	fake_sink_init(&e->sink);
	e->out = fake_sink_out(&e->sink, "@all", e->wanted, &e->stats);
}

static void env_fini(struct env *e)
{
	for (size_t i = 0; i < e->world->fleets.n; i++)
		bci_tally_clear(&e->world->fleets.rows[i].tally);
	bci_tally_clear(&e->world->none.tally);
	bci_tally_clear(&e->world->unasked.tally);
	bci_names_free(&e->last);
	bci_names_free(&e->now);
	bci_fleets_free(&e->fleets);
	fake_sink_fini(&e->sink);
}

/* ---- what came ---- */

static const char *labels(const struct fake_series *s)
{
	return strchr(s->name, '{');
}

static int by_labels(const void *pa, const void *pb)
{
	const struct fake_series *a = pa, *b = pb;
	int order = strcmp(labels(a), labels(b));

	return order ? order : strcmp(a->name, b->name);
}

/* The lines of fake_sink_text(), but the labels of several metrics are told once. */
static void put_series(struct bci_buf *b, struct fake_sink *s)
{
	size_t n;

	if (s->n)
		qsort(s->series, s->n, sizeof(*s->series), by_labels);
	for (size_t i = 0; i < s->n; i += n) {
		const char *of = labels(&s->series[i]);

		for (n = 1; i + n < s->n && strcmp(labels(&s->series[i + n]), of) == 0; n++)
			;
		if (n == 1) {
			bci_buf_addf(b, "%s %.15g\n", s->series[i].name, s->series[i].value);
			continue;
		}
		bci_buf_addf(b, "%s\n", of);
		for (size_t k = i; k < i + n; k++)
			bci_buf_addf(b, "\t%.*s %.15g\n", (int)strcspn(s->series[k].name, "{"),
			             s->series[k].name, s->series[k].value);
	}
}

static void put_counts(struct bci_buf *b, const char *what, const char *const *reasons,
                       const uint64_t *counts, size_t n)
{
	bool any = false;

	bci_buf_addf(b, "%s:", what);
	for (size_t i = 0; i < n; i++)
		if (counts[i] && reasons[i]) {
			bci_buf_addf(b, " %s %llu", reasons[i], (unsigned long long)counts[i]);
			any = true;
		}
	bci_buf_adds(b, any ? "\n" : " none\n");
}

static void put_outcome(struct bci_buf *b, struct env *e)
{
	static const char *const reject[BCI_REJECT__COUNT] = { "type", "range", "unknown_word", "too_long" };
	static const char *const withheld[BCI_WITHHELD__COUNT] = { "stale", "superseded", "inconsistent",
		                                                   "capped", "agent" };

	assert_int_equal(e->sink.duplicates, 0);
	put_series(b, &e->sink);
	put_counts(b, "rejected", reject, e->stats.rejected, BCI_REJECT__COUNT);
	put_counts(b, "withheld", withheld, e->out.withheld, BCI_WITHHELD__COUNT);
	for (size_t i = 0; i < e->stats.unknown_count; i++)
		bci_buf_addf(b, "unknown word of %s: \"%s\"\n", e->stats.unknown[i].field, e->stats.unknown[i].word);
}

/* Feeds a whole body; says how that ended. */
static int read_page(struct bci_buf *b, const char *as, const char *body, bci_page_element_fn *fn,
                     struct env *e)
{
	struct bci_page *p = bci_page_new(fn, e);
	int rc;

	assert_non_null(p);
	rc = bci_page_feed(p, body, strlen(body));
	if (!rc)
		rc = bci_page_finish(p);
	/* Nothing else has a place here: no cap, no lack of memory. */
	assert_true(rc == 0 || rc == BCRAWL_E_PROTOCOL);
	if (rc)
		bci_buf_addf(b, "%s: refused, PROTOCOL: the answer %s\n", as, bci_page_reason(p));
	else
		bci_buf_addf(b, "%s: read\n", as);
	bci_page_free(p);
	return rc;
}

/* ---- what was asked for ---- */

/* A top-level option of "GET /v7/device?$select=id,uuid&$expand=a($select=b;$top=1),c HTTP/1.1", of n
 * bytes; NULL if it is not there. */
static const char *option(const char *request, const char *name, size_t *n)
{
	const char *at = request + strcspn(request, "?");

	while (*at == '?' || *at == '&') {
		at++;
		*n = strcspn(at, "& ");
		if (strncmp(at, name, strlen(name)) == 0) {
			*n -= strlen(name);
			return at + strlen(name);
		}
		at += *n;
	}
	return NULL;
}

/* Whether an option's list has a name, be it with options of its own. */
static bool lists(const char *list, size_t n, const char *name)
{
	size_t len = strlen(name);
	int depth = 0;

	for (size_t i = 0; list && i < n; i++) {
		bool begins = depth == 0 && (i == 0 || list[i - 1] == ',');

		if (begins && i + len <= n && strncmp(list + i, name, len) == 0 &&
		    (i + len == n || strchr(",(", list[i + len])))
			return true;
		depth += (list[i] == '(') - (list[i] == ')');
	}
	return false;
}

/* Without $select the server tells every field it has. */
static bool has_member(const char *body, const char *name)
{
	char quoted[80];

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	return strstr(body, quoted);
}

static uint64_t asked_fields(const char *request, const char *body)
{
	size_t select_n = 0, expand_n = 0;
	const char *select = option(request, "$select=", &select_n);
	const char *expand = option(request, "$expand=", &expand_n);
	uint64_t fields = 0;

	for (size_t f = 0; f < BCI_F__COUNT; f++) {
		const struct bci_field_row *row = &bci_fields[f];
		bool asked = lists(expand, expand_n, row->name);

		if (!row->expand && row->type != BCI_TYPE_ROWS)
			asked |= select ? lists(select, select_n, row->name) : has_member(body, row->name);
		if (asked)
			fields |= BCI_BIT(f);
	}
	return fields;
}

/* Whether version or kind of the server may be why a field is not there: server.c. */
static bool may_lack(enum bci_field f, int version)
{
	return bci_fields[f].probe || (bci_fields[f].since7 && version == 6);
}

/* Leaves the metrics that all was asked for; infos show what there is. */
static void want_asked(struct env *e)
{
	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++) {
		bool alone[BCI_M__COUNT] = { false };
		uint64_t needs;

		alone[i] = true;
		needs = bci_metrics_fields(alone);
		if (e->world->version == 6 && needs & BCI_BIT(BCI_F_PINNED_RELEASE))
			needs |= BCI_BIT(BCI_F_TARGET_RELEASE);
		for (size_t f = 0; f < BCI_F__COUNT; f++)
			if (may_lack((enum bci_field)f, e->world->version))
				needs &= ~BCI_BIT(f);
		e->wanted[i] = i == BCI_M_DEVICE_INFO || !(needs & ~e->fields);
	}
}

/* ---- devices ---- */

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, name, &v);
	return v;
}

/* The same device in the recording of all, NULL for one that came later. */
static struct json_object *same_device(struct world *w, struct json_object *o)
{
	struct json_object *all = member(w->device_list, "d");

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *row = json_object_array_get_idx(all, i);

		if (json_object_equal(member(row, "id"), member(o, "id")))
			return row;
	}
	return NULL;
}

/* A copy with the fields that were not asked for; new. */
static struct json_object *complete(struct env *e, const struct json_object *element)
{
	struct json_object *copy = NULL, *row;
	char uuid[32];

	assert_int_equal(json_object_deep_copy((struct json_object *)(uintptr_t)element, &copy, NULL), 0);
	row = same_device(e->world, copy);
	for (size_t f = 0; row && f < BCI_F__COUNT; f++)
		if (e->put_in & BCI_BIT(f))
			json_object_object_add(copy, bci_fields[f].name,
			                       json_object_get(member(row, bci_fields[f].name)));
	if (!row) {
		snprintf(uuid, sizeof(uuid), "of-%d", json_object_get_int(member(copy, "id")));
		json_object_object_add(copy, "uuid", json_object_new_string(uuid));
	}
	return copy;
}

static struct bci_fleet *fleet_of(struct env *e)
{
	struct bci_fleet *f;

	if (!(e->fields & BCI_BIT(BCI_F_FLEET)))
		return &e->world->unasked;
	if (e->device.fleet_id == 0)
		return &e->world->none;
	f = bci_fleets_find(&e->world->fleets, e->device.fleet_id);
	assert_non_null(f);
	return f;
}

/* As on_device() of walk.c does it. */
static int take_device(struct env *e, const struct json_object *o)
{
	const struct bci_reading how = { .version = e->world->version, .fields = e->fields, .stats = &e->stats };
	struct bci_device *d = &e->device;
	struct bci_fleet *f;
	int rc = bci_device_read(d, o, &how);

	if (rc)
		return rc;
	f = fleet_of(e);
	if (how.version == 6 && how.fields & BCI_BIT(BCI_F_TARGET_RELEASE))
		bci_device_add_target(d, f->target_id);
	assert_int_equal(bci_tally_add(&f->tally, d), 0);
	rc = bci_device_emit(d, f->slug, &e->world->tags, &e->out, &e->record);
	if (!rc && how.fields & BCI_BIT(BCI_F_INSTALLS))
		rc = bci_services_read(&f->tally.services, d, f->slug, &e->stats, &e->out, &e->record);
	return rc;
}

static int on_device(void *user, const struct json_object *element)
{
	struct env *e = user;
	struct json_object *o;
	int rc;

	if (!e->put_in)
		return take_device(e, element);
	o = complete(e, element);
	rc = take_device(e, o);
	json_object_put(o);
	return rc;
}

static void emit_sums(struct env *e, struct bci_fleet *f)
{
	const struct bci_naming naming = { 20, &e->last, &e->now };

	if (f->tally.devices)
		assert_int_equal(bci_tally_emit(f, e->fields, &naming, &e->out, &e->record), 0);
}

static int read_devices(struct bci_buf *b, const char *as, const char *body, struct env *e)
{
	int rc;

	want_asked(e);
	rc = read_page(b, as, body, on_device, e);
	for (size_t i = 0; !rc && i < e->world->fleets.n; i++)
		emit_sums(e, &e->world->fleets.rows[i]);
	if (!rc) {
		emit_sums(e, &e->world->none);
		emit_sums(e, &e->world->unasked);
	}
	put_outcome(b, e);
	return rc;
}

/* Whether the body is of devices that the recording of all has: -1 if not of devices at all. */
static int knows_devices(struct world *w, const char *body)
{
	struct json_object *list = json_tokener_parse(body);
	struct json_object *rows = json_object_is_type(list, json_type_object) ? member(list, "d") : NULL;
	int known = json_object_is_type(rows, json_type_array) && json_object_array_length(rows) ? 1 : -1;

	for (size_t i = 0; known >= 0 && i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		if (!member(row, "id"))
			known = -1;
		else if (!same_device(w, row))
			known = 0;
	}
	json_object_put(list);
	return known;
}

/* What our requests always ask for and this one did not, as far as it is known. */
static uint64_t not_asked(struct world *w, uint64_t fields, const char *body)
{
	uint64_t always = ROW_FIELDS | BCI_BIT(BCI_F_FLEET) | BCI_STATE_FIELDS;
	int known = knows_devices(w, body);

	/* Ids alone tell nothing, whatever is put in. */
	if (known < 0 || !(fields & ~ROW_FIELDS))
		return 0;
	if (fields & BCI_BIT(BCI_F_INSTALLS))
		always |= BCI_BIT(BCI_F_RUNNING_RELEASE);
	return (known ? always : ROW_FIELDS) & ~fields;
}

static void put_devices(struct bci_buf *b, const char *request, const char *body, struct world *w)
{
	uint64_t fields = asked_fields(request, body), put_in = not_asked(w, fields, body);
	struct env e;

	env_init(&e, w);
	e.fields = fields;
	read_devices(b, "as devices", body, &e);
	env_fini(&e);
	/* For the fleet alone it is not worth to tell all of them again. */
	if (!(put_in & ~BCI_BIT(BCI_F_FLEET)))
		return;
	env_init(&e, w);
	e.put_in = put_in;
	e.fields = fields | put_in;
	bci_buf_adds(b, "--\nwith");
	for (size_t f = 0; f < BCI_F__COUNT; f++)
		if (e.put_in & BCI_BIT(f))
			bci_buf_addf(b, " %s", bci_fields[f].name);
	bci_buf_adds(b, "\n");
	read_devices(b, "as devices", body, &e);
	env_fini(&e);
}

/* ---- applications ---- */

static int on_fleet(void *user, const struct json_object *o)
{
	struct env *e = user;
	int rc = bci_fleets_add(&e->fleets, o, &e->world->tags, &e->stats);

	if (rc)
		return rc;
	return bci_fleet_emit(&e->fleets.rows[e->fleets.n - 1], &e->world->tags, &e->out, &e->record);
}

static int on_count(void *user, const struct json_object *o)
{
	struct env *e = user;

	return bci_fleets_count(&e->world->fleets, o, BCI_COUNT_ONLINE);
}

static int by_id(const void *pa, const void *pb)
{
	struct json_object *const *a = pa, *const *b = pb;

	return json_object_get_int(member(*a, "id")) - json_object_get_int(member(*b, "id"));
}

/* How many of the recorded devices a fleet has. */
static int device_count(struct world *w, struct json_object *fleet)
{
	struct json_object *all = member(w->device_list, "d");
	int n = 0;

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *row = json_object_array_get_idx(all, i);
		struct json_object *to = member(row, "belongs_to__application");

		n += json_object_equal(member(json_object_array_get_idx(to, 0), "id"), member(fleet, "id"));
	}
	return n;
}

/* The body as our request for it would have it: in rising order, and with the number of devices. */
static struct json_object *ordered(struct world *w, const char *body)
{
	struct json_object *list = json_tokener_parse(body);
	struct json_object *rows = member(list, "d");

	assert_true(json_object_is_type(rows, json_type_array));
	json_object_array_sort(rows, by_id);
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		if (!member(row, "owns__device"))
			json_object_object_add(row, "owns__device", json_object_new_int(device_count(w, row)));
	}
	return list;
}

static void put_fleets(struct bci_buf *b, const char *body, struct world *w)
{
	struct env e;
	int rc;

	env_init(&e, w);
	rc = read_page(b, "as fleets", body, on_fleet, &e);
	put_outcome(b, &e);
	env_fini(&e);
	if (rc && has_member(body, "slug")) {
		struct json_object *list = ordered(w, body);

		env_init(&e, w);
		rc = read_page(b, "--\nin rising order and with owns__device, as fleets",
		               json_object_to_json_string(list), on_fleet, &e);
		assert_int_equal(rc, 0);
		put_outcome(b, &e);
		env_fini(&e);
		json_object_put(list);
	}
}

static void put_fleet_counts(struct bci_buf *b, const char *body, struct world *w)
{
	struct env e;
	int rc;

	env_init(&e, w);
	rc = read_page(b, "--\nas counts of those online", body, on_count, &e);
	for (size_t i = 0; i < w->fleets.n; i++) {
		struct bci_fleet *f = &w->fleets.rows[i];

		if (!rc && f->counted[BCI_COUNT_ONLINE] >= 0)
			rc = bci_fleet_emit_counts(f, false, &e.out, &e.record);
		f->counted[BCI_COUNT_ONLINE] = -1;
	}
	put_outcome(b, &e);
	env_fini(&e);
}

/* ---- the files ---- */

static void world_init(struct world *w, int version)
{
	char name[80], *body;
	struct json_object *list, *rows;
	struct bci_stats stats = { 0 };

	memset(w, 0, sizeof(*w));
	w->version = version;
	assert_int_equal(bci_tags_parse(&w->tags, TAG_KEYS, NULL), 0);
	w->none = (struct bci_fleet){ .slug = strdup("none") };
	w->unasked = (struct bci_fleet){ .id = 1000, .slug = strdup("not/asked") };
	snprintf(name, sizeof(name), "recorded/v%d-device-metrics-expand.json", version);
	body = unit_fixture(name, NULL);
	w->device_list = json_tokener_parse(body);
	assert_non_null(w->device_list);
	free(body);

	snprintf(name, sizeof(name), "recorded/v%d-application-expand-devicetype.json", version);
	body = unit_fixture(name, NULL);
	list = ordered(w, body);
	rows = member(list, "d");
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		assert_int_equal(bci_fleets_add(&w->fleets, json_object_array_get_idx(rows, i), &w->tags, &stats), 0);
	json_object_put(list);
	free(body);
}

static void world_fini(struct world *w)
{
	free(w->none.slug);
	free(w->unasked.slug);
	bci_tags_free(&w->tags);
	bci_fleets_free(&w->fleets);
	json_object_put(w->device_list);
}

static bool is_kind(const char *name, const char *kind)
{
	return name[0] == 'v' && isdigit((unsigned char)name[1]) && strncmp(name + 2, kind, strlen(kind)) == 0;
}

static int is_listed(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && strcmp(d->d_name + n - 5, ".json") == 0 &&
	       (is_kind(d->d_name, "-device-") || is_kind(d->d_name, "-application-"));
}

/* The first line of the exchange of NAME.json in NAME.http; new. */
static char *read_request(const char *name)
{
	char path[512];
	char *text;

	snprintf(path, sizeof(path), "recorded/%.*s.http", (int)(strlen(name) - strlen(".json")), name);
	text = unit_fixture(path, NULL);
	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

static void put_file(struct bci_buf *b, const char *name, const char *request, struct world *w)
{
	char path[512], *body;

	snprintf(path, sizeof(path), "recorded/%s", name);
	body = unit_fixture(path, NULL);
	if (is_kind(name, "-device-")) {
		put_devices(b, request, body, w);
	} else {
		put_fleets(b, body, w);
		put_fleet_counts(b, body, w);
	}
	free(body);
}

/* All sections of one version; returns how many. */
static size_t put_files(struct bci_buf *b, struct world *w)
{
	struct dirent **list = NULL;
	int n = scandir(FIXTURES_DIR "/recorded", &list, is_listed, alphasort);
	char **texts = calloc((size_t)n + 1, sizeof(*texts));
	size_t sections = 0;

	assert_true(n > 0);
	assert_non_null(texts);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		char *request = read_request(name);
		struct bci_buf one;
		int same = 0;

		/* A new version of the API needs a golden file of its own. */
		CHECK(name, name[1] == '6' || name[1] == '7');
		bci_buf_init(&one, GOLDEN_BYTES_MAX);
		if (name[1] - '0' == w->version) {
			put_file(&one, name, request, w);
			CHECK_INT(name, one.failed, 0);
			while (same < i && !(texts[same] && one.len >= SAME_BYTES_MIN &&
			                     strcmp(texts[same], one.data) == 0))
				same++;
			texts[i] = strdup(one.data);
			bci_buf_addf(b, "== %s\n%s\n", name, request);
			if (same < i)
				bci_buf_addf(b, "same as %s\n", list[same]->d_name);
			else
				bci_buf_adds(b, one.data);
			bci_buf_adds(b, "\n");
			sections++;
		}
		bci_buf_fini(&one);
		free(request);
	}
	for (int i = 0; i < n; i++) {
		free(texts[i]);
		free(list[i]);
	}
	free(texts);
	free(list);
	return sections;
}

/* ---- the comparison ---- */

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static size_t count_sections(const char *text)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, "== ")); at++)
		n += at == text || at[-1] == '\n';
	return n;
}

/* Says where two texts begin to differ. */
static void print_difference(const char *want, const char *got)
{
	size_t line = 1, begin = 0, i = 0;
	const char *section = want;

	for (; want[i] && want[i] == got[i]; i++) {
		if (want[i] != '\n')
			continue;
		line++;
		begin = i + 1;
		if (strncmp(want + begin, "== ", 3) == 0)
			section = want + begin;
	}
	print_error("@@ line %zu, in %.*s @@\n- %.*s\n+ %.*s\n", line, (int)strcspn(section, "\n"), section,
	            (int)strcspn(want + begin, "\n"), want + begin, (int)strcspn(got + begin, "\n"),
	            got + begin);
}

static void compare(const char *path, const char *text, size_t sections)
{
	char got[1024], *want = unit_file(path, NULL);

	if (count_sections(want) != sections)
		print_error("%zu recordings, but %s names %zu\n", sections, path, count_sections(want));
	if (strcmp(want, text) != 0) {
		snprintf(got, sizeof(got), "%s_%s", program, strrchr(path, '_') + 1);
		write_text(got, text);
		print_difference(want, text);
		free(want);
		fail_msg("not what is in %s: see %s", path, got);
	}
	free(want);
}

static void check_version(int version, const char *path)
{
	struct world w;
	struct bci_buf b;
	size_t sections;

	world_init(&w, version);
	bci_buf_init(&b, GOLDEN_BYTES_MAX);
	sections = put_files(&b, &w);
	assert_int_equal(b.failed, 0);
	assert_true(sections > 0);
	assert_int_equal(count_sections(b.data), sections);
	if (getenv("GOLDEN_UPDATE"))
		write_text(path, b.data);
	else
		compare(path, b.data, sections);
	bci_buf_fini(&b);
	world_fini(&w);
}

static void test_version_6(void **state)
{
	(void)state;
	check_version(6, GOLDEN_DIR "/recorded_v6.txt");
}

static void test_version_7(void **state)
{
	(void)state;
	check_version(7, GOLDEN_DIR "/recorded_v7.txt");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_6),
		cmocka_unit_test(test_version_7),
	};

	(void)argc;
	program = argv[0];
	return cmocka_run_group_tests_name("recorded", tests, NULL, NULL);
}
