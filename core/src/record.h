/* SPDX-License-Identifier: MIT
 *
 * Builds the records that the sink gets, and counts what had to be dropped or cut on the way. */
#ifndef BCI_RECORD_H
#define BCI_RECORD_H

#include "clock.h"
#include "json.h"
#include "limits.h"
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

/* Why something that is known was not passed on; the words of the metric's reason label. */
enum bci_withheld {
	BCI_WITHHELD_STALE,        /* reported by a device that is not connected */
	BCI_WITHHELD_SUPERSEDED,   /* an install of a service that is not its current one */
	BCI_WITHHELD_INCONSISTENT, /* counts of several moments that do not add up */
	BCI_WITHHELD_CAPPED,       /* above a limit of limits.h */
	BCI_WITHHELD_AGENT,        /* the host says so */
	BCI_WITHHELD_PACED,        /* the host says so: they come with a later crawl */
	BCI_WITHHELD_SHORTENED,    /* the host says so: values passed on, but not their labels */
	BCI_WITHHELD__COUNT
};

/* Words that we do not know, each kept once to be said once. */
struct bci_unknown_word {
	const char *field;
	char        word[48];
};

/* Counters for the life of a crawler. */
struct bci_stats {
	uint64_t requests[BCI_RESULT__COUNT];
	uint64_t rejected[BCI_REJECT__COUNT];
	uint64_t retries, bytes, throttled_s;
	struct bci_unknown_word unknown[BCI_UNKNOWN_WORDS_MAX];
	size_t unknown_count;
};

/* Counts a value of a wrong type; returns rc, so that a read can be judged where it is made. */
enum bci_json bci_stats_judge(struct bci_stats *s, enum bci_json rc);
/* Counts a word that is in no vocabulary of ours, and keeps it if it is a new one. */
void bci_stats_unknown_word(struct bci_stats *s, const char *field, const char *word);

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
	uint64_t          withheld[BCI_WITHHELD__COUNT]; /* values, in this crawl */
	uint64_t          records[BCRAWL_SCOPE_SERVICE + 1]; /* handed over, in this crawl */
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
/* Copies value to out (room bytes and a NUL) as a label may hold it: see bci_record_label(). false:
 * it had to be cut. */
bool bci_label_clean(char *out, size_t room, const char *value);
/* NULL and "" add nothing. Control characters become blanks, bytes that are no UTF-8 become
 * U+FFFD; what is too long is cut on a character boundary and counted. */
void bci_record_label(struct bci_record *r, const char *name, enum bcrawl_role role,
                      const char *value);
/* Adds nothing if the metric is not wanted or the value is not finite. What is neither whole nor a
 * time is rounded to a millionth: all agents then print the same digits, and no source is as
 * fine. */
void bci_record_value(struct bci_record *r, enum bci_metric_id id, double value);
/* Hands it to the sink, if it has a value. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_record_end(struct bci_record *r);

#endif
