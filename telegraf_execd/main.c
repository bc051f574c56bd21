/* SPDX-License-Identifier: MIT
 *
 * telegraf-balena: the balena API for Telegraf. Arguments -> one command -> exit status.
 *
 * Exit status: 0, 1 for a crawl or check that failed, 2 for wrong usage or configuration. */
#include "args.h"
#include "balenacrawl.h"
#include "events.h"
#include "help.h"
#include "lists.h"
#include "log.h"
#include "once.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The process was told to leave and something, such as a resolver, does not let go. */
static void last_resort(int signo)
{
	(void)signo;
	_exit(0);
}

/* The token is in our memory: no core file, and no other process of this user may attach. */
static void harden(void)
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
}

/* With a standard descriptor closed, the next file or socket would take its place. What is read
 * from the stand-in ends at once; what is written to it fails. */
static void open_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

static int run(const struct args *args, struct log *log)
{
	struct bcrawl_error err = { .size = sizeof(err) };
	struct bcrawl *crawler = NULL;
	int status = EXIT_FAILED;

	if (bcrawl_global_init() != BCRAWL_OK) {
		log_line(log, BCRAWL_LOG_ERROR, "libcurl does not start");
		return EXIT_FAILED;
	}
	if (bcrawl_new(&crawler, args->cfg, &err) != BCRAWL_OK) {
		log_line(log, BCRAWL_LOG_ERROR, "%s", err.message);
		bcrawl_global_cleanup();
		return err.code == BCRAWL_E_CONFIG ? EXIT_USAGE : EXIT_FAILED;
	}
	bcrawl_set_log(crawler, log_crawler, log);
	if (args->command == COMMAND_STREAM)
		status = stream_run(crawler, args->cfg, log);
	else if (args->command == COMMAND_ONCE)
		status = once_crawl(crawler, args->format, log);
	else
		status = once_check(crawler, log);
	bcrawl_free(crawler);
	bcrawl_global_cleanup();
	return status;
}

static int finish_stdout(int rc, struct log *log)
{
	if (rc == 0 && fflush(stdout) == 0)
		return 0;
	/* A reader that has gone, as head does, is no news. */
	if (errno == EPIPE)
		return 0;
	log_line(log, BCRAWL_LOG_ERROR, "cannot write to stdout: %s", strerror(errno));
	return EXIT_FAILED;
}

static int dispatch(const struct args *args, struct log *log)
{
	switch (args->command) {
	case COMMAND_STREAM:
	case COMMAND_ONCE:
	case COMMAND_CHECK:
		break;
	case COMMAND_LIST_METRICS:
		return finish_stdout(lists_metrics(stdout), log);
	case COMMAND_LIST_OPTIONS:
		return finish_stdout(lists_options(stdout), log);
	case COMMAND_HELP:
		return finish_stdout(help_print(stdout), log);
	case COMMAND_VERSION:
		printf("telegraf-balena %s\n", bcrawl_version());
		return finish_stdout(0, log);
	}
	return run(args, log);
}

int main(int argc, char **argv)
{
	struct log log;
	struct args args;
	int status = EXIT_USAGE;

	events_block_signals();
	signal(SIGALRM, last_resort);
	open_standard_descriptors();
	harden();
	log_init(&log);
	if (args_read(&args, argc, argv, &log) == 0) {
		/* Telegraf has a level of its own for what it gets from us. */
		log.debug = args.debug || (args.command == COMMAND_STREAM && !log.terminal);
		status = dispatch(&args, &log);
	}
	args_free(&args);
	return status;
}
