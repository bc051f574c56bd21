/* SPDX-License-Identifier: MIT
 *
 * Records: what a label's value may hold, caps, and the hand-over to the sink. */
#include "limits.h"
#include "record.h"
#include "unit.h"

static char got[BCRAWL_LABELS_MAX][BCRAWL_LABEL_BYTES_MAX + 1];
static double got_values[BCRAWL_VALUES_MAX];

struct world {
	struct bci_out out;
	struct bcrawl_sink sink;
	struct bci_stats stats;
	struct bci_clock clock;
	bool wanted[BCI_M__COUNT];
	struct bci_record record;
	int calls, rc;
	int64_t now, sink_takes;
	size_t labels, values;
	struct bcrawl_sample sample;
};

static int64_t now(void *user)
{
	return ((struct world *)user)->now;
}

static int on_sample(void *user, const struct bcrawl_sample *s)
{
	struct world *w = user;

	w->calls++;
	w->sample = *s;
	w->labels = s->label_count;
	w->values = s->value_count;
	for (size_t i = 0; i < s->label_count; i++)
		snprintf(got[i], sizeof(got[i]), "%s", s->labels[i].value);
	for (size_t i = 0; i < s->value_count; i++)
		got_values[i] = s->values[i].value;
	w->now += w->sink_takes;
	return w->rc;
}

static void init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->sink.size = sizeof(w->sink);
	w->sink.sample = on_sample;
	w->clock = (struct bci_clock){ .mono_ms = now, .wall_ms = now, .user = w };
	memset(w->wanted, 1, sizeof(w->wanted));
	w->out = (struct bci_out){ .sink = &w->sink, .user = w, .time_ms = 1234, .account = "acc",
		                   .wanted = w->wanted, .stats = &w->stats, .clock = &w->clock };
}

#define FFFD "\xef\xbf\xbd"

