/* SPDX-License-Identifier: MIT
 *
 * Bytes in, one JSON object out per array element. The envelope and the ends of the elements are
 * found by hand, each element then goes to json-c's tokener as a whole.
 *
 *   {"d":[{...},{...}]}
 *
 * json-c 0.16 can be fed in pieces, but what it takes then depends on where they end: {"a":1-2} is
 * 1 if a piece ends behind the 1, and an error if not. VALIDATE_UTF8 is not asked for: one bad byte
 * in a name must not cost all devices; record.c cleans what is shown. */
#include "page.h"

#include "buf.h"
#include "limits.h"

#include <json-c/json.h>
#include <string.h>

enum state { ENVELOPE, FIRST, ELEMENT, BETWEEN, NEXT, CLOSE, END, FAILED };

struct bci_page {
	bci_page_element_fn *fn;
	void *user;
	struct json_tokener *tok;
	enum state state;
	size_t matched; /* of the envelope's opening */
	struct bci_buf element; /* as much of it as came in earlier pieces */
	size_t depth;           /* of open braces and brackets; 0 between elements, as these are */
	bool in_string, escaped;
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
	json_tokener_set_flags(p->tok, JSON_TOKENER_STRICT);
	bci_buf_init(&p->element, BCI_ELEMENT_BYTES_MAX);
	bci_page_reset(p, fn, user);
	return p;
}

void bci_page_free(struct bci_page *p)
{
	if (!p)
		return;
	json_tokener_free(p->tok);
	bci_buf_fini(&p->element);
	free(p);
}

void bci_page_reset(struct bci_page *p, bci_page_element_fn *fn, void *user)
{
	json_tokener_reset(p->tok);
	bci_buf_reset(&p->element);
	*p = (struct bci_page){
		.fn = fn, .user = user, .tok = p->tok, .element = p->element, .reason = ""
	};
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

/* How many of the bytes belong to the current string, its end or an escape included. */
static size_t scan_string(struct bci_page *p, const char *data, size_t len)
{
	size_t i = p->escaped ? 1 : 0;

	p->escaped = false;
	while (i < len && data[i] != '"' && data[i] != '\\')
		i++;
	if (i == len)
		return i;
	p->in_string = data[i] != '"';
	p->escaped = data[i] == '\\';
	return i + 1;
}

/* How many of the bytes belong to the current element; *whole says whether its end is among them.
 * Whether braces match brackets is json-c's to say, and so is what stands between them. */
static size_t scan_element(struct bci_page *p, const char *data, size_t len, bool *whole)
{
	size_t i = 0;

	*whole = false;
	while (i < len && !*whole) {
		if (p->in_string) {
			i += scan_string(p, data + i, len - i);
			continue;
		}
		switch (data[i++]) {
		case '"':
			p->in_string = true;
			break;
		case '{':
		case '[':
			p->depth++;
			break;
		case '}':
		case ']':
			*whole = --p->depth == 0;
			break;
		default:
			break;
		}
	}
	return i;
}

/* Hands an element on. */
static int take_element(struct bci_page *p, const char *text, size_t len)
{
	struct json_object *o = json_tokener_parse_ex(p->tok, text, (int)len);
	bool good = json_tokener_get_error(p->tok) == json_tokener_success &&
		    json_tokener_get_parse_end(p->tok) == len;
	int rc;

	json_tokener_reset(p->tok);
	if (!good) {
		json_object_put(o);
		return fail(p, BCRAWL_E_PROTOCOL, "is not well-formed JSON");
	}
	p->state = BETWEEN;
	rc = p->fn(p->user, o);
	json_object_put(o);
	return rc ? fail(p, rc, "has an element that is not as asked for") : 0;
}

/* Takes bytes of the current element; *used says how many. */
static int feed_element(struct bci_page *p, const char *data, size_t len, size_t *used)
{
	bool whole;
	int rc;

	*used = scan_element(p, data, len, &whole);
	if (*used > BCI_ELEMENT_BYTES_MAX - p->element.len)
		return fail(p, BCRAWL_E_LIMIT, too_large);
	/* Most come in one piece: those need no copy. */
	if (whole && p->element.len == 0)
		return take_element(p, data, *used);
	bci_buf_add(&p->element, data, *used);
	if (p->element.failed)
		return fail(p, p->element.failed, too_large);
	if (!whole)
		return 0;
	rc = take_element(p, p->element.data, p->element.len);
	bci_buf_reset(&p->element);
	return rc;
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

		if ((p->state == FIRST || p->state == NEXT) && data[i] == '{')
			p->state = ELEMENT;
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
