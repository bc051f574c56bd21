/* SPDX-License-Identifier: MIT
 *
 * collectd identities: names that collectd and write_prometheus leave as they are, and for two
 * records of one scope that differ in what names a series, two identities.
 *
 * Input: a byte of switches, then two sets of texts up to line ends: account, fleet, device,
 * name for people, two others. An empty text: there is no such label. */
#include "fuzz.h"

#include "map.h"

enum { ACCOUNT, FLEET, DEVICE, NAME, OTHER, STATUS, PARTS };

struct record {
	char *texts[PARTS];
	struct bcrawl_label labels[PARTS];
	struct bcrawl_sample sample;
};

static void take_record(struct record *r, struct fuzz_input *in, enum bcrawl_scope scope)
{
	static const enum bcrawl_role roles[PARTS] = {
		BCRAWL_ROLE_ACCOUNT,      BCRAWL_ROLE_FLEET, BCRAWL_ROLE_DEVICE,
		BCRAWL_ROLE_DISPLAY_NAME, BCRAWL_ROLE_OTHER, BCRAWL_ROLE_OTHER,
	};
	static const char *const names[PARTS] = { "account",     "fleet",        "device_uuid",
		                                  "device_name", "service_name", "service_status" };

	*r = (struct record){ .sample = { .scope = scope, .labels = r->labels } };
	for (size_t i = 0; i < PARTS; i++) {
		r->texts[i] = fuzz_text(in, '\n');
		if (*r->texts[i])
			r->labels[r->sample.label_count++] =
				(struct bcrawl_label){ names[i], r->texts[i], roles[i] };
	}
}

/* What collectd and Prometheus need of a field. */
static void check_name(const char name[BALENA_NAME_SIZE])
{
	FUZZ_CHECK(memchr(name, '\0', BALENA_NAME_SIZE));
	FUZZ_CHECK_OF(name, fuzz_is_utf8(name));
	FUZZ_CHECK_OF(name, !strchr(name, '/'));
}

static bool is_utf8(const struct record *r)
{
	for (size_t i = 0; i < PARTS; i++)
		if (!fuzz_is_utf8(r->texts[i]))
			return false;
	return true;
}

/* NULL, or why not; only what lacks a name or is no text may be refused. */
static const char *map(const struct record *r, struct balena_id *id)
{
	const char *why = balena_map_record(&r->sample, id);
	bool device = r->sample.scope == BCRAWL_SCOPE_DEVICE ||
		      r->sample.scope == BCRAWL_SCOPE_SERVICE;
	bool crawl = r->sample.scope == BCRAWL_SCOPE_CRAWL;
	size_t bytes = 0;

	for (size_t i = 0; i < PARTS; i++)
		bytes += strlen(r->texts[i]);
	if (why) {
		FUZZ_CHECK_OF(why, !is_utf8(r) || !*r->texts[crawl ? ACCOUNT : FLEET] ||
		                           (device && !*r->texts[DEVICE]) ||
		                           bytes > BCRAWL_LABEL_BYTES_MAX);
		return why;
	}
	FUZZ_CHECK(is_utf8(r));
	check_name(id->host);
	check_name(id->plugin_instance);
	check_name(id->type_instance);
	FUZZ_CHECK(id->plugin_instance[0]);
	FUZZ_CHECK((id->host[0] != '\0') == device);
	return NULL;
}

/* What the sources of the names promise, so that the identity can: an account holds neither ':' nor
 * '/', a slug is "organization/name" or one word, without ':', a uuid is without '/'; the status of
 * a service is one of our own words. Beside these '/' may become '_' (the manual says so). */
static bool keeps_rules(const struct record *r)
{
	const char *slash = strchr(r->texts[FLEET], '/');

	return !strpbrk(r->texts[ACCOUNT], ":/") && !strchr(r->texts[FLEET], ':') &&
	       (!slash || (!strchr(slash + 1, '/') && slash[1] && slash != r->texts[FLEET])) &&
	       !strchr(r->texts[DEVICE], '/') && !strchr(r->texts[NAME], '/') &&
	       !strchr(r->texts[OTHER], '/') && !strpbrk(r->texts[STATUS], ":/") &&
	       (*r->texts[OTHER] || !*r->texts[STATUS]);
}

/* Whether two records are of one kind, as those of one metric are: with and without a label are
 * different metrics or configurations. */
static bool same_kind(const struct record *a, const struct record *b)
{
	for (size_t i = 0; i < PARTS; i++)
		if (!*a->texts[i] != !*b->texts[i])
			return false;
	return true;
}

static bool equal(const struct record *a, const struct record *b, size_t i)
{
	return strcmp(a->texts[i], b->texts[i]) == 0;
}

/* Whether they differ in what names a series of their scope. */
static bool differ(const struct record *a, const struct record *b)
{
	bool crawl = a->sample.scope == BCRAWL_SCOPE_CRAWL;
	bool device = a->sample.scope == BCRAWL_SCOPE_DEVICE ||
		      a->sample.scope == BCRAWL_SCOPE_SERVICE;

	if (!equal(a, b, ACCOUNT) || (!crawl && !equal(a, b, FLEET)) ||
	    (device && !equal(a, b, DEVICE)))
		return true;
	/* An info has more labels than collectd has places: only the name counts. */
	if (*a->texts[NAME])
		return !equal(a, b, NAME);
	return !equal(a, b, OTHER) || !equal(a, b, STATUS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum bcrawl_scope scope = (enum bcrawl_scope)(fuzz_byte(&in) % 4);
	struct record a, b;
	struct balena_id x, y;
	const char *why_a, *why_b;

	take_record(&a, &in, scope);
	take_record(&b, &in, scope);
	memset(&x, 'x', sizeof(x));
	memset(&y, 'y', sizeof(y));
	why_a = map(&a, &x);
	why_b = map(&b, &y);
	if (!why_a && !why_b && same_kind(&a, &b) && keeps_rules(&a) && keeps_rules(&b)) {
		bool same = strcmp(x.host, y.host) == 0 &&
		            strcmp(x.plugin_instance, y.plugin_instance) == 0 &&
		            strcmp(x.type_instance, y.type_instance) == 0;

		FUZZ_CHECK(same == !differ(&a, &b));
	}
	for (size_t i = 0; i < PARTS; i++) {
		free(a.texts[i]);
		free(b.texts[i]);
	}
	return 0;
}
