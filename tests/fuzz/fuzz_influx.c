/* SPDX-License-Identifier: MIT
 *
 * Line protocol: every line is one that Telegraf's parser takes, and what it reads is what was in
 * the sample. The reader here follows the grammar of that parser (its machine.go.rl): no line of
 * ours may be refused, for a refused line is a lost device.
 *
 * Input: see fuzz_sample.h. */
#include "fuzz_sample.h"

#include "influx.h"

#include <errno.h>
#include <math.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

struct span {
	const char *p;
	size_t n;
};

/* A character of a name: any but blanks, line ends and delimiters, or a backslash and any but
 * line ends. Returns its bytes, 0: the name ends here. In a tag the second of two backslashes is
 * looked at again: it escapes what follows. */
static size_t character(const char *p, const char *end, const char *delimiters, bool tag)
{
	if (p == end || strchr("\t\n\f\r", *p) || !*p)
		return 0;
	if (*p == '\\') {
		if (p + 1 == end || strchr("\t\n\f\r", p[1]))
			return 0;
		return tag && p[1] == '\\' ? 1 : 2;
	}
	return strchr(delimiters, *p) ? 0 : 1;
}

/* Reads a name of at least one character; false: there is none. */
static bool take_name(const char **p, const char *end, const char *delimiters, bool tag,
                      struct span *out)
{
	size_t n;

	out->p = *p;
	while ((n = character(*p, end, delimiters, tag)) > 0)
		*p += n;
	out->n = (size_t)(*p - out->p);
	return out->n > 0;
}

static bool take(const char **p, const char *end, char c)
{
	if (*p == end || **p != c)
		return false;
	++*p;
	return true;
}

static size_t take_digits(const char **p, const char *end)
{
	const char *begin = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		++*p;
	return (size_t)(*p - begin);
}

/* integer = '-'? ( digit | [1-9] digit* ) 'i', or a number with fraction and exponent. Other
 * readers of line protocol take no plus. */
static bool take_value(const char **p, const char *end, struct span *out, bool *integral)
{
	const char *digits;
	size_t n;

	out->p = *p;
	(void)take(p, end, '-');
	digits = *p;
	n = take_digits(p, end);
	*integral = take(p, end, 'i');
	if (*integral) {
		out->n = (size_t)(*p - out->p) - 1;
		return n == 1 || (n > 1 && *digits != '0');
	}
	if (take(p, end, '.'))
		n += take_digits(p, end);
	if (n == 0)
		return false;
	if (take(p, end, 'e') || take(p, end, 'E')) {
		(void)take(p, end, '-');
		if (take_digits(p, end) == 0)
			return false;
	}
	out->n = (size_t)(*p - out->p);
	return true;
}

/* What Telegraf makes of a tag's bytes: if there is a blank, comma or equals sign in it, then "\,"
 * "\"" "\ " and "\=" lose their backslash. */
static char *unescape(struct span s)
{
	char *out = malloc(s.n + 1), *o = out;
	bool any = false;

	FUZZ_CHECK(out);
	for (size_t i = 0; i < s.n; i++)
		any |= strchr(" ,=", s.p[i]) != NULL;
	for (size_t i = 0; i < s.n; i++) {
		if (any && s.p[i] == '\\' && i + 1 < s.n && strchr(",\" =", s.p[i + 1]))
			i++;
		*o++ = s.p[i];
	}
	*o = '\0';
	return out;
}

/* What a tag should read back as: controls are blanks, backslashes at the end are gone. */
static char *expected(const char *value)
{
	char *text = strdup(value);
	size_t n = strlen(value);

	FUZZ_CHECK(text);
	while (n > 0 && text[n - 1] == '\\')
		text[--n] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return text;
}

