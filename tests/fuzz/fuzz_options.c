/* SPDX-License-Identifier: MIT
 *
 * Options: what is accepted is within the range that the table documents, what is refused changes
 * nothing, and no message holds a control character or a secret.
 *
 * Input: lines of key=value, set one after another. Files are those of a directory of ours. */
#include "fuzz.h"

#include "options.h"
#include "tags.h"

#include <ctype.h>
#include <math.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SECRET "Sup3rS3cr3tF1le"

/* A directory of this process, gone when it ends: paths of the input name files in it. */
static char directory[256];

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	FUZZ_CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
	FUZZ_CHECK(chmod(name, 0600) == 0);
}

static const char *const files[] = { "token", "two", "empty", "ca" };

static void leave(void)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i]);
	rmdir("dir");
	if (chdir("/") == 0)
		rmdir(directory);
}

static void enter(void)
{
	const char *tmp = getenv("TMPDIR");

	if (*directory)
		return;
	snprintf(directory, sizeof(directory), "%s/fuzz_options.XXXXXX",
	         tmp && *tmp ? tmp : "/tmp");
	FUZZ_CHECK(mkdtemp(directory) && chdir(directory) == 0);
	put_file("token", FILE_SECRET "\n");
	put_file("two", FILE_SECRET " x\n" FILE_SECRET "\n");
	put_file("empty", "");
	put_file("ca", "-----BEGIN CERTIFICATE-----\n");
	FUZZ_CHECK(mkdir("dir", 0700) == 0);
	atexit(leave);
}

/* ---- what the table says ---- */

/* "10 to 86400 seconds", "0 to 1000000000; 0 is no limit" */
static void check_number(const struct bcrawl_option *o, double v)
{
	double lo, hi;

	FUZZ_CHECK(sscanf(o->range, "%lf to %lf", &lo, &hi) == 2);
	FUZZ_CHECK_OF(o->key, isfinite(v) && v >= lo && v <= hi);
}

/* One of "crawl or all", "fleets, devices or services", in any case. */
static void check_choice(const struct bcrawl_option *o, const char *value)
{
	size_t n = strlen(value);
	bool found = false;

	FUZZ_CHECK(n > 0);
	for (const char *p = o->range; *p; p++)
		found |= (p == o->range || p[-1] == ' ') && strncasecmp(p, value, n) == 0 &&
		         strchr(", ", p[n]);
	FUZZ_CHECK_OF(value, found && strcasecmp(value, "or") != 0);
}

/* scheme://host[:port][/path], nothing that curl would see otherwise. */
static void check_url(const char *value, bool path)
{
	const char *host = strstr(value, "://"), *end;

	FUZZ_CHECK_OF(value, host && strncasecmp(value, "file", 4) != 0);
	host += 3;
	end = host + strcspn(host, "/");
	FUZZ_CHECK_OF(value, end > host && *host != ':' && (path || !*end));
	FUZZ_CHECK_OF(value, !strpbrk(value, "@?#\\ \"<>^`{|}"));
}

static void check_shard(const char *value)
{
	unsigned i, n;
	char more;

	FUZZ_CHECK_OF(value, strspn(value, "0123456789/") == strlen(value));
	FUZZ_CHECK_OF(value, sscanf(value, "%9u/%9u%c", &i, &n, &more) == 2 && i < n && n <= 1000);
}

static void check_source(const char *value)
{
	static const char *const kinds[] = { "ordinal:", "dns:", "file:", "http:http://", "http:https://",
		                             "http://", "https://" };
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		known |= strncasecmp(value, kinds[i], strlen(kinds[i])) == 0 &&
			 value[strlen(kinds[i])];
	FUZZ_CHECK_OF(value, known);
}

