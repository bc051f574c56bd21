/* SPDX-License-Identifier: MIT
 *
 * The transport over libcurl; the only file that knows it.
 *
 * One multi handle keeps the connections; easy handles are kept for the next exchange. It does not
 * follow redirects (the bearer token must not travel), speaks only the protocol it was configured
 * for, verifies TLS, and looks at the status before it hands on a byte of a body. */
#include "clock.h"
#include "limits.h"
#include "transport.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* A connection and what looks its name up, for each request. What does not fit is served all the
 * same, when nothing else has come. */
#define WATCHED_MAX (2 * BCI_CONCURRENCY_MAX)

struct http {
	CURLM *multi;
	struct pollfd watched[WATCHED_MAX]; /* sockets, and what libcurl waits for on them */
	size_t watched_count;
	size_t served;                      /* the next one to look at */
	char *base_url;
	char *ca_file;
	char *proxy; /* NULL: as the environment says */
	bool https_only;
	bool came;     /* something of an answer, in this step */
	bool doubtful; /* one of the connections fell silent, and none is sure to be alive */
	const struct bci_clock *clock;
	struct carrier *idle, *busy;
};

/* An easy handle and the exchange it carries. */
struct carrier {
	struct carrier *next;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers; /* made for token */
	char *token;
	struct bci_exchange *x;
	int64_t active_at; /* when bytes last came */
	uint64_t head_bytes, body_bytes;
	bool told;   /* enough was read of an error answer */
	size_t said; /* of an error body, kept in x->reason */
	bool resolved; /* an address was told */
	char error[CURL_ERROR_SIZE];
};

int bcrawl_global_init(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? BCRAWL_OK : BCRAWL_E_NOMEM;
}

void bcrawl_global_cleanup(void)
{
	curl_global_cleanup();
}

/* ---- the answer ---- */

static enum bci_result judge_status(long status)
{
	/* A part that nobody asked for is not the whole, even if it looks like one; and a protocol
	 * that nobody wished to change to is none of ours. */
	if (status < 200 || status == 206)
		return BCI_RESULT_GARBAGE;
	if (status < 300)
		return BCI_RESULT_OK;
	if (status == 401 || status == 403)
		return BCI_RESULT_AUTH;
	if (status == 429)
		return BCI_RESULT_THROTTLED;
	if (status == 408 || status >= 500)
		return BCI_RESULT_SERVER_ERROR;
	return BCI_RESULT_CLIENT_ERROR;
}

static enum bci_result judge_curl(CURLcode code)
{
	switch ((int)code) {
	case CURLE_OPERATION_TIMEDOUT:
		return BCI_RESULT_TIMEOUT;
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return BCI_RESULT_GARBAGE;
	default:
		return BCI_RESULT_NETWORK;
	}
}

/* Keeps the beginning of an error answer's text; what is no plain text is left out. */
static void keep_reason(struct carrier *c, const char *data, size_t len)
{
	for (size_t i = 0; i < len && c->said < BCI_ERROR_BODY_MAX; i++)
		if ((unsigned char)data[i] >= 0x20 && (unsigned char)data[i] < 0x7f)
			c->x->reason[c->said++] = data[i];
	c->x->reason[c->said] = '\0';
}

