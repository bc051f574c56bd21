/* SPDX-License-Identifier: MIT */
#include "source.h"

#include "limits.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Digits and nothing else, up to most. */
static bool parse_count(const char *text, size_t len, size_t most, size_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		n = 10 * n + (size_t)(text[i] - '0');
		if (n > most)
			return false;
	}
	*out = n;
	return len > 0;
}

static bool is_name(const char *text)
{
	size_t n = strspn(text, BCI_LETTERS_AND_DIGITS "_.-");

	return n > 0 && n <= BCI_HOST_BYTES_MAX && text[n] == '\0';
}

size_t bci_source_base(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

/* A user in it would be a password in argv. */
static bool is_url(const char *text)
{
	size_t scheme = strncasecmp(text, "https://", 8) == 0 ? 8 : 7, base = bci_source_base(text);

	if (scheme == 7 && strncasecmp(text, "http://", 7) != 0)
		return false;
	if (base <= scheme || strlen(text) > BCI_URL_MAX || memchr(text, '@', base))
		return false;
	for (; *text; text++)
		if (!isgraph((unsigned char)*text) || *text == '#')
			return false;
	return true;
}

bool bci_source_parse(const char *text, struct bci_source *out)
{
	static const struct {
		const char *prefix;
		enum bci_source_kind kind;
	} kinds[] = {
		{ "ordinal:", BCI_SOURCE_ORDINAL },
		{ "dns:", BCI_SOURCE_DNS },
		{ "file:", BCI_SOURCE_FILE },
		{ "http:http", BCI_SOURCE_HTTP },
		{ "http", BCI_SOURCE_HTTP },
	};
	size_t i = 0;

	while (i < ARRAY_LEN(kinds) && strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
		i++;
	if (i == ARRAY_LEN(kinds))
		return false;
	*out = (struct bci_source){ .kind = kinds[i].kind, .text = text };
	if (kinds[i].kind != BCI_SOURCE_HTTP || strncmp(text, "http:http", 9) == 0)
		out->text = strchr(text, ':') + 1;
	switch (out->kind) {
	case BCI_SOURCE_ORDINAL:
		return parse_count(out->text, strlen(out->text), BCI_MEMBERS_MAX, &out->n) &&
		       out->n > 0;
	case BCI_SOURCE_DNS:
		return is_name(out->text);
	case BCI_SOURCE_FILE:
		return *out->text;
	case BCI_SOURCE_HTTP:
		return is_url(out->text);
	}
	return false;
}

bool bci_shard_parse(const char *text, size_t *i, size_t *n)
{
	size_t slash = strcspn(text, "/");

	return text[slash] && parse_count(text, slash, BCI_MEMBERS_MAX, i) &&
	       parse_count(text + slash + 1, strlen(text + slash + 1), BCI_MEMBERS_MAX, n) &&
	       *i < *n;
}

bool bci_ordinal_parse(const char *host, size_t *i)
{
	size_t len = strcspn(host, "."), digits = len;

	while (digits > 0 && isdigit((unsigned char)host[digits - 1]))
		digits--;
	return parse_count(host + digits, len - digits, BCI_MEMBERS_MAX, i);
}
