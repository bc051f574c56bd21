/* SPDX-License-Identifier: MIT
 *
 * A sink that keeps what it gets, and checks what every record must be. */
#include "fake_sink.h"

#include "unit.h"

static void check_labels(const struct bcrawl_sample *r)
{
	size_t bytes = 0;

	assert_true(r->label_count <= BCRAWL_LABELS_MAX);
	for (size_t i = 0; i < r->label_count; i++) {
		const struct bcrawl_label *l = &r->labels[i];

		assert_true(l->name[0] && !(l->name[0] >= '0' && l->name[0] <= '9'));
		assert_int_equal(strspn(l->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(l->name));
		CHECK(l->name, l->value[0] != '\0');
		for (const char *p = l->value; *p; p++)
			CHECK(l->name, (unsigned char)*p >= 0x20 && *p != 0x7f);
		for (size_t k = 0; k < i; k++)
			CHECK(l->name, strcmp(l->name, r->labels[k].name) != 0);
		bytes += strlen(l->value);
	}
	assert_true(bytes <= BCRAWL_LABEL_BYTES_MAX);
}

static bool has_label(const struct bcrawl_sample *r, const char *name, enum bcrawl_role role)
{
	for (size_t i = 0; i < r->label_count; i++)
		if (strcmp(r->labels[i].name, name) == 0)
			return r->labels[i].role == role;
	return false;
}

static void check_values(const struct bcrawl_sample *r)
{
	assert_true(r->value_count >= 1 && r->value_count <= BCRAWL_VALUES_MAX);
	for (size_t i = 0; i < r->value_count; i++) {
		const struct bcrawl_value *v = &r->values[i];

		CHECK(v->metric->name, isfinite(v->value));
		CHECK_INT(v->metric->name, v->metric->scope, r->scope);
		if (v->metric->integral) {
			CHECK_NUM(v->metric->name, v->value, floor(v->value));
			CHECK(v->metric->name, fabs(v->value) < 9007199254740992.0);
		}
	}
}

static void name_series(char *out, size_t size, const struct bcrawl_sample *r, const char *metric)
{
	size_t n = (size_t)snprintf(out, size, "%s{", metric);

	for (size_t i = 0; i < r->label_count && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s=\"%s\"", i ? "," : "", r->labels[i].name,
		                      r->labels[i].value);
	assert_true(n + 2 < size);
	snprintf(out + n, size - n, "}");
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *s)
{
	uint64_t h = 14695981039346656037u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h;
}

static void keep(struct fake_sink *s, const char *name, double value)
{
	uint64_t hash = hash_of(name);

	for (size_t i = 0; i < s->n; i++)
		s->duplicates += s->series[i].hash == hash && strcmp(s->series[i].name, name) == 0;
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->series = realloc(s->series, s->cap * sizeof(*s->series));
		assert_non_null(s->series);
	}
	s->series[s->n].name = strdup(name);
	assert_non_null(s->series[s->n].name);
	s->series[s->n].hash = hash;
	s->series[s->n++].value = value;
}

static int on_sample(void *user, const struct bcrawl_sample *r)
{
	struct fake_sink *s = user;
	char name[4096];

	s->records++;
	check_labels(r);
	check_values(r);
	if (r->scope == BCRAWL_SCOPE_CRAWL)
		assert_true(has_label(r, "account", BCRAWL_ROLE_ACCOUNT));
	else
		assert_true(has_label(r, "fleet", BCRAWL_ROLE_FLEET));
	if (r->scope == BCRAWL_SCOPE_DEVICE || r->scope == BCRAWL_SCOPE_SERVICE)
		assert_true(has_label(r, "device_uuid", BCRAWL_ROLE_DEVICE));
	if (s->time_ms)
		assert_int_equal(r->time_ms, s->time_ms);
	s->time_ms = r->time_ms;
	if (s->on_sample)
		s->on_sample(s->on_sample_user);
	if (s->refuse_at && s->records >= s->refuse_at)
		return s->rc;
	for (size_t i = 0; i < r->value_count; i++) {
		name_series(name, sizeof(name), r, r->values[i].metric->name);
		keep(s, name, r->values[i].value);
	}
	return 0;
}

