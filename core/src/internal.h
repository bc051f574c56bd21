/* SPDX-License-Identifier: MIT
 *
 * What every file of the core may use: the public header with its symbols exported, small macros,
 * and the one way to fill an error. */
#ifndef BCI_INTERNAL_H
#define BCI_INTERNAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

/* The library is built with hidden visibility; what the public header declares is the exception. */
#pragma GCC visibility push(default)
#include "balenacrawl.h"
#pragma GCC visibility pop

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Whatever the locale says. */
#define BCI_LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define BCI_MUST_CHECK __attribute__((warn_unused_result))
#define BCI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

static inline void bci_cleanup_free(void *p)
{
	free(*(void **)p);
}
/* A char pointer that is freed when it goes out of scope; hand it on with bci_steal(). */
#define BCI_AUTOFREE __attribute__((cleanup(bci_cleanup_free)))

static inline void *bci_steal_ptr(void *pp)
{
	void **p = pp, *v = *p;

	*p = NULL;
	return v;
}
#define bci_steal(pp) ((__typeof__(*(pp)))bci_steal_ptr(pp))

/* Fills err (may be NULL) and returns code, so that a failing function can end with it. Control
 * characters in the text become blanks: a server or a file may have chosen parts of it. */
int bci_error_set(struct bcrawl_error *err, int code, long http_status, const char *fmt, ...)
	BCI_PRINTF(4, 5);

/* Bytes of the UTF-8 character that the text s begins with, 0 if it is none; 1 for its NUL. */
size_t bci_utf8_length(const unsigned char *s);

/* Makes a line fit to be read by people: control characters (C1 too) become blanks, a character
 * that was cut off at the end goes, other bytes that are no UTF-8 become question marks. */
void bci_text_clean(char *line);

/* The out-of-memory error, which every module can run into. */
int bci_error_nomem(struct bcrawl_error *err);

#endif
