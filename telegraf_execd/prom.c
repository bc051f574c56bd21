/* SPDX-License-Identifier: MIT
 *
 * The Prometheus text format. Without times: a sample is as old as its scrape, and whoever reads a
 * file of ours later must not be told otherwise. */
#include "prom.h"

#include "number.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As small as the disk's blocks: there is one for each metric. */
#define SPOOL_BUFFER 4096

struct prom_family {
	const struct bcrawl_metric *metric;
	FILE *spool;
	char buf[SPOOL_BUFFER];
};

static FILE *open_spool(void)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	FILE *f;
	int fd, n;

	n = snprintf(path, sizeof(path), "%s/telegraf-balena.XXXXXX", dir && *dir ? dir : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = mkstemp(path);
	if (fd < 0)
		return NULL;
	unlink(path);
	f = fdopen(fd, "w+");
	if (!f)
		close(fd);
	return f;
}

static struct prom_family *find_family(const struct prom *prom, const struct bcrawl_metric *m)
{
	for (size_t i = 0; i < prom->count; i++)
		if (prom->families[i]->metric == m)
			return prom->families[i];
	return NULL;
}

static struct prom_family *add_family(struct prom *prom, const struct bcrawl_metric *m)
{
	struct prom_family *f;

	if (prom->count == PROM_FAMILIES_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	f = malloc(sizeof(*f));
	if (!f)
		return NULL;
	f->metric = m;
	f->spool = open_spool();
	if (!f->spool) {
		free(f);
		return NULL;
	}
	setvbuf(f->spool, f->buf, _IOFBF, sizeof(f->buf));
	prom->families[prom->count++] = f;
	return f;
}

static void put_label_value(FILE *f, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			fputs("\\n", f);
			continue;
		}
		if (*value == '\\' || *value == '"')
			putc('\\', f);
		putc(*value, f);
	}
}

static void put_line(FILE *f, const struct bcrawl_sample *s, const struct bcrawl_value *v,
                     const char *number)
{
	fputs(v->metric->name, f);
	for (size_t i = 0; i < s->label_count; i++) {
		fprintf(f, "%s%s=\"", i == 0 ? "{" : ",", s->labels[i].name);
		put_label_value(f, s->labels[i].value);
		putc('"', f);
	}
	fprintf(f, "%s %s\n", s->label_count ? "}" : "", number);
}

int prom_sample(struct prom *prom, const struct bcrawl_sample *s)
{
	for (size_t i = 0; i < s->value_count; i++) {
		const struct bcrawl_value *v = &s->values[i];
		char number[NUMBER_MAX];
		struct prom_family *f;

		if (number_format(number, v->value, v->metric->integral) == 0)
			continue;
		f = find_family(prom, v->metric);
		if (!f)
			f = add_family(prom, v->metric);
		if (!f)
			return -1;
		put_line(f->spool, s, v, number);
		if (ferror(f->spool))
			return -1;
	}
	return 0;
}

/* HELP knows two escapes, a quote is none of them. */
static size_t escape_help(char *out, size_t size, const char *help)
{
	size_t n = 0;

	for (; *help && n + 2 < size; help++) {
		if (*help == '\\' || *help == '\n')
			out[n++] = '\\';
		out[n++] = *help == '\n' ? 'n' : *help;
	}
	out[n] = '\0';
	return n;
}

static int write_head(const struct bcrawl_metric *m, prom_write_fn *fn, void *user)
{
	static const char *const types[] = {
		[BCRAWL_GAUGE] = "gauge",
		[BCRAWL_COUNTER] = "counter",
	};
	char help[1024], text[2048];
	int n;

	escape_help(help, sizeof(help), m->help);
	n = snprintf(text, sizeof(text), "# HELP %s %s\n# TYPE %s %s\n", m->name, help, m->name,
	             types[m->kind]);
	return fn(user, text, (size_t)n);
}

static int write_family(struct prom_family *f, prom_write_fn *fn, void *user)
{
	char text[SPOOL_BUFFER];
	size_t n;
	int rc;

	if (fflush(f->spool) != 0 || fseek(f->spool, 0, SEEK_SET) != 0)
		return -1;
	rc = write_head(f->metric, fn, user);
	while (rc == 0 && (n = fread(text, 1, sizeof(text), f->spool)) > 0)
		rc = fn(user, text, n);
	return rc != 0 ? rc : ferror(f->spool) ? -1 : 0;
}

int prom_write(struct prom *prom, prom_write_fn *fn, void *user)
{
	for (size_t i = 0; i < prom->count; i++) {
		int rc = write_family(prom->families[i], fn, user);

		if (rc != 0)
			return rc;
	}
	return 0;
}

void prom_fini(struct prom *prom)
{
	for (size_t i = 0; i < prom->count; i++) {
		fclose(prom->families[i]->spool);
		free(prom->families[i]);
	}
	prom->count = 0;
}
