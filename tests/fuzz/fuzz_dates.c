/* SPDX-License-Identifier: MIT
 *
 * Times that others tell us: the API's dates against the C library's calendar, waits after failures
 * and the gate against what retry.h and gate.h promise, the expiry of tokens against json-c.
 *
 * Input: a letter (d: date, r: retry, g: gate, j: token, k: the JSON inside a token), the rest. */
#include "fuzz.h"

#include "clock.h"
#include "crawl.h"
#include "gate.h"
#include "json.h"
#include "limits.h"
#include "retry.h"

#include <json-c/json.h>
#include <math.h>
#include <time.h>

/* ---- dates ---- */

static bool digits(const char *p, int n)
{
	for (; n > 0; n--, p++)
		if (*p < '0' || *p > '9')
			return false;
	return true;
}

/* 2026-11-23T06:18:44[.296]Z */
static bool has_shape(const char *p)
{
	static const char shape[] = "0000-00-00T00:00:00";

	for (const char *s = shape; *s; s++, p++)
		if (*s == '0' ? !digits(p, 1) : *p != *s)
			return false;
	if (*p == '.') {
		if (!digits(++p, 1))
			return false;
		p += strspn(p, "0123456789");
	}
	return strcmp(p, "Z") == 0;
}

static void check_date(const char *text)
{
	double got = -1, rest;
	bool good = bci_date_parse(text, &got);
	struct tm tm = { 0 }, back;
	time_t t;

	if (!good) {
		FUZZ_CHECK(got == -1);
		return;
	}
	FUZZ_CHECK(has_shape(text));
	FUZZ_CHECK(sscanf(text, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
	                  &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	back = tm;
	t = timegm(&tm);
	/* timegm() mends what is no date; a leap second is the one thing that we let it mend. */
	if (back.tm_sec < 60)
		FUZZ_CHECK(tm.tm_mday == back.tm_mday && tm.tm_mon == back.tm_mon &&
		           tm.tm_hour == back.tm_hour && tm.tm_min == back.tm_min &&
		           tm.tm_sec == back.tm_sec);
	rest = strchr(text, '.') ? strtod(strchr(text, '.'), NULL) : 0;
	FUZZ_CHECK(fabs(got - ((double)t + rest)) < 1e-4);
	FUZZ_CHECK(got >= 0 && got <= 253402300800.0);
}

/* Of those that have the shape, just the ones that timegm() need not mend are dates. */
static void check_refusal(const char *text)
{
	struct tm tm = { 0 }, back;
	double got;

	if (!has_shape(text))
		return;
	FUZZ_CHECK(sscanf(text, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
	                  &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6);
	if (tm.tm_year < 1970)
		return;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	back = tm;
	timegm(&tm);
	if (tm.tm_year == back.tm_year && tm.tm_mon == back.tm_mon && tm.tm_mday == back.tm_mday &&
	    tm.tm_hour == back.tm_hour && tm.tm_min == back.tm_min && tm.tm_sec == back.tm_sec)
		FUZZ_CHECK_OF(text, bci_date_parse(text, &got));
}

/* ---- waits ---- */

static bool is_retried(enum bci_result r)
{
	return r != BCI_RESULT_OK && r != BCI_RESULT_AUTH && r != BCI_RESULT_CLIENT_ERROR;
}

static void check_retry(struct fuzz_input *in)
{
	struct bci_failure f = {
		.result = (enum bci_result)(fuzz_byte(in) % BCI_RESULT__COUNT),
		.attempt = (int)(fuzz_number(in, 4) & INT32_MAX),
		.luck = (double)fuzz_number(in, 4) / 4294967296.0,
		.retry_after_s = (long)fuzz_number(in, 8),
	};
	int64_t left = (int64_t)fuzz_number(in, 8), wait, hold;
	unsigned n = (unsigned)fuzz_number(in, 4);
	/* What the option's range gives. */
	int64_t interval = 10000 + (int64_t)(fuzz_number(in, 4) % 86390001);

	if (f.attempt == 0)
		f.attempt = 1;
	wait = bci_retry_wait(&f, left);
	FUZZ_CHECK(wait >= -1 && wait <= BCI_RETRY_MOST_MS);
	FUZZ_CHECK(wait < 0 || (wait < left && is_retried(f.result) && f.attempt <= BCI_RETRIES));
	if (is_retried(f.result) && f.attempt <= BCI_RETRIES && left > BCI_RETRY_MOST_MS)
		FUZZ_CHECK(wait >= 0);

	hold = bci_retry_hold(&f);
	FUZZ_CHECK(hold >= 0 && hold <= BCI_HOLD_MAX_S * 1000);
	if (f.result != BCI_RESULT_THROTTLED && f.result != BCI_RESULT_SERVER_ERROR)
		FUZZ_CHECK(hold == 0);
	else if (f.retry_after_s > 0)
		FUZZ_CHECK(hold == 1000 * (f.retry_after_s < BCI_HOLD_MAX_S ? f.retry_after_s
		                                                            : BCI_HOLD_MAX_S));
	else if (f.result == BCI_RESULT_THROTTLED)
		FUZZ_CHECK(hold >= BCI_HOLD_MIN_MS && hold <= BCI_HOLD_MIN_MS + BCI_HOLD_MOST_MS);

	FUZZ_CHECK(bci_refused_wait(n, interval) >= 0);
	FUZZ_CHECK(bci_refused_wait(n, interval) <= BCI_REFUSED_MOST_MS * 3 / 2);
	FUZZ_CHECK(n == UINT32_MAX ||
	           bci_refused_wait(n, interval) <= bci_refused_wait(n + 1, interval));
	FUZZ_CHECK(n >= 2 || bci_refused_wait(n, interval) == 0);
	FUZZ_CHECK(bci_result_word(f.result)[0] && bci_result_status(f.result) <= 0);
}

/* Whatever comes, no more pass than the budget gives, none while it is closed, and a wait that was
 * told is long enough. */
static void check_gate(struct fuzz_input *in)
{
	double per_minute = (double)(fuzz_number(in, 2) % 60001), most = 1 + fuzz_byte(in);
	int64_t start = (int64_t)fuzz_number(in, 5), now = start, closed_until = start;
	struct bci_gate g = { 0 };
	size_t passed = 0;

	bci_gate_budget(&g, per_minute, most, now);
	while (in->left > 0) {
		uint8_t what = fuzz_byte(in);
		int64_t ms = (int64_t)fuzz_number(in, 2), wait;

		switch (what % 4) {
		case 0:
			now += ms;
			break;
		case 1:
			bci_gate_close(&g, now, 50 * ms);
			if (now + 50 * ms > closed_until)
				closed_until = now + 50 * ms;
			break;
		case 2:
			now += bci_gate_wait(&g, now);
			/* fall through */
		default:
			wait = bci_gate_wait(&g, now);
			if (wait > 0)
				break;
			bci_gate_pass(&g, now);
			passed++;
			break;
		}
		wait = bci_gate_wait(&g, now);
		FUZZ_CHECK(wait >= 0 && wait >= closed_until - now);
		FUZZ_CHECK(bci_gate_wait(&g, now + wait) <= 1);
		FUZZ_CHECK(bci_gate_is_closed(&g, now) == (closed_until > now));
		FUZZ_CHECK(per_minute == 0 ||
		           (double)passed <=
		                   most + (double)(now - start) * per_minute / 60000 + 0.01);
	}
}

/* ---- tokens ---- */

static void check_token(const char *token)
{
	double expiry = bci_jwt_expiry(token);

	FUZZ_CHECK(isnan(expiry) || (expiry >= 0 && expiry <= 253402300800.0));
}

static char *base64url(const char *text)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = strlen(text), at = 0;
	char *out = malloc(n / 3 * 4 + 8);

	FUZZ_CHECK(out);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)(unsigned char)text[i] << 16;

		bits |= i + 1 < n ? (uint32_t)(unsigned char)text[i + 1] << 8 : 0;
		bits |= i + 2 < n ? (uint32_t)(unsigned char)text[i + 2] : 0;
		out[at++] = alphabet[bits >> 18];
		out[at++] = alphabet[bits >> 12 & 63];
		if (i + 1 < n)
			out[at++] = alphabet[bits >> 6 & 63];
		if (i + 2 < n)
			out[at++] = alphabet[bits & 63];
	}
	out[at] = '\0';
	return out;
}

static void check_token_of(const char *json)
{
	struct json_object *o = json_tokener_parse(json), *exp = NULL;
	char *body = base64url(json), *token = malloc(strlen(body) + 8);
	double expiry, want = NAN;

	FUZZ_CHECK(token);
	sprintf(token, "e30.%s.x", body);
	expiry = bci_jwt_expiry(token);
	if (json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "exp", &exp) &&
	    (json_object_is_type(exp, json_type_int) || json_object_is_type(exp, json_type_double)))
		want = json_object_get_double(exp);
	if (want >= 0 && want <= 253402300800.0)
		FUZZ_CHECK(expiry == want);
	else
		FUZZ_CHECK(isnan(expiry));
	json_object_put(o);
	free(body);
	free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t what = fuzz_byte(&in);
	char *text;

	if (what == 'r') {
		check_retry(&in);
		return 0;
	}
	if (what == 'g') {
		check_gate(&in);
		return 0;
	}
	text = fuzz_text(&in, 0);
	if (what == 'j')
		check_token(text);
	else if (what == 'k')
		check_token_of(text);
	else
		check_date(text), check_refusal(text);
	free(text);
	return 0;
}