static void test_cleaning(void **state)
{
	static const struct {
		const char *name, *in, *want;
	} cases[] = {
		{ "plain", "summer-shape", "summer-shape" },
		{ "quotes and more stay", "B\"=,# / \\ '", "B\"=,# / \\ '" },
		{ "two blanks stay", "a  b", "a  b" },
		{ "control characters", "a\nb\tc\rd\x01" "e\x1f" "f\x7fg", "a b c d e f g" },
		{ "C1 controls", "a\xc2\x80" "b\xc2\x85" "c\xc2\x9f" "d", "a b c d" },
		{ "behind the C1 controls", "\xc2\xa0\xc2\xbf", "\xc2\xa0\xc2\xbf" },
		{ "two bytes", "B\xc3\xbcro", "B\xc3\xbcro" },
		{ "three bytes", "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "four bytes", "\xf0\x9f\x9a\x80", "\xf0\x9f\x9a\x80" },
		{ "the last character", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "above the last character", "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD },
		{ "surrogates", "\xed\xa0\x80\xed\xbf\xbf", FFFD FFFD FFFD FFFD FFFD FFFD },
		{ "beside the surrogates", "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80" },
		{ "overlong slash", "\xc0\xaf", FFFD FFFD },
		{ "overlong in three bytes", "\xe0\x9f\xbf", FFFD FFFD FFFD },
		{ "overlong in four bytes", "\xf0\x8f\xbf\xbf", FFFD FFFD FFFD FFFD },
		{ "the first of three bytes", "\xe0\xa0\x80", "\xe0\xa0\x80" },
		{ "the first of four bytes", "\xf0\x90\x80\x80", "\xf0\x90\x80\x80" },
		{ "a byte of no use", "a\xff" "b\xfe" "c", "a" FFFD "b" FFFD "c" },
		{ "Latin-1", "B\xfcro", "B" FFFD "ro" },
		{ "a tail alone", "\x80" "a", FFFD "a" },
		{ "cut in two bytes", "a\xc3", "a" FFFD },
		{ "cut in three bytes", "a\xe2\x82", "a" FFFD FFFD },
		{ "cut in four bytes", "a\xf0\x9f\x9a", "a" FFFD FFFD FFFD },
		{ "broken, then ASCII", "\xe2\x28\xa1", FFFD "(" FFFD },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct world w;

		init(&w);
		bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
		bci_record_label(&w.record, "fleet", BCRAWL_ROLE_FLEET, cases[i].in);
		bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
		assert_int_equal(bci_record_end(&w.record), 0);
		CHECK_STR(cases[i].name, got[0], cases[i].want);
		CHECK_INT(cases[i].name, w.stats.rejected[BCI_REJECT_TOO_LONG], 0);
	}
}

static void test_absent_labels(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	bci_record_label(&w.record, "fleet", BCRAWL_ROLE_FLEET, "a/b");
	bci_record_label(&w.record, "fleet_name", BCRAWL_ROLE_DISPLAY_NAME, NULL);
	bci_record_label(&w.record, "organization", BCRAWL_ROLE_OTHER, "");
	bci_record_label(&w.record, "device_type", BCRAWL_ROLE_OTHER, "x");
	bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
	assert_int_equal(bci_record_end(&w.record), 0);
	assert_int_equal(w.labels, 2);
	assert_string_equal(got[1], "x");
}

/* One character of 1 to 4 bytes at every place around the cap of a value. */
static void test_cut(void **state)
{
	static const char *const characters[] = { "x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x9a\x80", "\xff" };

	(void)state;
	for (size_t c = 0; c < LEN(characters); c++) {
		size_t bytes = characters[c][0] == '\xff' ? 3 : strlen(characters[c]);

		for (size_t before = BCI_LABEL_VALUE_MAX - 6; before <= BCI_LABEL_VALUE_MAX; before++) {
			char value[BCI_LABEL_VALUE_MAX + 16];
			struct world w;
			bool fits = before + bytes <= BCI_LABEL_VALUE_MAX;

			init(&w);
			memset(value, 'a', before);
			snprintf(value + before, sizeof(value) - before, "%s", characters[c]);
			bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
			bci_record_label(&w.record, "fleet", BCRAWL_ROLE_FLEET, value);
			bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
			assert_int_equal(bci_record_end(&w.record), 0);
			CHECK_INT(characters[c], strlen(got[0]), fits ? before + bytes : before);
			CHECK_INT(characters[c], w.stats.rejected[BCI_REJECT_TOO_LONG], fits ? 0 : 1);
		}
	}
}

static void test_all_labels_cap(void **state)
{
	char value[BCI_LABEL_VALUE_MAX + 1];
	struct world w;

	(void)state;
	memset(value, 'a', sizeof(value));
	value[BCI_LABEL_VALUE_MAX] = '\0';
	init(&w);
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	bci_record_label(&w.record, "a", BCRAWL_ROLE_OTHER, value);
	bci_record_label(&w.record, "b", BCRAWL_ROLE_OTHER, value);
	bci_record_label(&w.record, "c", BCRAWL_ROLE_OTHER, "x");
	bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
	assert_int_equal(bci_record_end(&w.record), 0);
	/* 1024, what is left of 1800, and nothing; both losses are counted. */
	assert_int_equal(w.labels, 2);
	assert_int_equal(strlen(got[0]), 1024);
	assert_int_equal(strlen(got[1]), 776);
	assert_int_equal(w.stats.rejected[BCI_REJECT_TOO_LONG], 2);
}

/* Many labels, of which every byte counts and every NUL does not. */
static void test_label_count_cap(void **state)
{
	static char names[BCRAWL_LABELS_MAX + 2][8];
	char value[60];
	struct world w;

	(void)state;
	memset(value, 'a', sizeof(value));
	value[56] = '\0';
	init(&w);
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	for (size_t i = 0; i < LEN(names); i++) {
		snprintf(names[i], sizeof(names[i]), "l%zu", i);
		bci_record_label(&w.record, names[i], BCRAWL_ROLE_OTHER, value);
	}
	bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
	assert_int_equal(bci_record_end(&w.record), 0);
	/* 32 x 56 = 1792 */
	assert_int_equal(w.labels, BCRAWL_LABELS_MAX);
	for (size_t i = 0; i < w.labels; i++)
		assert_int_equal(strlen(got[i]), 56);
}

static void test_account(void **state)
{
	static const struct {
		const char *name;
		enum bcrawl_scope scope;
		bool everywhere;
		size_t labels;
	} cases[] = {
		{ "crawl", BCRAWL_SCOPE_CRAWL, false, 1 },
		{ "crawl, everywhere", BCRAWL_SCOPE_CRAWL, true, 1 },
		{ "fleet", BCRAWL_SCOPE_FLEET, false, 0 },
		{ "fleet, everywhere", BCRAWL_SCOPE_FLEET, true, 1 },
		{ "device", BCRAWL_SCOPE_DEVICE, false, 0 },
		{ "device, everywhere", BCRAWL_SCOPE_DEVICE, true, 1 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct world w;

		init(&w);
		w.out.account_everywhere = cases[i].everywhere;
		bci_record_begin(&w.record, &w.out, cases[i].scope);
		bci_record_value(&w.record, BCI_M_CRAWL_SUCCESS, 1);
		assert_int_equal(bci_record_end(&w.record), 0);
		CHECK_INT(cases[i].name, w.labels, cases[i].labels);
		CHECK_INT(cases[i].name, w.sample.scope, cases[i].scope);
		CHECK_INT(cases[i].name, w.sample.time_ms, 1234);
		if (w.labels) {
			CHECK_STR(cases[i].name, got[0], "acc");
			CHECK_STR(cases[i].name, w.sample.labels[0].name, "account");
			CHECK_INT(cases[i].name, w.sample.labels[0].role, BCRAWL_ROLE_ACCOUNT);
		}
	}
}

static void test_values(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.wanted[BCI_M_FLEET_PINNED] = false;
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 3);
	bci_record_value(&w.record, BCI_M_FLEET_PINNED, 4);
	bci_record_value(&w.record, BCI_M_FLEET_CPU_MEAN, (double)NAN);
	bci_record_value(&w.record, BCI_M_FLEET_CPU_MAX, (double)INFINITY);
	bci_record_value(&w.record, BCI_M_FLEET_MEMORY_MAX, -(double)INFINITY);
	bci_record_value(&w.record, BCI_M_FLEET_UNDERVOLTED, 0);
	assert_int_equal(bci_record_end(&w.record), 0);
	assert_int_equal(w.values, 2);
	CHECK_NUM("devices", got_values[0], 3);
	CHECK_NUM("undervolted: zero is a value", got_values[1], 0);
	assert_ptr_equal(w.sample.values[0].metric, &bci_metric(BCI_M_FLEET_DEVICES)->pub);
}

/* What is neither whole nor a time is rounded to a millionth. */
static void test_rounding(void **state)
{
	static const struct {
		const char *name;
		enum bci_metric_id id;
		double value, want;
	} cases[] = {
		{ "ratio", BCI_M_FLEET_CPU_MEAN, 1.0 / 3, 0.333333 },
		{ "upwards", BCI_M_FLEET_CPU_MEAN, 2.0 / 3, 0.666667 },
		{ "a half goes away from zero", BCI_M_FLEET_CPU_MEAN, 0.0000005, 0.000001 },
		{ "less than a half", BCI_M_FLEET_CPU_MEAN, 0.00000049, 0 },
		{ "below zero", BCI_M_FLEET_CPU_TEMP_MEAN, -1.0 / 3, -0.333333 },
		{ "above one", BCI_M_FLEET_STORAGE_MEAN, 4000.0 / 3794, 1.054296 },
		{ "as it is", BCI_M_FLEET_CPU_MEAN, 0.28, 0.28 },
		{ "degrees", BCI_M_DEVICE_LATITUDE, 52.520006599, 52.520007 },
		{ "seconds", BCI_M_CRAWL_DURATION, 1.2345678, 1.234568 },
		{ "whole", BCI_M_FLEET_DEVICES, 3, 3 },
		{ "bytes", BCI_M_DEVICE_MEMORY_USED, 3145728000.0, 3145728000.0 },
		{ "a large whole", BCI_M_API_BYTES, 9007199254740991.0, 9007199254740991.0 },
		{ "a time", BCI_M_DEVICE_VPN_CHANGED, 1795414724.2771234, 1795414724.2771234 },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[64];
		struct world w;

		init(&w);
		bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
		bci_record_value(&w.record, cases[i].id, cases[i].value);
		assert_int_equal(bci_record_end(&w.record), 0);
		CHECK(cases[i].name, got_values[0] == cases[i].want);
		/* And 15 digits print it exactly, where it was rounded. */
		snprintf(text, sizeof(text), "%.15g", got_values[0]);
		if (!bci_metric(cases[i].id)->pub.integral &&
		    bci_metric(cases[i].id)->pub.unit != BCRAWL_UNIT_TIMESTAMP)
			CHECK(cases[i].name, strtod(text, NULL) == got_values[0]);
	}
}

static void test_no_values_no_record(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	bci_record_label(&w.record, "fleet", BCRAWL_ROLE_FLEET, "a/b");
	bci_record_value(&w.record, BCI_M_FLEET_CPU_MEAN, (double)NAN);
	assert_int_equal(bci_record_end(&w.record), 0);
	assert_int_equal(w.calls, 0);
}

static void test_value_cap(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
	for (int i = 0; i < BCRAWL_VALUES_MAX + 3; i++)
		bci_record_value(&w.record, BCI_M_FLEET_DEVICES, i);
	assert_int_equal(bci_record_end(&w.record), 0);
	assert_int_equal(w.values, BCRAWL_VALUES_MAX);
	/* No record of ours can need more. */
	assert_true(BCI_M__COUNT - BCI_M_CRAWL_SUCCESS < BCRAWL_VALUES_MAX);
	assert_true(BCI_M_DEVICE_INFO < BCRAWL_VALUES_MAX);
}

/* What the sink refused it is not asked again. */
static void test_refusal(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.rc = 17;
	for (int i = 0; i < 3; i++) {
		bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
		bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
		assert_int_equal(bci_record_end(&w.record), BCRAWL_E_SINK);
	}
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.out.sink_rc, 17);
}

static void test_sink_time(void **state)
{
	struct world w;

	(void)state;
	init(&w);
	w.sink_takes = 700;
	for (int i = 1; i <= 3; i++) {
		bci_record_begin(&w.record, &w.out, BCRAWL_SCOPE_FLEET);
		bci_record_value(&w.record, BCI_M_FLEET_DEVICES, 1);
		assert_int_equal(bci_record_end(&w.record), 0);
		assert_int_equal(w.clock.paused_ms, 700 * i);
		assert_int_equal(bci_clock_net(&w.clock), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cleaning),
		cmocka_unit_test(test_absent_labels),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_all_labels_cap),
		cmocka_unit_test(test_label_count_cap),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_no_values_no_record),
		cmocka_unit_test(test_value_cap),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_sink_time),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