static int on_progress(void *user, const struct bcrawl_progress *p)
{
	struct fake_sink *s = user;

	assert_true(p->fleets >= s->progress.fleets);
	assert_true(p->fleets_done >= s->progress.fleets_done);
	assert_true(p->devices >= s->progress.devices);
	assert_true(p->requests >= s->progress.requests);
	s->progresses++;
	s->progress = *p;
	return s->progress_rc;
}

static void on_end(void *user, const struct bcrawl_summary *sum)
{
	struct fake_sink *s = user;

	s->ends++;
	s->summary = *sum;
}

static void on_host(void *user, struct bcrawl_host *h)
{
	struct fake_sink *s = user;

	s->hosts++;
	assert_int_equal(h->size, sizeof(*h));
	assert_int_equal(h->withheld_values, 0);
	assert_int_equal(h->ignored_triggers, 0);
	s->records_at_host = s->records;
	h->withheld_values = s->host.withheld_values;
	h->paced_values = s->host.paced_values;
	h->shortened_values = s->host.shortened_values;
	h->ignored_triggers = s->host.ignored_triggers;
}

static int64_t no_time(void *user)
{
	(void)user;
	return 0;
}

void fake_sink_init(struct fake_sink *s)
{
	*s = (struct fake_sink){
		.sink = { .size = sizeof(s->sink),
		          .sample = on_sample,
		          .progress = on_progress,
		          .end = on_end,
		          .host = on_host },
		.clock = { .mono_ms = no_time, .wall_ms = no_time },
	};
}

void fake_sink_clear(struct fake_sink *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->series[i].name);
	s->n = s->records = s->duplicates = s->progresses = 0;
	s->time_ms = 0;
	s->ends = s->hosts = 0;
	s->summary = (struct bcrawl_summary){ 0 };
	s->progress = (struct bcrawl_progress){ 0 };
}

void fake_sink_fini(struct fake_sink *s)
{
	fake_sink_clear(s);
	free(s->series);
}

struct bci_out fake_sink_out(struct fake_sink *s, const char *metrics, bool wanted[BCI_M__COUNT],
                             struct bci_stats *stats)
{
	assert_true(bci_metrics_select(metrics, wanted));
	return (struct bci_out){ .sink = &s->sink, .user = s, .time_ms = 1, .account = "a",
		                 .wanted = wanted, .stats = stats, .clock = &s->clock };
}

double fake_sink_value(const struct fake_sink *s, const char *series)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->series[i].name, series) == 0)
			return s->series[i].value;
	return (double)NAN;
}

size_t fake_sink_count(const struct fake_sink *s, const char *prefix)
{
	size_t count = 0;

	for (size_t i = 0; i < s->n; i++)
		count += strncmp(s->series[i].name, prefix, strlen(prefix)) == 0;
	return count;
}

double fake_sink_sum(const struct fake_sink *s, const char *prefix)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		if (strncmp(s->series[i].name, prefix, strlen(prefix)) == 0)
			sum += s->series[i].value;
	return sum;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct fake_series *)a)->name, ((const struct fake_series *)b)->name);
}

char *fake_sink_text(const struct fake_sink *s)
{
	struct fake_series *sorted = malloc((s->n + 1) * sizeof(*sorted));
	size_t size = 1, used = 0;
	char *text;

	assert_non_null(sorted);
	if (s->n)
		memcpy(sorted, s->series, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), compare);
	for (size_t i = 0; i < s->n; i++)
		size += strlen(sorted[i].name) + 40;
	text = calloc(1, size);
	assert_non_null(text);
	for (size_t i = 0; i < s->n; i++)
		used += (size_t)snprintf(text + used, size - used, "%s %.15g\n", sorted[i].name,
		                         sorted[i].value);
	free(sorted);
	return text;
}
