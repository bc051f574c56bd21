/* SPDX-License-Identifier: MIT
 *
 * The growing string: what it holds, and that its maximum holds. */
#include "buf.h"
#include "unit.h"

static void test_adds(void **state)
{
	struct bci_buf b;

	(void)state;
	bci_buf_init(&b, 1000);
	assert_null(b.data);
	bci_buf_adds(&b, "one");
	bci_buf_add(&b, "twofold", 3);
	bci_buf_addf(&b, "%d-%s", 3, "three");
	bci_buf_add(&b, NULL, 0);
	assert_string_equal(b.data, "onetwo3-three");
	assert_int_equal(b.len, 13);
	assert_int_equal(b.failed, 0);
	bci_buf_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.max, 1000);
}

static void test_maximum(void **state)
{
	static const struct {
		const char *name;
		size_t max;
		const char *first, *second, *want;
		int failed;
	} cases[] = {
		{ "one below", 6, "abc", "de", "abcde", 0 },
		{ "just full", 5, "abc", "de", "abcde", 0 },
		{ "one too many: nothing is cut", 4, "abc", "de", "abc", BCRAWL_E_LIMIT },
		{ "the first is too long", 2, "abc", "de", NULL, BCRAWL_E_LIMIT },
		{ "none at all", 0, "", "a", "", BCRAWL_E_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		for (int formatted = 0; formatted < 2; formatted++) {
			struct bci_buf b;

			bci_buf_init(&b, cases[i].max);
			bci_buf_adds(&b, cases[i].first);
			if (formatted)
				bci_buf_addf(&b, "%s", cases[i].second);
			else
				bci_buf_adds(&b, cases[i].second);
			CHECK_INT(cases[i].name, b.failed, cases[i].failed);
			CHECK_STR(cases[i].name, b.data, cases[i].want);
			CHECK_INT(cases[i].name, b.len, cases[i].want ? strlen(cases[i].want) : 0);
			bci_buf_fini(&b);
		}
	}
}

static void test_failure_sticks(void **state)
{
	struct bci_buf b;

	(void)state;
	bci_buf_init(&b, 4);
	bci_buf_adds(&b, "ab");
	bci_buf_adds(&b, "cde");
	bci_buf_adds(&b, "c");
	bci_buf_addf(&b, "%d", 1);
	assert_string_equal(b.data, "ab");
	assert_int_equal(b.failed, BCRAWL_E_LIMIT);
	bci_buf_reset(&b);
	assert_int_equal(b.failed, 0);
	assert_string_equal(b.data, "");
	bci_buf_adds(&b, "abcd");
	assert_string_equal(b.data, "abcd");
	bci_buf_fini(&b);
}

/* Every length around the doublings of its memory. */
static void test_growth(void **state)
{
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t n = 0; n < sizeof(text); n++) {
		struct bci_buf b;

		bci_buf_init(&b, sizeof(text));
		bci_buf_add(&b, text, n / 2);
		bci_buf_add(&b, text, n - n / 2);
		assert_int_equal(b.len, n);
		assert_int_equal(strlen(b.data), n);
		assert_true(b.cap > n);
		bci_buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_failure_sticks),
		cmocka_unit_test(test_growth),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
