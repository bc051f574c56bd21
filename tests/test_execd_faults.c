/* SPDX-License-Identifier: MIT
 *
 * What telegraf-balena writes and waits for while the system's calls fail: each call in turn, once
 * and from then on. The linker puts the functions below under those of out.c and events.c (--wrap). */
#include "events.h"
#include "out.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum call { WRITE, POLL, READ, EPOLL_WAIT, EPOLL_CREATE, EPOLL_CTL, SIGNALFD, CALL_COUNT };

static const char *const call_names[] = { "write", "poll", "read", "epoll_wait", "epoll_create1",
	                                  "epoll_ctl", "signalfd" };

static struct {
	unsigned long n[CALL_COUNT]; /* calls so far */
	unsigned long fail_at;       /* 0: none fails */
	enum call which;
	bool lasting;                /* all from fail_at on fail, else that one */
	unsigned long failed;
	int error;
	size_t piece;                /* write() takes no more at a time; 0: as it likes */
} faults;

static void set_faults(enum call which, unsigned long n, bool lasting, int error)
{
	memset(&faults, 0, sizeof(faults));
	faults.which = which;
	faults.fail_at = n;
	faults.lasting = lasting;
	faults.error = error;
}

static bool fails(enum call call)
{
	unsigned long n = ++faults.n[call];
	bool fail = faults.fail_at && call == faults.which &&
		    (faults.lasting ? n >= faults.fail_at : n == faults.fail_at);

	faults.failed += fail;
	if (fail)
		errno = faults.error;
	return fail;
}

#define WRAP(type, name, call, parameters, arguments)                                              \
	type __real_##name parameters;                                                              \
	type __wrap_##name parameters;                                                              \
	type __wrap_##name parameters                                                               \
	{                                                                                           \
		return fails(call) ? -1 : __real_##name arguments;                                  \
	}
WRAP(int, poll, POLL, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
WRAP(ssize_t, read, READ, (int fd, void *data, size_t n), (fd, data, n))
WRAP(int, epoll_wait, EPOLL_WAIT, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
WRAP(int, epoll_create1, EPOLL_CREATE, (int flags), (flags))
WRAP(int, epoll_ctl, EPOLL_CTL, (int fd, int op, int of, struct epoll_event *e), (fd, op, of, e))
WRAP(int, signalfd, SIGNALFD, (int fd, const sigset_t *set, int flags), (fd, set, flags))

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	if (fails(WRITE))
		return -1;
	return __real_write(fd, data, faults.piece && faults.piece < n ? faults.piece : n);
}

/* ---- stdout ---- */

#define LINES 40

struct env {
	struct out out;
	int pipe[2];
	unsigned polls, stop_at; /* the stop says so from the n-th poll on; 0: never */
	char want[LINES * 400], got[LINES * 400];
	size_t want_len, got_len;
};

static bool on_stop(void *user)
{
	struct env *e = user;

	return ++e->polls >= e->stop_at && e->stop_at;
}

/* Lines that need several buffers; what has been written is taken at once. */
static int write_lines(struct env *e)
{
	int rc = 0;

	for (int i = 0; i < LINES && !rc; i++) {
		char line[400];
		size_t n = (size_t)snprintf(line, sizeof(line), "line,n=%d v=%0*d\n", i, 10 + i * 9, i);

		memcpy(e->want + e->want_len, line, n);
		e->want_len += n;
		rc = out_line(&e->out, line, n);
	}
	return rc ? rc : out_flush(&e->out, -1);
}

static void env_begin(struct env *e)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(pipe(e->pipe), 0);
	out_init(&e->out, e->pipe[1], -1, on_stop, e);
}

static void env_end(struct env *e)
{
	ssize_t n;

	set_faults(WRITE, 0, false, 0);
	close(e->pipe[1]);
	while ((n = read(e->pipe[0], e->got + e->got_len, sizeof(e->got) - e->got_len)) > 0)
		e->got_len += (size_t)n;
	close(e->pipe[0]);
}

/* Nothing lost, nothing twice. */
static void check_all(const char *name, const struct env *e)
{
	CHECK_INT(name, e->got_len, e->want_len);
	CHECK(name, memcmp(e->got, e->want, e->want_len) == 0);
}

