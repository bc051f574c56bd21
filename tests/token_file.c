/* SPDX-License-Identifier: MIT
 *
 * A token file of its own for each program. */
#include "token_file.h"

#include "unit.h"

#include <unistd.h>

char token_path[64];

void write_token(const char *token)
{
	FILE *f = fopen(token_path, "w");

	assert_non_null(f);
	assert_true(fprintf(f, "%s\n", token) > 0);
	assert_int_equal(fclose(f), 0);
}

void new_token(void *user)
{
	write_token(user);
}

int make_token_file(void **state)
{
	int fd;

	(void)state;
	snprintf(token_path, sizeof(token_path), "/tmp/bci-test-token-XXXXXX");
	fd = mkstemp(token_path);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

int remove_token_file(void **state)
{
	(void)state;
	return unlink(token_path);
}
