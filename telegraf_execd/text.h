/* SPDX-License-Identifier: MIT
 *
 * Text for a terminal: without control characters, measured in characters. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>

/* Copies as much of in as fits, whole characters only, leaving out C0 and C1 control characters, so
 * that no name can drive the terminal. Returns the length in bytes. */
size_t text_copy(char *out, size_t size, const char *in);

/* Characters (code points) of a UTF-8 string. */
size_t text_width(const char *s);

#endif
