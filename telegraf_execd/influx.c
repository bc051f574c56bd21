/* SPDX-License-Identifier: MIT
 *
 * Line protocol, the only place that knows its escaping.
 *
 * It refuses to write what Telegraf would lose or misread: lines above INFLUX_LINE_MAX, empty tag
 * values, numbers that are not finite. It never writes strings or booleans:
 * outputs.prometheus_client turns a string field into a label of every series and drops
 * booleans. */
#include "influx.h"

#include "number.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TAIL_MAX 32 /* " 1718000000000000000\n" */

/* The length of the first two words: 13 of "balena_device_up". */
static size_t measurement_length(const char *name)
{
	const char *end = strchr(name, '_');

	end = end ? strchr(end + 1, '_') : NULL;
	return end && end[1] ? (size_t)(end - name) : strlen(name);
}

/* n: the length of a's. */
static bool same_measurement(const char *a, size_t n, const char *b)
{
	return strncmp(a, b, n) == 0 && (b[n] == '_' || b[n] == '\0');
}

static bool put(struct influx *in, size_t limit, const char *text, size_t n)
{
	if (n > limit - in->len)
		return false;
	memcpy(in->line + in->len, text, n);
	in->len += n;
	return true;
}

static bool is_escaped(char c)
{
	return c == ',' || c == '=' || c == ' ';
}

/* The sample's contract rules control characters out. Should one come all the same it becomes a
 * blank: tab and the line ends cannot be written in a tag at all, not even escaped. */
static char printable(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
}

/* Nearly all values are such. */
static bool is_plain(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (printable(text[i]) != text[i] || is_escaped(text[i]) || text[i] == '\\')
			return false;
	return true;
}

static bool put_tag_value(struct influx *in, size_t limit, const char *text, size_t n)
{
	bool escaped = false;

	if (is_plain(text, n))
		return put(in, limit, text, n);
	for (size_t i = 0; i < n; i++)
		escaped |= is_escaped(printable(text[i]));
	for (size_t i = 0; i < n; i++) {
		char c = printable(text[i]);

		/* Telegraf makes a quote of a backslash and a quote, but only in a value in which
		 * it finds one of the other escapes: there the backslash has to be there twice. */
		if ((is_escaped(c) || (escaped && c == '\\' && text[i + 1] == '"')) &&
		    !put(in, limit, "\\", 1))
			return false;
		if (!put(in, limit, &c, 1))
			return false;
	}
	return true;
}

static bool put_tags(struct influx *in, size_t limit)
{
	for (size_t i = 0; i < in->sample->label_count; i++) {
		const struct bcrawl_label *l = &in->sample->labels[i];
		size_t n = strlen(l->value);

		/* A backslash inside stays as it is, the last one would escape the delimiter.
		 * Telegraf's own writer strips it too. */
		while (n > 0 && l->value[n - 1] == '\\') {
			n--;
			in->cut = true;
		}
		/* An empty tag value loses the whole line. */
		if (n == 0)
			continue;
		if (!put(in, limit, ",", 1) || !put(in, limit, l->name, strlen(l->name)) ||
		    !put(in, limit, "=", 1) || !put_tag_value(in, limit, l->value, n))
			return false;
	}
	return true;
}

/* measurement: the length of its name. */
static bool put_field(struct influx *in, size_t limit, const struct bcrawl_value *v,
		      size_t measurement, bool first)
{
	const char *field = v->metric->name + measurement;
	char number[NUMBER_MAX];
	size_t n = number_format(number, v->value, v->metric->integral);
	size_t before = in->len;

	/* A name of two words has no rest. */
	field = *field ? field + 1 : "value";
	if (n > 0 && (first || put(in, limit, ",", 1)) && put(in, limit, field, strlen(field)) &&
	    put(in, limit, "=", 1) && put(in, limit, number, n) &&
	    (!v->metric->integral || put(in, limit, "i", 1)))
		return true;
	in->len = before;
	return false;
}

static size_t format_tail(char tail[TAIL_MAX], int64_t ms)
{
	/* Beyond the years 1677 to 2262 nanoseconds do not fit, and the line would be lost;
	 * without a time the reader uses its own. */
	if (ms > INT64_MAX / 1000000 || ms < INT64_MIN / 1000000)
		return (size_t)snprintf(tail, TAIL_MAX, "\n");
	return (size_t)snprintf(tail, TAIL_MAX, " %" PRId64 "\n", ms * 1000000);
}

void influx_begin(struct influx *in, const struct bcrawl_sample *sample)
{
	in->sample = sample;
	in->next = 0;
	in->dropped = 0;
	in->shortened = 0;
	in->cut = false;
	in->len = 0;
}

int influx_next(struct influx *in)
{
	const struct bcrawl_sample *s = in->sample;
	char tail[TAIL_MAX];
	size_t tail_len = format_tail(tail, s->time_ms);
	size_t limit = sizeof(in->line) - tail_len;

	while (in->next < s->value_count) {
		const char *name = s->values[in->next].metric->name;
		size_t n = measurement_length(name), head;

		in->len = 0;
		if (!put(in, limit, name, n) || !put_tags(in, limit) ||
		    !put(in, limit, " ", 1)) {
			in->dropped++;
			in->next++;
			continue;
		}
		head = in->len;
		while (in->next < s->value_count &&
		       same_measurement(name, n, s->values[in->next].metric->name)) {
			if (!put_field(in, limit, &s->values[in->next], n, in->len == head)) {
				if (in->len > head)
					break; /* full: the value gets a line of its own */
				in->dropped++;
			}
			in->next++;
		}
		if (in->len == head)
			continue;
		memcpy(in->line + in->len, tail, tail_len);
		in->len += tail_len;
		return 1;
	}
	if (in->cut)
		in->shortened = s->value_count - in->dropped;
	return 0;
}
