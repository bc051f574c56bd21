/* SPDX-License-Identifier: MIT
 *
 * The Prometheus text format: a reader of it (version 0.0.4, strict about order) gets back every
 * sample with its labels and its number, each metric in one place behind its HELP and TYPE.
 *
 * Input: samples as in fuzz_sample.h, one behind the other. */
#include "fuzz_sample.h"

#include "prom.h"

#include <math.h>

#define SAMPLES_MAX 4
#define WHOLE_MAX   9007199254740992.0 /* 2^53 */

struct text {
	char *p;
	size_t n;
};

static int collect(void *user, const char *bytes, size_t n)
{
	struct text *t = user;

	t->p = realloc(t->p, t->n + n + 1);
	FUZZ_CHECK(t->p);
	memcpy(t->p + t->n, bytes, n);
	t->n += n;
	t->p[t->n] = '\0';
	return 0;
}

static bool starts(const char **p, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

/* Reads a text with its escapes undone up to an unescaped end: new memory. HELP has no \". */
static char *take_escaped(const char **p, char end, bool quote)
{
	char *out = malloc(strlen(*p) + 1), *o = out;

	FUZZ_CHECK(out);
	for (; **p != end; ++*p) {
		FUZZ_CHECK(**p && **p != '\n');
		if (**p == '\\') {
			++*p;
			FUZZ_CHECK(**p == '\\' || **p == 'n' || (quote && **p == '"'));
			*o++ = **p == 'n' ? '\n' : **p;
		} else {
			*o++ = **p;
		}
	}
	*o = '\0';
	++*p;
	return out;
}

static const struct bcrawl_metric *check_head(const char **p)
{
	const struct bcrawl_metric *m = NULL;
	size_t n;
	char *help;

	FUZZ_CHECK(starts(p, "# HELP "));
	n = strcspn(*p, " ");
	for (size_t i = 0; bcrawl_metric_at(i) && !m; i++)
		if (strlen(bcrawl_metric_at(i)->name) == n &&
		    strncmp(bcrawl_metric_at(i)->name, *p, n) == 0)
			m = bcrawl_metric_at(i);
	FUZZ_CHECK(m);
	*p += n + 1;
	help = take_escaped(p, '\n', false);
	FUZZ_CHECK(strcmp(help, m->help) == 0);
	free(help);
	FUZZ_CHECK(starts(p, "# TYPE ") && starts(p, m->name));
	FUZZ_CHECK(starts(p, m->kind == BCRAWL_COUNTER ? " counter\n" : " gauge\n"));
	return m;
}

static void check_labels(const char **p, const struct bcrawl_sample *s)
{
	for (size_t i = 0; i < s->label_count; i++) {
		char *value;

		FUZZ_CHECK(starts(p, i ? "," : "{") && starts(p, s->labels[i].name));
		FUZZ_CHECK(starts(p, "=\""));
		value = take_escaped(p, '"', true);
		FUZZ_CHECK_OF(s->labels[i].value, strcmp(value, s->labels[i].value) == 0);
		free(value);
	}
	FUZZ_CHECK(s->label_count == 0 || starts(p, "}"));
	FUZZ_CHECK(starts(p, " "));
}

static void check_number(const char **p, const struct bcrawl_value *v)
{
	char *end;
	double got = strtod(*p, &end);

	FUZZ_CHECK(end > *p && *end == '\n');
	/* What strtod() takes and Go's ParseFloat does not. */
	FUZZ_CHECK(strspn(*p, "0123456789.e-+") == (size_t)(end - *p));
	FUZZ_CHECK(v->metric->integral ? got == trunc(v->value) : got == v->value);
	*p = end + 1;
}

static const struct bcrawl_value *find_value(const struct bcrawl_sample *s,
                                             const struct bcrawl_metric *m)
{
	for (size_t i = 0; i < s->value_count; i++) {
		const struct bcrawl_value *v = &s->values[i];

		if (v->metric == m && isfinite(v->value) &&
		    (!m->integral || fabs(v->value) <= WHOLE_MAX))
			return v;
	}
	return NULL;
}

/* Of each metric the samples that have it, in the order they came. Returns how many values. */
static size_t check_text(const char *p, const struct fuzz_sample *samples, size_t n)
{
	const struct bcrawl_metric *seen[PROM_FAMILIES_MAX];
	size_t families = 0, values = 0;

	while (*p) {
		const struct bcrawl_metric *m = check_head(&p);

		for (size_t i = 0; i < families; i++)
			FUZZ_CHECK_OF(m->name, seen[i] != m);
		seen[families++] = m;
		for (size_t i = 0; i < n; i++) {
			const struct bcrawl_value *v = find_value(&samples[i].sample, m);

			if (!v)
				continue;
			FUZZ_CHECK(starts(&p, m->name));
			check_labels(&p, &samples[i].sample);
			check_number(&p, v);
			values++;
		}
		FUZZ_CHECK(!*p || *p == '#');
	}
	return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct fuzz_sample samples[SAMPLES_MAX];
	struct prom prom = { .count = 0 };
	struct text text = { 0 };
	size_t n = 0, want = 0;

	do {
		fuzz_sample_init(&samples[n], &in, true);
		FUZZ_CHECK(prom_sample(&prom, &samples[n].sample) == 0);
		n++;
	} while (in.left > 0 && n < SAMPLES_MAX);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < samples[i].sample.value_count; k++)
			want += find_value(&samples[i].sample, samples[i].values[k].metric) != NULL;
	FUZZ_CHECK(prom_write(&prom, collect, &text) == 0);
	FUZZ_CHECK((text.n > 0) == (want > 0));
	if (text.n)
		FUZZ_CHECK(strlen(text.p) == text.n && check_text(text.p, samples, n) == want);
	prom_fini(&prom);
	free(text.p);
	while (n > 0)
		fuzz_sample_fini(&samples[--n]);
	return 0;
}