static bool is_text(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* The tags of a line are the labels, in order, but for those of which nothing is left. */
static const char *check_tags(const char *p, const char *end, const struct bcrawl_sample *s)
{
	for (size_t i = 0; i < s->label_count; i++) {
		char *want = expected(s->labels[i].value), *got;
		struct span key, value;

		if (!*want) {
			free(want);
			continue;
		}
		FUZZ_CHECK(take(&p, end, ',') && take_name(&p, end, " ,=", true, &key));
		FUZZ_CHECK(take(&p, end, '=') && take_name(&p, end, " ,=", true, &value));
		FUZZ_CHECK(is_text(key, s->labels[i].name));
		got = unescape(value);
		FUZZ_CHECK_OF(want, strcmp(got, want) == 0);
		free(got);
		free(want);
	}
	return p;
}

static size_t find_value(const struct bcrawl_sample *s, struct span measurement, struct span field)
{
	for (size_t i = 0; i < s->value_count; i++) {
		const char *name = s->values[i].metric->name;

		if (strlen(name) == measurement.n + 1 + field.n &&
		    memcmp(name, measurement.p, measurement.n) == 0 && name[measurement.n] == '_' &&
		    memcmp(name + measurement.n + 1, field.p, field.n) == 0)
			return i;
	}
	fuzz_fail(__FILE__, __LINE__, "a field that is no metric", NULL);
}

static void check_number(const struct bcrawl_value *v, struct span text, bool integral)
{
	char number[64];

	FUZZ_CHECK(text.n < sizeof(number));
	memcpy(number, text.p, text.n);
	number[text.n] = '\0';
	FUZZ_CHECK(integral == v->metric->integral);
	errno = 0;
	if (integral)
		FUZZ_CHECK((double)strtoll(number, NULL, 10) == trunc(v->value) && errno == 0);
	else
		FUZZ_CHECK_OF(number, strtod(number, NULL) == v->value);
}

static void check_time(const char **p, const char *end, int64_t ms)
{
	struct span text;
	char number[32];

	/* Beyond what nanoseconds can tell there is none. */
	if (ms > INT64_MAX / 1000000 || ms < INT64_MIN / 1000000)
		return;
	FUZZ_CHECK(take(p, end, ' '));
	text.p = *p;
	(void)take(p, end, '-');
	text.n = take_digits(p, end);
	FUZZ_CHECK(text.n >= 1 && text.n <= 19);
	text.n = (size_t)(*p - text.p);
	memcpy(number, text.p, text.n);
	number[text.n] = '\0';
	errno = 0;
	FUZZ_CHECK(strtoll(number, NULL, 10) == ms * 1000000 && errno == 0);
}

/* metric = measurement tagset ws+ fieldset (ws+ timestamp)? newline; marks the values seen. */
static void check_line(const char *p, size_t n, const struct bcrawl_sample *s, bool *seen)
{
	const char *end = p + n;
	struct span measurement, field, text;
	bool integral;

	FUZZ_CHECK(n <= INFLUX_LINE_MAX && memchr(p, '\n', n) == end - 1);
	FUZZ_CHECK(*p != '#' && take_name(&p, end, " ,", false, &measurement));
	p = check_tags(p, end, s);
	FUZZ_CHECK(take(&p, end, ' '));
	do {
		size_t i;

		FUZZ_CHECK(take_name(&p, end, " ,=", false, &field) && take(&p, end, '='));
		FUZZ_CHECK(take_value(&p, end, &text, &integral));
		i = find_value(s, measurement, field);
		check_number(&s->values[i], text, integral);
		FUZZ_CHECK_OF(s->values[i].metric->name, !seen[i]);
		seen[i] = true;
	} while (take(&p, end, ','));
	check_time(&p, end, s->time_ms);
	FUZZ_CHECK(take(&p, end, '\n') && p == end);
}

static bool is_writable(const struct bcrawl_value *v)
{
	return isfinite(v->value) && (!v->metric->integral || fabs(v->value) <= WHOLE_MAX);
}

static size_t label_bytes(const struct bcrawl_sample *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->label_count; i++)
		n += strlen(s->labels[i].name) + strlen(s->labels[i].value);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct fuzz_sample s;
	bool seen[FUZZ_VALUES_MAX] = { false };
	static struct influx influx;
	size_t missing = 0;

	fuzz_sample_init(&s, &in, false);
	influx_begin(&influx, &s.sample);
	while (influx_next(&influx)) {
		/* Memory of the line's own size. */
		char *line = fuzz_copy((const uint8_t *)influx.line, influx.len);

		check_line(line, influx.len, &s.sample, seen);
		free(line);
	}
	for (size_t i = 0; i < s.sample.value_count; i++) {
		missing += !seen[i];
		/* Within the contract's sizes nothing is lost for want of room. */
		if (is_writable(&s.values[i]) && label_bytes(&s.sample) <= BCRAWL_LABEL_BYTES_MAX)
			FUZZ_CHECK_OF(s.values[i].metric->name, seen[i]);
		if (!is_writable(&s.values[i]))
			FUZZ_CHECK(!seen[i]);
	}
	FUZZ_CHECK(influx.dropped == missing);
	fuzz_sample_fini(&s);
	return 0;
}
