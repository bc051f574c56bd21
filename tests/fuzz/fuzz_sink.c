/* SPDX-License-Identifier: MIT
 *
 * The rules that every record of the core keeps, whatever the API says. */
#include "fuzz_sink.h"

#include <math.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */
#define YEAR_10000 253402300800.0

static const struct bcrawl_label *find_label(const struct bcrawl_sample *s, const char *name)
{
	for (size_t i = 0; i < s->label_count; i++)
		if (strcmp(s->labels[i].name, name) == 0)
			return &s->labels[i];
	return NULL;
}

static void check_label(const struct bcrawl_label *l)
{
	FUZZ_CHECK(l->name[0] && !(l->name[0] >= '0' && l->name[0] <= '9'));
	FUZZ_CHECK(strspn(l->name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(l->name));
	FUZZ_CHECK_OF(l->name, l->value[0] != '\0');
	FUZZ_CHECK_OF(l->name, fuzz_is_utf8(l->value));
	FUZZ_CHECK_OF(l->name, !fuzz_has_control(l->value));
}

static void check_labels(const struct bcrawl_sample *s)
{
	size_t bytes = 0;

	FUZZ_CHECK(s->label_count <= BCRAWL_LABELS_MAX);
	for (size_t i = 0; i < s->label_count; i++) {
		check_label(&s->labels[i]);
		bytes += strlen(s->labels[i].value);
		FUZZ_CHECK(find_label(s, s->labels[i].name) == &s->labels[i]);
	}
	FUZZ_CHECK(bytes <= BCRAWL_LABEL_BYTES_MAX);
}

/* The labels that an agent finds a record's place by. */
static void check_scope(const struct fuzz_sink *sink, const struct bcrawl_sample *s)
{
	const struct bcrawl_label *account = find_label(s, "account"),
	                          *fleet = find_label(s, "fleet"),
	                          *device = find_label(s, "device_uuid");

	FUZZ_CHECK(!account || account->role == BCRAWL_ROLE_ACCOUNT);
	FUZZ_CHECK((account != NULL) == (sink->account || s->scope == BCRAWL_SCOPE_CRAWL));
	FUZZ_CHECK((fleet != NULL) == (s->scope != BCRAWL_SCOPE_CRAWL));
	FUZZ_CHECK(!fleet || fleet->role == BCRAWL_ROLE_FLEET);
	FUZZ_CHECK((device != NULL) ==
	           (s->scope == BCRAWL_SCOPE_DEVICE || s->scope == BCRAWL_SCOPE_SERVICE));
	FUZZ_CHECK(!device || device->role == BCRAWL_ROLE_DEVICE);
}

static bool is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; (p = strstr(p, name)); p += n)
		if ((p == list || strchr(", ", p[-1])) && (!p[n] || strchr(", ", p[n])))
			return true;
	return false;
}

/* What is neither the scope's own nor a tag's is in the catalogue's list. */
static void check_declared(const struct bcrawl_sample *s, const struct bcrawl_metric *m)
{
	for (size_t i = 0; i < s->label_count; i++) {
		const struct bcrawl_label *l = &s->labels[i];

		if (l->role == BCRAWL_ROLE_ACCOUNT || l->role == BCRAWL_ROLE_FLEET ||
		    l->role == BCRAWL_ROLE_DEVICE || strncmp(l->name, "tag_", 4) == 0)
			continue;
		FUZZ_CHECK_OF(l->name, is_listed(m->labels, l->name));
	}
}

