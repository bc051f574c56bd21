/* SPDX-License-Identifier: MIT
 *
 * One crawl as a table for people: a row for each fleet, a column for each metric that the
 * catalogue gives a heading, or for each label value of a partition. */
#ifndef TABLE_H
#define TABLE_H

#include "balenacrawl.h"

#include <stdbool.h>
#include <stddef.h>

/* Fleets beyond are counted, not shown. */
#define TABLE_ROWS_MAX    20000
#define TABLE_COLUMNS_MAX 64
#define TABLE_TEXT_MAX    64

struct table_column {
	const struct bcrawl_metric *metric;
	char group[TABLE_TEXT_MAX];   /* the label's name of a partition, else "" */
	char heading[TABLE_TEXT_MAX];
};
struct table_row;

/* Zero-initialised by the caller; table_fini() frees what it holds. */
struct table {
	struct table_column columns[TABLE_COLUMNS_MAX];
	size_t column_count;
	struct table_row **rows; /* by slug */
	size_t row_count, row_room;
	struct table_row *last;  /* a fleet's records come one after the other */
	bool rows_hidden, columns_hidden; /* there were more */
};

typedef int table_write_fn(void *user, const char *text, size_t n);

/* Adds one sample; those that say nothing about a fleet as a whole are skipped. Returns 0, or -1:
 * out of memory. */
int table_sample(struct table *t, const struct bcrawl_sample *s);

/* Writes the table and what the reader must know about the crawl. Returns 0 or what fn returned. */
int table_write(struct table *t, const struct bcrawl_summary *sum, table_write_fn *fn, void *user);

void table_fini(struct table *t);

#endif
