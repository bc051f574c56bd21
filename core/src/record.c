/* SPDX-License-Identifier: MIT
 *
 * The one place where records are made: what a label may hold, and the hand-over to the sink. */
#include "record.h"

#include <math.h>
#include <string.h>

void bci_record_begin(struct bci_record *r, struct bci_out *out, enum bcrawl_scope scope)
{
	r->out = out;
	r->used = 0;
	r->sample = (struct bcrawl_sample){
		.scope = scope,
		.labels = r->labels,
		.values = r->values,
		.time_ms = out->time_ms,
	};
	if (scope == BCRAWL_SCOPE_CRAWL || out->account_everywhere)
		bci_record_label(r, "account", BCRAWL_ROLE_ACCOUNT, out->account);
}

static bool is_control(const unsigned char *s, size_t n)
{
	return (n == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

bool bci_label_clean(char *out, size_t room, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t used = 0;

	while (*s) {
		size_t n = 0, step;
		const char *put = (const char *)s;

		while (s[n] >= 0x20 && s[n] < 0x7f && n < room - used)
			n++;
		if (n == 0)
			n = bci_utf8_length(s);
		step = n ? n : 1;
		if (n == 0) {
			put = "\xef\xbf\xbd";
			n = 3;
		} else if (is_control(s, n)) {
			put = " ";
			n = 1;
		}
		if (n > room - used) {
			out[used] = '\0';
			return false;
		}
		memcpy(out + used, put, n);
		used += n;
		s += step;
	}
	out[used] = '\0';
	return true;
}

enum bci_json bci_stats_judge(struct bci_stats *s, enum bci_json rc)
{
	s->rejected[BCI_REJECT_TYPE] += rc == BCI_JSON_TYPE;
	return rc;
}

void bci_stats_unknown_word(struct bci_stats *s, const char *field, const char *word)
{
	struct bci_unknown_word *u = &s->unknown[s->unknown_count];

	s->rejected[BCI_REJECT_UNKNOWN_WORD]++;
	if (s->unknown_count == ARRAY_LEN(s->unknown))
		return;
	u->field = field;
	bci_label_clean(u->word, sizeof(u->word) - 1, word);
	for (size_t i = 0; i < s->unknown_count; i++)
		if (strcmp(s->unknown[i].field, field) == 0 &&
		    strcmp(s->unknown[i].word, u->word) == 0)
			return;
	s->unknown_count++;
}

void bci_record_label(struct bci_record *r, const char *name, enum bcrawl_role role,
                      const char *value)
{
	size_t left = BCRAWL_LABEL_BYTES_MAX - (r->used - r->sample.label_count);
	char *text = r->text + r->used;

	if (!value || !*value || r->sample.label_count == BCRAWL_LABELS_MAX)
		return;
	if (!bci_label_clean(text, left < BCI_LABEL_VALUE_MAX ? left : BCI_LABEL_VALUE_MAX, value))
		r->out->stats->rejected[BCI_REJECT_TOO_LONG]++;
	if (!*text)
		return;
	r->used += strlen(text) + 1;
	r->labels[r->sample.label_count++] = (struct bcrawl_label){ name, text, role };
}

void bci_record_value(struct bci_record *r, enum bci_metric_id id, double value)
{
	const struct bcrawl_metric *m = &bci_metric(id)->pub;

	if (!r->out->wanted[id] || !isfinite(value) || r->sample.value_count == BCRAWL_VALUES_MAX)
		return;
	if (!m->integral && m->unit != BCRAWL_UNIT_TIMESTAMP)
		value = round(value * 1e6) / 1e6;
	/* -0 is 0. */
	r->values[r->sample.value_count++] = (struct bcrawl_value){ m, value + 0.0 };
}

int bci_record_end(struct bci_record *r)
{
	struct bci_out *out = r->out;
	int64_t before;

	if (out->sink_rc)
		return BCRAWL_E_SINK;
	if (r->sample.value_count == 0)
		return BCRAWL_OK;
	out->records[r->sample.scope]++;
	before = bci_clock_mono(out->clock);
	out->sink_rc = out->sink->sample(out->user, &r->sample);
	out->clock->paused_ms += bci_clock_mono(out->clock) - before;
	return out->sink_rc ? BCRAWL_E_SINK : BCRAWL_OK;
}