/* libcurl has had a limit of its own only since 8.3, and before it keeps all that comes. */
static size_t on_header(char *data, size_t size, size_t n, void *user)
{
	struct carrier *c = user;

	(void)data;
	n *= size;
	c->http->came = true;
	c->head_bytes += n;
	if (c->head_bytes <= BCI_HEAD_BYTES_MAX)
		return n;
	c->x->body_error = BCRAWL_E_LIMIT;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
	struct carrier *c = user;
	long status = 0;

	n *= size;
	c->http->came = true;
	c->active_at = bci_clock_net(c->http->clock);
	/* Taken for an error answer's, a piece of a page would be missing from it. */
	if (curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
		return 0;
	c->body_bytes += n;
	if (judge_status(status) != BCI_RESULT_OK) {
		keep_reason(c, data, n);
		c->told = c->body_bytes > BCI_ERROR_BYTES_MAX;
		return c->told ? 0 : n;
	}
	if (c->body_bytes > BCI_BODY_BYTES_MAX) {
		c->x->body_error = BCRAWL_E_LIMIT;
		return 0;
	}
	c->x->body_error = c->x->body(c->x->user, data, n);
	return c->x->body_error ? 0 : n;
}

/* Malformed URLs are echoed by the server: the query has no place in a message. */
static void describe(struct carrier *c, CURLcode code)
{
	struct bci_exchange *x = c->x;
	char said[BCI_ERROR_BODY_MAX + 1];
	long tunnel = 0, why = 0;

	if (x->body_error)
		return;
	if (code == CURLE_OUT_OF_MEMORY) {
		snprintf(x->reason, sizeof(x->reason),
			 "libcurl has no memory, or not for a line this long in the answer's head");
		return;
	}
	curl_easy_getinfo(c->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	if (tunnel < 300)
		tunnel = x->status == 407 && c->http->proxy && *c->http->proxy ? 407 : 0;
	if (tunnel) {
		snprintf(x->reason, sizeof(x->reason), "the proxy refuses (HTTP %ld)", tunnel);
		return;
	}
	if (code == CURLE_COULDNT_CONNECT)
		curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &why);
	if (why == EACCES || why == EPERM) {
		snprintf(x->reason, sizeof(x->reason),
			 "the system does not let this program connect; with SELinux, "
			 "collectd needs: setsebool -P collectd_tcp_network_connect 1");
		return;
	}
	if (code != CURLE_OK) {
		snprintf(x->reason, sizeof(x->reason), "%.150s",
		         c->error[0] ? c->error : curl_easy_strerror(code));
		return;
	}
	snprintf(said, sizeof(said), "%.*s", BCI_ERROR_BODY_MAX,
	         strncmp(x->reason, "\"Malformed url", 14) ? x->reason : "");
	snprintf(x->reason, sizeof(x->reason), "HTTP %ld%s%.120s", x->status, *said ? ": " : "",
		 said);
}

/* Some servers and proxies answer an error with what they were asked, headers and all. The text may
 * end in the middle of the token. */
static void hide_token(char *text, const char *token)
{
	size_t n = token ? strlen(token) : 0, left = strlen(text);
	char *hit = text;

	for (; n > 0 && (hit = strstr(hit, token)); hit += n)
		memset(hit, '*', n);
	for (size_t part = left < n ? left : n; part >= BCI_TOKEN_PART_MIN; part--)
		if (strncmp(text + left - part, token, part) == 0)
			memset(text + left - part, '*', part);
}

/* ---- carriers ---- */

static void forget_token(struct carrier *c)
{
	for (struct curl_slist *l = c->headers; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(c->headers);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	c->headers = NULL;
	c->token = NULL;
}

static void carrier_free(struct carrier *c)
{
	curl_easy_cleanup(c->easy);
	forget_token(c);
	free(c);
}

static void release(struct carrier *c)
{
	struct http *h = c->http;
	struct carrier **p = &h->busy;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->x = NULL;
	/* What can't be taken out of the multi handle could never be put into it again. */
	if (curl_multi_remove_handle(h->multi, c->easy) != CURLM_OK) {
		carrier_free(c);
		return;
	}
	c->next = h->idle;
	h->idle = c;
}

static void finish(struct carrier *c, CURLcode code)
{
	struct bci_exchange *x = c->x;
	curl_off_t wire = 0, retry_after = 0;
	long header = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &x->status);
	curl_easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
	curl_easy_getinfo(c->easy, CURLINFO_HEADER_SIZE, &header);
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after);
	/* It ended because we had heard enough, and says what it says. */
	if (c->told || (c->resolved && code == CURLE_COULDNT_CONNECT))
		code = CURLE_OK;
	x->bytes = (uint64_t)wire + (uint64_t)header;
	/* Before 8.12 a date in the past comes out negative. */
	x->retry_after_s = retry_after > 0 ? (long)retry_after : -1;
	x->result = code == CURLE_OK ? judge_status(x->status) : judge_curl(code);
	if (code == CURLE_OK && x->address)
		x->result = BCI_RESULT_OK;
	if (x->body_error)
		x->result = BCI_RESULT_GARBAGE;
	if (code != CURLE_OK || !x->address)
		describe(c, code);
	hide_token(x->reason, c->token);
	release(c);
	x->done = true;
}

