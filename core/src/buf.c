/* SPDX-License-Identifier: MIT
 *
 * A growing string with a maximum. It refuses to be made without one, and never truncates. */
#include "buf.h"

#include <stdio.h>
#include <string.h>

void bci_buf_init(struct bci_buf *b, size_t max)
{
	*b = (struct bci_buf){ .max = max };
}

void bci_buf_fini(struct bci_buf *b)
{
	free(b->data);
	*b = (struct bci_buf){ .max = b->max };
}

void bci_buf_reset(struct bci_buf *b)
{
	b->len = 0;
	b->failed = 0;
	if (b->data)
		b->data[0] = '\0';
}

static bool grow(struct bci_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 64;
	char *data;

	if (b->failed)
		return false;
	if (more > b->max - b->len) {
		b->failed = BCRAWL_E_LIMIT;
		return false;
	}
	if (b->len + more < b->cap)
		return true;
	while (cap <= b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = BCRAWL_E_NOMEM;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void bci_buf_add(struct bci_buf *b, const char *data, size_t len)
{
	if (!grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void bci_buf_adds(struct bci_buf *b, const char *s)
{
	bci_buf_add(b, s, strlen(s));
}

void bci_buf_addf(struct bci_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !grow(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}
