/* SPDX-License-Identifier: MIT
 *
 * A sample made of an input, for the targets that write samples: labels with any text, metrics of
 * the catalogue with any number.
 *
 * Input: scope, time (8 bytes), count of labels, for each its role and name and its value up to a
 * line end; count of values, for each its metric (2 bytes), a letter that says how the number is
 * given, and the number. */
#ifndef FUZZ_SAMPLE_H
#define FUZZ_SAMPLE_H

#include "fuzz.h"

#include "balenacrawl.h"

#define FUZZ_LABELS_MAX 8
#define FUZZ_VALUES_MAX 12

struct fuzz_sample {
	struct bcrawl_sample sample;
	struct bcrawl_label labels[FUZZ_LABELS_MAX];
	struct bcrawl_value values[FUZZ_VALUES_MAX];
	char *texts[FUZZ_LABELS_MAX];
};

/* Labels have names of their own, and values metrics of their own, as the contract has it. clean:
 * values of labels are without control characters, not empty, and UTF-8, too. */
void fuzz_sample_init(struct fuzz_sample *s, struct fuzz_input *in, bool clean);
void fuzz_sample_fini(struct fuzz_sample *s);

#endif
