/* SPDX-License-Identifier: MIT
 *
 * stderr. It never blocks the crawl for long: a reader that stands still loses lines. Telegraf
 * stops reading stderr for good after a line above 64 KiB, so ours have a cap, and each is one
 * write. */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
/* For a terminal that is stopped, or a pipe that nobody reads. */
#define WRITE_WAIT_MS 100

static void write_all(const char *text, size_t n)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* A wait that fails says nothing against writing. */
	while (n > 0 && poll(&fd, 1, WRITE_WAIT_MS) != 0) {
		ssize_t w = write(STDERR_FILENO, text, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return;
		text += w;
		n -= (size_t)w;
	}
}

void log_init(struct log *log)
{
	*log = (struct log){ .terminal = isatty(STDERR_FILENO) };
}

__attribute__((format(printf, 3, 0))) static void print(struct log *log, int level, const char *fmt,
                                                        va_list args)
{
	static const char prefixes[][4] = {
		[BCRAWL_LOG_ERROR] = "E! ",
		[BCRAWL_LOG_WARNING] = "W! ",
		[BCRAWL_LOG_INFO] = "I! ",
		[BCRAWL_LOG_DEBUG] = "D! ",
	};
	char line[LINE_MAX_BYTES];
	size_t head = 0, n;

	if (level < BCRAWL_LOG_ERROR || level > BCRAWL_LOG_DEBUG)
		level = BCRAWL_LOG_ERROR;
	if (level == BCRAWL_LOG_ERROR)
		log->errors++;
	if (level == BCRAWL_LOG_DEBUG && !log->debug)
		return;
	if (!log->terminal) {
		memcpy(line, prefixes[level], 3);
		head = 3;
	}
	/* One byte less than the room: the NUL is where the newline goes. */
	vsnprintf(line + head, sizeof(line) - head, fmt, args);
	n = strlen(line + head) + head;
	for (size_t i = head; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[n++] = '\n';
	log_progress_clear(log);
	write_all(line, n);
}

void log_line(struct log *log, int level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print(log, level, fmt, args);
	va_end(args);
}

void log_crawler(void *user, int level, const char *line)
{
	log_line(user, level, "%s", line);
}

void log_progress(struct log *log, const struct bcrawl_progress *p)
{
	const char *term = getenv("TERM");
	char text[160];
	int n;

	if (!log->terminal || !term || strcmp(term, "dumb") == 0)
		return;
	n = snprintf(text, sizeof(text), "\rfleets %lu/%lu  devices %lu/%lu  requests %lu\033[K",
	             p->fleets_done, p->fleets, p->devices, p->devices_expected, p->requests);
	write_all(text, (size_t)n);
	log->progress = true;
}

void log_progress_clear(struct log *log)
{
	if (log->progress)
		write_all("\r\033[K", 4);
	log->progress = false;
}
