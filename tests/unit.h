/* SPDX-License-Identifier: MIT
 *
 * What the core's unit tests share: cmocka, checks that say which case of a table failed, and
 * fixtures. */
#ifndef UNIT_H
#define UNIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Fails the test with the name of the case. */
#define CHECK(name, condition)                                                                     \
	unit_check(__FILE__, __LINE__, (name), (condition), #condition)
#define CHECK_INT(name, got, want)                                                                 \
	unit_check_int(__FILE__, __LINE__, (name), (long long)(got), (long long)(want))
/* Doubles that differ by no more than rounding; NAN is like NAN. */
#define CHECK_NUM(name, got, want) unit_check_num(__FILE__, __LINE__, (name), (got), (want))
/* Strings; NULL is like NULL. */
#define CHECK_STR(name, got, want) unit_check_str(__FILE__, __LINE__, (name), (got), (want))

static inline void unit_check(const char *file, int line, const char *name, bool good,
                              const char *text)
{
	if (good)
		return;
	print_error("case \"%s\": not true: %s\n", name, text);
	_fail(file, line);
}

static inline void unit_check_int(const char *file, int line, const char *name, long long got,
                                  long long want)
{
	if (got == want)
		return;
	print_error("case \"%s\": %lld, but %lld was to be expected\n", name, got, want);
	_fail(file, line);
}

static inline void unit_check_num(const char *file, int line, const char *name, double got,
                                  double want)
{
	if ((isnan(got) && isnan(want)) || fabs(got - want) <= 1e-12 * fabs(want))
		return;
	print_error("case \"%s\": %.17g, but %.17g was to be expected\n", name, got, want);
	_fail(file, line);
}

static inline void unit_check_str(const char *file, int line, const char *name, const char *got,
                                  const char *want)
{
	if (got == want || (got && want && strcmp(got, want) == 0))
		return;
	print_error("case \"%s\": \"%s\", but \"%s\" was to be expected\n", name, got ? got : "NULL",
	            want ? want : "NULL");
	_fail(file, line);
}

/* Where a test does something at every byte in turn: at every byte, or, under a tool that is fifty
 * times slower, at every UNIT_STRIDE-th (a number in the environment). */
static inline size_t unit_stride(void)
{
	const char *text = getenv("UNIT_STRIDE");
	long n = text ? strtol(text, NULL, 10) : 1;

	return n > 1 ? (size_t)n : 1;
}

/* A whole file, NUL-terminated, in new memory; len may be NULL. */
static inline char *unit_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	long n;

	if (!f)
		fail_msg("cannot open %s", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	text = malloc((size_t)n + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)n, f), n);
	fclose(f);
	text[n] = '\0';
	if (len)
		*len = (size_t)n;
	return text;
}

/* The fixture, such as "recorded/v7-device-orphan.json". */
static inline char *unit_fixture(const char *name, size_t *len)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", FIXTURES_DIR, name);
	return unit_file(path, len);
}

#endif
