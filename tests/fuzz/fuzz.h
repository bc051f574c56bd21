/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share: the entry point that libFuzzer and replay.c call, checks that are
 * there in every kind of build, and a way to take an input apart. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Always 0; a broken promise aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
	((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition, NULL))
/* Says what it is about, too. */
#define FUZZ_CHECK_OF(text, condition)                                                             \
	((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition, (text)))

_Noreturn static inline void fuzz_fail(const char *file, int line, const char *condition,
                                       const char *text)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, condition);
	if (text)
		fprintf(stderr, "of: %s\n", text);
	abort();
}

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

/* Zeros once nothing is left. */
static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static inline uint64_t fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | fuzz_byte(in);
	return n;
}

static inline double fuzz_double(struct fuzz_input *in)
{
	uint64_t bits = fuzz_number(in, 8);
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

/* New memory of exactly this size, so that a sanitizer sees a step beyond its end. */
static inline char *fuzz_copy(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);

	if (!text)
		abort();
	if (n)
		memcpy(text, data, n);
	text[n] = '\0';
	return text;
}

/* Everything up to the next stop byte, or all that is left: new memory. NULs in it end it early
 * for whoever takes it for a string. */
static inline char *fuzz_text(struct fuzz_input *in, uint8_t stop)
{
	const uint8_t *end = in->left ? memchr(in->data, stop, in->left) : NULL;
	size_t n = end ? (size_t)(end - in->data) : in->left;
	char *text = fuzz_copy(in->data, n);

	in->data += n + (end != NULL);
	in->left -= n + (end != NULL);
	return text;
}

/* Bytes of the UTF-8 character that s begins with, 0: it is none. Written anew, by decoding, for
 * the code under test goes by ranges. */
static inline size_t fuzz_utf8_length(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80       ? 1
		   : s[0] >> 5 == 6  ? 2
		   : s[0] >> 4 == 14 ? 3
		   : s[0] >> 3 == 30 ? 4
				     : 0;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = n < 2 ? s[0] : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	return n < 2 || (c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff)) ? n : 0;
}

static inline bool fuzz_is_utf8(const char *s)
{
	size_t n;

	for (; *s; s += n)
		if ((n = fuzz_utf8_length(s)) == 0)
			return false;
	return true;
}

/* C0, DEL or C1. */
static inline bool fuzz_has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f ||
		    ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 &&
		     (unsigned char)s[1] < 0xa0))
			return true;
	return false;
}

#endif
