/* SPDX-License-Identifier: MIT
 *
 * Signals by signalfd and stdin, both in one epoll set. stdin is never made non-blocking: the
 * descriptor may be shared with the shell. It is read once for each time that epoll reports it. */
#include "events.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* A trigger is one byte; whoever sends more in one go means one trigger all the same. */
#define READ_MAX 4096
/* A plain file as stdin: a few newlines at most. /dev/zero ends here too. */
#define PLAIN_READS_MAX 16

static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };

static void taken_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(set, taken[i]);
}

void events_block_signals(void)
{
	sigset_t set;

	taken_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int watch(int epoll, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int events_open(struct events *ev, bool streaming)
{
	struct stat st;
	sigset_t set;

	taken_set(&set);
	*ev = (struct events){ .streaming = streaming };
	ev->epoll = epoll_create1(EPOLL_CLOEXEC);
	ev->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ev->epoll < 0 || ev->signals < 0 || watch(ev->epoll, ev->signals) < 0)
		return -1;
	if (!streaming)
		return 0;
	ev->stdin_open = true;
	ev->stdin_pipe = fstat(STDIN_FILENO, &st) == 0 && S_ISFIFO(st.st_mode);
	if (watch(ev->epoll, STDIN_FILENO) < 0) {
		if (errno != EPERM)
			return -1;
		ev->stdin_plain = true;
	}
	return 0;
}

void events_close(struct events *ev)
{
	close(ev->epoll);
	close(ev->signals);
}

/* Out of the set at once: a descriptor at its end is readable for ever. */
static void stdin_ended(struct events *ev, struct happened *h)
{
	ev->stdin_open = false;
	h->eof = true;
	if (!ev->stdin_plain)
		epoll_ctl(ev->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

static void read_stdin(struct events *ev, struct happened *h)
{
	char buf[READ_MAX];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	for (ssize_t i = 0; i < n; i++)
		h->triggers += buf[i] == '\n';
	if (n <= 0)
		stdin_ended(ev, h);
}

static void read_plain_stdin(struct events *ev, struct happened *h)
{
	for (int i = 0; i < PLAIN_READS_MAX && ev->stdin_open; i++)
		read_stdin(ev, h);
	if (ev->stdin_open)
		stdin_ended(ev, h);
}

static void take_signal(const struct events *ev, int signo, struct happened *h)
{
	switch (signo) {
	case SIGTERM:
		h->stop = true;
		break;
	case SIGINT:
		/* Ctrl-C on Telegraf's terminal reaches us too, but the end of stdin follows and
		 * lets a crawl that was asked for finish. */
		if (!ev->stdin_pipe)
			h->stop = true;
		break;
	case SIGHUP:
		if (!ev->streaming)
			h->stop = true;
		else
			h->triggers++;
		break;
	default:
		h->triggers++;
		break;
	}
}

static void read_signals(const struct events *ev, struct happened *h)
{
	struct signalfd_siginfo info;

	while (read(ev->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		take_signal(ev, (int)info.ssi_signo, h);
}

void events_read(struct events *ev, int timeout_ms, struct happened *h)
{
	struct epoll_event e[2];
	int n;

	if (ev->stdin_plain && ev->stdin_open) {
		read_plain_stdin(ev, h);
		timeout_ms = 0;
	}
	n = epoll_wait(ev->epoll, e, 2, timeout_ms);
	/* Nothing would reach us any more, no signal either: better to be started anew. */
	if (n < 0 && errno != EINTR)
		h->stop = true;
	for (int i = 0; i < n; i++) {
		if (e[i].data.fd == ev->signals)
			read_signals(ev, h);
		else
			read_stdin(ev, h);
	}
}
