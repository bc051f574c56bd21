/* SPDX-License-Identifier: MIT
 *
 * measure RESULT COMMAND...: runs a command and writes what it took to the file RESULT: seconds of
 * wall, user and system time, and the peak of its resident memory in KiB.
 *
 * A program of its own because a process inherits at exec the peak of the image it was forked from:
 * below a Python parent everything small would look as large as Python. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct rusage use;
	double start = now(), wall;
	int status = 0;
	FILE *out;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: measure RESULT COMMAND...\n");
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		/* Nothing outlives a bench that is interrupted. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid) {
		fprintf(stderr, "measure: %s\n", strerror(errno));
		return 1;
	}
	wall = now() - start;
	out = fopen(argv[1], "w");
	if (!out || fprintf(out, "%.6f %.6f %.6f %ld\n", wall, seconds(use.ru_utime),
	                    seconds(use.ru_stime), use.ru_maxrss) < 0 || fclose(out)) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
