/* SPDX-License-Identifier: MIT
 *
 * Prints the plugin's types as types.db(5) has them, for a collectd that gets the values over the
 * network and so has no plugin to register them. */
#include "map.h"

#include <stdio.h>

int main(void)
{
	const struct bcrawl_metric *m;
	char type[BALENA_NAME_SIZE];

	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++) {
		if (balena_map_type(m, type))
			continue;
		if (printf("%s value:%s:U:U\n", type,
		           m->kind == BCRAWL_COUNTER ? "DERIVE" : "GAUGE") < 0)
			return 1;
	}
	return fflush(stdout) != 0;
}
