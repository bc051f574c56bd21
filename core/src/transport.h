/* SPDX-License-Identifier: MIT
 *
 * The seam between the crawl and the network: a GET is an exchange, a transport carries several
 * side by side. The one over libcurl is http.c; tests script another. */
#ifndef BCI_TRANSPORT_H
#define BCI_TRANSPORT_H

#include "internal.h"

struct sockaddr;

/* How an exchange ended; the words of the requests counter's result label. */
enum bci_result {
	BCI_RESULT_OK,
	BCI_RESULT_AUTH,
	BCI_RESULT_THROTTLED,
	BCI_RESULT_CLIENT_ERROR,
	BCI_RESULT_SERVER_ERROR,
	BCI_RESULT_TIMEOUT,
	BCI_RESULT_NETWORK,
	BCI_RESULT_GARBAGE,
	BCI_RESULT__COUNT
};

/* Memory of the caller, in use from start until done or cancelled. */
struct bci_exchange {
	const char *target; /* path and query, behind the server's base URL */
	/* Gets the decoded body in pieces, of a 2xx answer only. A negative enum bcrawl_status ends
	 * the exchange. */
	int (*body)(void *user, const char *data, size_t len);
	/* Instead of a GET: gets each address of the server's name, and nothing is connected. The
	 * result is OK if all of them were told. NULL: a GET. */
	void (*address)(void *user, const struct sockaddr *address);
	void *user;
	int64_t patience_ms; /* without a byte for so long, on the network's clock: TIMEOUT */

	/* written by the transport */
	bool            done;
	enum bci_result result;        /* once done */
	int             body_error;    /* what body returned, if that ended it; of the transport's
					* own: NOMEM, LIMIT, CONFIG (libcurl refused an option) */
	long            status;        /* HTTP status, 0 if none was received */
	long            retry_after_s; /* -1: the answer had none */
	uint64_t        bytes;         /* received, headers included, body as it came */
	char            reason[160];   /* why it failed, for people; no query, no secret */
};

struct bci_transport {
	/* Begins x; it may be done at once. The token is copied; NULL: none is sent. */
	void (*start)(void *self, struct bci_exchange *x, const char *token);
	/* Moves all exchanges on, waiting at most timeout_ms for something to do; returns early
	 * when an exchange is done or wake_fd (-1: none) becomes readable. */
	void (*step)(void *self, int timeout_ms, int wake_fd);
	/* Gives x up; it is not touched again. */
	void (*cancel)(void *self, struct bci_exchange *x);
	void (*free)(void *self);
	void *self;
};

/* What http.c needs to know. */
struct bci_http_config {
	const char *base_url; /* without a slash at its end */
	const char *ca_file;  /* "": the system's certificates */
	const char *proxy;    /* "": as the environment says; "none": no proxy */
	bool direct;          /* to the host alone: what is sent is not for a proxy's eyes */
};

struct bci_clock;

/* A transport over libcurl; cfg is copied, clock is borrowed for its life. false: out of memory. */
BCI_MUST_CHECK bool bci_http_new(struct bci_transport *t, const struct bci_http_config *cfg,
                                 const struct bci_clock *clock);

#endif
