/* SPDX-License-Identifier: MIT
 *
 * UTF-8 for people. Combining and wide characters count as one column: a table may be ragged by
 * those, the price of not carrying a width table. */
#include "text.h"

#include <stdbool.h>
#include <string.h>

static size_t character_length(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool is_control(const unsigned char *c)
{
	return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0);
}

size_t text_copy(char *out, size_t size, const char *in)
{
	size_t n = 0;

	while (*in) {
		size_t len = strnlen(in, character_length((unsigned char)*in));

		if (n + len + 1 > size)
			break;
		if (!is_control((const unsigned char *)in)) {
			memcpy(out + n, in, len);
			n += len;
		}
		in += len;
	}
	out[n] = '\0';
	return n;
}

size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}
