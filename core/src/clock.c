/* SPDX-License-Identifier: MIT
 *
 * Clocks and dates. The only file that asks the system what time it is. */
#include "clock.h"

#include <ctype.h>
#include <time.h>

static int64_t system_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono(void *user)
{
	(void)user;
	return system_ms(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *user)
{
	(void)user;
	return system_ms(CLOCK_REALTIME);
}

struct bci_clock bci_clock_system(void)
{
	return (struct bci_clock){ .mono_ms = system_mono, .wall_ms = system_wall };
}

int64_t bci_clock_mono(const struct bci_clock *c)
{
	return c->mono_ms(c->user);
}

int64_t bci_clock_net(const struct bci_clock *c)
{
	return c->mono_ms(c->user) - c->paused_ms;
}

int64_t bci_clock_wall(const struct bci_clock *c)
{
	return c->wall_ms(c->user);
}

/* Reads exactly n digits and, if sep is set, the character after them. */
static bool digits(const char **p, int n, char sep, int *out)
{
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		v = v * 10 + (**p - '0');
	}
	if (sep) {
		if (**p != sep)
			return false;
		(*p)++;
	}
	*out = v;
	return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_since_epoch(int y, int m, int d)
{
	int64_t era_year = y - (m <= 2);
	int64_t era = era_year / 400;
	int64_t yoe = era_year - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

bool bci_date_parse(const char *p, double *seconds)
{
	static const int month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int y, mo, d, h, mi, s;
	double fraction = 0, unit = 0.1;

	if (!digits(&p, 4, '-', &y) || !digits(&p, 2, '-', &mo) || !digits(&p, 2, 'T', &d) ||
	    !digits(&p, 2, ':', &h) || !digits(&p, 2, ':', &mi) || !digits(&p, 2, 0, &s))
		return false;
	if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > month_days[mo - 1] || h > 23 || mi > 59 ||
	    s > 60)
		return false;
	if (*p == '.') {
		if (!isdigit((unsigned char)*++p))
			return false;
		for (; isdigit((unsigned char)*p); p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (p[0] != 'Z' || p[1] != '\0')
		return false;
	*seconds = (double)(days_since_epoch(y, mo, d) * 86400 + h * 3600 + mi * 60 + s) + fraction;
	return true;
}
