/* SPDX-License-Identifier: MIT
 *
 * The services of a device. While it is updated the API tells two installs of one service: the one
 * of the release that the device runs counts, else the newest (balena-api.md 2).
 *
 *   {"image_install":[{"image":[{"is_a_build_of__service":[{"service_name":"main"}],"id":3}],
 *     "is_provided_by__release":{"__id":2},"status":"Running","download_progress":null,
 *     "install_date":"2026-11-23T06:18:44.187Z"}],"id":1, ...} */
#include "service.h"

#include "json.h"

#include <math.h>
#include <string.h>

struct install {
	const char *name;
	double code;     /* of its status; NAN: none */
	double progress; /* 0 to 1; NAN: none */
	double date;     /* seconds since the epoch; NAN: none */
	bool   running;  /* of the release that the device runs */
};

void bci_services_free(struct bci_services *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->rows[i].name);
	free(s->rows);
	*s = (struct bci_services){ 0 };
}

static const char *service_name(const struct json_object *o)
{
	const struct json_object *image = bci_json_expanded(o, "image");
	const struct json_object *service =
		image ? bci_json_expanded(image, "is_a_build_of__service") : NULL;
	const char *name = NULL;

	return service && bci_json_text(service, "service_name", &name) == BCI_JSON_OK ? name
										       : NULL;
}

static double read_progress(const struct json_object *o, struct bci_stats *stats)
{
	double progress = NAN;

	if (bci_stats_judge(stats, bci_json_number(o, "download_progress", &progress)) !=
	    BCI_JSON_OK)
		return NAN;
	if (progress < 0 || progress > 100) {
		stats->rejected[BCI_REJECT_RANGE]++;
		return NAN;
	}
	return progress / 100;
}

static double read_code(const struct json_object *o, struct bci_stats *stats)
{
	const char *text;
	size_t code;

	if (bci_stats_judge(stats, bci_json_text(o, "status", &text)) != BCI_JSON_OK)
		return NAN;
	code = bci_word_code(bci_service_words, text);
	if (code == 0)
		bci_stats_unknown_word(stats, "status of a service", text);
	return (double)code;
}

/* false: it names no service, so nothing can be said of it. */
static bool read_install(struct install *in, const struct json_object *o,
                         const struct bci_device *d, struct bci_stats *stats)
{
	const char *date = NULL;
	int64_t release = 0;

	in->name = service_name(o);
	if (!in->name) {
		stats->rejected[BCI_REJECT_TYPE]++;
		return false;
	}
	in->code = read_code(o, stats);
	in->progress = read_progress(o, stats);
	in->date = NAN;
	if (bci_stats_judge(stats, bci_json_text(o, "install_date", &date)) == BCI_JSON_OK &&
	    !bci_date_parse(date, &in->date)) {
		in->date = NAN;
		stats->rejected[BCI_REJECT_TYPE]++;
	}
	in->running = bci_json_ref(o, "is_provided_by__release", &release) == BCI_JSON_OK &&
		      bci_device_has(d, BCI_F_RUNNING_RELEASE) &&
		      (double)release == d->number[BCI_F_RUNNING_RELEASE];
	return true;
}

/* Whether two names are one as labels: of two services that look alike there must not be the same
 * series twice. */
static bool same_name(const char *a, const char *b)
{
	char clean_a[BCI_LABEL_VALUE_MAX + 1], clean_b[BCI_LABEL_VALUE_MAX + 1];

	/* Most names differ in a letter that cleaning leaves alone. */
	if (*a != *b && *a > ' ' && *a < 0x7f && *b > ' ' && *b < 0x7f)
		return false;
	if (strcmp(a, b) == 0)
		return true;
	(void)bci_label_clean(clean_a, BCI_LABEL_VALUE_MAX, a);
	(void)bci_label_clean(clean_b, BCI_LABEL_VALUE_MAX, b);
	return strcmp(clean_a, clean_b) == 0;
}

/* Whether a is the current one of two installs of one service. */
static bool is_current(const struct install *a, const struct install *b)
{
	if (a->running != b->running)
		return a->running;
	return !isnan(a->date) && (isnan(b->date) || a->date > b->date);
}