/* What came is a beginning of what should. */
static void check_beginning(const char *name, const struct env *e)
{
	CHECK(name, e->got_len < e->want_len);
	CHECK(name, memcmp(e->got, e->want, e->got_len) == 0);
}

static void test_short_writes(void **state)
{
	static const size_t pieces[] = { 1, 7, 100, 4095 };

	(void)state;
	for (size_t i = 0; i < LEN(pieces); i++) {
		struct env e;

		env_begin(&e);
		set_faults(WRITE, 0, false, 0);
		faults.piece = pieces[i];
		assert_int_equal(write_lines(&e), 0);
		env_end(&e);
		check_all("short", &e);
	}
}

/* Calls that were only unlucky are made again. */
static void test_again(void **state)
{
	static const struct {
		const char *name;
		enum call which;
		int error;
	} cases[] = {
		{ "write EAGAIN", WRITE, EAGAIN },
		{ "write EINTR", WRITE, EINTR },
		{ "poll EINTR", POLL, EINTR },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		unsigned long n = 1;

		for (bool came = true; came; n++) {
			struct env e;

			env_begin(&e);
			set_faults(cases[i].which, n, false, cases[i].error);
			CHECK_INT(cases[i].name, write_lines(&e), 0);
			came = faults.failed > 0;
			env_end(&e);
			check_all(cases[i].name, &e);
		}
		CHECK(cases[i].name, n > 3);
	}
}

/* From then on: until the stop says that it is enough. */
static void test_again_for_ever(void **state)
{
	static const int errors[] = { EAGAIN, EINTR };

	(void)state;
	for (size_t i = 0; i < LEN(errors); i++) {
		struct env e;

		env_begin(&e);
		e.stop_at = 50;
		set_faults(WRITE, 2, true, errors[i]);
		assert_int_equal(write_lines(&e), -1);
		assert_int_equal(e.out.error, 0);
		assert_int_equal(e.polls, 50);
		env_end(&e);
		check_beginning("for ever", &e);
	}
}

/* What does not go away is an error, told once, and nothing is written after it. */
static void test_errors(void **state)
{
	static const struct {
		const char *name;
		enum call which;
		int error;
	} cases[] = {
		{ "write EIO", WRITE, EIO },       { "write ENOSPC", WRITE, ENOSPC },
		{ "write EPIPE", WRITE, EPIPE },   { "write EBADF", WRITE, EBADF },
		{ "poll EINVAL", POLL, EINVAL },   { "poll ENOMEM", POLL, ENOMEM },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (int lasting = 0; lasting < 2; lasting++) {
			unsigned long n = 1;

			for (bool came = true; came; n++) {
				struct env e;
				unsigned long writes;
				int rc;

				env_begin(&e);
				set_faults(cases[i].which, n, lasting, cases[i].error);
				/* A spin would end here, and be found below. */
				e.stop_at = 1000;
				rc = write_lines(&e);
				came = faults.failed > 0;
				CHECK_INT(cases[i].name, rc, came ? -1 : 0);
				CHECK_INT(cases[i].name, e.out.error, came ? cases[i].error : 0);
				writes = faults.n[WRITE];
				if (came) {
					CHECK_INT(cases[i].name, out_flush(&e.out, -1), -1);
					CHECK_INT(cases[i].name, faults.n[WRITE], writes);
				}
				env_end(&e);
				if (came)
					check_beginning(cases[i].name, &e);
				else
					check_all(cases[i].name, &e);
			}
			CHECK(cases[i].name, n > 3);
		}
	}
}

static void test_drain(void **state)
{
	struct env e;

	(void)state;
	env_begin(&e);
	assert_int_equal(out_line(&e.out, "x\n", 2), 0);
	assert_int_equal(out_flush(&e.out, -1), 0);
	/* Nobody takes it, and the wait fails: that ends it, the time being far. */
	set_faults(POLL, 1, true, EINTR);
	out_drain(&e.out, INT64_MAX);
	assert_int_equal(faults.failed, 1);
	env_end(&e);
}

/* ---- what happens ---- */

static int stdin_pipe[2], stdin_before;

