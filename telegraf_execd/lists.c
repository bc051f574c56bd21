/* SPDX-License-Identifier: MIT
 *
 * Markdown tables. The cells of a table are made first, then measured, then printed. */
#include "lists.h"

#include "args.h"
#include "balenacrawl.h"
#include "text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX    768
#define COLUMNS_MAX 8

struct grid {
	size_t columns, rows, room;
	size_t padded; /* columns; behind them comes prose, which may be long */
	char (*cells)[CELL_MAX];
	bool failed;
};

/* Adds a row and returns its first cell; the others follow it. NULL: out of memory. */
static char (*add_row(struct grid *g))[CELL_MAX]
{
	char(*row)[CELL_MAX];

	if (g->rows == g->room) {
		size_t room = g->room ? 2 * g->room : 64;
		void *cells = realloc(g->cells, room * g->columns * sizeof(*g->cells));

		if (!cells) {
			g->failed = true;
			return NULL;
		}
		g->cells = cells;
		g->room = room;
	}
	row = g->cells + g->rows++ * g->columns;
	memset(row, 0, g->columns * sizeof(*row));
	return row;
}

/* Appends to a cell. A bar would end it in the middle. */
static void add(char cell[CELL_MAX], const char *text)
{
	size_t n = strlen(cell);

	for (; *text && n + 2 < CELL_MAX; text++) {
		if (*text == '|')
			cell[n++] = '\\';
		cell[n++] = *text;
	}
	cell[n] = '\0';
}

/* Appends text as code, nothing if it is empty. */
static void add_code(char cell[CELL_MAX], const char *text)
{
	if (!*text)
		return;
	add(cell, "`");
	add(cell, text);
	add(cell, "`");
}

static void add_headings(struct grid *g, const char *const *headings)
{
	char(*row)[CELL_MAX] = add_row(g);

	for (size_t c = 0; row && c < g->columns; c++)
		add(row[c], headings[c]);
}

static void print_cell(FILE *f, const char *text, size_t width, char fill)
{
	fprintf(f, "| %s", text);
	for (size_t n = text_width(text); n < width; n++)
		putc(fill, f);
	putc(' ', f);
}

/* Prints the grid and frees it; the first row holds the headings. */
static int print_and_free(struct grid *g, FILE *f)
{
	size_t width[COLUMNS_MAX] = { 0 };
	bool failed = g->failed;

	for (size_t r = 0; r < g->rows; r++) {
		for (size_t c = 0; c < g->padded; c++) {
			size_t w = text_width(g->cells[r * g->columns + c]);

			width[c] = w > width[c] ? w : width[c];
		}
	}
	for (size_t r = 0; r < g->rows && !failed; r++) {
		for (size_t c = 0; c < g->columns; c++)
			print_cell(f, g->cells[r * g->columns + c], width[c], ' ');
		fputs("|\n", f);
		for (size_t c = 0; c < g->columns && r == 0; c++)
			print_cell(f, "---", width[c], '-');
		if (r == 0)
			fputs("|\n", f);
	}
	free(g->cells);
	return failed || ferror(f) ? -1 : 0;
}

static const char *kind_name(enum bcrawl_kind kind)
{
	switch (kind) {
	case BCRAWL_GAUGE:
		return "gauge";
	case BCRAWL_COUNTER:
		return "counter";
	}
	return "";
}

int lists_metrics(FILE *f)
{
	static const char *const headings[] = { "Metric", "Set",    "Kind",    "Unit",
		                                "Labels", "Source", "Meaning", "Trap" };
	struct grid g = { .columns = COLUMNS_MAX, .padded = 6 };
	const struct bcrawl_metric *m;

	add_headings(&g, headings);
	for (size_t i = 0; (m = bcrawl_metric_at(i)); i++) {
		char(*row)[CELL_MAX] = add_row(&g);

		if (!row)
			break;
		add_code(row[0], m->name);
		add(row[1], bcrawl_set_name(m->set));
		add(row[2], kind_name(m->kind));
		add(row[3], bcrawl_unit_name(m->unit));
		add_code(row[4], m->labels);
		add(row[5], m->source);
		add(row[6], m->help);
		add(row[7], m->trap);
	}
	return print_and_free(&g, f);
}

static bool is_abbreviation(const char *word, size_t n)
{
	static const char *const abbreviations[] = { "api", "ca", "dns", "http", "url" };

	for (size_t i = 0; i < sizeof(abbreviations) / sizeof(abbreviations[0]); i++)
		if (strlen(abbreviations[i]) == n && memcmp(abbreviations[i], word, n) == 0)
			return true;
	return false;
}

/* "token-file" as collectd.conf spells it: TokenFile, and "ca-file" CAFile. */
static void add_camel_case(char cell[CELL_MAX], const char *key)
{
	while (*key) {
		size_t n = strcspn(key, "-");
		bool abbreviation = is_abbreviation(key, n);

		for (size_t i = 0; i < n; i++) {
			int c = i == 0 || abbreviation ? toupper((unsigned char)key[i]) : key[i];

			add(cell, (char[]){ (char)c, '\0' });
		}
		key += n + (key[n] == '-');
	}
}

static void add_environment(char cell[CELL_MAX], const struct bcrawl_option *o)
{
	char variable[BCRAWL_VARIABLE_MAX];

	for (size_t i = 0; bcrawl_option_variable(o, i, variable); i++) {
		add(cell, i ? ", " : "");
		add_code(cell, variable);
	}
}

static void add_option_help(char cell[CELL_MAX], const struct bcrawl_option *o)
{
	add(cell, o->help);
	if (o->flags & BCRAWL_OPT_MULTI)
		add(cell, " May be given several times.");
	if (o->flags & BCRAWL_OPT_SECRET)
		add(cell, " Refused on the command line.");
}

int lists_options(FILE *f)
{
	static const char *const headings[] = { "Option",  "collectd.conf", "Environment",
		                                "Default", "Values",        "Meaning" };
	struct grid g = { .columns = sizeof(headings) / sizeof(headings[0]), .padded = 5 };
	const struct bcrawl_option *o;

	add_headings(&g, headings);
	for (size_t i = 0; (o = bcrawl_option_at(i)); i++) {
		char(*row)[CELL_MAX] = add_row(&g);

		if (!row)
			break;
		add(row[0], o->flags & BCRAWL_OPT_SECRET ? "`" : "`--");
		add(row[0], o->key);
		add(row[0], "`");
		add(row[1], "`");
		add_camel_case(row[1], o->key);
		add(row[1], "`");
		add_environment(row[2], o);
		add_code(row[3], o->dflt);
		add(row[4], o->range);
		add_option_help(row[5], o);
	}
	return print_and_free(&g, f);
}
