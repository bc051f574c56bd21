/* SPDX-License-Identifier: MIT
 *
 * A sorted list of names, and rendezvous hashing over it. */
#include "members.h"

#include "hash.h"
#include "limits.h"

#include <stdio.h>
#include <string.h>

/* The finalizer of SplitMix64: each bit of x changes about half of the result's. Like the hash, it
 * never changes. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void bci_members_free(struct bci_members *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->rows[i].name);
	free(m->rows);
	*m = (struct bci_members){ 0 };
}

bool bci_member_is_name(const char *name, size_t len)
{
	static const char allowed[] = BCI_LETTERS_AND_DIGITS "._-:[]%";

	for (size_t i = 0; i < len; i++)
		if (!name[i] || !strchr(allowed, name[i]))
			return false;
	return len > 0 && len <= BCI_MEMBER_BYTES_MAX;
}

int bci_members_add(struct bci_members *m, const char *name, size_t len)
{
	struct bci_member *row;

	if (!bci_member_is_name(name, len))
		return BCRAWL_E_PROTOCOL;
	if (m->n == BCI_MEMBERS_MAX)
		return BCRAWL_E_LIMIT;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 16;

		row = realloc(m->rows, cap * sizeof(*row));
		if (!row)
			return BCRAWL_E_NOMEM;
		m->rows = row;
		m->cap = cap;
	}
	row = &m->rows[m->n];
	row->name = strndup(name, len);
	if (!row->name)
		return BCRAWL_E_NOMEM;
	row->hash = bci_hash(row->name);
	m->n++;
	return BCRAWL_OK;
}

int bci_members_number(struct bci_members *m, size_t n)
{
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		char name[24];

		/* In order, and each called the same however many there are. */
		snprintf(name, sizeof(name), "%0*zu", BCI_MEMBER_DIGITS, i);
		rc = bci_members_add(m, name, strlen(name));
	}
	return rc;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct bci_member *)a)->name, ((const struct bci_member *)b)->name);
}

void bci_members_sort(struct bci_members *m)
{
	size_t kept = 0;

	if (m->n > 0)
		qsort(m->rows, m->n, sizeof(*m->rows), compare);
	for (size_t i = 0; i < m->n; i++) {
		if (kept > 0 && strcmp(m->rows[kept - 1].name, m->rows[i].name) == 0)
			free(m->rows[i].name);
		else
			m->rows[kept++] = m->rows[i];
	}
	m->n = kept;
}

bool bci_members_equal(const struct bci_members *a, const struct bci_members *b)
{
	if (a->n != b->n || a->self != b->self)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->rows[i].name, b->rows[i].name) != 0)
			return false;
	return true;
}

size_t bci_members_owner(const struct bci_members *m, int64_t fleet_id)
{
	uint64_t id = mix((uint64_t)fleet_id), most = 0;
	size_t owner = 0;

	for (size_t i = 0; fleet_id && i < m->n; i++) {
		uint64_t weight = mix(m->rows[i].hash ^ id);

		if (weight > most) {
			most = weight;
			owner = i;
		}
	}
	return owner;
}
