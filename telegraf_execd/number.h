/* SPDX-License-Identifier: MIT
 *
 * A value as text, in the one spelling that line protocol, Prometheus and people all read. */
#ifndef NUMBER_H
#define NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Holds the longest number with its NUL. */
#define NUMBER_MAX 32

/* Writes value: a whole number without a fraction if integral, else the shortest decimal that reads
 * back as the same double, without '+'. Returns its length, 0 if the value has no such text (not
 * finite, or an integral one beyond 2^53). */
size_t number_format(char out[NUMBER_MAX], double value, bool integral);

#endif