static void check_number(const struct bcrawl_metric *m, double v)
{
	char text[64];

	FUZZ_CHECK_OF(m->name, isfinite(v));
	if (m->integral) {
		FUZZ_CHECK_OF(m->name, v == floor(v));
		FUZZ_CHECK_OF(m->name, fabs(v) < WHOLE_MAX);
	} else if (m->unit != BCRAWL_UNIT_TIMESTAMP) {
		snprintf(text, sizeof(text), "%.15g", v);
		FUZZ_CHECK_OF(m->name, strtod(text, NULL) == v);
	}
	switch (m->unit) {
	case BCRAWL_UNIT_BOOL:
		FUZZ_CHECK_OF(m->name, v == 0 || v == 1);
		break;
	case BCRAWL_UNIT_RATIO:
		FUZZ_CHECK_OF(m->name, v >= 0);
		FUZZ_CHECK_OF(m->name, v <= 1 || strstr(m->name, "memory") ||
		                               strstr(m->name, "storage"));
		break;
	case BCRAWL_UNIT_TIMESTAMP:
		FUZZ_CHECK_OF(m->name, v >= 0 && v <= YEAR_10000);
		break;
	case BCRAWL_UNIT_ONE:
	case BCRAWL_UNIT_SECONDS:
	case BCRAWL_UNIT_BYTES:
		FUZZ_CHECK_OF(m->name, v >= 0);
		break;
	case BCRAWL_UNIT_CELSIUS:
	case BCRAWL_UNIT_DEGREES:
		break;
	}
}

/* Labels as one text that no other labels have: values hold no control characters. */
static char *join(const struct bcrawl_sample *s)
{
	size_t n = 1;
	char *text, *p;

	for (size_t i = 0; i < s->label_count; i++)
		n += strlen(s->labels[i].name) + strlen(s->labels[i].value) + 2;
	p = text = malloc(n);
	FUZZ_CHECK(text);
	*p = '\0';
	for (size_t i = 0; i < s->label_count; i++)
		p += sprintf(p, "%s\n%s\n", s->labels[i].name, s->labels[i].value);
	return text;
}

/* No series comes twice: one that does costs Prometheus the whole scrape. */
static void keep(struct fuzz_sink *s, const char *labels, const struct bcrawl_metric *m)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->series[i].metric == m)
			FUZZ_CHECK_OF(m->name, strcmp(s->series[i].labels, labels) != 0);
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		s->series = realloc(s->series, s->cap * sizeof(*s->series));
		FUZZ_CHECK(s->series);
	}
	s->series[s->n].labels = strdup(labels);
	FUZZ_CHECK(s->series[s->n].labels);
	s->series[s->n++].metric = m;
}

/* The public part is the first member of a catalogue row. */
static size_t index_of(const struct bcrawl_metric *m)
{
	size_t i = (size_t)((const struct bci_metric *)(const void *)m - bci_metric(0));

	FUZZ_CHECK(i < BCI_M__COUNT && &bci_metric((enum bci_metric_id)i)->pub == m);
	return i;
}

static int on_sample(void *user, const struct bcrawl_sample *s)
{
	struct fuzz_sink *sink = user;
	char *labels = join(s);

	FUZZ_CHECK(s->time_ms == sink->time_ms);
	FUZZ_CHECK(s->value_count >= 1 && s->value_count <= BCRAWL_VALUES_MAX);
	check_labels(s);
	check_scope(sink, s);
	for (size_t i = 0; i < s->value_count; i++) {
		const struct bcrawl_value *v = &s->values[i];
		size_t id = index_of(v->metric);

		FUZZ_CHECK(v->metric->scope == s->scope);
		check_declared(s, v->metric);
		check_number(v->metric, v->value);
		keep(sink, labels, v->metric);
		sink->count[id]++;
		sink->sum[id] += v->value;
	}
	sink->records++;
	sink->values += s->value_count;
	free(labels);
	return 0;
}

static int64_t no_time(void *user)
{
	(void)user;
	return 0;
}

void fuzz_sink_init(struct fuzz_sink *s, bool account, int64_t time_ms)
{
	*s = (struct fuzz_sink){
		.sink = { .size = sizeof(s->sink), .sample = on_sample },
		.account = account,
		.time_ms = time_ms,
		.clock = { .mono_ms = no_time, .wall_ms = no_time },
	};
}

void fuzz_sink_fini(struct fuzz_sink *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->series[i].labels);
	free(s->series);
}