/* A machine that is gone, or a path to it that forgot the connection, answers nothing: the system
 * ends the connection then, and a request on it is tried again on another. A system that cannot
 * leaves it to our patience. */
static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
#ifdef TCP_USER_TIMEOUT
	unsigned ms = BCI_PEER_TIMEOUT_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
#endif
	(void)user;
	(void)purpose;
	return CURL_SOCKOPT_OK;
}

/* libcurl has no call that resolves a name, but asks for a socket to each address in turn, and goes
 * on with the next if it gets none. */
static curl_socket_t on_address(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct carrier *c = user;

	(void)purpose;
	/* The step must not wait: there is no socket to wait for. */
	c->http->came = c->resolved = true;
	c->active_at = bci_clock_net(c->http->clock);
	c->x->address(c->x->user, &address->addr);
	return CURL_SOCKET_BAD;
}

/* What makes a request ours; without one of these it must not be made. */
static CURLcode set_rules(struct carrier *c)
{
	const struct http *h = c->http;
	CURL *e = c->easy;
	CURLcode rc = CURLE_OK;

#define RULE(option, value) rc = rc != CURLE_OK ? rc : curl_easy_setopt(e, option, value)
	RULE(CURLOPT_ERRORBUFFER, c->error);
	RULE(CURLOPT_WRITEFUNCTION, on_body);
	RULE(CURLOPT_WRITEDATA, c);
	RULE(CURLOPT_HEADERFUNCTION, on_header);
	RULE(CURLOPT_HEADERDATA, c);
	RULE(CURLOPT_NOSIGNAL, 1L);
	RULE(CURLOPT_FOLLOWLOCATION, 0L);
	RULE(CURLOPT_CONNECTTIMEOUT_MS, (long)BCI_CONNECT_TIMEOUT_MS);
	/* libcurl's own default is 1.0, and it then depends on the system what is refused. */
	RULE(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
#if LIBCURL_VERSION_NUM >= 0x075500
	RULE(CURLOPT_PROTOCOLS_STR, h->https_only ? "https" : "http,https");
#else
	RULE(CURLOPT_PROTOCOLS, h->https_only ? (long)CURLPROTO_HTTPS
					      : (long)CURLPROTO_HTTP | (long)CURLPROTO_HTTPS);
#endif
	if (h->proxy) {
		RULE(CURLOPT_PROXY, h->proxy);
		/* One that was configured is not overruled by the environment's no_proxy. */
		RULE(CURLOPT_NOPROXY, "");
	}
	if (h->ca_file[0]) {
		RULE(CURLOPT_CAINFO, h->ca_file);
		/* The system's own are not trusted beside it; not every libcurl has them. */
		RULE(CURLOPT_CAPATH, (char *)NULL);
		if (rc == CURLE_NOT_BUILT_IN || rc == CURLE_UNKNOWN_OPTION)
			rc = CURLE_OK;
	}
#undef RULE
	return rc;
}

/* What a libcurl may be built without, or have by default. */
static void set_wishes(CURL *e, const struct http *h)
{
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "balenacrawl/" BCI_VERSION);
	/* brotli would win if offered, and costs the server more than it saves us. */
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	/* One HTTP/2 connection for all, rather than one for each of the first burst. */
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	/* What a new connection is made by may have changed, and there are few of them. */
	curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, BCI_PEER_TIMEOUT_MS / 1000L - BCI_PEER_PROBE_S);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)BCI_PEER_PROBE_S);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A resolver that is stuck must not keep the host from ending. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	/* A day, else; the system's own change less, and are a hundred times larger. */
	if (h->ca_file[0])
		curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#else
	(void)h;
