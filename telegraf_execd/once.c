/* SPDX-License-Identifier: MIT
 *
 * --once and --check. A crawl that fails prints what it has all the same: its last samples say that
 * it failed. */
#include "once.h"

#include "events.h"
#include "lines.h"
#include "out.h"
#include "prom.h"
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct once {
	struct log *log;
	enum format format;
	struct events events;
	bool stopped;
	struct out out;
	struct lines lines;
	struct prom prom;
	struct table table;
	struct bcrawl_summary summary;
	bool showed; /* the check has shown an error */
};

static int on_stop(void *user)
{
	struct once *o = user;
	struct happened h = { 0 };

	events_read(&o->events, 0, &h);
	o->stopped |= h.stop;
	return o->stopped;
}

static bool on_out_stop(void *user)
{
	return on_stop(user);
}

static int on_sample(void *user, const struct bcrawl_sample *s)
{
	struct once *o = user;
	int rc = 0;

	switch (o->format) {
	case FORMAT_INFLUX:
		return lines_sample(&o->lines, s);
	case FORMAT_PROMETHEUS:
		rc = prom_sample(&o->prom, s);
		if (rc < 0)
			log_line(o->log, BCRAWL_LOG_ERROR, "cannot write a temporary file: %s",
			         strerror(errno));
		break;
	case FORMAT_TABLE:
		rc = table_sample(&o->table, s);
		if (rc < 0)
			log_line(o->log, BCRAWL_LOG_ERROR, "out of memory");
		break;
	}
	return rc;
}

static int on_progress(void *user, const struct bcrawl_progress *p)
{
	struct once *o = user;

	/* Line protocol to the same terminal would run through it. */
	if (o->format != FORMAT_INFLUX || !isatty(STDOUT_FILENO))
		log_progress(o->log, p);
	return 0;
}

static void on_end(void *user, const struct bcrawl_summary *sum)
{
	struct once *o = user;

	o->summary = *sum;
}

/* Writes what was kept until the end of the crawl. */
static int print_kept(struct once *o)
{
	int rc = 0;

	switch (o->format) {
	case FORMAT_INFLUX:
		break;
	case FORMAT_PROMETHEUS:
		errno = 0;
		rc = prom_write(&o->prom, out_text, &o->out);
		if (rc < 0 && !o->out.error && !o->stopped)
			log_line(o->log, BCRAWL_LOG_ERROR, "cannot read a temporary file: %s",
			         strerror(errno));
		break;
	case FORMAT_TABLE:
		rc = table_write(&o->table, &o->summary, out_text, &o->out);
		break;
	}
	return rc == 0 ? out_flush(&o->out, -1) : -1;
}

static void on_host(void *user, struct bcrawl_host *h)
{
	const struct once *o = user;

	h->withheld_values = o->lines.dropped;
	h->shortened_values = o->lines.shortened;
}

static int run(struct once *o, struct bcrawl *crawler)
{
	static const struct bcrawl_sink sink = { .size = sizeof(sink),
		                                 .sample = on_sample,
		                                 .progress = on_progress,
		                                 .end = on_end,
		                                 .host = on_host };
	struct bcrawl_error err = { .size = sizeof(err) };
	unsigned long errors = o->log->errors;
	int rc = bcrawl_run(crawler, &sink, o, &err);

	log_progress_clear(o->log);
	if (rc != BCRAWL_OK && rc != BCRAWL_E_STOPPED && rc != BCRAWL_E_SINK &&
	    o->log->errors == errors)
		log_line(o->log, BCRAWL_LOG_ERROR, "%s", err.message);
	if (rc == BCRAWL_E_SINK || print_kept(o) < 0) {
		/* A reader that has gone, as head does, is no news. */
		if (o->out.error && o->out.error != EPIPE)
			log_line(o->log, BCRAWL_LOG_ERROR, "cannot write to stdout: %s",
			         strerror(o->out.error));
		return 1;
	}
	return rc == BCRAWL_OK ? 0 : 1;
}

/* A struct once is too large for some stacks. */
static struct once *begin(struct bcrawl *crawler, enum format format, struct log *log)
{
	struct once *o = calloc(1, sizeof(*o));

	if (!o || events_open(&o->events, false) < 0) {
		log_line(log, BCRAWL_LOG_ERROR, "cannot begin: %s", strerror(errno));
		free(o);
		return NULL;
	}
	o->log = log;
	o->format = format;
	bcrawl_set_stop(crawler, on_stop, o);
	bcrawl_set_wake_fd(crawler, o->events.epoll);
	return o;
}

static void end(struct once *o, struct bcrawl *crawler)
{
	bcrawl_set_stop(crawler, NULL, NULL);
	bcrawl_set_wake_fd(crawler, -1);
	events_close(&o->events);
	free(o);
}

int once_crawl(struct bcrawl *crawler, enum format format, struct log *log)
{
	struct once *o = begin(crawler, format, log);
	int status;

	if (!o)
		return 1;
	out_init(&o->out, STDOUT_FILENO, o->events.epoll, on_out_stop, o);
	lines_init(&o->lines, &o->out, log);
	status = run(o, crawler);
	prom_fini(&o->prom);
	table_fini(&o->table);
	end(o, crawler);
	return status;
}

static void on_finding(void *user, int level, const char *line)
{
	static const char *const marks[] = {
		[BCRAWL_LOG_ERROR] = "FAIL",
		[BCRAWL_LOG_WARNING] = "warn",
		[BCRAWL_LOG_INFO] = "ok",
		[BCRAWL_LOG_DEBUG] = "..",
	};
	struct once *o = user;

	if (level < BCRAWL_LOG_ERROR || level > BCRAWL_LOG_DEBUG)
		level = BCRAWL_LOG_ERROR;
	if (level == BCRAWL_LOG_DEBUG && !o->log->debug)
		return;
	o->showed |= level == BCRAWL_LOG_ERROR;
	printf("%-4s  %s\n", marks[level], line);
	fflush(stdout);
}

int once_check(struct bcrawl *crawler, struct log *log)
{
	struct bcrawl_error err = { .size = sizeof(err) };
	struct once *o = begin(crawler, FORMAT_INFLUX, log);
	int rc;

	if (!o)
		return 1;
	rc = bcrawl_check(crawler, on_finding, o, &err);
	if (rc != BCRAWL_OK && rc != BCRAWL_E_STOPPED && !o->showed)
		log_line(log, BCRAWL_LOG_ERROR, "%s", err.message);
	end(o, crawler);
	return rc == BCRAWL_OK ? 0 : 1;
}
