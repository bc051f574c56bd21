/* SPDX-License-Identifier: MIT
 *
 * Files that a person or a program beside us writes: the token, certificates, lists of members. */
#ifndef BCI_FILE_H
#define BCI_FILE_H

#include "internal.h"

/* Reads at most size bytes, *n of them. 0 or an errno: ESPIPE for what is no plain file, as a pipe
 * might never give anything. */
BCI_MUST_CHECK int bci_file_read(const char *path, char *text, size_t size, size_t *n);
/* Why that failed, for people. */
const char *bci_file_reason(int e);

#endif
