/* SPDX-License-Identifier: MIT
 *
 * A token bucket, and a door that the server can close. */
#include "gate.h"

#include <math.h>

static double tokens_at(const struct bci_gate *g, int64_t now)
{
	return fmin(g->most, g->tokens + (double)(now - g->at) * g->per_minute / 60000);
}

void bci_gate_budget(struct bci_gate *g, double per_minute, double most, int64_t now)
{
	g->tokens = g->most > 0 ? fmin(most, tokens_at(g, now)) : most;
	g->at = now;
	g->per_minute = per_minute;
	g->most = most;
}

int64_t bci_gate_wait(const struct bci_gate *g, int64_t now)
{
	int64_t closed = g->closed_until > now ? g->closed_until - now : 0, budget = 0;
	double tokens = tokens_at(g, now);

	if (g->per_minute > 0 && tokens < 1)
		/* A millisecond that only rounding would ask for is none. */
		budget = (int64_t)ceil((1 - tokens) * 60000 / g->per_minute - 1e-6);
	return closed > budget ? closed : budget;
}

void bci_gate_pass(struct bci_gate *g, int64_t now)
{
	g->tokens = fmax(0, tokens_at(g, now) - 1);
	g->at = now;
}

bool bci_gate_is_closed(const struct bci_gate *g, int64_t now)
{
	return g->closed_until > now;
}

void bci_gate_close(struct bci_gate *g, int64_t now, int64_t ms)
{
	/* Requests that were under way together are told one thing. */
	g->closings += !bci_gate_is_closed(g, now);
	if (now + ms > g->closed_until)
		g->closed_until = now + ms;
}
