/* SPDX-License-Identifier: MIT
 *
 * What the user wants, from the command line, the environment and a systemd credential: a command,
 * a format and a configuration for the library. */
#ifndef ARGS_H
#define ARGS_H

#include <stdbool.h>

#include "balenacrawl.h"
#include "log.h"

enum command {
	COMMAND_STREAM, /* the default */
	COMMAND_ONCE,
	COMMAND_CHECK,
	COMMAND_LIST_METRICS,
	COMMAND_LIST_OPTIONS,
	COMMAND_HELP,
	COMMAND_VERSION
};

enum format { FORMAT_INFLUX, FORMAT_PROMETHEUS, FORMAT_TABLE };

struct args {
	enum command command;
	enum format format;
	bool debug;
	struct bcrawl_config *cfg; /* NULL for commands that need none; args_free() frees it */
};

/* One row of the options that are ours, not the library's. */
struct flag {
	const char *name;
	char letter;       /* 0: none */
	const char *value; /* placeholder of its value, NULL: it takes none */
	const char *help;  /* one sentence, ends with a full stop */
};

/* The i-th flag, NULL past the end. */
const struct flag *args_flag_at(size_t i);

/* Returns 0, or -1 after saying in the log what is wrong. */
int args_read(struct args *args, int argc, char **argv, struct log *log);

void args_free(struct args *args);

#endif