/* How many values an install would give. */
static void withhold(const struct install *in, enum bci_withheld why, struct bci_out *out)
{
	if (out->wanted[BCI_M_SERVICE_STATUS] && !isnan(in->code))
		out->withheld[why]++;
	if (out->wanted[BCI_M_SERVICE_PROGRESS] && !isnan(in->progress))
		out->withheld[why]++;
}

/* Leaves one install for each service; returns how many. */
static size_t choose(const struct bci_device *d, struct install *list, struct bci_stats *stats,
                     struct bci_out *out)
{
	const char *nav = bci_fields[BCI_F_INSTALLS].name;
	size_t rows = bci_json_row_count(d->rows, nav), n = 0;

	for (size_t i = 0; i < rows; i++) {
		const struct json_object *o = bci_json_row(d->rows, nav, i);
		struct install in, gone;
		size_t k = 0;

		if (!o || !read_install(&in, o, d, stats))
			continue;
		while (k < n && !same_name(list[k].name, in.name))
			k++;
		if (k == BCI_DEVICE_SERVICES_MAX) {
			withhold(&in, BCI_WITHHELD_CAPPED, out);
		} else if (k == n) {
			list[n++] = in;
		} else {
			gone = in;
			if (is_current(&in, &list[k])) {
				gone = list[k];
				list[k] = in;
			}
			withhold(&gone, BCI_WITHHELD_SUPERSEDED, out);
		}
	}
	return n;
}

/* The row of a service in *row, NULL if the fleet has too many. */
static int find(struct bci_services *s, const char *raw, struct bci_service_count **row)
{
	char name[BCI_LABEL_VALUE_MAX + 1];
	size_t at = 0;

	/* What is too long is counted where a label is made of it. */
	(void)bci_label_clean(name, BCI_LABEL_VALUE_MAX, raw);
	while (at < s->n && strcmp(s->rows[at].name, name) < 0)
		at++;
	*row = NULL;
	if (at == s->n || strcmp(s->rows[at].name, name) != 0) {
		char *copy;

		if (s->n == BCI_FLEET_SERVICES_MAX)
			return BCRAWL_OK;
		if (s->n == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : 8;
			struct bci_service_count *rows = realloc(s->rows, cap * sizeof(*rows));

			if (!rows)
				return BCRAWL_E_NOMEM;
			s->rows = rows;
			s->cap = cap;
		}
		copy = strdup(name);
		if (!copy)
			return BCRAWL_E_NOMEM;
		memmove(s->rows + at + 1, s->rows + at, (s->n - at) * sizeof(*s->rows));
		s->rows[at] = (struct bci_service_count){ .name = copy };
		s->n++;
	}
	*row = &s->rows[at];
	return BCRAWL_OK;
}

static int emit(const struct bci_device *d, const char *slug, const struct install *in,
                struct bci_out *out, struct bci_record *r)
{
	if (!d->speaks) {
		withhold(in, BCI_WITHHELD_STALE, out);
		return BCRAWL_OK;
	}
	bci_device_record(d, slug, BCRAWL_SCOPE_SERVICE, out, r);
	bci_record_label(r, bci_metric(BCI_M_SERVICE_STATUS)->pub.labels, BCRAWL_ROLE_OTHER,
	                 in->name);
	bci_record_value(r, BCI_M_SERVICE_STATUS, in->code);
	bci_record_value(r, BCI_M_SERVICE_PROGRESS, in->progress);
	return bci_record_end(r);
}

int bci_services_read(struct bci_services *s, const struct bci_device *d, const char *slug,
                      struct bci_stats *stats, struct bci_out *out, struct bci_record *r)
{
	struct install list[BCI_DEVICE_SERVICES_MAX];
	size_t n = choose(d, list, stats, out);
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		struct bci_service_count *row;

		/* A service that only unconnected devices have is known too: with zeros. */
		rc = find(s, list[i].name, &row);
		if (!rc && d->speaks && !row)
			out->withheld[BCI_WITHHELD_CAPPED] += out->wanted[BCI_M_FLEET_SERVICES];
		else if (!rc && d->speaks)
			row->by_code[isnan(list[i].code) ? 0 : (size_t)list[i].code]++;
		if (!rc)
			rc = emit(d, slug, &list[i], out, r);
	}
	return rc;
}