static void check_by_type(const struct bcrawl_option *o, const char *value, double number)
{
	static const char *const words = " false no off 0 true yes on 1 ";
	char word[16];

	if (strcmp(o->type, "number") == 0) {
		check_number(o, number);
		FUZZ_CHECK(fabs(strtod(value, NULL) - number) <= 0);
	} else if (strcmp(o->type, "boolean") == 0) {
		snprintf(word, sizeof(word), " %.10s ", value);
		FUZZ_CHECK_OF(value, strcasestr(words, word) && (number == 0 || number == 1));
	} else if (strcmp(o->type, "choice") == 0) {
		check_choice(o, value);
	} else if (strcmp(o->type, "url") == 0 && strcmp(value, "none") != 0) {
		check_url(value, strcmp(o->key, "api-url") == 0);
	} else if (strcmp(o->type, "shard") == 0) {
		check_shard(value);
	} else if (strcmp(o->type, "source") == 0) {
		check_source(value);
	} else if (strcmp(o->key, BCRAWL_KEY_ACCOUNT) == 0) {
		FUZZ_CHECK(*value && strlen(value) <= 64);
		for (const char *p = value; *p; p++)
			FUZZ_CHECK(isalnum((unsigned char)*p) || strchr("_.-", *p));
	} else if (o->flags & BCRAWL_OPT_SECRET) {
		for (const char *p = value; *p; p++)
			FUZZ_CHECK(*p > 0x20 && *p < 0x7f);
	} else {
		FUZZ_CHECK_OF(o->key, *value);
	}
}

/* ---- messages ---- */

/* Secrets that no message may hold: such that they don't stand in one by chance. */
struct secrets {
	char *list[64];
	size_t n;
};

/* A message says what is allowed: socks5h:// for one. */
static bool is_our_own(const char *text)
{
	const struct bcrawl_option *o;

	for (size_t i = 0; (o = bcrawl_option_at(i)); i++)
		if (strstr(o->range, text))
			return true;
	return false;
}

static void add_secret(struct secrets *s, const char *text, size_t n)
{
	char *copy = fuzz_copy((const uint8_t *)text, n);

	if (n >= 8 && strpbrk(copy, "0123456789") && !is_our_own(copy) && s->n < ARRAY_LEN(s->list))
		s->list[s->n++] = copy;
	else
		free(copy);
}

/* told: where the user has put a secret in the open himself. */
static void check_message(const struct bcrawl_error *e, const struct secrets *secrets,
                          const char *told)
{
	size_t n = strnlen(e->message, sizeof(e->message));
	char *clean = fuzz_copy((const uint8_t *)told, strlen(told));

	/* As a message shows it. */
	bci_text_clean(clean);
	FUZZ_CHECK(n > 0 && n < sizeof(e->message));
	FUZZ_CHECK_OF(e->message, !fuzz_has_control(e->message));
	FUZZ_CHECK_OF(e->message, fuzz_is_utf8(e->message));
	/* libFuzzer learns the file's, too, and puts it into values. */
	FUZZ_CHECK_OF(e->message, strstr(clean, FILE_SECRET) || !strstr(e->message, FILE_SECRET));
	for (size_t i = 0; i < secrets->n; i++)
		FUZZ_CHECK_OF(e->message, strstr(clean, secrets->list[i]) ||
		                                  !strstr(e->message, secrets->list[i]));
	FUZZ_CHECK(e->code == BCRAWL_E_CONFIG);
	free(clean);
}

/* ---- one configuration ---- */

/* All of it: new memory. */
static char *describe(const struct bcrawl_config *cfg, bool secrets)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	FUZZ_CHECK(f);
	for (size_t i = 0; i < BCI_OPT__COUNT; i++)
		if (secrets || !(bcrawl_option_at(i)->flags & BCRAWL_OPT_SECRET))
			fprintf(f, "%s=%s %.17g %d\n", bcrawl_option_at(i)->key,
			        bci_config_text(cfg, (enum bci_opt)i),
			        bci_config_number(cfg, (enum bci_opt)i), cfg->values[i].set);
	fclose(f);
	return text;
}

