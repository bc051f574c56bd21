/* SPDX-License-Identifier: MIT
 *
 * influx.c and number.c: exact lines for known samples, and for odd ones a reader that follows
 * Telegraf's grammar (plugins/parsers/influx/machine.go.rl) and must get back what was put in. */
#include "influx.h"
#include "number.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TIME_MS      1718000000123

static const struct bcrawl_metric up = { .name = "balena_device_up", .integral = 1 };
static const struct bcrawl_metric ratio = { .name = "balena_device_memory_usage_ratio" };
static const struct bcrawl_metric online = { .name = "balena_devices_online", .integral = 1 };
static const struct bcrawl_metric devices = { .name = "balena_fleet_devices", .integral = 1 };
static const struct bcrawl_metric short_name = { .name = "balena_up", .integral = 1 };
static const struct bcrawl_metric odd_name = { .name = "balena_device_", .integral = 1 };

/* All lines of a sample in text; returns how many. */
static size_t write_all(const struct bcrawl_sample *s, char *text, size_t size,
                        unsigned long *dropped)
{
	struct influx in;
	size_t lines = 0, used = 0;

	influx_begin(&in, s);
	while (influx_next(&in)) {
		assert_true(in.len <= INFLUX_LINE_MAX);
		assert_int_equal(in.line[in.len - 1], '\n');
		assert_true(used + in.len < size);
		memcpy(text + used, in.line, in.len);
		used += in.len;
		lines++;
	}
	text[used] = '\0';
	*dropped = in.dropped;
	assert_int_equal(influx_next(&in), 0);
	return lines;
}

/* ---- a reader ---- */

struct parsed {
	char tags[4][2][INFLUX_LINE_MAX]; /* name and value, unescaped */
	size_t tag_count, field_count;
};

static bool is_blank_or_line_end(char c)
{
	return c && strchr("\t\n\f\r", c);
}

/* Reads a measurement, key or value up to an unescaped character of ends, unescaping the way
 * Telegraf does: a backslash counts only before comma, equals sign or blank. NULL: not readable. */
static const char *read_name(const char *p, const char *ends, char *out)
{
	const char *begin = p;
	char *start = out;
	bool escaped = false;

	for (; *p && !strchr(ends, *p); p++) {
		if (is_blank_or_line_end(*p))
			return NULL;
		if (*p == '\\' && (p[1] == ',' || p[1] == '=' || p[1] == ' ')) {
			escaped = true;
			p++;
		}
		*out++ = *p;
	}
	*out = '\0';
	/* Once it unescapes at all, it does so for quotes too. */
	for (char *c = strstr(start, "\\\""); escaped && c; c = strstr(c + 1, "\\\""))
		memmove(c, c + 1, strlen(c));
	return p > begin ? p : NULL;
}

static const char *read_digits(const char *p)
{
	const char *begin = p;

	while (*p >= '0' && *p <= '9')
		p++;
	return p > begin ? p : NULL;
}

/* integer 'i' | number | scientific; strings, booleans and unsigned are none of ours. */
static const char *read_value(const char *p)
{
	const char *begin, *end;

	p += *p == '-';
	begin = p;
	p = read_digits(p);
	if (!p)
		return NULL;
	if (*p == 'i')
		return *begin != '0' || p == begin + 1 ? p + 1 : NULL;
	if (*p == '.') {
		p = read_digits(p + 1);
		if (!p)
			return NULL;
	}
	if (*p != 'e')
		return p;
	end = read_digits(p + 1 + (p[1] == '-'));
	return end;
}

/* One line with its newline; returns what comes after it, NULL if Telegraf would lose it. */
static const char *read_line(const char *p, struct parsed *out)
{
	char name[INFLUX_LINE_MAX];

	out->tag_count = 0;
	out->field_count = 0;
	p = *p == '#' ? NULL : read_name(p, ", ", name);
	while (p && *p == ',') {
		char(*tag)[INFLUX_LINE_MAX] = out->tags[out->tag_count++ % 4];

		p = read_name(p + 1, ",= ", tag[0]);
		p = p && *p == '=' ? read_name(p + 1, ",= ", tag[1]) : NULL;
	}
	if (!p || *p != ' ')
		return NULL;
	do {
		p = read_name(p + 1, ",= ", name);
		p = p && *p == '=' ? read_value(p + 1) : NULL;
		out->field_count++;
	} while (p && *p == ',');
	if (p && *p == ' ')
		p = read_digits(p + 1 + (p[1] == '-'));
	return p && *p == '\n' ? p + 1 : NULL;
}

