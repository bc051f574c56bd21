/* SPDX-License-Identifier: MIT
 *
 * The library's two tables as Markdown, for README, manual and people: aligned, so that they read
 * well unrendered too. */
#ifndef LISTS_H
#define LISTS_H

#include <stdio.h>

/* Both return 0, or -1: f has failed or memory has run out. */
int lists_metrics(FILE *f);
int lists_options(FILE *f);

#endif
