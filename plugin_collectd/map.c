/* SPDX-License-Identifier: MIT
 *
 * Sample -> collectd identity.
 *
 * What write_prometheus and collectd's cache do with a name decides the rules here:
 * - A '-' or '.' in plugin or type makes a metric name that kills the whole scrape, and collectd
 *   reads its own cache keys back at the first '-': such a type is refused.
 * - An empty plugin instance lets the type instance slip into its place: it is never empty.
 * - collectd turns '/' into '_' in any field, drops a leading one and makes "root" of a lone one.
 *   Plugin instances get ':' instead, which neither organizations nor fleet names may hold; '_'
 *   would be ambiguous. In host and type instance we write collectd's own '_', but for a leading
 *   '/' as well, so that nothing disappears. There "a/b" and "a_b" do become one: names for
 *   people and versions only, and the manual says so.
 * - collectd cuts a field at 127 bytes without a word, in the middle of a character if it must
 *   (which kills the scrape), and two long names become one series. Ours are cut between
 *   characters and end in a hash of the whole. */
#include "map.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NAME_PREFIX    BALENA_PLUGIN "_"
#define COUNTER_SUFFIX "_total" /* write_prometheus appends it to every counter by itself */
#define HASH_DIGITS    8

/* Label values add up to at most BCRAWL_LABEL_BYTES_MAX, and each brings one separator. */
#define JOINED_MAX (BCRAWL_LABEL_BYTES_MAX + 2 * BCRAWL_LABELS_MAX)

struct text {
	size_t len;
	bool overflow;
	char s[JOINED_MAX + 1];
};

static void text_add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (n > JOINED_MAX - t->len) {
		t->overflow = true;
		return;
	}
	memcpy(t->s + t->len, s, n + 1);
	t->len += n;
}

/* The length of the character that s begins with, 0 if it is not UTF-8. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t min; /* anything below has a shorter form: not allowed */
	} forms[] = {{0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};

	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint32_t c = s[0] & (uint32_t)~forms[i].mask;

		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (size_t k = 1; k <= i + 1; k++) {
			if ((s[k] & 0xC0) != 0x80)
				return 0;
			c = c << 6 | (s[k] & 0x3Fu);
		}
		if (c < forms[i].min || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
			return 0;
		return i + 2;
	}
	return 0;
}

static bool utf8_ok(const char *s)
{
	size_t n;

	for (; *s; s += n) {
		n = utf8_length((const unsigned char *)s);
		if (n == 0)
			return false;
	}
	return true;
}

/* FNV-1a, 32 bits. */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

/* Writes valid UTF-8 as a name: no '/', at most 127 bytes. The hash is of the text as it came, so
 * it tells apart what the replacement would merge. */
static void fit(char out[BALENA_NAME_SIZE], const char *s, char slash, bool *cut)
{
	size_t len = strlen(s);

	*cut |= len >= BALENA_NAME_SIZE;
	if (len < BALENA_NAME_SIZE) {
		memcpy(out, s, len + 1);
	} else {
		size_t keep = BALENA_NAME_SIZE - 1 - HASH_DIGITS;

		while (keep > 0 && ((unsigned char)s[keep] & 0xC0) == 0x80)
			keep--;
		memcpy(out, s, keep);
		snprintf(out + keep, BALENA_NAME_SIZE - keep, "%0*" PRIx32, HASH_DIGITS, hash(s));
	}
	for (; *out; out++) {
		if (*out == '/')
			*out = slash;
	}
}

static const char *label_value(const struct bcrawl_sample *s, enum bcrawl_role role)
{
	for (size_t i = 0; i < s->label_count; i++) {
		if (s->labels[i].role == role)
			return s->labels[i].value;
	}
	return NULL;
}

static const char *map_host(const struct bcrawl_sample *s, struct balena_id *id)
{
	const char *device = label_value(s, BCRAWL_ROLE_DEVICE);

	id->host[0] = '\0';
	switch (s->scope) {
	case BCRAWL_SCOPE_CRAWL:
	case BCRAWL_SCOPE_FLEET:
		return NULL;
	case BCRAWL_SCOPE_DEVICE:
	case BCRAWL_SCOPE_SERVICE:
		break;
	}
	if (!device || !*device)
		return "the record names no device";
	fit(id->host, device, '_', &id->cut);
	return NULL;
}

/* "org:name", "account:org:name", "none", "account::none", or the account alone. A fleet without
 * an organization keeps the organization's place, empty, behind an account: the parts of a plugin
 * instance can be told by their number. (Names of accounts hold neither ':' nor '/': that is the
 * range of their option.) */
static const char *map_plugin_instance(const struct bcrawl_sample *s, struct balena_id *id)
{
	const char *account = label_value(s, BCRAWL_ROLE_ACCOUNT);
	const char *fleet = label_value(s, BCRAWL_ROLE_FLEET);
	struct text t = {0};

	if (s->scope == BCRAWL_SCOPE_CRAWL) {
		if (!account || !*account)
			return "the record names no account";
		text_add(&t, account);
	} else {
		if (!fleet || !*fleet)
			return "the record names no fleet";
		if (account)
			text_add(&t, account);
		if (account)
			text_add(&t, strchr(fleet, '/') ? ":" : "::");
		text_add(&t, fleet);
	}
	if (t.overflow)
		return "the record's labels are too long";
	fit(id->plugin_instance, t.s, ':', &id->cut);
	return NULL;
}

/* The name for people, if there is one: an info has more labels than collectd has places. */
static const char *map_type_instance(const struct bcrawl_sample *s, struct balena_id *id)
{
	const char *name = label_value(s, BCRAWL_ROLE_DISPLAY_NAME);
	struct text t = {0};

	for (size_t i = 0; i < s->label_count && !name; i++) {
		if (s->labels[i].role != BCRAWL_ROLE_OTHER)
			continue;
		if (t.len > 0)
			text_add(&t, ":");
		text_add(&t, s->labels[i].value);
	}
	if (t.overflow)
		return "the record's labels are too long";
	fit(id->type_instance, name ? name : t.s, '_', &id->cut);
	return NULL;
}

const char *balena_map_record(const struct bcrawl_sample *s, struct balena_id *id)
{
	const char *why;

	id->cut = false;
	for (size_t i = 0; i < s->label_count; i++) {
		if (!utf8_ok(s->labels[i].value))
			return "a label is not UTF-8";
	}
	why = map_host(s, id);
	if (!why)
		why = map_plugin_instance(s, id);
	if (!why)
		why = map_type_instance(s, id);
	return why;
}

static size_t counter_suffix_length(const struct bcrawl_metric *m, size_t len)
{
	size_t n = strlen(COUNTER_SUFFIX);

	switch (m->kind) {
	case BCRAWL_GAUGE:
		return 0;
	case BCRAWL_COUNTER:
		break;
	}
	return len > n && strcmp(m->name + len - n, COUNTER_SUFFIX) == 0 ? n : 0;
}

const char *balena_map_type(const struct bcrawl_metric *m, char type[BALENA_NAME_SIZE])
{
	size_t skip = strncmp(m->name, NAME_PREFIX, strlen(NAME_PREFIX)) ? 0 : strlen(NAME_PREFIX);
	size_t len = strlen(m->name);

	len -= skip + counter_suffix_length(m, len);
	if (len == 0 || len >= BALENA_NAME_SIZE)
		return "the metric's name is empty or too long";
	if (strspn(m->name + skip, "abcdefghijklmnopqrstuvwxyz0123456789_") < len)
		return "the metric's name is no type";
	memcpy(type, m->name + skip, len);
	type[len] = '\0';
	return NULL;
}
