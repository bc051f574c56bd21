/* SPDX-License-Identifier: MIT
 *
 * Small files, read whole. */
#include "file.h"

#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int bci_file_read(const char *path, char *text, size_t size, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t got = 1;
	int e = 0, interrupts = 0;

	if (fd < 0)
		return errno;
	*n = 0;
	if (fstat(fd, &st))
		e = errno;
	else if (!S_ISREG(st.st_mode))
		e = ESPIPE;
	while (!e && *n < size && got != 0) {
		got = read(fd, text + *n, size - *n);
		if (got > 0)
			*n += (size_t)got;
		else if (got < 0 && (errno != EINTR || ++interrupts == BCI_INTERRUPTS_MAX))
			e = errno;
	}
	close(fd);
	return e;
}

const char *bci_file_reason(int e)
{
	return e == ESPIPE ? "not a plain file" : strerror(e);
}
