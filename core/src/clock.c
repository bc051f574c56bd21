/* SPDX-License-Identifier: MIT
 *
 * Clocks and dates. The only file that asks the system what time it is. */
#include "clock.h"

#include <ctype.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct bci_clock){
		.mono_ms = system_mono,
		.wall_ms = system_wall,
		/* Two processes begun in one nanosecond still differ. */
		.seed = ((uint64_t)ts.tv_sec << 30 ^ (uint64_t)ts.tv_nsec) +
			((uint64_t)getpid() << 40),
	};
}

/* splitmix64: any seed will do, 0 too. */
double bci_clock_luck(struct bci_clock *c)
{
	uint64_t x = c->seed += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return (double)(x >> 11) / 9007199254740992.0;
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

/* Reads exactly n digits, which must be within lo and hi, and the character after them. */
static bool part(const char **p, int n, char after, int lo, int hi, int *out)
{
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return false;
		v = v * 10 + (**p - '0');
	}
	*out = v;
	if (v < lo || v > hi)
		return false;
	if (!after)
		return true;
	return *(*p)++ == after;
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

static int month_length(int y, int m)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

	return days[m - 1] + (m == 2 && leap);
}

/* ".296" -> 0.296; nothing is 0. */
static bool fraction(const char **p, double *out)
{
	double unit = 0.1;

	*out = 0;
	if (**p != '.')
		return true;
	if (!isdigit((unsigned char)*++*p))
		return false;
	for (; isdigit((unsigned char)**p); (*p)++, unit /= 10)
		*out += (**p - '0') * unit;
	return true;
}

bool bci_date_parse(const char *p, double *seconds)
{
	int y, mo, d, h, mi, s;
	double f, value;

	if (!part(&p, 4, '-', 1970, 9999, &y) || !part(&p, 2, '-', 1, 12, &mo) ||
	    !part(&p, 2, 'T', 1, month_length(y, mo), &d) || !part(&p, 2, ':', 0, 23, &h) ||
	    !part(&p, 2, ':', 0, 59, &mi) || !part(&p, 2, 0, 0, 60, &s) || !fraction(&p, &f))
		return false;
	if (strcmp(p, "Z") != 0)
		return false;
	value = (double)(days_since_epoch(y, mo, d) * 86400 + h * 3600 + mi * 60 + s) + f;
	/* A leap second may lead out of the last year. */
	if (value > BCI_DATE_MAX)
		return false;
	*seconds = value;
	return true;
}
