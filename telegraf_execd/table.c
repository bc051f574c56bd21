/* SPDX-License-Identifier: MIT
 *
 * The table for people. It knows no metric: what is shown, under which heading and in which order,
 * the catalogue says.
 *
 *                       connection              status
 *   FLEET       devices connected  disconnected operational
 *   acme/north       61        48            13          40
 *   TOTAL            61        48            13          40 */
#include "table.h"

#include "number.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define FLEET_HEADING "FLEET"
#define TOTAL_HEADING "TOTAL"
/* A slug has at most 321 bytes; a line holds it and every column with its gap. */
#define SLUG_MAX 400
#define LINE_MAX_BYTES (4 * SLUG_MAX + TABLE_COLUMNS_MAX * (TABLE_TEXT_MAX + GAP) + 2)

struct table_row {
	double values[TABLE_COLUMNS_MAX]; /* NAN: none */
	char slug[];
};

/* One line in the making. */
struct line {
	size_t len;
	char text[LINE_MAX_BYTES];
};

static const struct bcrawl_label *find_label(const struct bcrawl_sample *s, enum bcrawl_role role)
{
	for (size_t i = 0; i < s->label_count; i++)
		if (s->labels[i].role == role)
			return &s->labels[i];
	return NULL;
}

/* Where slug is or belongs. */
static size_t row_index(const struct table *t, const char *slug)
{
	size_t low = 0, high = t->row_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->rows[middle]->slug, slug) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool make_room(struct table *t)
{
	size_t room = t->row_room ? 2 * t->row_room : 64;
	struct table_row **rows;

	if (t->row_count < t->row_room)
		return true;
	rows = realloc(t->rows, room * sizeof(struct table_row *));
	if (!rows)
		return false;
	t->rows = rows;
	t->row_room = room;
	return true;
}

static struct table_row *insert_row(struct table *t, size_t at, const char *slug)
{
	struct table_row *row;

	if (!make_room(t))
		return NULL;
	row = malloc(sizeof(*row) + strlen(slug) + 1);
	if (!row)
		return NULL;
	for (size_t i = 0; i < TABLE_COLUMNS_MAX; i++)
		row->values[i] = (double)NAN;
	memcpy(row->slug, slug, strlen(slug) + 1);
	memmove(t->rows + at + 1, t->rows + at, (t->row_count - at) * sizeof(struct table_row *));
	t->rows[at] = row;
	t->row_count++;
	return row;
}

/* *row is NULL if the table is full. Returns -1 when out of memory. */
static int find_row(struct table *t, const char *label, struct table_row **row)
{
	char slug[SLUG_MAX];
	size_t at;

	text_copy(slug, sizeof(slug), label);
	*row = t->last;
	if (*row && strcmp((*row)->slug, slug) == 0)
		return 0;
	at = row_index(t, slug);
	*row = NULL;
	if (at < t->row_count && strcmp(t->rows[at]->slug, slug) == 0) {
		*row = t->rows[at];
	} else if (t->row_count < TABLE_ROWS_MAX) {
		*row = insert_row(t, at, slug);
		if (!*row)
			return -1;
	} else {
		t->rows_hidden = true;
	}
	t->last = *row;
	return 0;
}

static size_t find_column(const struct table *t, const struct bcrawl_metric *m, const char *heading)
{
	size_t i = 0;

	while (i < t->column_count &&
	       (t->columns[i].metric != m || strcmp(t->columns[i].heading, heading) != 0))
		i++;
	return i;
}

static bool is_partition(const struct bcrawl_metric *m)
{
	return m->heading && !*m->heading;
}

static void put_value(struct table *t, struct table_row *row, const struct bcrawl_sample *s,
                      const struct bcrawl_value *v)
{
	const struct bcrawl_label *other = find_label(s, BCRAWL_ROLE_OTHER);
	struct table_column c = { .metric = v->metric };
	size_t i;

	if (!v->metric->heading || (is_partition(v->metric) && !other))
		return;
	if (is_partition(v->metric))
		text_copy(c.group, sizeof(c.group), other->name);
	text_copy(c.heading, sizeof(c.heading),
	          is_partition(v->metric) ? other->value : v->metric->heading);
	i = find_column(t, v->metric, c.heading);
	if (i == t->column_count) {
		if (i == TABLE_COLUMNS_MAX) {
			t->columns_hidden = true;
			return;
		}
		t->columns[t->column_count++] = c;
	}
	row->values[i] = v->value;
}