#endif
}

/* Puts a new carrier among the idle ones. */
static CURLcode add_carrier(struct http *h)
{
	struct carrier *c = calloc(1, sizeof(*c));

	if (!c)
		return CURLE_OUT_OF_MEMORY;
	c->http = h;
	c->easy = curl_easy_init();
	if (!c->easy) {
		free(c);
		return CURLE_OUT_OF_MEMORY;
	}
	c->next = h->idle;
	h->idle = c;
	return CURLE_OK;
}

/* The request headers, made anew when the token changes. */
static bool set_token(struct carrier *c, const char *token)
{
	static const char prefix[] = "Authorization: Bearer ";
	BCI_AUTOFREE char *line = NULL;
	struct curl_slist *more;
	size_t n = sizeof(prefix) + (token ? strlen(token) : 0);

	if (c->token && token && strcmp(c->token, token) == 0)
		return true;
	forget_token(c);
	c->headers = curl_slist_append(NULL, "Accept: application/json");
	if (!token)
		return c->headers;
	line = malloc(n);
	if (!line || !c->headers)
		return false;
	snprintf(line, n, "%s%s", prefix, token);
	more = curl_slist_append(c->headers, line);
	explicit_bzero(line, n);
	if (!more)
		return false;
	c->token = strdup(token);
	return c->token;
}

/* Keeps the list of sockets. What it lacks costs only the order in which answers are read. */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
	struct http *h = user;
	size_t i = 0;
	/* None of one that is to be removed. */
	short events = (short)((what & CURL_POLL_IN ? POLLIN : 0) |
	                       (what & CURL_POLL_OUT ? POLLOUT : 0));

	(void)easy;
	(void)socket_user;
	while (i < h->watched_count && h->watched[i].fd != fd)
		i++;
	if (i == h->watched_count && (!events || i == WATCHED_MAX))
		return 0;
	if (events) {
		h->watched[i] = (struct pollfd){ .fd = fd, .events = events };
		h->watched_count += i == h->watched_count;
	} else {
		h->watched[i] = h->watched[--h->watched_count];
	}
	return 0;
}

/* Opens a multi handle in place of the one there is, if any, with all of its connections. */
static bool open_multi(struct http *h)
{
	CURLM *multi = curl_multi_init();

	if (!multi)
		return false;
	curl_multi_cleanup(h->multi);
	h->multi = multi;
	h->watched_count = 0;
	if (curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK)
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_watch);
	return true;
}

/* Leaves doubtful connections behind, once nothing is under way on them. */
static CURLcode renew(struct http *h)
{
	if (!h->doubtful || h->busy)
		return CURLE_OK;
	if (!open_multi(h))
		return CURLE_OUT_OF_MEMORY;
	h->doubtful = false;
	return CURLE_OK;
}

/* All from the beginning: else libcurl counts, over all requests of a handle, how often it had to
 * ask again as a kept connection had just been closed, and lets every sixth of those fail. */
static CURLcode set_request(struct carrier *c, const struct bci_exchange *x)
{
	const struct http *h = c->http;
	size_t n = strlen(h->base_url) + strlen(x->target) + 1;
	BCI_AUTOFREE char *url = malloc(n);
	CURLcode rc;

	if (!url)
		return CURLE_OUT_OF_MEMORY;
	snprintf(url, n, "%s%s", h->base_url, x->target);
	curl_easy_reset(c->easy);
	set_wishes(c->easy, h);
	rc = set_rules(c);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c->easy, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, h->doubtful ? 1L : 0L);
	if (rc != CURLE_OK || !x->address)
		return rc;
	/* Addresses of the other family are not to be waited for. */
	curl_easy_setopt(c->easy, CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, 1L);
	rc = curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETDATA, c);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_address);
	return rc;
}

