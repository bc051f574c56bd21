/* SPDX-License-Identifier: MIT
 *
 * The first fill: how many new series a crawl may bring. */
#include "fill.h"

#include <math.h>

/* What any machine takes in within seconds: one family of 20,000 takes 30 s of a processor, six of
 * 3,300 take 4 s. */
#define SHARE_FIRST 20000.0
/* So that it goes on, however slow. */
#define SHARE_LEAST 100.0
/* A guess may be wrong by that much from crawl to crawl. */
#define SHARE_STEP 2.0
/* A filter of the agent's may drop what is waited for. */
#define WAITS_MOST 5
/* The agent has other things to do, and is late with them meanwhile. */
#define BUSY_PART 0.4

static double within(double x, double least, double most)
{
	if (x < least)
		return least;
	return x < most ? x : most;
}

static void set_share(struct fill *f, double share)
{
	f->share = within(share, fmin(SHARE_LEAST, f->most), f->most);
}

void fill_init(struct fill *f, double per_second, double interval_s, unsigned accounts)
{
	*f = (struct fill){.most = per_second * interval_s,
			   .busy_s = BUSY_PART * interval_s / accounts};
	set_share(f, SHARE_FIRST / accounts);
}

void fill_begin(struct fill *f)
{
	f->waits = f->waiting ? f->waits + 1 : 0;
	if (f->waits == 1) {
		f->believed = f->share;
		set_share(f, f->share / SHARE_STEP);
	} else if (f->waits > WAITS_MOST) {
		f->waiting = false;
		f->waits = 0;
		set_share(f, f->believed);
	}
	f->left = f->waiting ? 0 : f->share;
	f->known += (double)f->fed;
	f->fed = f->held = 0;
}

bool fill_allows(const struct fill *f)
{
	return f->most == 0 || (double)f->fed < f->left;
}

void fill_feed(struct fill *f, unsigned long series)
{
	f->fed += series;
}

void fill_hold(struct fill *f, unsigned long series)
{
	f->held += series;
}

void fill_await(struct fill *f)
{
	f->waiting = true;
}

/* Sorting anew for each makes it a matter of squares: of all series then, less those before. */
void fill_taken(struct fill *f, double seconds)
{
	double now = f->known + (double)f->fed;
	double squares = now * now - f->known * f->known;
	double could = squares * f->busy_s / fmax(seconds, f->busy_s / 1000);

	f->waiting = false;
	/* Else there was nothing to learn: less than might have come, or it took several crawls. */
	if (f->held > 0 && f->fed > 0)
		set_share(f, within(sqrt(now * now + could) - now, f->share / SHARE_STEP,
				    f->share * SHARE_STEP));
}
