/* SPDX-License-Identifier: MIT
 *
 * Numbers as text. Relies on the C locale: this program never calls setlocale(). */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above this a double no longer holds every whole number. */
#define WHOLE_MAX 9007199254740992.0

size_t number_format(char out[NUMBER_MAX], double value, bool integral)
{
	char *plus;

	if (!isfinite(value) || (integral && fabs(value) > WHOLE_MAX))
		return 0;
	if (integral)
		return (size_t)snprintf(out, NUMBER_MAX, "%lld", (long long)value);
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