static CURLcode begin(struct http *h, struct bci_exchange *x, const char *token)
{
	struct carrier *c;
	CURLcode rc = renew(h);

	if (rc == CURLE_OK && !h->idle)
		rc = add_carrier(h);
	if (rc != CURLE_OK)
		return rc;
	c = h->idle;
	if (!set_token(c, token))
		return CURLE_OUT_OF_MEMORY;
	rc = set_request(c, x);
	if (rc != CURLE_OK)
		return rc;
	c->x = x;
	c->said = 0;
	c->head_bytes = c->body_bytes = 0;
	c->told = c->resolved = false;
	c->error[0] = '\0';
	c->active_at = bci_clock_net(h->clock);
	if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	h->idle = c->next;
	c->next = h->busy;
	h->busy = c;
	return CURLE_OK;
}

/* ---- the transport ---- */

static void http_start(void *self, struct bci_exchange *x, const char *token)
{
	CURLcode rc;

	x->done = false;
	x->result = BCI_RESULT_OK;
	x->body_error = 0;
	x->status = 0;
	x->retry_after_s = -1;
	x->bytes = 0;
	x->reason[0] = '\0';
	rc = begin(self, x, token);
	if (rc == CURLE_OK)
		return;
	x->result = BCI_RESULT_NETWORK;
	x->body_error = rc == CURLE_OUT_OF_MEMORY ? BCRAWL_E_NOMEM : BCRAWL_E_CONFIG;
	snprintf(x->reason, sizeof(x->reason), "this libcurl cannot make the request: %s",
	         curl_easy_strerror(rc));
	x->done = true;
}

static void http_cancel(void *self, struct bci_exchange *x)
{
	struct http *h = self;

	for (struct carrier *c = h->busy; c; c = c->next) {
		if (c->x == x) {
			/* With HTTP/2 its connection stays, and may be why nothing came. */
			h->doubtful = true;
			release(c);
			return;
		}
	}
}

static bool is_stalled(const struct carrier *c, int64_t now)
{
	return now - c->active_at >= c->x->patience_ms;
}

static bool any_stalled(const struct http *h)
{
	int64_t now = bci_clock_net(h->clock);

	for (const struct carrier *c = h->busy; c; c = c->next)
		if (is_stalled(c, now))
			return true;
	return false;
}

/* Ends what has stood still; curl's own low-speed limit would also count the sink's time. Returns
 * whether anything has. */
static bool drop_stalled(struct http *h)
{
	int64_t now = bci_clock_net(h->clock);
	bool any = false;

	for (struct carrier *c = h->busy, *next; c; c = next) {
		next = c->next;
		if (!is_stalled(c, now))
			continue;
		snprintf(c->error, sizeof(c->error), "no data for %d seconds",
			 (int)(c->x->patience_ms / 1000));
		h->doubtful = true;
		finish(c, CURLE_OPERATION_TIMEDOUT);
		any = true;
	}
	return any;
}

/* Without the multi handle's help nothing goes on, and nothing would end but at the deadline. */
static void drop_all(struct http *h, CURLMcode code)
{
	while (h->busy) {
		struct carrier *c = h->busy;

		snprintf(c->error, sizeof(c->error), "%s", curl_multi_strerror(code));
		finish(c, CURLE_FAILED_INIT);
	}
}

static struct carrier *carrier_of(const struct http *h, const CURL *easy)
{
	struct carrier *c = h->busy;

	while (c && c->easy != easy)
		c = c->next;
	return c;
}

/* Finishes what has come to its end; returns whether anything has. */
static bool finish_done(struct http *h)
{
	struct CURLMsg *msg;
	bool any = false;
	int left;

	while ((msg = curl_multi_info_read(h->multi, &left))) {
		struct carrier *c = carrier_of(h, msg->easy_handle);

		if (msg->msg != CURLMSG_DONE || !c)
			continue;
		finish(c, msg->data.result);
		any = true;
	}
	return any;
}

