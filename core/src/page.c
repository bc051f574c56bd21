/* SPDX-License-Identifier: MIT
 *
 * Bytes in, one JSON object out per array element. The envelope is scanned by hand, each element
 * is fed to json-c's tokener, which stops at the element's end.
 *
 *   {"d":[{...},{...}]}
 *
 * json-c has no event interface; with STRICT alone its tokener fails at the comma behind an
 * element when that comes in the same chunk, hence ALLOW_TRAILING_CHARS. VALIDATE_UTF8 is of no use
 * here: it refuses a chunk that ends inside a character. record.c cleans what is shown. */
#include "page.h"

#include "limits.h"

#include <json-c/json.h>
#include <string.h>

enum state { ENVELOPE, FIRST, ELEMENT, BETWEEN, NEXT, CLOSE, END, FAILED };

struct bci_page {
	bci_page_element_fn *fn;
	void *user;
	struct json_tokener *tok;
	enum state state;
	size_t matched;       /* of the envelope's opening */
	size_t element_bytes;
	int error;
	const char *reason;
};

static const char opening[] = "{\"d\":[";
static const char too_large[] = "has an element larger than 1 MiB";

struct bci_page *bci_page_new(bci_page_element_fn *fn, void *user)
{
	struct bci_page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tok = json_tokener_new_ex(BCI_JSON_DEPTH);
	if (!p->tok) {
		free(p);
		return NULL;
	}
	json_tokener_set_flags(p->tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	bci_page_reset(p, fn, user);
	return p;
}

void bci_page_free(struct bci_page *p)
{
	if (!p)
		return;
	json_tokener_free(p->tok);
	free(p);
}

void bci_page_reset(struct bci_page *p, bci_page_element_fn *fn, void *user)
{
	json_tokener_reset(p->tok);
	*p = (struct bci_page){ .fn = fn, .user = user, .tok = p->tok, .reason = "" };
}

static int fail(struct bci_page *p, int code, const char *reason)
{
	p->state = FAILED;
	p->error = code;
	p->reason = reason;
	return code;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Takes bytes of the current element; *used says how many. */
static int feed_element(struct bci_page *p, const char *data, size_t len, size_t *used)
{
	/* One past the cap is enough to know that the cap was passed. */
	size_t room = BCI_ELEMENT_BYTES_MAX - p->element_bytes + 1;
	size_t n = len < room ? len : room;
	struct json_object *o = json_tokener_parse_ex(p->tok, data, (int)n);
	enum json_tokener_error e = json_tokener_get_error(p->tok);
	int rc;

	if (e == json_tokener_continue) {
		p->element_bytes += n;
		*used = n;
		if (p->element_bytes > BCI_ELEMENT_BYTES_MAX)
			return fail(p, BCRAWL_E_LIMIT, too_large);
		return 0;
	}
	if (e != json_tokener_success || !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return fail(p, BCRAWL_E_PROTOCOL, "is not well-formed JSON");
	}
	*used = json_tokener_get_parse_end(p->tok);
	if (p->element_bytes + *used > BCI_ELEMENT_BYTES_MAX) {
		json_object_put(o);
		return fail(p, BCRAWL_E_LIMIT, too_large);
	}
	json_tokener_reset(p->tok);
	p->state = BETWEEN;
	rc = p->fn(p->user, o);
	json_object_put(o);
	return rc ? fail(p, rc, "has an element that is not as asked for") : 0;
}

/* Takes one byte outside of elements. */
static int feed_byte(struct bci_page *p, char c)
{
	/* Not within the opening's "d". */
	if (is_blank(c) && p->matched != 2 && p->matched != 3)
		return 0;
	switch (p->state) {
	case ENVELOPE:
		if (c != opening[p->matched])
			return fail(p, BCRAWL_E_PROTOCOL, "does not begin with {\"d\":[");
		if (!opening[++p->matched])
			p->state = FIRST;
		return 0;
	case BETWEEN:
		if (c != ',' && c != ']')
			return fail(p, BCRAWL_E_PROTOCOL, "has no comma behind an element");
		p->state = c == ',' ? NEXT : CLOSE;
		return 0;
	case FIRST:
		if (c != ']')
			return fail(p, BCRAWL_E_PROTOCOL, "has an element that is no object");
		p->state = CLOSE;
		return 0;
	case CLOSE:
		if (c != '}')
			return fail(p, BCRAWL_E_PROTOCOL, "holds more than \"d\"");
		p->state = END;
		return 0;
	case NEXT:
		return fail(p, BCRAWL_E_PROTOCOL, "has an element that is no object");
	case END:
		return fail(p, BCRAWL_E_PROTOCOL, "goes on behind its end");
	case ELEMENT:
	case FAILED:
		break;
	}
	return p->error;
}

int bci_page_feed(struct bci_page *p, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && p->state != FAILED) {
		size_t used = 1;

		if ((p->state == FIRST || p->state == NEXT) && data[i] == '{') {
			p->state = ELEMENT;
			p->element_bytes = 0;
		}
		if (p->state == ELEMENT)
			feed_element(p, data + i, len - i, &used);
		else
			feed_byte(p, data[i]);
		i += used;
	}
	return p->error;
}

int bci_page_finish(const struct bci_page *p)
{
	if (p->state == FAILED)
		return p->error;
	return p->state == END ? 0 : BCRAWL_E_PROTOCOL;
}

const char *bci_page_reason(const struct bci_page *p)
{
	return p->state == FAILED ? p->reason : "ends too early";
}
