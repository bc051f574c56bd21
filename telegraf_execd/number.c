/* SPDX-License-Identifier: MIT
 *
 * Numbers as text. Relies on the C locale: this program never calls setlocale(). */
#include "number.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above this a double no longer holds every whole number. */
#define WHOLE_MAX 9007199254740992.0

/* n with so many decimals: 5 and 2 are 0.05. */
static size_t put_decimal(char out[NUMBER_MAX], bool negative, uint64_t n, int decimals)
{
	char text[NUMBER_MAX];
	char *p = text + NUMBER_MAX;
	size_t len;

	for (int i = 0; n > 0 || i <= decimals; i++, n /= 10) {
		if (i > 0 && i == decimals)
			*--p = '.';
		*--p = (char)('0' + n % 10);
	}
	if (negative)
		*--p = '-';
	len = (size_t)(text + NUMBER_MAX - p);
	memcpy(out, p, len);
	out[len] = '\0';
	return len;
}

/* The usual number, of at most six decimals and fifteen digits, in a tenth of printf's time.
 * Fifteen digits are always read back as written, and a division rounds as a reader does. 0: it is
 * not such a one. */
static size_t put_usual(char out[NUMBER_MAX], double value)
{
	double size = fabs(value), scaled = round(size * 1e6);
	int decimals = 6;
	uint64_t n;

	/* What is smaller printf writes with an exponent. */
	if (!(scaled < WHOLE_MAX) || (size > 0 && size < 1e-4))
		return 0;
	n = (uint64_t)scaled;
	if ((double)n / 1e6 < size || (double)n / 1e6 > size)
		return 0;
	for (; decimals > 0 && n % 10 == 0; decimals--)
		n /= 10;
	return n < 1000000000000000u ? put_decimal(out, value < 0, n, decimals) : 0;
}

size_t number_format(char out[NUMBER_MAX], double value, bool integral)
{
	char *plus;
	size_t n;

	if (!isfinite(value) || (integral && fabs(value) > WHOLE_MAX))
		return 0;
	if (integral)
		return put_decimal(out, value <= -1, (uint64_t)fabs(value), 0);
	n = put_usual(out, value);
	if (n > 0)
		return n;
	value += 0.0; /* turns -0 into 0 */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, NUMBER_MAX, "%.*g", digits, value);
		if (!(strtod(out, NULL) < value) && !(strtod(out, NULL) > value))
			break;
	}
	/* 1e+20: not every reader of line protocol takes the plus. */
	plus = strchr(out, '+');
	if (plus)
		memmove(plus, plus + 1, strlen(plus));
	return strlen(out);
}
