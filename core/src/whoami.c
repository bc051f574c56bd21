/* SPDX-License-Identifier: MIT
 *
 * A member is told by its host: one name or address is another if they are written alike, if they
 * are the same address, or if one is the short form of the other. */
#include "whoami.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- hosts ---- */

/* The host of a member, without its port and brackets. */
static void host_of(char out[BCI_MEMBER_BYTES_MAX + 1], const char *member)
{
	const char *colon = strchr(member, ':');
	size_t n = strlen(member);

	if (*member == '[' && strchr(member, ']')) {
		member++;
		n = strcspn(member, "]");
	} else if (colon && !strchr(colon + 1, ':')) {
		n = (size_t)(colon - member);
	}
	snprintf(out, BCI_MEMBER_BYTES_MAX + 1, "%.*s", (int)n, member);
}

static bool is_same_address(int family, const char *a, const char *b)
{
	unsigned char x[sizeof(struct in6_addr)] = { 0 }, y[sizeof(struct in6_addr)] = { 0 };

	return inet_pton(family, a, x) == 1 && inet_pton(family, b, y) == 1 &&
	       memcmp(x, y, sizeof(x)) == 0;
}

static bool is_address(const char *host)
{
	unsigned char x[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, x) == 1 || inet_pton(AF_INET6, host, x) == 1;
}

static bool is_short_of(const char *name, const char *host)
{
	size_t n = strlen(name);

	return n > 0 && strncasecmp(name, host, n) == 0 && host[n] == '.' && !strchr(name, '.') &&
	       !is_address(host);
}

static bool is_same_host(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0 || is_same_address(AF_INET, a, b) ||
	       is_same_address(AF_INET6, a, b) || is_short_of(a, b) || is_short_of(b, a);
}

/* ---- this machine ---- */

void bci_whoami_host(char out[BCI_HOST_BYTES_MAX + 1])
{
	if (gethostname(out, BCI_HOST_BYTES_MAX + 1))
		out[0] = '\0';
	out[BCI_HOST_BYTES_MAX] = '\0';
}

static bool is_own_address(const struct ifaddrs *all, const char *host)
{
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		char text[NI_MAXHOST];
		int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
		socklen_t n = family == AF_INET ? sizeof(struct sockaddr_in)
						: sizeof(struct sockaddr_in6);

		if ((family == AF_INET || family == AF_INET6) &&
		    getnameinfo(a->ifa_addr, n, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 &&
		    is_same_host(text, host))
			return true;
	}
	return false;
}

size_t bci_whoami(const struct bci_members *m, const char *configured, size_t *self)
{
	char host[BCI_MEMBER_BYTES_MAX + 1], name[BCI_HOST_BYTES_MAX + 1];
	struct ifaddrs *all = NULL;
	size_t found = 0;

	bci_whoami_host(name);
	if (!*configured && getifaddrs(&all))
		all = NULL; /* then by its name alone */
	for (size_t i = 0; i < m->n; i++) {
		/* Several on one machine differ by their ports alone. */
		if (strcasecmp(configured, m->rows[i].name) == 0) {
			*self = i;
			found = 1;
			break;
		}
		host_of(host, m->rows[i].name);
		if (*configured ? !is_same_host(configured, host)
				: !is_same_host(name, host) && !is_own_address(all, host))
			continue;
		*self = i;
		found++;
	}
	if (all)
		freeifaddrs(all);
	return found;
}
