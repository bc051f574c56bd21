/* SPDX-License-Identifier: MIT
 *
 * bare_multi STEPS URL CONCURRENCY [CA-FILE|-] [raw]: fetches what STEPS lists, "STEP TARGET" a line,
 * over one libcurl multi handle, and drops it. A step begins when the one before is done. With "raw"
 * bodies stay compressed: what is then measured is the server.
 *
 * The least that a program on libcurl needs for these transfers, in memory and in time. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONCURRENCY_MAX 16

struct request {
	int step;
	char *url;
};

static size_t drop(char *data, size_t size, size_t n, void *user)
{
	(void)data;
	*(size_t *)user += size * n;
	return size * n;
}

static void die(const char *what)
{
	fprintf(stderr, "bare_multi: %s\n", what);
	exit(1);
}

static size_t read_steps(const char *path, const char *base, struct request **out)
{
	FILE *in = fopen(path, "r");
	char *line = NULL;
	size_t size = 0, n = 0, cap = 0;

	if (!in)
		die(path);
	while (getline(&line, &size, in) > 0) {
		char *target = strchr(line, ' ');

		if (!target)
			die("no target");
		target++;
		target[strcspn(target, "\n")] = '\0';
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			*out = realloc(*out, cap * sizeof(**out));
			if (!*out)
				die("no memory");
		}
		(*out)[n].step = atoi(line);
		(*out)[n].url = malloc(strlen(base) + strlen(target) + 1);
		if (!(*out)[n].url)
			die("no memory");
		sprintf((*out)[n].url, "%s%s", base, target);
		n++;
	}
	free(line);
	fclose(in);
	return n;
}

static CURL *new_easy(const char *ca_file, int raw, int tls, struct curl_slist *headers, size_t *bytes)
{
	CURL *e = curl_easy_init();

	if (!e)
		die("no memory");
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, bytes);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* One HTTP/2 connection for all; without TLS there is none, and to wait for one costs a round. */
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, (long)tls);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (!raw)
		curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, ca_file);
	return e;
}

int main(int argc, char **argv)
{
	CURL *idle[CONCURRENCY_MAX];
	struct request *requests = NULL;
	struct curl_slist *headers = NULL;
	const char *ca_file = argc > 4 && strcmp(argv[4], "-") != 0 ? argv[4] : NULL;
	int raw = argc > 5, slots, idle_count = 0, left;
	size_t n, next = 0, bytes = 0;
	CURLM *multi;

	if (argc < 4) {
		fprintf(stderr, "usage: bare_multi STEPS URL CONCURRENCY [CA-FILE|-] [raw]\n");
		return 2;
	}
	slots = atoi(argv[3]);
	if (slots < 1 || slots > CONCURRENCY_MAX)
		die("concurrency");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	n = read_steps(argv[1], argv[2], &requests);
	headers = curl_slist_append(headers, "Accept: application/json");
	headers = curl_slist_append(headers, "Authorization: Bearer bench-token");
	if (raw)
		headers = curl_slist_append(headers, "Accept-Encoding: gzip");
	while (idle_count < slots)
		idle[idle_count++] = new_easy(ca_file, raw, strncmp(argv[2], "https:", 6) == 0,
		                              headers, &bytes);
	while (next < n || idle_count < slots) {
		int before;

		/* All of a step side by side, the first of the next when nothing is under way. */
		while (next < n && idle_count > 0 &&
		       (idle_count == slots || requests[next].step == requests[next - 1].step)) {
			CURL *e = idle[--idle_count];

			curl_easy_setopt(e, CURLOPT_URL, requests[next++].url);
			curl_multi_add_handle(multi, e);
		}
		if (curl_multi_perform(multi, &left))
			die("curl_multi_perform failed");
		before = idle_count;
		for (CURLMsg *msg; (msg = curl_multi_info_read(multi, &left));) {
			CURL *e = msg->easy_handle;

			if (msg->msg != CURLMSG_DONE)
				continue;
			if (msg->data.result)
				die(curl_easy_strerror(msg->data.result));
			curl_multi_remove_handle(multi, e);
			idle[idle_count++] = e;
		}
		if (idle_count == before)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	while (idle_count > 0)
		curl_easy_cleanup(idle[--idle_count]);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	for (size_t i = 0; i < n; i++)
		free(requests[i].url);
	free(requests);
	fprintf(stderr, "%zu requests, %zu bytes\n", n, bytes);
	return 0;
}
