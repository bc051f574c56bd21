/* SPDX-License-Identifier: MIT
 *
 * When a session token (a JWT) expires: the exp member of its middle part, which is base64url of
 * JSON. Nothing is verified: the API does that. */
#include "crawl.h"
#include "json.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

static int sextet(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *p = c ? strchr(alphabet, c) : NULL;

	return p ? (int)(p - alphabet) : -1;
}

/* Decodes n characters into out, which has room for as many; false if they are no base64url. */
static bool decode(const char *in, size_t n, char *out)
{
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		int v = sextet(in[i]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (unsigned)v) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*out++ = (char)(bits >> have & 0xff);
		}
	}
	*out = '\0';
	return true;
}

double bci_jwt_expiry(const char *token)
{
	const char *body = strchr(token, '.'), *end = body ? strchr(body + 1, '.') : NULL;
	BCI_AUTOFREE char *text = NULL;
	struct json_object *o;
	double expiry = NAN;

	if (!end)
		return NAN;
	body++;
	text = malloc((size_t)(end - body) + 1);
	if (!text || !decode(body, (size_t)(end - body), text))
		return NAN;
	o = json_tokener_parse(text);
	if (!o || !json_object_is_type(o, json_type_object) ||
	    bci_json_number(o, "exp", &expiry) != BCI_JSON_OK || expiry < 0 ||
	    expiry > BCI_DATE_MAX)
		expiry = NAN;
	json_object_put(o);
	return expiry;
}
