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

void bci_text_clean(char *line)
{
	unsigned char *p = (unsigned char *)line;
	size_t n = strlen(line), back = 0;

	for (; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = ' ';
	}
	/* Back to the lead byte of the last character: is all of it there? */
	while (back < 3 && back < n && (p[-1 - (ptrdiff_t)back] & 0xc0) == 0x80)
		back++;
	if (back < n && p[-1 - (ptrdiff_t)back] >= 0xc0) {
		unsigned char lead = p[-1 - (ptrdiff_t)back];

		if (back < (size_t)(lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1))
			p[-1 - (ptrdiff_t)back] = '\0';
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
