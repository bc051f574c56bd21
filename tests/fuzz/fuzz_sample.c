/* SPDX-License-Identifier: MIT
 *
 * Samples of bytes. */
#include "fuzz_sample.h"

/* Only what a name may be: the core makes them itself, or of [a-z0-9_]. */
static const char *const names[FUZZ_LABELS_MAX] = {
	"fleet", "device_uuid", "account", "device_name", "tag_x", "result", "_a9", "service_name",
};

static size_t metric_count(void)
{
	size_t n = 0;

	while (bcrawl_metric_at(n))
		n++;
	return n;
}

static double take_number(struct fuzz_input *in)
{
	switch (fuzz_byte(in) % 4) {
	case 0:
		return fuzz_byte(in);
	case 1:
		return (double)(int64_t)fuzz_number(in, 8);
	case 2:
		return (double)(int32_t)fuzz_number(in, 4) / 1e6;
	default:
		return fuzz_double(in);
	}
}

/* What the core's own records would hold of it: bytes that may not be there become 'x'. */
static void clean_text(char *s)
{
	size_t n;

	for (; *s; s += n) {
		n = fuzz_utf8_length(s);
		if (n == 0 || (n == 1 && ((unsigned char)*s < 0x20 || *s == 0x7f))) {
			*s = 'x';
			n = 1;
		} else if (n == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0) {
			s[0] = s[1] = 'x';
		}
	}
}

static void take_labels(struct fuzz_sample *s, struct fuzz_input *in, bool clean)
{
	size_t count = fuzz_byte(in) % (FUZZ_LABELS_MAX + 1), first = fuzz_byte(in);

	for (size_t i = 0; i < count; i++) {
		size_t k = s->sample.label_count;
		struct bcrawl_label *l = &s->labels[k];

		l->role = (enum bcrawl_role)(fuzz_byte(in) % (BCRAWL_ROLE_OTHER + 1));
		l->name = names[(first + i) % FUZZ_LABELS_MAX];
		s->texts[k] = fuzz_text(in, '\n');
		if (clean)
			clean_text(s->texts[k]);
		l->value = s->texts[k];
		if (clean && !*s->texts[k])
			free(s->texts[k]);
		else
			s->sample.label_count++;
	}
}

static void take_values(struct fuzz_sample *s, struct fuzz_input *in)
{
	size_t metrics = metric_count(), count = 1 + fuzz_byte(in) % FUZZ_VALUES_MAX;

	for (size_t i = 0; i < count; i++) {
		const struct bcrawl_metric *m =
			bcrawl_metric_at((size_t)fuzz_number(in, 2) % metrics);
		double number = take_number(in);
		bool there = false;

		for (size_t k = 0; k < s->sample.value_count; k++)
			there |= s->values[k].metric == m;
		if (!there)
			s->values[s->sample.value_count++] = (struct bcrawl_value){ m, number };
	}
}

void fuzz_sample_init(struct fuzz_sample *s, struct fuzz_input *in, bool clean)
{
	*s = (struct fuzz_sample){ .sample.scope = (enum bcrawl_scope)(fuzz_byte(in) % 4) };
	s->sample.time_ms = (int64_t)fuzz_number(in, 8);
	s->sample.labels = s->labels;
	s->sample.values = s->values;
	take_labels(s, in, clean);
	take_values(s, in);
}

void fuzz_sample_fini(struct fuzz_sample *s)
{
	for (size_t i = 0; i < s->sample.label_count; i++)
		free(s->texts[i]);
}
