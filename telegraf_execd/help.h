/* SPDX-License-Identifier: MIT
 *
 * The answer to --help. */
#ifndef HELP_H
#define HELP_H

#include <stdio.h>

/* Returns 0, or -1: f has failed. */
int help_print(FILE *f);

#endif
