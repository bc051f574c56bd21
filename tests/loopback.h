/* SPDX-License-Identifier: MIT
 *
 * A little HTTP/1.1 server on 127.0.0.1, in a thread of the test: for the real transport. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <pthread.h>
#include <stdatomic.h>

#define LOOPBACK_CONNECTIONS_MAX 32

struct loopback {
	/* Called in the thread. Gives the body in new memory, NULL for 404; what begins with HTTP/ is
	 * a whole answer, and sent as it is. */
	char *(*answer)(void *user, const char *target);
	void *user;
	const char *token; /* that requests must have, else 401; NULL: they must have none */
	int fd;
	char url[64];      /* of the server */
	pthread_t thread;
	struct loopback_connection {
		int fd;
		size_t len;
		char head[8192];
	} connections[LOOPBACK_CONNECTIONS_MAX];
	size_t n;
	atomic_uint accepted; /* connections, since the start */
};

void loopback_start(struct loopback *l, char *(*answer)(void *user, const char *target), void *user,
                    const char *token);
void loopback_stop(struct loopback *l);

#endif