int table_sample(struct table *t, const struct bcrawl_sample *s)
{
	const struct bcrawl_label *fleet = find_label(s, BCRAWL_ROLE_FLEET);
	struct table_row *row;

	if (s->scope != BCRAWL_SCOPE_FLEET || !fleet)
		return 0;
	if (find_row(t, fleet->value, &row) < 0)
		return -1;
	for (size_t i = 0; row && i < s->value_count; i++)
		put_value(t, row, s, &s->values[i]);
	return 0;
}

/* ---- writing ---- */

/* What is laid out: the columns that are shown, in order, with their widths. */
struct layout {
	size_t slug_width;
	size_t count;
	size_t index[TABLE_COLUMNS_MAX];
	size_t width[TABLE_COLUMNS_MAX];
	double total[TABLE_COLUMNS_MAX]; /* NAN: cannot be added up */
	bool grouped;
};

/* Counts add up; means, maxima, times and booleans do not. */
static bool adds_up(const struct bcrawl_metric *m)
{
	return m->unit == BCRAWL_UNIT_ONE && m->integral;
}

static size_t catalogue_place(const struct bcrawl_metric *m)
{
	const struct bcrawl_metric *row;
	size_t i = 0;

	while ((row = bcrawl_metric_at(i)) && row != m)
		i++;
	return i;
}

static void format_cell(char cell[NUMBER_MAX], double value, const struct bcrawl_metric *m)
{
	double digits = fabs(value) < 10 ? 100 : 10;

	if (!isfinite(value))
		snprintf(cell, NUMBER_MAX, "-");
	else if (number_format(cell, m->integral ? value : round(value * digits) / digits,
	                       m->integral) == 0)
		snprintf(cell, NUMBER_MAX, "?");
}

static bool is_shown(const struct table *t, size_t column)
{
	if (!is_partition(t->columns[column].metric))
		return true;
	for (size_t r = 0; r < t->row_count; r++)
		if (fabs(t->rows[r]->values[column]) > 0)
			return true;
	return false;
}

static void measure_column(const struct table *t, struct layout *l, size_t place)
{
	const struct table_column *c = &t->columns[l->index[place]];
	double total = adds_up(c->metric) ? 0 : (double)NAN;
	size_t width = text_width(c->heading);
	char cell[NUMBER_MAX];

	for (size_t r = 0; r < t->row_count; r++) {
		double v = t->rows[r]->values[l->index[place]];

		if (isfinite(v))
			total += v;
		format_cell(cell, v, c->metric);
		width = strlen(cell) > width ? strlen(cell) : width;
	}
	format_cell(cell, total, c->metric);
	l->width[place] = strlen(cell) > width ? strlen(cell) : width;
	l->total[place] = total;
}

/* The place after the last column of the partition, or of the metric, that place belongs to. */
static size_t group_end(const struct table *t, const struct layout *l, size_t place)
{
	const struct bcrawl_metric *m = t->columns[l->index[place]].metric;

	while (place < l->count && t->columns[l->index[place]].metric == m)
		place++;
	return place;
}

static size_t group_width(const struct layout *l, size_t from, size_t to)
{
	size_t width = (to - from - 1) * GAP;

	while (from < to)
		width += l->width[from++];
	return width;
}

/* A partition of few narrow columns still has its name above it. */
static void widen_groups(const struct table *t, struct layout *l)
{
	for (size_t from = 0, to; from < l->count; from = to) {
		size_t need = text_width(t->columns[l->index[from]].group), width;

		to = group_end(t, l, from);
		width = group_width(l, from, to);
		if (width < need)
			l->width[to - 1] += need - width;
	}
}

static void lay_out(const struct table *t, struct layout *l)
{
	l->count = 0;
	l->grouped = false;
	l->slug_width = strlen(FLEET_HEADING);
	for (size_t i = 0; i < t->column_count; i++) {
		size_t place = l->count;

		if (!is_shown(t, i))
			continue;
		/* Insertion keeps the order of appearance within a partition. */
		while (place > 0 && catalogue_place(t->columns[l->index[place - 1]].metric) >
		                            catalogue_place(t->columns[i].metric)) {
			l->index[place] = l->index[place - 1];
			place--;
		}
		l->index[place] = i;
		l->count++;
		l->grouped |= *t->columns[i].group != '\0';
	}
	for (size_t place = 0; place < l->count; place++)
		measure_column(t, l, place);
	widen_groups(t, l);
	for (size_t r = 0; r < t->row_count; r++) {
		size_t w = text_width(t->rows[r]->slug);

		l->slug_width = w > l->slug_width ? w : l->slug_width;
	}
}

