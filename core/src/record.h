/* SPDX-License-Identifier: MIT
 *
 * Builds the records that the sink gets, and counts what had to be dropped or cut on the way. */
#ifndef BCI_RECORD_H
#define BCI_RECORD_H

#include "clock.h"
#include "metrics.h"
#include "transport.h"

/* Why a value of the API was not passed on as it was; the words of the counter's reason label. */
enum bci_reject {
	BCI_REJECT_TYPE,
	BCI_REJECT_RANGE,
	BCI_REJECT_UNKNOWN_WORD,
	BCI_REJECT_TOO_LONG,
	BCI_REJECT__COUNT
};

/* Counters for the life of a crawler. */
struct bci_stats {
	uint64_t requests[BCI_RESULT__COUNT];
	uint64_t rejected[BCI_REJECT__COUNT];
	uint64_t retries, bytes, throttled_s;
};

/* Where records go in this crawl. */
struct bci_out {
	const struct bcrawl_sink *sink;
	void             *user;
	int64_t           time_ms;
	const char       *account;
	bool              account_everywhere;
	const bool       *wanted; /* by enum bci_metric_id */
	struct bci_stats *stats;
	struct bci_clock *clock;  /* learns the time that the sink took */
	int               sink_rc; /* not 0: what the sink refused with */
};

struct bci_record {
	struct bci_out      *out;
	struct bcrawl_sample sample;
	struct bcrawl_label  labels[BCRAWL_LABELS_MAX];
	struct bcrawl_value  values[BCRAWL_VALUES_MAX];
	char                 text[BCRAWL_LABEL_BYTES_MAX + BCRAWL_LABELS_MAX];
	size_t               used;
};

/* An empty record, but for the account label where it is due. */
void bci_record_begin(struct bci_record *r, struct bci_out *out, enum bcrawl_scope scope);
/* NULL and "" add nothing. Control characters become blanks, bytes that are no UTF-8 become
 * U+FFFD; what is too long is cut on a character boundary and counted. */
void bci_record_label(struct bci_record *r, const char *name, enum bcrawl_role role,
                      const char *value);
/* Adds nothing if the metric is not wanted or the value is not finite. */
void bci_record_value(struct bci_record *r, enum bci_metric_id id, double value);
/* Hands it to the sink, if it has a value. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_record_end(struct bci_record *r);

#endif
