/* SPDX-License-Identifier: MIT
 *
 * A sorted array of values with their counts. */
#include "ranking.h"

#include "hash.h"
#include "limits.h"
#include "record.h"

#include <string.h>

static const char other[] = "other", none[] = "none";

void bci_ranking_free(struct bci_ranking *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->rows[i].value);
	free(r->rows);
	*r = (struct bci_ranking){ 0 };
}

void bci_names_free(struct bci_names *n)
{
	free(n->rows);
	*n = (struct bci_names){ 0 };
}

static int compare_name(const void *pa, const void *pb)
{
	const struct bci_name *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static int compare_key(const void *pa, const void *pb)
{
	const struct bci_name *a = pa, *b = pb;

	return a->key < b->key ? -1 : a->key > b->key;
}

static void sort(struct bci_names *names)
{
	if (names->n > 0)
		qsort(names->rows, names->n, sizeof(*names->rows), compare_name);
}

static int add_name(struct bci_names *names, struct bci_name name)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 64;
		struct bci_name *rows = realloc(names->rows, cap * sizeof(*rows));

		if (!rows)
			return BCRAWL_E_NOMEM;
		names->rows = rows;
		names->cap = cap;
	}
	names->rows[names->n++] = name;
	return BCRAWL_OK;
}

int bci_names_turn(struct bci_names *last, struct bci_names *now, bool all)
{
	size_t made = now->n;
	int rc = BCRAWL_OK;

	sort(now);
	for (size_t i = 0; !all && i < last->n && now->n < BCI_NAMES_MAX && !rc; i++)
		if (made == 0 || !bsearch(&last->rows[i], now->rows, made, sizeof(*now->rows),
					  compare_key))
			rc = add_name(now, last->rows[i]);
	sort(now);
	bci_names_free(last);
	*last = *now;
	*now = (struct bci_names){ 0 };
	return rc;
}

/* Where value is, or would have to be; *found says which. */
static size_t find(const struct bci_ranking *r, const char *value, bool *found)
{
	size_t low = 0, high = r->n;

	*found = false;
	while (low < high && !*found) {
		size_t middle = (low + high) / 2;
		int order = strcmp(value, r->rows[middle].value);

		*found = order == 0;
		if (order <= 0)
			high = middle;
		else
			low = middle + 1;
	}
	return high;
}

static int insert(struct bci_ranking *r, size_t at, const char *value, uint64_t n)
{
	char *copy;

	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 8;
		struct bci_rank *rows = realloc(r->rows, cap * sizeof(*rows));

		if (!rows)
			return BCRAWL_E_NOMEM;
		r->rows = rows;
		r->cap = cap;
	}
	copy = strdup(value);
	if (!copy)
		return BCRAWL_E_NOMEM;
	memmove(r->rows + at + 1, r->rows + at, (r->n - at) * sizeof(*r->rows));
	r->rows[at] = (struct bci_rank){ .value = copy, .n = n };
	r->n++;
	return BCRAWL_OK;
}

/* A value that is not there yet as it came: as a label it may be another. */
static int add_new(struct bci_ranking *r, const char *value)
{
	char clean[BCI_RANKED_BYTES_MAX + 1];
	bool whole = bci_label_clean(clean, BCI_RANKED_BYTES_MAX, value), found;
	size_t at;

	if (!*clean || strcmp(clean, none) == 0) {
		r->none++;
		return BCRAWL_OK;
	}
	at = find(r, clean, &found);
	if (found && whole)
		r->rows[at].n++;
	else if (!whole || strcmp(clean, other) == 0 || r->n >= BCI_RANKING_MAX)
		r->other++;
	else
		return insert(r, at, clean, 1);
	return BCRAWL_OK;
}

int bci_ranking_add(struct bci_ranking *r, const char *value)
{
	bool found;
	size_t at;

	if (!value) {
		r->none++;
		return BCRAWL_OK;
	}
	at = find(r, value, &found);
	if (!found)
		return add_new(r, value);
	r->rows[at].n++;
	return BCRAWL_OK;
}

static int by_rank(const void *pa, const void *pb)
{
	const struct bci_rank *a = pa, *b = pb;

	if (a->n != b->n)
		return a->n < b->n ? 1 : -1;
	return strcmp(a->value, b->value);
}

static bool was_named(const struct bci_names *last, struct bci_name name)
{
	return last->n && bsearch(&name, last->rows, last->n, sizeof(name), compare_name);
}

/* As a label may hold it; "" for what gets no name of its own. */
static void clean_value(char clean[BCI_RANKED_BYTES_MAX + 1], const char *value)
{
	if (!value || !bci_label_clean(clean, BCI_RANKED_BYTES_MAX, value) ||
	    strcmp(clean, other) == 0 || strcmp(clean, none) == 0)
		*clean = '\0';
}

int bci_ranking_reserve(struct bci_ranking *r, const char *value)
{
	char clean[BCI_RANKED_BYTES_MAX + 1];
	bool found;
	size_t at;

	clean_value(clean, value);
	at = find(r, clean, &found);
	return found || !*clean ? BCRAWL_OK : insert(r, at, clean, 0);
}

int bci_ranking_choose(struct bci_ranking *r, uint64_t key, const char *always,
                       const struct bci_naming *naming)
{
	char clean[BCI_RANKED_BYTES_MAX + 1];
	int rc = bci_ranking_reserve(r, always);

	clean_value(clean, always);
	if (!rc && r->n > 0)
		qsort(r->rows, r->n, sizeof(*r->rows), by_rank);
	for (size_t i = 0; i < r->n && !rc; i++) {
		struct bci_rank *row = &r->rows[i];
		/* Two values with one hash would only keep a name for longer. */
		struct bci_name name = { key, bci_hash(row->value) };

		row->named = i < naming->top || strcmp(row->value, clean) == 0 ||
			     (i < 2 * naming->top && was_named(naming->last, name));
		if (row->named)
			rc = add_name(naming->now, name);
		else
			r->other += row->n;
	}
	return rc;
}