static void check_get(const struct bcrawl_config *cfg, const struct bcrawl_option *o,
                      const char *value)
{
	const char *got = bcrawl_config_get(cfg, o->key);
	size_t n = strlen(value);

	if (o->flags & BCRAWL_OPT_SECRET) {
		FUZZ_CHECK(!got);
		return;
	}
	FUZZ_CHECK(got);
	if (!(o->flags & BCRAWL_OPT_MULTI))
		FUZZ_CHECK_OF(o->key, strcmp(got, value) == 0);
	else
		FUZZ_CHECK_OF(o->key,
		              strlen(got) >= n && strcmp(got + strlen(got) - n, value) == 0);
}

static void set(struct bcrawl_config *cfg, const char *key, const char *value,
                struct secrets *secrets)
{
	struct bcrawl_error e = { .size = sizeof(e) };
	const struct bcrawl_option *o = bcrawl_option_find(key);
	char *before = describe(cfg, true), *after;
	const char *at = strrchr(value, '@'), *begin = strstr(value, "://");
	bool is_url = o && (strcmp(o->type, "url") == 0 || strcmp(o->type, "source") == 0);
	bool hidden = o && (o->flags & BCRAWL_OPT_SECRET || (is_url && at));
	int rc;

	/* What stands before an '@' in a URL is a password. */
	if (o && o->flags & BCRAWL_OPT_SECRET)
		add_secret(secrets, value, strlen(value));
	if (is_url && begin && at && at > begin && begin + 3 + strcspn(begin + 3, "/?") > at)
		add_secret(secrets, begin + 3, (size_t)(at - begin - 3));
	rc = bcrawl_config_set(cfg, key, value, &e);
	after = describe(cfg, true);
	FUZZ_CHECK(rc == 0 || rc == BCRAWL_E_CONFIG);
	if (rc) {
		FUZZ_CHECK(strcmp(before, after) == 0);
		check_message(&e, secrets, hidden ? "" : o ? value : key);
	} else {
		FUZZ_CHECK(o && e.code == 0 && !*e.message);
		FUZZ_CHECK(strcmp(before, after) != 0 || *value);
		check_by_type(o, value, bcrawl_config_number(cfg, key));
		check_get(cfg, o, value);
		for (const char *p = value; *p; p++)
			FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
	free(before);
	free(after);
}

static bool is_ours(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(path, files[i]) == 0)
			return true;
	return !*path || strcmp(path, "dir") == 0 || !strchr(path, '/');
}

static void check(const struct bcrawl_config *cfg, const struct secrets *secrets)
{
	struct bcrawl_error e = { .size = sizeof(e) };
	struct bcrawl_config *copy = bci_config_copy(cfg);
	char *a = describe(cfg, true), *told = describe(cfg, false), *b, *token = NULL;
	int rc;

	FUZZ_CHECK(copy);
	b = describe(copy, true);
	FUZZ_CHECK(strcmp(a, b) == 0);
	free(b);
	bcrawl_config_free(copy);
	if (is_ours(bci_config_text(cfg, BCI_OPT_TOKEN_FILE)) &&
	    is_ours(bci_config_text(cfg, BCI_OPT_CA_FILE))) {
		rc = bcrawl_config_check(cfg, &e);
		if (rc) {
			check_message(&e, secrets, told);
		} else {
			FUZZ_CHECK(bci_config_token(cfg, &token, &e) == 0 && *token);
			for (const char *p = token; *p; p++)
				FUZZ_CHECK(*p > 0x20 && *p < 0x7f);
		}
		bci_token_free(token);
	}
	b = describe(cfg, true);
	FUZZ_CHECK(strcmp(a, b) == 0);
	free(a);
	free(b);
	free(told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct bcrawl_config *cfg;
	struct secrets secrets = { .n = 0 };

	enter();
	cfg = bcrawl_config_new();
	FUZZ_CHECK(cfg);
	for (size_t lines = 0; in.left > 0 && lines < 64; lines++) {
		char *line = fuzz_text(&in, '\n'), *value = strchr(line, '=');

		if (value) {
			*value++ = '\0';
			set(cfg, line, value, &secrets);
		}
		free(line);
	}
	check(cfg, &secrets);
	bcrawl_config_free(cfg);
	for (size_t i = 0; i < secrets.n; i++)
		free(secrets.list[i]);
	return 0;
}
