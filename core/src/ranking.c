/* SPDX-License-Identifier: MIT
 *
 * A sorted array of values with their counts. */
#include "ranking.h"

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
	free(n->hashes);
	*n = (struct bci_names){ 0 };
}

static int compare_hash(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

static int add_name(struct bci_names *names, uint64_t hash)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 64;
		uint64_t *hashes = realloc(names->hashes, cap * sizeof(*hashes));

		if (!hashes)
			return BCRAWL_E_NOMEM;
		names->hashes = hashes;
		names->cap = cap;
	}
	names->hashes[names->n++] = hash;
	return BCRAWL_OK;
}

int bci_names_turn(struct bci_names *last, struct bci_names *now, bool all)
{
	int rc = BCRAWL_OK;
	size_t kept = 0;

	for (size_t i = 0; !all && i < last->n && !rc; i++)
		rc = add_name(now, last->hashes[i]);
	if (now->n > 0)
		qsort(now->hashes, now->n, sizeof(*now->hashes), compare_hash);
	for (size_t i = 0; i < now->n; i++)
		if (kept == 0 || now->hashes[kept - 1] != now->hashes[i])
			now->hashes[kept++] = now->hashes[i];
	now->n = kept;
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
	char clean[BCI_LABEL_VALUE_MAX + 1];
	bool found;
	size_t at;

	/* What is too long is counted where a label is made of it. */
	(void)bci_label_clean(clean, BCI_LABEL_VALUE_MAX, value);
	if (!*clean || strcmp(clean, none) == 0) {
		r->none++;
		return BCRAWL_OK;
	}
	at = find(r, clean, &found);
	if (found)
		r->rows[at].n++;
	else if (strcmp(clean, other) == 0 || r->n == BCI_RANKING_MAX)
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

/* FNV-1a, 64 bits. Two values with one hash would only keep a name for longer. */
static uint64_t hash(uint64_t key, const char *s)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(key); i++, key >>= 8)
		h = (h ^ (key & 0xff)) * 1099511628211u;
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h;
}

static bool was_named(const struct bci_names *last, uint64_t hash)
{
	return last->n && bsearch(&hash, last->hashes, last->n, sizeof(hash), compare_hash);
}

/* A value that must have a name though no device may have it. */
static int add_always(struct bci_ranking *r, const char *clean)
{
	bool found;
	size_t at = find(r, clean, &found);

	if (found || !*clean || strcmp(clean, other) == 0 || strcmp(clean, none) == 0)
		return BCRAWL_OK;
	return insert(r, at, clean, 0);
}

int bci_ranking_choose(struct bci_ranking *r, uint64_t key, const char *always,
                       const struct bci_naming *naming)
{
	char clean[BCI_LABEL_VALUE_MAX + 1] = "";
	int rc;

	if (always)
		(void)bci_label_clean(clean, BCI_LABEL_VALUE_MAX, always);
	rc = add_always(r, clean);
	if (!rc && r->n > 0)
		qsort(r->rows, r->n, sizeof(*r->rows), by_rank);
	for (size_t i = 0; i < r->n && !rc; i++) {
		struct bci_rank *row = &r->rows[i];
		uint64_t h = hash(key, row->value);

		row->named = strcmp(row->value, clean) == 0 ||
			     (row->n > 0 && i < naming->top) ||
			     (row->n > 0 && i < 2 * naming->top && was_named(naming->last, h));
		if (row->named)
			rc = add_name(naming->now, h);
		else
			r->other += row->n;
	}
	return rc;
}