static void open_stdin(void)
{
	stdin_before = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	assert_int_equal(pipe(stdin_pipe), 0);
	assert_int_equal(dup2(stdin_pipe[0], STDIN_FILENO), STDIN_FILENO);
	close(stdin_pipe[0]);
}

static void close_stdin(void)
{
	set_faults(READ, 0, false, 0);
	close(stdin_pipe[1]);
	if (stdin_before >= 0) {
		dup2(stdin_before, STDIN_FILENO);
		close(stdin_before);
	} else {
		close(STDIN_FILENO);
	}
}

static void test_events_open(void **state)
{
	static const struct {
		enum call which;
		unsigned long n;
	} cases[] = { { EPOLL_CREATE, 1 }, { SIGNALFD, 1 }, { EPOLL_CTL, 1 }, { EPOLL_CTL, 2 } };

	(void)state;
	open_stdin();
	for (size_t i = 0; i < LEN(cases); i++) {
		for (int lasting = 0; lasting < 2; lasting++) {
			struct events ev;

			set_faults(cases[i].which, cases[i].n, lasting, EMFILE);
			CHECK_INT(call_names[cases[i].which], events_open(&ev, true), -1);
			CHECK_INT(call_names[cases[i].which], errno, EMFILE);
			events_close(&ev);
		}
	}
	close_stdin();
}

/* A wait or read that was interrupted loses no trigger. */
static void test_events_interrupted(void **state)
{
	static const struct {
		enum call which;
		int error;
	} cases[] = { { READ, EINTR }, { READ, EAGAIN }, { EPOLL_WAIT, EINTR } };

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		const char *name = call_names[cases[i].which];
		struct happened h = { 0 };
		struct events ev;

		open_stdin();
		assert_int_equal(events_open(&ev, true), 0);
		assert_int_equal(write(stdin_pipe[1], "\n\n", 2), 2);
		set_faults(cases[i].which, 1, false, cases[i].error);
		events_read(&ev, -1, &h);
		CHECK_INT(name, faults.failed, 1);
		CHECK(name, h.triggers == 0 && !h.eof && !h.stop);
		events_read(&ev, -1, &h);
		CHECK(name, h.triggers == 2 && !h.eof && !h.stop);
		events_close(&ev);
		close_stdin();
	}
}

/* stdin that can't be read is at its end. */
static void test_events_stdin_fails(void **state)
{
	struct happened h = { 0 };
	struct events ev;

	(void)state;
	open_stdin();
	assert_int_equal(events_open(&ev, true), 0);
	assert_int_equal(write(stdin_pipe[1], "\n", 1), 1);
	set_faults(READ, 1, true, EIO);
	events_read(&ev, -1, &h);
	assert_true(h.eof && !h.stop && h.triggers == 0);
	assert_false(ev.stdin_open);
	events_close(&ev);
	close_stdin();
}

/* Without the wait nothing could reach the process any more, not even a signal to end: it leaves. */
static void test_events_wait_fails(void **state)
{
	struct happened h = { 0 };
	struct events ev;

	(void)state;
	open_stdin();
	assert_int_equal(events_open(&ev, true), 0);
	set_faults(EPOLL_WAIT, 1, true, EBADF);
	events_read(&ev, -1, &h);
	assert_true(h.stop);
	events_close(&ev);
	close_stdin();
}

/* A signal that can't be read stays, and is read the next time. */
static void test_events_signal_read(void **state)
{
	struct happened h = { 0 };
	struct events ev;

	(void)state;
	open_stdin();
	assert_int_equal(events_open(&ev, true), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	set_faults(READ, 1, false, EINTR);
	events_read(&ev, -1, &h);
	assert_int_equal(h.triggers, 0);
	events_read(&ev, -1, &h);
	assert_int_equal(h.triggers, 1);
	events_close(&ev);
	close_stdin();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_writes),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_again_for_ever),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_events_open),
		cmocka_unit_test(test_events_interrupted),
		cmocka_unit_test(test_events_stdin_fails),
		cmocka_unit_test(test_events_wait_fails),
		cmocka_unit_test(test_events_signal_read),
	};

	events_block_signals();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
