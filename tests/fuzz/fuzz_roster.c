/* SPDX-License-Identifier: MIT
 *
 * Lists of members: what is read are names of hosts, a list that is refused says why, each member finds
 * itself, and one that goes moves its own fleets and no other.
 *
 * Input: a list, as a file or an answer gives it. */
#include "fuzz.h"

#include "roster.h"
#include "whoami.h"

#include <ctype.h>
#include <strings.h>

#define FLEETS 50

static void check_names(const struct bci_members *m)
{
	FUZZ_CHECK(m->n <= BCI_MEMBERS_MAX);
	for (size_t i = 0; i < m->n; i++) {
		const char *name = m->rows[i].name;

		FUZZ_CHECK_OF(name, *name && strlen(name) <= BCI_MEMBER_BYTES_MAX);
		for (const char *p = name; *p; p++)
			FUZZ_CHECK_OF(name, (isascii(*p) && isalnum(*p)) || strchr("._-:[]%", *p));
		if (i > 0)
			FUZZ_CHECK_OF(name, strcmp(m->rows[i - 1].name, name) < 0);
	}
}

/* By its whole name, whatever it looks like. */
static void check_self(const struct bci_members *m)
{
	size_t self = m->n;

	if (m->n == 0)
		return;
	FUZZ_CHECK(bci_whoami(m, m->rows[m->n / 2].name, &self) == 1);
	FUZZ_CHECK(strcasecmp(m->rows[self].name, m->rows[m->n / 2].name) == 0);
	FUZZ_CHECK(bci_whoami(m, "10.0.0.1", &self) <= m->n);
}

static void check_move(struct bci_members *m)
{
	size_t before[FLEETS];

	for (int64_t id = 1; id <= FLEETS; id++) {
		before[id - 1] = bci_members_owner(m, id);
		FUZZ_CHECK(before[id - 1] == 0 || before[id - 1] < m->n);
	}
	if (m->n < 2)
		return;
	free(m->rows[--m->n].name);
	for (int64_t id = 1; id <= FLEETS; id++)
		FUZZ_CHECK(before[id - 1] == m->n || bci_members_owner(m, id) == before[id - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bci_members m = { 0 };
	char *text = fuzz_copy(data, size);
	const char *why = NULL;
	int rc = bci_roster_read(&m, text, size, &why);

	FUZZ_CHECK(rc == 0 || rc == BCRAWL_E_PROTOCOL);
	if (rc)
		FUZZ_CHECK(why && *why);
	bci_members_sort(&m);
	check_names(&m);
	if (!rc) {
		check_self(&m);
		check_move(&m);
	}
	bci_members_free(&m);
	free(text);
	return 0;
}