/* Appends text in a field of width columns; what does not fit in the line is left out. */
static void put_cell(struct line *line, const char *text, size_t width, bool right)
{
	size_t n = strlen(text), shown = text_width(text);
	size_t pad = shown < width ? width - shown : 0;

	if (n + pad > sizeof(line->text) - 1 - line->len)
		return;
	memset(line->text + line->len, ' ', n + pad);
	memcpy(line->text + line->len + (right ? pad : 0), text, n);
	line->len += n + pad;
}

static int end_line(struct line *line, table_write_fn *fn, void *user)
{
	size_t n = line->len;

	while (n > 0 && line->text[n - 1] == ' ')
		n--;
	line->text[n] = '\n';
	line->len = 0;
	return fn(user, line->text, n + 1);
}

/* The name of a partition stands above the first of its columns. */
static int write_groups(const struct table *t, const struct layout *l, struct line *line,
                        table_write_fn *fn, void *user)
{
	put_cell(line, "", l->slug_width, false);
	for (size_t from = 0, to; from < l->count; from = to) {
		to = group_end(t, l, from);
		put_cell(line, "", GAP, false);
		put_cell(line, t->columns[l->index[from]].group, group_width(l, from, to), false);
	}
	return end_line(line, fn, user);
}

static int write_headings(const struct table *t, const struct layout *l, struct line *line,
                          table_write_fn *fn, void *user)
{
	put_cell(line, FLEET_HEADING, l->slug_width, false);
	for (size_t i = 0; i < l->count; i++)
		put_cell(line, t->columns[l->index[i]].heading, l->width[i] + GAP, true);
	return end_line(line, fn, user);
}

static int write_row(const struct table *t, const struct layout *l, const struct table_row *row,
                     struct line *line, table_write_fn *fn, void *user)
{
	char cell[NUMBER_MAX];

	put_cell(line, row ? row->slug : TOTAL_HEADING, l->slug_width, false);
	for (size_t i = 0; i < l->count; i++) {
		const struct bcrawl_metric *m = t->columns[l->index[i]].metric;

		format_cell(cell, row ? row->values[l->index[i]] : l->total[i], m);
		put_cell(line, !row && !adds_up(m) ? "" : cell, l->width[i] + GAP, true);
	}
	return end_line(line, fn, user);
}

static int write_notes(const struct table *t, const struct bcrawl_summary *sum, table_write_fn *fn,
                       void *user)
{
	char text[512];
	size_t n = 0;

	if (t->row_count == 0 && sum->status == BCRAWL_OK)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "No fleets.\n");
	if (t->rows_hidden)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		                      "More than %d fleets: the others are not shown.\n",
		                      TABLE_ROWS_MAX);
	if (t->columns_hidden)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		                      "More than %d columns: the others are not shown.\n",
		                      TABLE_COLUMNS_MAX);
	if (sum->status != BCRAWL_OK)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "The crawl failed: %s.\n",
		                      bcrawl_strerror(sum->status));
	else if (sum->fleets_failed)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		                      "Partial: %lu of %lu fleets could not be read.\n",
		                      sum->fleets_failed, sum->fleets);
	else if (!sum->complete)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		                      "Partial: not everything could be read.\n");
	return n ? fn(user, text, n) : 0;
}

int table_write(struct table *t, const struct bcrawl_summary *sum, table_write_fn *fn, void *user)
{
	struct layout l;
	struct line line = { 0 };
	int rc = 0;

	if (t->row_count == 0)
		return write_notes(t, sum, fn, user);
	lay_out(t, &l);
	if (l.grouped)
		rc = write_groups(t, &l, &line, fn, user);
	if (rc == 0)
		rc = write_headings(t, &l, &line, fn, user);
	for (size_t r = 0; rc == 0 && r < t->row_count; r++)
		rc = write_row(t, &l, t->rows[r], &line, fn, user);
	if (rc == 0)
		rc = write_row(t, &l, NULL, &line, fn, user);
	return rc != 0 ? rc : write_notes(t, sum, fn, user);
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->row_count; i++)
		free(t->rows[i]);
	free(t->rows);
	*t = (struct table){ 0 };
}
