/* SPDX-License-Identifier: MIT
 *
 * Error codes and their texts. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

const char *bcrawl_strerror(int code)
{
	switch ((enum bcrawl_status)code) {
	case BCRAWL_OK:
		return "success";
	case BCRAWL_E_NET:
		return "network trouble";
	case BCRAWL_E_TIMEOUT:
		return "out of time";
	case BCRAWL_E_THROTTLED:
		return "the API asks to slow down";
	case BCRAWL_E_SERVER:
		return "the API is in trouble";
	case BCRAWL_E_NOMEM:
		return "out of memory";
	case BCRAWL_E_CONFIG:
		return "bad configuration";
	case BCRAWL_E_AUTH:
		return "the API refuses the token";
	case BCRAWL_E_REQUEST:
		return "the API refuses the request";
	case BCRAWL_E_PROTOCOL:
		return "not an answer of the balena API";
	case BCRAWL_E_LIMIT:
		return "a limit was reached";
	case BCRAWL_E_STOPPED:
		return "stopped";
	case BCRAWL_E_SINK:
		return "the receiver of the samples failed";
	}
	return "unknown error";
}

int bcrawl_is_transient(int code)
{
	return code <= BCRAWL_E_NET && code >= BCRAWL_E_NOMEM;
}

const char *bcrawl_version(void)
{
	return BCI_VERSION;
}

/* The second byte's range is what excludes overlong
 * forms, surrogates and values above U+10FFFF (Unicode 15, table 3-7). */
size_t bci_utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first_lo, first_hi, second_lo, second_hi;
		size_t n;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (s[0] < forms[i].first_lo || s[0] > forms[i].first_hi)
			continue;
		if (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi)
			return 0;
		for (size_t k = 2; k < forms[i].n; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].n;
	}
	return 0;
}

/* Whether the text ends within the character that begins at s. */
static bool is_cut_off(const unsigned char *s)
{
	if (*s++ < 0xc2)
		return false;
	while ((*s & 0xc0) == 0x80)
		s++;
	return *s == '\0';
}

void bci_text_clean(char *line)
{
	unsigned char *p = (unsigned char *)line;

	while (*p) {
		size_t n = bci_utf8_length(p);

		if (n == 1 && (*p < 0x20 || *p == 0x7f))
			*p = ' ';
		else if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
			p[0] = p[1] = ' ';
		else if (n == 0)
			*p = is_cut_off(p) ? '\0' : '?';
		p += n ? n : *p != '\0';
	}
}

int bci_error_set(struct bcrawl_error *err, int code, long http_status, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	err->http_status = http_status;
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	bci_text_clean(err->message);
	return code;
}

int bci_error_nomem(struct bcrawl_error *err)
{
	return bci_error_set(err, BCRAWL_E_NOMEM, 0, "out of memory");
}
