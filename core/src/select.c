/* SPDX-License-Identifier: MIT
 *
 * The choice of metrics by set or name, and the device fields that the chosen ones need. */
#include "metrics.h"

#include "options.h"

#include <fnmatch.h>
#include <string.h>

/* One item of a spec: a set, or a glob over names. Returns whether it means anything. */
static bool select_item(const char *item, bool wanted[BCI_M__COUNT])
{
	static const struct {
		const char *name;
		enum bcrawl_set up_to;
	} sets[] = {
		{ "@lean", BCRAWL_SET_LEAN },
		{ "@standard", BCRAWL_SET_STANDARD },
		{ "@all", BCRAWL_SET_OPTIONAL },
	};
	bool found = false;

	for (size_t s = 0; s < ARRAY_LEN(sets); s++) {
		if (strcmp(item, sets[s].name) != 0)
			continue;
		found = true;
		for (enum bci_metric_id i = 0; wanted && i < BCI_M__COUNT; i++)
			wanted[i] |= bci_metric(i)->pub.set <= sets[s].up_to;
	}
	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++) {
		if (fnmatch(item, bci_metric(i)->pub.name, 0) != 0)
			continue;
		found = true;
		if (wanted)
			wanted[i] = true;
	}
	return found;
}

bool bci_metrics_select(const char *spec, bool wanted[BCI_M__COUNT])
{
	char item[128];
	bool any = false;
	size_t n;

	if (wanted)
		memset(wanted, 0, BCI_M__COUNT * sizeof(*wanted));
	for (; (spec = bci_list_next(spec, &n)); spec += n) {
		if (n >= sizeof(item))
			return false;
		memcpy(item, spec, n);
		item[n] = '\0';
		if (!select_item(item, wanted))
			return false;
		any = true;
	}
	/* What a crawl was must be known whatever else is asked for. */
	for (enum bci_metric_id i = 0; wanted && i < BCI_M__COUNT; i++)
		wanted[i] |= bci_metric(i)->pub.scope == BCRAWL_SCOPE_CRAWL;
	return any;
}

uint64_t bci_metrics_fields(const bool wanted[BCI_M__COUNT])
{
	uint64_t fields = 0;

	for (enum bci_metric_id i = 0; i < BCI_M__COUNT; i++) {
		const struct bci_metric *m = bci_metric(i);

		if (!wanted[i])
			continue;
		fields |= m->needs | (m->reported ? BCI_STATE_FIELDS : 0);
		switch (m->from) {
		case BCI_FROM_COUNTING:
		case BCI_FROM_UP:
			break;
		case BCI_FROM_FIELD:
		case BCI_FROM_PRESENCE:
			fields |= BCI_BIT(m->field);
			break;
		case BCI_FROM_RATIO:
		case BCI_FROM_CHOICE:
		case BCI_FROM_ON_TARGET:
		case BCI_FROM_OFFLINE_SINCE:
		case BCI_FROM_PENDING:
		case BCI_FROM_INFO:
			fields |= BCI_BIT(m->field) | BCI_BIT(m->other);
			break;
		}
	}
	return fields;
}
