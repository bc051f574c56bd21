/* SPDX-License-Identifier: MIT
 *
 * stdout. The descriptor stays in blocking mode, since it may be shared with a shell or a terminal:
 * a pipe that polls writable takes PIPE_BUF bytes at once, so no write hangs. */
#include "out.h"

#include "monotonic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 200
#define DRAIN_POLL_MS 5

void out_init(struct out *out, int fd, int wake, out_stop_fn *stop, void *user)
{
	out->fd = fd;
	out->wake = wake;
	out->stop = stop;
	out->user = user;
	out->error = 0;
	out->len = 0;
	out->sent = 0;
}

static bool gave_up(const struct out *out, int64_t until)
{
	return until < 0 ? out->stop(out->user) : monotonic_ms() >= until;
}

int out_flush(struct out *out, int64_t until)
{
	while (out->sent < out->len && !out->error) {
		struct pollfd fds[] = {
			{ .fd = out->fd, .events = POLLOUT },
			/* Past the stop nobody reads the wake descriptor any more. */
			{ .fd = until < 0 ? out->wake : -1, .events = POLLIN },
		};
		ssize_t n;
		int ready;

		if (gave_up(out, until))
			return -1;
		ready = poll(fds, 2, POLL_MS);
		/* A wait that fails at once would make this a spin. */
		if (ready < 0 && errno != EINTR)
			out->error = errno;
		if (ready < 0 || !fds[0].revents)
			continue;
		n = write(out->fd, out->buf + out->sent, out->len - out->sent);
		if (n > 0)
			out->sent += (size_t)n;
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			out->error = errno;
	}
	if (out->error)
		return -1;
	out->len = 0;
	out->sent = 0;
	return 0;
}

int out_line(struct out *out, const char *line, size_t n)
{
	if (n > sizeof(out->buf) - out->len && out_flush(out, -1) < 0)
		return -1;
	memcpy(out->buf + out->len, line, n);
	out->len += n;
	return 0;
}

int out_text(void *user, const char *text, size_t n)
{
	struct out *out = user;

	while (n > 0) {
		size_t part = sizeof(out->buf) - out->len;

		if (part == 0) {
			if (out_flush(out, -1) < 0)
				return -1;
			continue;
		}
		part = part < n ? part : n;
		memcpy(out->buf + out->len, text, part);
		out->len += part;
		text += part;
		n -= part;
	}
	return 0;
}

/* Telegraf waits for the child's exit and reads its pipe at the same time, which Go documents as a
 * race (golang/go#60309): what is unread when the child is gone may be lost. */
void out_drain(const struct out *out, int64_t until)
{
	struct stat st;
	int unread;

	if (fstat(out->fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return;
	while (monotonic_ms() < until && ioctl(out->fd, FIONREAD, &unread) == 0 && unread > 0) {
		struct pollfd fd = { .fd = out->fd };

		/* POLLERR: the reader has gone. */
		if (poll(&fd, 1, DRAIN_POLL_MS) != 0)
			return;
	}
}
