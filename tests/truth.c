/* SPDX-License-Identifier: MIT
 *
 * A crawl held against the truth. */
#include "truth.h"

#include "unit.h"

static bool begins(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_about_the_crawl(const char *name)
{
	return begins(name, "balena_crawl_") || begins(name, "balena_api_") || begins(name, "balena_shard_");
}

static bool is_success(const char *name)
{
	return begins(name, "balena_fleet_crawl_success{");
}

bool truth_is_of_list(const char *name)
{
	static const char *const of_list[] = {
		"balena_fleet_crawl_success{",
		"balena_fleet_info{",
		"balena_fleet_target_release_",
		"balena_fleet_tracks_latest_release{",
		"balena_fleet_latest_release_status_code{",
	};

	for (size_t i = 0; i < LEN(of_list); i++)
		if (begins(name, of_list[i]))
			return true;
	return false;
}

static bool is_sum(const char *name)
{
	return (begins(name, "balena_fleet_") || begins(name, "balena_devices_online{")) &&
	       !truth_is_of_list(name);
}

/* A hash of the fleet label of a series, 0 if it has none. */
static uint64_t fleet_of(const char *name)
{
	const char *at = strstr(name, "{fleet=\"");
	uint64_t h = 14695981039346656037u;

	if (!at)
		at = strstr(name, ",fleet=\"");
	if (!at)
		return 0;
	for (at += strlen("{fleet=\""); *at != '"'; at++)
		h = (h ^ (unsigned char)*at) * 1099511628211u;
	return h;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct fake_series *)a)->name, ((const struct fake_series *)b)->name);
}

/* By name; the hash becomes that of the fleet. */
static void sort(struct fake_series *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		list[i].hash = fleet_of(list[i].name);
	qsort(list, n, sizeof(*list), by_name);
}

void truth_take(struct truth *t, const struct fake_sink *s)
{
	*t = (struct truth){ .series = calloc(s->n + 1, sizeof(*t->series)) };
	assert_non_null(t->series);
	for (size_t i = 0; i < s->n; i++) {
		if (is_about_the_crawl(s->series[i].name))
			continue;
		t->series[t->n] = s->series[i];
		t->series[t->n].name = strdup(s->series[i].name);
		assert_non_null(t->series[t->n].name);
		t->n++;
	}
	sort(t->series, t->n);
}

void truth_free(struct truth *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->series[i].name);
	free(t->series);
	*t = (struct truth){ 0 };
}

/* What a sink got, by name. */
struct got {
	struct fake_series *series;
	size_t n;
};

static const struct fake_series *find(const struct fake_series *list, size_t n, const char *name)
{
	struct fake_series key = { .name = (char *)(uintptr_t)name };

	return n ? bsearch(&key, list, n, sizeof(key), by_name) : NULL;
}

static const char *check_series(const struct truth *t, const struct fake_sink *s)
{
	static char text[512];

	for (size_t i = 0; i < s->n; i++) {
		const struct fake_series *is = &s->series[i];
		const struct fake_series *want = find(t->series, t->n, is->name);

		if (is_about_the_crawl(is->name) || (want && want->value == is->value))
			continue;
		if (want && is_success(is->name) && is->value == 0)
			continue;
		snprintf(text, sizeof(text), "false: %.400s %.17g", is->name, is->value);
		return text;
	}
	return NULL;
}

/* Fleets that say they were read are whole, the others have no sums. */
static const char *check_fleet(const struct truth *t, const struct got *got,
                               const struct fake_series *success)
{
	static char text[512];
	const struct fake_series *said = find(got->series, got->n, success->name);
	bool read = said && said->value == 1;

	for (size_t i = 0; i < (read ? t->n : 0); i++) {
		const char *name = t->series[i].name;

		if (t->series[i].hash != success->hash || find(got->series, got->n, name))
			continue;
		snprintf(text, sizeof(text), "the fleet is said to be read, but lacks %.400s", name);
		return text;
	}
	for (size_t i = 0; i < (read ? 0 : got->n); i++) {
		const char *name = got->series[i].name;

		if (got->series[i].hash != success->hash || !is_sum(name))
			continue;
		snprintf(text, sizeof(text), "the fleet is not said to be read, but has %.400s", name);
		return text;
	}
	return NULL;
}

/* The value of the one crawl metric with this name, whatever its labels; NAN: none. */
static double about_crawl(const struct got *got, const char *prefix)
{
	for (size_t i = 0; i < got->n; i++)
		if (begins(got->series[i].name, prefix))
			return got->series[i].value;
	return (double)NAN;
}

static const char *check_fleets(const struct truth *t, const struct fake_sink *s,
                                const struct got *got)
{
	double success = about_crawl(got, "balena_crawl_success{");
	bool listed = !isnan(about_crawl(got, "balena_crawl_fleets{"));
	size_t fleets = 0, good = 0, bad = 0;

	for (size_t i = 0; i < t->n; i++) {
		const char *name = t->series[i].name, *broken;
		const struct fake_series *said = find(got->series, got->n, name);

		if (!is_success(name))
			continue;
		broken = check_fleet(t, got, &t->series[i]);
		if (broken)
			return broken;
		/* That of the devices of no fleet is no fleet. */
		if (strstr(name, "fleet=\"none\""))
			continue;
		fleets++;
		good += said && said->value == 1;
		bad += said && said->value == 0;
	}
	if (isnan(success))
		return "no balena_crawl_success";
	if (good + bad != (listed ? fleets : 0))
		return "not every fleet that was listed says whether it was read";
	if (fleets && success != (good > 0))
		return "balena_crawl_success is false";
	if (listed && about_crawl(got, "balena_crawl_fleets_failed{") != (double)bad)
		return "balena_crawl_fleets_failed is false";
	return s->summary.complete && bad ? "complete, but a fleet was not read" : NULL;
}

static size_t count_true(const struct fake_sink *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += !is_about_the_crawl(s->series[i].name);
	return n;
}

const char *truth_broken(const struct truth *t, const struct fake_sink *s, int rc)
{
	struct got got = { calloc(s->n + 1, sizeof(*got.series)), s->n };
	const char *broken = check_series(t, s);

	assert_non_null(got.series);
	if (s->n)
		memcpy(got.series, s->series, s->n * sizeof(*got.series));
	sort(got.series, got.n);
	if (!broken)
		broken = check_fleets(t, s, &got);
	free(got.series);
	if (broken)
		return broken;
	if (s->ends != 1)
		return "end was not called once";
	if (s->duplicates)
		return "a series came twice";
	if (s->summary.status != rc)
		return "the summary tells another status";
	if (s->summary.complete && (rc || count_true(s) != t->n))
		return "complete, but something is missing";
	return NULL;
}

const char *truth_lacking(const struct truth *t, const struct fake_sink *s, int rc)
{
	const char *broken = truth_broken(t, s, rc);

	if (broken)
		return broken;
	if (rc)
		return "it failed";
	return s->summary.complete ? NULL : "not complete";
}
