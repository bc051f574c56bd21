/* SPDX-License-Identifier: MIT
 *
 * A server as simple as can be: GET and keep-alive, answers one after the other. It calls nothing
 * that a test may have put under the core's calls but malloc() and free(). */
#include "loopback.h"

#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool send_all(int fd, const char *data, size_t n, int flags)
{
	while (n > 0) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL | flags);

		if (sent <= 0)
			return false;
		data += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Answers the request in the head; false: hang up. */
static bool respond(const struct loopback *l, struct loopback_connection *c)
{
	char want[256], head[256];
	char *target = strchr(c->head, ' '), *end = target ? strchr(target + 1, ' ') : NULL;
	char *body;
	bool known, sent;
	int n;

	if (!end || strncmp(c->head, "GET /", 5) != 0)
		return false;
	*end = '\0';
	snprintf(want, sizeof(want), "\r\nAuthorization: Bearer %s\r\n", l->token ? l->token : "");
	known = l->token ? strstr(end + 1, want) != NULL : !strstr(end + 1, "\r\nAuthorization:");
	body = known ? l->answer(l->user, target + 1) : NULL;
	if (body && strncmp(body, "HTTP/", 5) == 0) {
		sent = send_all(c->fd, body, strlen(body), 0);
		free(body);
		c->len = 0;
		return sent;
	}
	n = snprintf(head, sizeof(head),
	             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	             body ? "200 OK" : known ? "404 Not Found" : "401 Unauthorized", body ? strlen(body) : 0);
	/* One packet: else the second waits for the first one's acknowledgement. */
	sent = send_all(c->fd, head, (size_t)n, body ? MSG_MORE : 0) &&
	       (!body || send_all(c->fd, body, strlen(body), 0));
	free(body);
	c->len = 0;
	return sent;
}

/* false: the connection is at its end. */
static bool serve(const struct loopback *l, struct loopback_connection *c)
{
	ssize_t n = recv(c->fd, c->head + c->len, sizeof(c->head) - 1 - c->len, 0);

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->head[c->len] = '\0';
	return !strstr(c->head, "\r\n\r\n") || respond(l, c);
}

static void *run(void *user)
{
	struct loopback *l = user;

	for (;;) {
		struct pollfd fds[LOOPBACK_CONNECTIONS_MAX + 1] = { { .fd = l->fd, .events = POLLIN } };
		size_t n = l->n;

		for (size_t i = 0; i < n; i++)
			fds[i + 1] = (struct pollfd){ .fd = l->connections[i].fd, .events = POLLIN };
		if (poll(fds, n + 1, -1) < 0)
			continue;
		for (size_t i = n; i-- > 0;) {
			if (!fds[i + 1].revents || serve(l, &l->connections[i]))
				continue;
			close(l->connections[i].fd);
			l->connections[i] = l->connections[--l->n];
		}
		if (fds[0].revents) {
			int fd = accept(l->fd, NULL, NULL);

			/* loopback_stop() shut it down. */
			if (fd < 0)
				return NULL;
			l->accepted++;
			if (l->n == LOOPBACK_CONNECTIONS_MAX)
				close(fd);
			else
				l->connections[l->n++] = (struct loopback_connection){ .fd = fd };
		}
	}
}

void loopback_start(struct loopback *l, char *(*answer)(void *user, const char *target), void *user,
                    const char *token)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	memset(l, 0, sizeof(*l));
	l->answer = answer;
	l->user = user;
	l->token = token;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(l->fd >= 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(l->fd, 16), 0);
	assert_int_equal(getsockname(l->fd, (struct sockaddr *)&at, &n), 0);
	snprintf(l->url, sizeof(l->url), "http://127.0.0.1:%d", ntohs(at.sin_port));
	assert_int_equal(pthread_create(&l->thread, NULL, run, l), 0);
}

void loopback_stop(struct loopback *l)
{
	shutdown(l->fd, SHUT_RDWR);
	assert_int_equal(pthread_join(l->thread, NULL), 0);
	for (size_t i = 0; i < l->n; i++)
		close(l->connections[i].fd);
	close(l->fd);
}