/* Reads what has come, one connection after the other, until an exchange is at its end: its place
 * can then be taken by the next while the others' answers are still being read. Made to serve all
 * connections at once, libcurl lets none of them end before each was read; what shares one, as in
 * HTTP/2, still ends together. */
static CURLMcode serve_one_by_one(struct http *h, bool *any)
{
	int running = 0;
	CURLMcode rc = curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	size_t n = h->watched_count;

	*any = finish_done(h);
	if (rc != CURLM_OK || *any || poll(h->watched, (nfds_t)n, 0) <= 0)
		return rc;
	for (size_t i = 0; i < n && h->watched_count > 0 && rc == CURLM_OK && !*any; i++) {
		const struct pollfd *p = &h->watched[h->served++ % h->watched_count];

		if (!p->revents)
			continue;
		/* What is the matter with it libcurl knows best how to find out. */
		rc = curl_multi_socket_action(h->multi, p->fd, 0, &running);
		*any = finish_done(h);
	}
	return rc;
}

static void http_step(void *self, int timeout_ms, int wake_fd)
{
	struct http *h = self;
	struct curl_waitfd wake = { .fd = wake_fd, .events = CURL_WAIT_POLLIN };
	struct pollfd alone = { .fd = wake_fd, .events = POLLIN };
	int running = 0;
	CURLMcode rc;
	bool any;

	h->came = false;
	rc = serve_one_by_one(h, &any);
	/* Where nothing has come, whatever may be due that was not told; and after a pause of the
	 * whole machine what seems to have stood still may only not have been read. */
	if (rc == CURLM_OK && ((!h->came && !any) || any_stalled(h))) {
		rc = curl_multi_perform(h->multi, &running);
		any |= finish_done(h);
	}
	if (rc != CURLM_OK)
		drop_all(h, rc);
	any |= drop_stalled(h);
	/* libcurl 7.88 may lose the timer by which one HTTP/2 transfer wakes another, and sleep
	 * beside an answer that is there: only a step in which nothing came may wait. */
	if (any || h->came || rc != CURLM_OK || timeout_ms <= 0)
		return;
	if (curl_multi_poll(h->multi, wake_fd >= 0 ? &wake : NULL, wake_fd >= 0, timeout_ms, NULL))
		/* Not in a circle as fast as can be. */
		poll(&alone, 1, timeout_ms < BCI_BLIND_WAIT_MS ? timeout_ms : BCI_BLIND_WAIT_MS);
}

static void free_carriers(struct carrier *c)
{
	for (struct carrier *next; c; c = next) {
		next = c->next;
		carrier_free(c);
	}
}

static void http_free(void *self)
{
	struct http *h = self;

	if (!h)
		return;
	while (h->busy)
		release(h->busy);
	free_carriers(h->idle);
	curl_multi_cleanup(h->multi);
	free(h->base_url);
	free(h->ca_file);
	free(h->proxy);
	free(h);
}

bool bci_http_new(struct bci_transport *t, const struct bci_http_config *cfg,
                  const struct bci_clock *clock)
{
	struct http *h = calloc(1, sizeof(*h));
	size_t n = strlen(cfg->base_url);
	bool proxy = *cfg->proxy || cfg->direct;

	if (!h)
		return false;
	while (n > 0 && cfg->base_url[n - 1] == '/')
		n--;
	h->base_url = strndup(cfg->base_url, n);
	h->ca_file = strdup(cfg->ca_file);
	/* libcurl takes "" for no proxy whatever the environment says. */
	if (proxy)
		h->proxy = strdup(cfg->direct || strcmp(cfg->proxy, "none") == 0 ? "" : cfg->proxy);
	h->https_only = strncasecmp(cfg->base_url, "http://", 7) != 0;
	h->clock = clock;
	if (!h->base_url || !h->ca_file || (proxy && !h->proxy) || !open_multi(h)) {
		http_free(h);
		return false;
	}
	*t = (struct bci_transport){ http_start, http_step, http_cancel, http_free, h };
	return true;
}
