/* SPDX-License-Identifier: MIT
 *
 * prom.c: samples that come device by device go out metric by metric. */
#include "prom.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct bcrawl_metric up = {
	.name = "balena_device_up", .kind = BCRAWL_GAUGE, .integral = 1,
	.help = "Up \\ or \"not\".\nSo."
};
static const struct bcrawl_metric ratio = {
	.name = "balena_device_ratio", .kind = BCRAWL_GAUGE, .help = "Some part."
};
static const struct bcrawl_metric requests = {
	.name = "balena_api_requests_total", .kind = BCRAWL_COUNTER, .integral = 1,
	.help = "Requests."
};

struct text {
	size_t len, limit;
	char *bytes;
};

static int collect(void *user, const char *bytes, size_t n)
{
	struct text *t = user;

	if (t->limit && t->len + n > t->limit)
		return 7;
	t->bytes = realloc(t->bytes, t->len + n + 1);
	assert_non_null(t->bytes);
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
	t->bytes[t->len] = '\0';
	return 0;
}

static void add(struct prom *prom, const struct bcrawl_label *labels, size_t label_count,
                const struct bcrawl_value *values, size_t value_count)
{
	struct bcrawl_sample s = { .labels = labels, .label_count = label_count, .values = values,
		                   .value_count = value_count, .time_ms = 1718000000000 };

	assert_int_equal(prom_sample(prom, &s), 0);
}

static void metrics_are_together(void **state)
{
	struct bcrawl_label one[] = { { "fleet", "acme/north", BCRAWL_ROLE_FLEET },
		                      { "device_uuid", "1", BCRAWL_ROLE_DEVICE } };
	struct bcrawl_label odd[] = { { "name", "a\\b\"c\"\nd, e=f", BCRAWL_ROLE_OTHER } };
	struct bcrawl_value device[] = { { &up, 1 }, { &ratio, 0.1 } };
	struct bcrawl_value api[] = { { &requests, 12 }, { &ratio, (double)NAN } };
	struct prom prom = { .count = 0 };
	struct text text = { 0 };

	(void)state;
	add(&prom, one, 2, device, 2);
	add(&prom, odd, 1, device, 2);
	add(&prom, NULL, 0, api, 2);
	assert_int_equal(prom_write(&prom, collect, &text), 0);
	assert_string_equal(text.bytes,
	                    "# HELP balena_device_up Up \\\\ or \"not\".\\nSo.\n"
	                    "# TYPE balena_device_up gauge\n"
	                    "balena_device_up{fleet=\"acme/north\",device_uuid=\"1\"} 1\n"
	                    "balena_device_up{name=\"a\\\\b\\\"c\\\"\\nd, e=f\"} 1\n"
	                    "# HELP balena_device_ratio Some part.\n"
	                    "# TYPE balena_device_ratio gauge\n"
	                    "balena_device_ratio{fleet=\"acme/north\",device_uuid=\"1\"} 0.1\n"
	                    "balena_device_ratio{name=\"a\\\\b\\\"c\\\"\\nd, e=f\"} 0.1\n"
	                    "# HELP balena_api_requests_total Requests.\n"
	                    "# TYPE balena_api_requests_total counter\n"
	                    "balena_api_requests_total 12\n");
	free(text.bytes);
	prom_fini(&prom);
}

static void nothing_gives_nothing(void **state)
{
	struct prom prom = { .count = 0 };
	struct text text = { 0 };

	(void)state;
	assert_int_equal(prom_write(&prom, collect, &text), 0);
	assert_int_equal(text.len, 0);
	prom_fini(&prom);
}

/* Far more than the buffers hold, and a reader that gives up in the middle. */
static void many_samples(void **state)
{
	struct bcrawl_label label = { "device_uuid", "8f3a8f3a8f3a8f3a8f3a8f3a8f3a8f3a", 0 };
	struct bcrawl_value values[] = { { &up, 1 }, { &ratio, 0.5 } };
	struct prom prom = { .count = 0 };
	struct text text = { 0 };
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 20000; i++)
		add(&prom, &label, 1, values, 2);
	assert_int_equal(prom_write(&prom, collect, &text), 0);
	for (size_t i = 0; i < text.len; i++)
		lines += text.bytes[i] == '\n';
	assert_int_equal(lines, 2 * 20000 + 4);
	text.len = 0;
	text.limit = 100000;
	assert_int_equal(prom_write(&prom, collect, &text), 7);
	free(text.bytes);
	prom_fini(&prom);
}

static void no_room_for_temporary_files(void **state)
{
	struct bcrawl_value value = { &up, 1 };
	struct bcrawl_sample s = { .values = &value, .value_count = 1 };
	struct prom prom = { .count = 0 };

	(void)state;
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_int_equal(prom_sample(&prom, &s), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(unsetenv("TMPDIR"), 0);
	prom_fini(&prom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_are_together),
		cmocka_unit_test(nothing_gives_nothing),
		cmocka_unit_test(many_samples),
		cmocka_unit_test(no_room_for_temporary_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