static void the_reader_refuses_what_telegraf_would(void **state)
{
	static const char *const bad[] = {
		"m,a= f=1i\n", "m,a=b\\ f=1i\n", "m f=NaN\n", "m f=+1\n", "m f=01i\n", "m f=1i",
		"m\n", "m f=1i 12x\n", "m,a=b\tc f=1i\n", "#m f=1i\n", "m,a f=1i\n", "m f=1e\n",
	};
	static struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (read_line(bad[i], &parsed))
			fail_msg("accepted: %s", bad[i]);
	assert_non_null(read_line("m,a=b\\\\,c f=-1i,g=1.5e-7 -12\n", &parsed));
}

/* ---- lines ---- */

static void known_samples(void **state)
{
	static const struct {
		const char *name;
		struct bcrawl_label labels[2];
		size_t label_count;
		struct bcrawl_value values[4];
		size_t value_count;
		int64_t time_ms;
		const char *expected;
	} cases[] = {
		{ "plain", { { "fleet", "acme/north", BCRAWL_ROLE_FLEET } }, 1,
		  { { &up, 1 }, { &ratio, 0.25 } }, 2, TIME_MS,
		  "balena_device,fleet=acme/north up=1i,memory_usage_ratio=0.25 "
		  "1718000000123000000\n" },
		{ "no labels", { { 0 } }, 0, { { &up, 0 } }, 1, TIME_MS,
		  "balena_device up=0i 1718000000123000000\n" },
		{ "labels in order", { { "b", "1", 0 }, { "a", "2", 0 } }, 2, { { &up, 0 } }, 1,
		  1, "balena_device,b=1,a=2 up=0i 1000000\n" },
		{ "a run for each measurement", { { 0 } }, 0,
		  { { &devices, 3 }, { &online, 2 }, { &up, 1 }, { &ratio, 1 } }, 4, TIME_MS,
		  "balena_fleet devices=3i 1718000000123000000\n"
		  "balena_devices online=2i 1718000000123000000\n"
		  "balena_device up=1i,memory_usage_ratio=1 1718000000123000000\n" },
		{ "a measurement that comes back", { { 0 } }, 0,
		  { { &up, 1 }, { &online, 2 }, { &ratio, 0 } }, 3, 0,
		  "balena_device up=1i 0\nbalena_devices online=2i 0\n"
		  "balena_device memory_usage_ratio=0 0\n" },
		{ "escapes", { { "a", "x,y=z w", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=x\\,y\\=z\\ w up=1i 0\n" },
		{ "quotes stay", { { "a", "\"q\"", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=\"q\" up=1i 0\n" },
		{ "a backslash inside stays", { { "a", "x\\y", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=x\\y up=1i 0\n" },
		{ "a backslash before an escape stays", { { "a", "x\\,y", 0 } }, 1, { { &up, 1 } },
		  1, 0, "balena_device,a=x\\\\,y up=1i 0\n" },
		{ "backslashes at the end go", { { "a", "x\\\\", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=x up=1i 0\n" },
		{ "nothing but a backslash", { { "a", "\\", 0 }, { "b", "c", 0 } }, 2,
		  { { &up, 1 } }, 1, 0, "balena_device,b=c up=1i 0\n" },
		{ "an empty value", { { "a", "", 0 }, { "b", "c", 0 } }, 2, { { &up, 1 } }, 1, 0,
		  "balena_device,b=c up=1i 0\n" },
		{ "control characters", { { "a", "x\ny\tz\x7f", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=x\\ y\\ z\\  up=1i 0\n" },
		{ "UTF-8", { { "a", "Zürich 東京", 0 } }, 1, { { &up, 1 } }, 1, 0,
		  "balena_device,a=Zürich\\ 東京 up=1i 0\n" },
		{ "a name of two words", { { 0 } }, 0, { { &short_name, 1 } }, 1, 0,
		  "balena_up value=1i 0\n" },
		{ "a name that ends in _", { { 0 } }, 0, { { &odd_name, 1 } }, 1, 0,
		  "balena_device_ value=1i 0\n" },
		{ "before 1970", { { 0 } }, 0, { { &up, 1 } }, 1, -5,
		  "balena_device up=1i -5000000\n" },
		{ "a time beyond nanoseconds", { { 0 } }, 0, { { &up, 1 } }, 1, INT64_MAX,
		  "balena_device up=1i\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bcrawl_sample s = {
			.labels = cases[i].labels, .label_count = cases[i].label_count,
			.values = cases[i].values, .value_count = cases[i].value_count,
			.time_ms = cases[i].time_ms,
		};
		char text[8192];
		unsigned long dropped;

		write_all(&s, text, sizeof(text), &dropped);
		if (strcmp(text, cases[i].expected) != 0)
			fail_msg("%s:\n%s instead of\n%s", cases[i].name, text, cases[i].expected);
		assert_int_equal(dropped, 0);
	}
}

static void numbers(void **state)
{
	static const struct {
		double value;
		bool integral;
		const char *expected; /* "": none */
	} cases[] = {
		{ 0, true, "0" },
		{ -0.0, true, "0" },
		{ -0.0, false, "0" },
		{ 1, true, "1" },
		{ -17, true, "-17" },
		{ 9007199254740992.0, true, "9007199254740992" },
		{ 1e17, true, "" },
		{ (double)NAN, true, "" },
		{ (double)NAN, false, "" },
		{ (double)INFINITY, false, "" },
		{ -(double)INFINITY, false, "" },
		{ 5, false, "5" },
		{ 0.1, false, "0.1" },
		{ 0.1 + 0.2, false, "0.30000000000000004" },
		{ 1.0 / 3, false, "0.3333333333333333" },
		{ 1718000000.123, false, "1718000000.123" },
		{ 1e-7, false, "1e-07" },
		{ 0.0001, false, "0.0001" },
		{ 0.000099, false, "9.9e-05" },
		{ -0.05, false, "-0.05" },
		{ 999999999.999999, false, "999999999.999999" },
		{ 1000000000.000001, false, "1000000000.000001" },
		{ 9007199254, false, "9007199254" },
		{ 9007199255, false, "9007199255" },
		{ 1e20, false, "1e20" },
		{ -1.5e300, false, "-1.5e300" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[NUMBER_MAX] = "";
		size_t n = number_format(text, cases[i].value, cases[i].integral);

		assert_int_equal(n, strlen(cases[i].expected));
		if (n)
			assert_string_equal(text, cases[i].expected);
	}
}

static void values_that_are_no_numbers_are_dropped(void **state)
{
	struct bcrawl_value values[] = { { &up, (double)NAN },
		                         { &up, 1 },
		                         { &ratio, (double)INFINITY },
		                         { &ratio, 0.5 } };
	struct bcrawl_sample s = { .values = values, .value_count = 4 };
	char text[8192];
	unsigned long dropped;

	(void)state;
	assert_int_equal(write_all(&s, text, sizeof(text), &dropped), 2);
	assert_string_equal(text, "balena_device up=1i 0\n"
	                          "balena_device memory_usage_ratio=0.5 0\n");
	assert_int_equal(dropped, 2);
	s.value_count = 1;
	assert_int_equal(write_all(&s, text, sizeof(text), &dropped), 0);
	assert_int_equal(dropped, 1);
}

/* Every length of the labels, from much room to none: no value is lost while one fits. */
static void long_records_are_split(void **state)
{
	static char value[INFLUX_LINE_MAX + 64], text[BCRAWL_VALUES_MAX * INFLUX_LINE_MAX + 1];
	static struct parsed parsed;
	struct bcrawl_label label = { "a", value, BCRAWL_ROLE_OTHER };
	struct bcrawl_value values[BCRAWL_VALUES_MAX];
	struct bcrawl_sample s = { .labels = &label, .label_count = 1, .values = values,
		                   .value_count = BCRAWL_VALUES_MAX, .time_ms = TIME_MS };

	(void)state;
	for (size_t i = 0; i < BCRAWL_VALUES_MAX; i++)
		values[i] = (struct bcrawl_value){ i % 2 ? &ratio : &up, i % 2 ? 1.0 / 3 : 1 };
	for (size_t n = 1; n < sizeof(value); n = n > 3900 ? n + 1 : n + 150) {
		size_t lines, fields = 0;
		unsigned long dropped;
		const char *p = text;

		memset(value, 'x', n);
		value[n] = '\0';
		lines = write_all(&s, text, sizeof(text), &dropped);
		while (*p) {
			p = read_line(p, &parsed);
			assert_non_null(p);
			assert_string_equal(parsed.tags[0][1], value);
			fields += parsed.field_count;
			lines--;
		}
		assert_int_equal(lines, 0);
		assert_int_equal(fields + dropped, BCRAWL_VALUES_MAX);
		assert_true(n > 4000 || dropped == 0);
		assert_true(n < INFLUX_LINE_MAX - 20 || dropped == BCRAWL_VALUES_MAX);
	}
}

/* What a line says of a value after Telegraf has read it. */
static void expect_read_back(const char *value)
{
	static char text[8192], expected[INFLUX_LINE_MAX];
	static struct parsed parsed;
	struct bcrawl_label labels[] = { { "a", value, BCRAWL_ROLE_OTHER },
		                         { "z", "end", BCRAWL_ROLE_OTHER } };
	struct bcrawl_value v = { &up, 1 };
	struct bcrawl_sample s = { .labels = labels, .label_count = 2, .values = &v,
		                   .value_count = 1, .time_ms = TIME_MS };
	size_t n = strlen(value);
	unsigned long dropped;

	while (n > 0 && value[n - 1] == '\\')
		n--;
	for (size_t i = 0; i < n; i++)
		expected[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? ' ' : value[i];
	expected[n] = '\0';
	assert_int_equal(write_all(&s, text, sizeof(text), &dropped), 1);
	if (!read_line(text, &parsed))
		fail_msg("unreadable: %s", text);
	assert_int_equal(parsed.tag_count, n ? 2 : 1);
	if (n)
		assert_string_equal(parsed.tags[0][1], expected);
	assert_string_equal(parsed.tags[n ? 1 : 0][1], "end");
}

/* All strings of up to five characters over what has a meaning somewhere. */
static void odd_values_are_read_back(void **state)
{
	static const char alphabet[] = "\\,= \"x\n\t#";
	size_t base = sizeof(alphabet) - 1, count = 1;

	(void)state;
	for (size_t len = 0; len <= 5; len++, count *= base) {
		for (size_t k = 0; k < count; k++) {
			char value[8];
			size_t rest = k;

			for (size_t i = 0; i < len; i++, rest /= base)
				value[i] = alphabet[rest % base];
			value[len] = '\0';
			expect_read_back(value);
		}
	}
}

/* Any double comes back as it went out. */
static void random_numbers_are_read_back(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char text[NUMBER_MAX];
		const char *end;
		double d;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&d, &x, sizeof(d));
		if (!isfinite(d))
			continue;
		assert_true(number_format(text, d, false) > 0);
		end = read_value(text);
		assert_true(end && !*end);
		assert_memory_equal(&(double){ strtod(text, NULL) }, &d, sizeof(d));
	}
}

/* The usual numbers have the text that printf gives them: the fewest digits that are read back. */
static void usual_numbers_are_as_printf_has_them(void **state)
{
	static const double units[] = { 1, 10, 100, 1000, 1e6, 1e7, 3 };
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 700000; i++) {
		char text[NUMBER_MAX], expected[NUMBER_MAX];
		double d;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Of any length up to 2^60. */
		d = (double)(int64_t)(x >> (4 + x % 60)) / units[i % 7] * (i % 2 ? 1 : -1);
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(expected, sizeof(expected), "%.*g", digits, d + 0.0);
			if (strtod(expected, NULL) == d)
				break;
		}
		if (strchr(expected, '+'))
			memmove(strchr(expected, '+'), strchr(expected, '+') + 1, strlen(strchr(expected, '+')));
		number_format(text, d, false);
		assert_string_equal(text, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reader_refuses_what_telegraf_would),
		cmocka_unit_test(known_samples),
		cmocka_unit_test(numbers),
		cmocka_unit_test(values_that_are_no_numbers_are_dropped),
		cmocka_unit_test(long_records_are_split),
		cmocka_unit_test(odd_values_are_read_back),
		cmocka_unit_test(random_numbers_are_read_back),
		cmocka_unit_test(usual_numbers_are_as_printf_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
